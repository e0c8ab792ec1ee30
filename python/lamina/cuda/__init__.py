"""What a script asks about CUDA before it uses it."""

from __future__ import annotations

from lamina import _core
from lamina._core import manual_seed as _manual_seed
from lamina._errors import absent as _absent
from lamina.cuda import amp

__all__ = [
    "amp",
    "current_device",
    "device_count",
    "empty_cache",
    "get_device_name",
    "is_available",
    "manual_seed",
    "manual_seed_all",
]


def is_available() -> bool:
    """Whether tensors can be on a CUDA device; `lamina.cuda_info` says why not.

    Examples
    --------
    >>> import lamina
    >>> device = "cuda" if lamina.cuda.is_available() else "cpu"
    """
    return bool(_core.cuda_info()["available"])


def device_count() -> int:
    """Return how many CUDA devices there are."""
    return len(_core.cuda_info()["devices"])


def current_device() -> int:
    """Return the index of the device that ``"cuda"`` means: always 0."""
    _check("current_device")
    return 0


def get_device_name(device: int = 0) -> str:
    """Return the name of a device."""
    _check("get_device_name")
    return str(_core.cuda_info()["devices"][device])


def empty_cache() -> None:
    """Give memory that is kept for reuse back; does nothing without CUDA, as PyTorch."""
    if is_available():
        _core.empty_cache()


def manual_seed(seed: int) -> None:
    """Start the random numbers anew; does nothing without CUDA, as PyTorch.

    All devices draw from one generator: this is `lamina.manual_seed`.
    """
    if is_available():
        _manual_seed(seed)


manual_seed_all = manual_seed


def _check(name: str) -> None:
    if not is_available():
        raise RuntimeError(f"cuda.{name}: no CUDA here: {_core.cuda_info()['reason']}")


def __getattr__(name: str) -> object:
    raise _absent(__name__, name, __all__)
