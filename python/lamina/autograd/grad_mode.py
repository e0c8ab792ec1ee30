"""Switching the recording of gradients on and off, as context managers and decorators."""

from __future__ import annotations

from lamina import _core
from lamina._core import is_grad_enabled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any, TypeVar, overload

    F = TypeVar("F", bound=Callable[..., Any])

__all__ = ["enable_grad", "inference_mode", "is_grad_enabled", "no_grad", "set_grad_enabled"]


class _GradMode:
    """Recording is ``mode`` inside the ``with`` block or the decorated function."""

    __slots__ = ("_mode", "_previous")

    def __init__(self, mode: bool) -> None:
        self._mode = mode
        self._previous = True

    def __enter__(self) -> None:
        self._previous = is_grad_enabled()
        _core.set_grad_enabled(self._mode)

    def __exit__(self, *_: object) -> None:
        _core.set_grad_enabled(self._previous)

    def __call__(self, function: F) -> F:
        return _decorate(function, self._mode)


def _decorate(function: F, mode: bool) -> F:
    import functools
    import inspect

    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return _drive(function(*args, **kwargs), mode)

    else:

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with _GradMode(mode):
                return function(*args, **kwargs)

    return wrapper  # type: ignore[return-value]


def _drive(generator: Generator[Any, Any, Any], mode: bool) -> Generator[Any, Any, Any]:
    """Run ``generator`` in ``mode``, handing the caller's own mode back at every ``yield``."""
    resume: Callable[[Any], Any] = generator.send
    value: Any = None
    while True:
        try:
            with _GradMode(mode):
                item = resume(value)
        except StopIteration as stop:
            return stop.value
        try:
            value = yield item
            resume = generator.send
        except GeneratorExit:
            with _GradMode(mode):
                generator.close()
            raise
        except BaseException as error:
            value = error
            resume = generator.throw


class no_grad(_GradMode):  # noqa: N801 - PyTorch's name
    """Nothing computed inside is recorded, so it needs no graph and no saved tensors.

    A context manager, or a decorator with or without parentheses; generator functions run in
    this mode and their caller keeps its own. The mode belongs to the calling thread.

    Examples
    --------
    >>> import lamina
    >>> x = lamina.ones(2, requires_grad=True)
    >>> with lamina.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    __slots__ = ()

    if TYPE_CHECKING:

        @overload
        def __new__(cls) -> no_grad: ...
        @overload
        def __new__(cls, function: F) -> F: ...  # type: ignore[misc]

    def __new__(cls, function: Any = None) -> Any:  # noqa: D102
        return super().__new__(cls) if function is None else _decorate(function, False)

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(_GradMode):  # noqa: N801 - PyTorch's name
    """Recording is on inside, whatever it is outside; see :class:`no_grad` for the forms.

    Examples
    --------
    >>> import lamina
    >>> x = lamina.ones(2, requires_grad=True)
    >>> with lamina.no_grad(), lamina.enable_grad():
    ...     (x * 2).requires_grad
    True
    """

    __slots__ = ()

    if TYPE_CHECKING:

        @overload
        def __new__(cls) -> enable_grad: ...
        @overload
        def __new__(cls, function: F) -> F: ...  # type: ignore[misc]

    def __new__(cls, function: Any = None) -> Any:  # noqa: D102
        return super().__new__(cls) if function is None else _decorate(function, True)

    def __init__(self) -> None:
        super().__init__(True)


class set_grad_enabled(_GradMode):  # noqa: N801 - PyTorch's name
    """Switch recording to ``mode`` at once; as a context manager, put it back at the end.

    Parameters
    ----------
    mode : bool
        Whether operations are recorded.

    Examples
    --------
    >>> import lamina
    >>> with lamina.set_grad_enabled(False):
    ...     lamina.is_grad_enabled()
    False
    """

    __slots__ = ()

    def __init__(self, mode: bool) -> None:
        if not isinstance(mode, bool):
            raise TypeError(f"set_grad_enabled: mode must be a bool, got {mode!r}")
        super().__init__(mode)
        self._previous = is_grad_enabled()
        _core.set_grad_enabled(mode)

    def __enter__(self) -> None:
        # The switch was thrown, and the old mode noted, when the object was made.
        _core.set_grad_enabled(self._mode)

    def __call__(self, function: F) -> F:
        """Decorate ``function`` to run in this mode."""
        _core.set_grad_enabled(self._previous)  # a decorator changes nothing by itself
        return super().__call__(function)


class inference_mode(_GradMode):  # noqa: N801 - PyTorch's name
    """The same as :class:`no_grad` while ``mode`` is true, as :class:`enable_grad` otherwise.

    PyTorch also drops version counters in this mode; Lamina keeps them, so a tensor made here
    may be used in training later.

    Parameters
    ----------
    mode : bool, default True
        Whether recording is off.

    Examples
    --------
    >>> import lamina
    >>> with lamina.inference_mode():
    ...     lamina.is_grad_enabled()
    False
    """

    __slots__ = ()

    if TYPE_CHECKING:

        @overload
        def __new__(cls, mode: bool = True) -> inference_mode: ...
        @overload
        def __new__(cls, mode: F) -> F: ...  # type: ignore[misc]

    def __new__(cls, mode: Any = True) -> Any:  # noqa: D102
        return super().__new__(cls) if isinstance(mode, bool) else _decorate(mode, False)

    def __init__(self, mode: bool = True) -> None:
        super().__init__(not mode)
