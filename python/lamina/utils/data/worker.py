"""Which of a loader's threads this is."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

__all__ = ["WorkerInfo", "get_worker_info", "set_worker_info"]


class WorkerInfo(NamedTuple):
    """What a thread of a `DataLoader` knows about itself.

    Attributes
    ----------
    id : int
        Its number, from 0.
    num_workers : int
        How many threads there are.
    seed : int
        For random numbers of its own; another for each thread.
    dataset : Dataset
        The dataset itself, which all threads share.
    """

    id: int
    num_workers: int
    seed: int
    dataset: Any


_local = threading.local()


def get_worker_info() -> WorkerInfo | None:
    """Tell which of a loader's threads calls this, or None outside of them.

    A stream (`IterableDataset`) is read by one thread only, the one that runs the loop: there
    it gives None, and nothing is to be divided.

    Examples
    --------
    >>> from lamina.utils.data import get_worker_info
    >>> get_worker_info() is None
    True
    """
    return getattr(_local, "info", None)


def set_worker_info(info: WorkerInfo) -> None:
    """Say who the calling thread is."""
    _local.info = info
