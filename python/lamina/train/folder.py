"""The folder of a training run, every file of it written atomically."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina import serialization
from lamina._files import atomic_write
from lamina.train.plot import draw_curves

if TYPE_CHECKING:
    from lamina import nn
    from lamina.train.history import History

__all__ = ["RunFolder"]


class _TakenError(FileExistsError):
    """Another run took the number first."""


class RunFolder:
    """Where a run keeps ``model.safetensors``, ``config.json``, ``metrics.jsonl``, ``curves.png``.

    Make one with `create` or `numbered`.

    Attributes
    ----------
    path : pathlib.Path
        The folder.

    Examples
    --------
    >>> import os, tempfile
    >>> root = tempfile.mkdtemp()
    >>> [RunFolder.numbered("xor", root).path.name for _ in range(2)]
    ['xor-001', 'xor-002']
    """

    MODEL = "model.safetensors"
    CONFIG = "config.json"
    METRICS = "metrics.jsonl"
    CURVES = "curves.png"

    def __init__(self, path: str | os.PathLike[str], made: list[Path] | None = None) -> None:
        self.path = Path(path)
        self._made = made or []  # folders that did not exist before, innermost first
        self._next_write = 0.0

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> RunFolder:
        """Take `path`, making it where it is missing.

        Raises
        ------
        FileExistsError
            When it already holds a run.
        OSError
            When it is no folder or cannot be written.
        """
        return cls._create(Path(path), fresh=False)

    @classmethod
    def numbered(cls, name: str, root: str | os.PathLike[str] = "runs") -> RunFolder:
        """Make a new folder ``root/name-001``, or the next number that is free."""
        number = 1
        while True:
            path = Path(root) / f"{name}-{number:03d}"
            if not path.exists():
                with contextlib.suppress(_TakenError):
                    return cls._create(path, fresh=True)
            number += 1

    @classmethod
    def _create(cls, path: Path, fresh: bool) -> RunFolder:
        made = []
        missing = path
        while not missing.exists() and missing != missing.parent:
            made.append(missing)
            missing = missing.parent
        held = [n for n in (cls.CONFIG, cls.MODEL, cls.METRICS, cls.CURVES) if (path / n).exists()]
        if held:
            raise FileExistsError(f"{path} already holds a run ({held[0]}); choose another folder")
        folder = cls(path, made)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                path.mkdir()
            except FileExistsError:
                if fresh:
                    raise _TakenError(path) from None
                if not path.is_dir():
                    raise
            folder._probe()
        except _TakenError:
            raise
        except OSError as error:
            folder.discard()
            reason = error.strerror or str(error)
            raise type(error)(f"{path} cannot be written: {reason}") from error
        return folder

    def _probe(self) -> None:
        probe = self.path / ".lamina-probe"
        atomic_write(probe, b"")
        probe.unlink()

    def discard(self) -> None:
        """Take back what `create` and `write_config` made, as long as nothing else is there."""
        with contextlib.suppress(OSError):
            (self.path / self.CONFIG).unlink()
        for folder in self._made:
            with contextlib.suppress(OSError):
                folder.rmdir()

    def write_config(self, config: dict[str, Any]) -> None:
        """Write ``config.json``."""
        text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
        atomic_write(self.path / self.CONFIG, text)

    def read_config(self) -> dict[str, Any]:
        """Read ``config.json``; `ValueError` when it is damaged."""
        path = self.path / self.CONFIG
        try:
            config = json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}: is damaged ({error})") from None
        if not isinstance(config, dict):
            raise ValueError(f"{path}: is damaged (holds no table)")
        return config

    def checkpoint(
        self, history: History, model: nn.Module, state: dict[str, Any] | None, now: bool = False
    ) -> None:
        """Write metrics and model, if the last time is long enough ago or `now`.

        Writing takes at most about a twentieth of the time, so that short epochs stay short; a
        process that is killed leaves the files of some seconds before.
        """
        began = time.perf_counter()
        if not now and began < self._next_write:
            return
        atomic_write(self.path / self.METRICS, history.json_lines())
        state = state or {name: value.detach() for name, value in model.state_dict().items()}
        serialization.save(state, self.path / self.MODEL)
        ended = time.perf_counter()
        self._next_write = ended + max(1.0, 20 * (ended - began))

    def write_curves(
        self, history: History, title: str | None = None, test: dict[str, float] | None = None
    ) -> str | None:
        """Draw ``curves.png``; where matplotlib is missing, say so in the line returned."""
        if not len(history):
            return None
        try:
            picture = draw_curves(history, title, test)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "matplotlib":
                raise
            return "no curves.png: matplotlib is missing (pip install 'lamina[plot]')"
        atomic_write(self.path / self.CURVES, picture)
        return None
