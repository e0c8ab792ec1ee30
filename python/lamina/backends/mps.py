"""Apple's GPUs: there is no such device."""

from __future__ import annotations

__all__ = ["is_available", "is_built"]


def is_available() -> bool:
    """Whether tensors can be on such a device: no."""
    return False


def is_built() -> bool:
    """Whether this build has such a device: no."""
    return False
