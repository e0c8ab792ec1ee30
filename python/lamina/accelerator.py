"""What a script asks to find the fastest device."""

from __future__ import annotations

from lamina import _core, cuda
from lamina._errors import absent as _absent

__all__ = ["current_accelerator", "device_count", "is_available"]


def is_available() -> bool:
    """Whether there is a device beside the CPU.

    Examples
    --------
    >>> import lamina
    >>> found = lamina.accelerator.current_accelerator()
    >>> device = found if lamina.accelerator.is_available() else lamina.device("cpu")
    """
    return cuda.is_available()


def device_count() -> int:
    """Return how many such devices there are."""
    return cuda.device_count() if cuda.is_available() else 0


def current_accelerator(check_available: bool = False) -> _core.device | None:
    """Return the device beside the CPU, or None."""
    return _core.device("cuda") if cuda.is_available() else None


def __getattr__(name: str) -> object:
    raise _absent(__name__, name, __all__)
