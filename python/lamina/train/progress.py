"""Showing how training goes: a bar on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import sys
import time
from typing import Any

__all__ = ["Silent", "make_progress", "percent"]

_LINES = 30  # plain output keeps to about so many lines, however many epochs there are


def percent(share: float) -> str:
    """0.98123 as ``98.1%``."""
    return f"{100 * share:.1f}%"


def make_progress(kind: Any) -> Silent:
    """Make the reporter for `kind`: "auto", "bar", "lines", or None / False for silence."""
    if kind == "auto":
        kind = "bar" if sys.stdout.isatty() else "lines"
    reporters = {"bar": Bar, "lines": Lines, None: Silent, False: Silent}
    if kind not in reporters:
        raise ValueError(f"progress must be 'auto', 'bar', 'lines' or None, not {kind!r}")
    return reporters[kind]()


class Silent:
    """Says nothing; the others override what they show."""

    def start(self, epochs: int, samples: int | None) -> None:
        """Begin; `samples` is the size of an epoch, None when the data does not tell."""

    def batch(self, epoch: int, samples: int, means: dict[str, float]) -> None:
        """Show that `samples` of this epoch are done; `means` are its numbers so far."""

    def epoch(self, record: dict[str, Any]) -> None:
        """Show an epoch that is over."""

    def close(self) -> None:
        """Stop showing: training is over, in whatever way."""


class Lines(Silent):
    """One line for an epoch, or for every so many when there are many."""

    def start(self, epochs: int, samples: int | None) -> None:
        self._epochs = epochs
        self._every = -(-epochs // _LINES)

    def epoch(self, record: dict[str, Any]) -> None:
        number = record["epoch"]
        if number != 1 and number != self._epochs and number % self._every:
            return
        print(f"epoch {number:>{len(str(self._epochs))}}/{self._epochs}  {_numbers(record)}  "
              f"{record['samples_per_second']:,.0f} samples/s", flush=True)  # fmt: skip


class Bar(Silent):
    """A bar over all epochs with loss, accuracy, samples/s and the time left."""

    def start(self, epochs: int, samples: int | None) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._epochs = epochs
        self._samples = samples
        self._bar = Progress(
            TextColumn("{task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[numbers]}  {task.fields[speed]} "),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            expand=True,
        )
        self._bar.start()
        self._task = self._bar.add_task(
            "", total=epochs * (samples or 1), epoch=0, epochs=epochs, numbers="", speed=""
        )
        self._validation: dict[str, float] = {}
        self._began = self._shown = time.perf_counter()

    def batch(self, epoch: int, samples: int, means: dict[str, float]) -> None:
        now = time.perf_counter()
        if now - self._shown < 0.1:  # drawing more often than eyes read would cost training time
            return
        self._shown = now
        done = (epoch - 1) * self._samples + samples if self._samples else epoch - 1
        self._bar.update(
            self._task,
            completed=done,
            epoch=epoch,
            numbers=_numbers({**means, **self._validation}, short=True),
        )

    def epoch(self, record: dict[str, Any]) -> None:
        self._validation = {k: v for k, v in record.items() if k.startswith("validation_")}
        self._bar.update(
            self._task,
            completed=record["epoch"] * (self._samples or 1),
            epoch=record["epoch"],
            numbers=_numbers(record, short=True),
            speed=f"{record['samples_per_second']:,.0f} samples/s",
        )

    def close(self) -> None:
        if hasattr(self, "_bar"):
            self._bar.stop()


def _numbers(record: dict[str, Any], short: bool = False) -> str:
    """``loss 0.1234  accuracy 97.1%  validation 96.0%`` from what the record has."""
    accuracy, validation = ("acc", "val") if short else ("accuracy", "validation")
    parts = [f"loss {record['loss']:.{3 if short else 4}f}"] if "loss" in record else []
    if "accuracy" in record:
        parts.append(f"{accuracy} {percent(record['accuracy'])}")
    if "validation_accuracy" in record:
        parts.append(f"{validation} {percent(record['validation_accuracy'])}")
    elif "validation_loss" in record:
        parts.append(f"{validation} loss {record['validation_loss']:.4f}")
    return "  ".join(parts)
