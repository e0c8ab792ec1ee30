"""Flags of a library that Lamina does not use; they can be set, without effect.

Results are the same on every run whatever they say.
"""

from __future__ import annotations

__all__ = ["allow_tf32", "benchmark", "deterministic", "enabled", "is_available", "version"]

enabled = False
benchmark = False
deterministic = False
allow_tf32 = False


def is_available() -> bool:
    """Whether cuDNN is used: no."""
    return False


def version() -> int | None:
    """Return cuDNN's version: None."""
    return None
