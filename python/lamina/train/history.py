"""What training measured, epoch by epoch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

__all__ = ["History"]

Record = dict[str, Any]


class History:
    """The numbers of a training run, one record an epoch.

    A record holds ``epoch`` (from 1), ``loss`` and the metrics over the training batches as
    they went by, the same with ``validation_`` in front where there is validation data,
    ``learning_rate``, ``seconds`` (the epoch with its validation) and ``samples_per_second``
    (training alone).

    Attributes
    ----------
    records : list of dict
        One an epoch.
    interrupted : bool
        Whether Ctrl-C ended the training; the epoch under way then has no record.
    best_epoch : int or None
        The epoch whose weights were kept, where `Trainer.fit` was asked to keep the best.

    Examples
    --------
    >>> history = History()
    >>> history.append({"epoch": 1, "loss": 0.9})
    >>> history.append({"epoch": 2, "loss": 0.5})
    >>> history["loss"], len(history)
    ([0.9, 0.5], 2)
    """

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.interrupted = False
        self.best_epoch: int | None = None

    def append(self, record: Record) -> None:
        """Add an epoch."""
        self.records.append(record)

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __contains__(self, name: str) -> bool:
        return any(name in record for record in self.records)

    def __getitem__(self, name: str) -> list[Any]:
        if self.records and name not in self:
            known = ", ".join(self.records[0])
            raise KeyError(f"the history has no '{name}' (it has {known})")
        return [record[name] for record in self.records if name in record]

    def json_lines(self) -> str:
        """One line of JSON for each epoch."""
        return "".join(json.dumps(record) + "\n" for record in self.records)

    def __repr__(self) -> str:
        if not self.records:
            return "History(no epochs)"
        last = self.records[-1]
        shown = {k: v for k, v in last.items() if k == "loss" or k.startswith(("acc", "valid"))}
        numbers = ", ".join(f"{name}={value:.4g}" for name, value in shown.items())
        return f"History({len(self)} epochs: {numbers})"
