"""Mixed precision: names for scripts that can switch it off, until there are 16-bit floats.

`autocast` and `GradScaler` do nothing when they are disabled, and say so when they are not: a
script that asks for float16 must not train in float32 without knowing it.
"""

from __future__ import annotations

from lamina import _core
from lamina._errors import absent as _absent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    F = TypeVar("F", bound=Callable[..., Any])

__all__ = ["GradScaler", "autocast"]


class autocast:  # noqa: N801 - PyTorch's name
    """A block, or a function, in which ops would run in a narrower dtype.

    Parameters
    ----------
    device_type : {"cpu", "cuda"}
        For which device.
    dtype : lamina.dtype, optional
        The dtype to run in. PyTorch's default is bfloat16 on the CPU and float16 on CUDA. Of
        Lamina's dtypes only float32 makes sense here, and changes nothing.
    enabled : bool, default True
        Whether it does anything.
    cache_enabled : bool, optional
        Accepted and not used.

    Raises
    ------
    NotImplementedError
        When it is enabled for a dtype that Lamina lacks.

    Examples
    --------
    >>> import lamina
    >>> with lamina.amp.autocast("cpu", enabled=False):
    ...     print((lamina.ones(2) * 2).dtype)
    lamina.float32
    """

    def __init__(
        self,
        device_type: str,
        dtype: object = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        if device_type not in ("cpu", "cuda"):
            raise ValueError(f"autocast: device_type must be 'cpu' or 'cuda', got {device_type!r}")
        if enabled and dtype is not _core.float32:
            usual = "bfloat16" if device_type == "cpu" else "float16"
            wanted = f"{usual}, the default for {device_type}" if dtype is None else str(dtype)
            raise NotImplementedError(
                f"autocast: cannot run ops in {wanted}: lamina has no 16-bit floats yet; "
                "pass enabled=False to run in float32"
            )

    def __enter__(self) -> autocast:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, function: F) -> F:
        """Decorate: `function` as it is."""
        return function


class GradScaler:
    """Scales a loss so that float16 gradients do not vanish; only its disabled form is here.

    Parameters
    ----------
    device : str, default "cuda"
        For which device.
    init_scale, growth_factor, backoff_factor, growth_interval
        Accepted and not used.
    enabled : bool, default True
        Must be False.

    Raises
    ------
    NotImplementedError
        When it is enabled: there are no float16 gradients, and others need no scale.

    Examples
    --------
    >>> import lamina
    >>> scaler = lamina.amp.GradScaler(enabled=False)
    >>> scaler.scale(3.0)
    3.0
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 65536.0,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if enabled:
            raise NotImplementedError(
                "GradScaler: scales float16 gradients, and lamina has no float16 yet; "
                "pass enabled=False"
            )

    def is_enabled(self) -> bool:
        """Whether the loss is scaled."""
        return False

    def get_scale(self) -> float:
        """Return the scale: 1."""
        return 1.0

    def scale(self, outputs: Any) -> Any:
        """Return `outputs` as they are."""
        return outputs

    def unscale_(self, optimizer: Any) -> None:
        """Leave the gradients as they are."""

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """Run ``optimizer.step``."""
        return optimizer.step(*args, **kwargs)

    def update(self, new_scale: float | None = None) -> None:
        """Do nothing."""

    def state_dict(self) -> dict[str, Any]:
        """Return an empty dict, as PyTorch's disabled scaler."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Do nothing."""


def __getattr__(name: str) -> object:
    raise _absent(__name__, name, __all__)
