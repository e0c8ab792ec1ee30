"""Training in several processes: not here; this says so to scripts that ask."""

from __future__ import annotations

from lamina._errors import absent as _absent

__all__ = ["is_available", "is_initialized"]


def is_available() -> bool:
    """Whether there are process groups: no."""
    return False


def is_initialized() -> bool:
    """Whether a process group was started: no."""
    return False


def __getattr__(name: str) -> object:
    raise _absent(__name__, name, __all__)
