"""`lamina.compile`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

_OPTIONS = {"backend", "disable", "dynamic", "fullgraph", "mode", "options"}
F = TypeVar("F", bound=Callable[..., Any])


@overload
def compile(model: F, **options: Any) -> F: ...
@overload
def compile(model: None = None, **options: Any) -> Callable[[F], F]: ...
def compile(model: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Return the model or function as it is: there is no compiler.

    The name is here so that scripts which compile their model run. Lamina's ops cost little to
    call, so there is less to win than in PyTorch.

    Parameters
    ----------
    model : callable, optional
        A module or function. Without it, a decorator is returned.
    **options
        PyTorch's (``fullgraph``, ``dynamic``, ``backend``, ``mode``, ``options``, ``disable``),
        accepted and not used.

    Returns
    -------
    callable
        `model` itself, or the decorator.

    Examples
    --------
    >>> import lamina
    >>> model = lamina.nn.Linear(2, 1)
    >>> lamina.compile(model) is model
    True
    """
    unknown = options.keys() - _OPTIONS
    if unknown:
        raise TypeError(f"compile: no option {min(unknown)!r}; there are {sorted(_OPTIONS)}")
    if model is None:
        return lambda function: function
    if not callable(model):
        raise TypeError(f"compile: needs a module or function, got {type(model).__name__}")
    return model
