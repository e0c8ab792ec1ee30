"""`Function`: an operation whose forward and backward are written in Python."""

from __future__ import annotations

from lamina import _core
from lamina._core import Tensor, is_grad_enabled
from lamina.autograd.grad_mode import no_grad

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

__all__ = ["Function", "once_differentiable"]


class FunctionCtx:
    """What ``forward`` hands on to ``backward``; attributes may be set on it freely.

    Attributes
    ----------
    needs_input_grad : tuple of bool
        For every argument of ``forward`` whether its gradient is wanted.
    """

    def __init__(self, name: str, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad
        self._name = name
        self._to_save: tuple[Any, ...] = ()
        self._constant: tuple[Tensor, ...] = ()
        self._dirty: tuple[Tensor, ...] = ()
        self._materialize = True
        self._saved: Any = None

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors, or Nones, for ``backward``, which finds them in ``saved_tensors``.

        Writing to one of them in place before then is an error of the backward pass.
        """
        self._to_save = self._tensors("save_for_backward", tensors, none_allowed=True)

    def mark_non_differentiable(self, *outputs: Tensor) -> None:
        """Say that these outputs of ``forward`` have no gradient."""
        self._constant = self._tensors("mark_non_differentiable", outputs)

    def mark_dirty(self, *inputs: Tensor) -> None:
        """Say that ``forward`` writes to these inputs in place; it must return each of them."""
        self._dirty = self._tensors("mark_dirty", inputs)

    def set_materialize_grads(self, value: bool) -> None:
        """Say whether ``backward`` gets zeros (the default) or None for an unused output."""
        self._materialize = value

    def _tensors(self, what: str, given: tuple[Any, ...], none_allowed: bool = False) -> Any:
        for position, item in enumerate(given):
            if not isinstance(item, Tensor) and not (none_allowed and item is None):
                raise TypeError(
                    f"{self._name}: {what} takes Tensors{' or None' if none_allowed else ''}, "
                    f"got {type(item).__name__} at position {position}"
                )
        return given

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What was given to ``save_for_backward``."""
        if self._saved is None:
            return self._to_save
        return self._saved.unpack()  # type: ignore[no-any-return]


class Function:
    """An operation with a gradient of its own.

    A subclass defines the static methods ``forward(ctx, *args)`` and ``backward(ctx,
    *grad_outputs)``; ``apply(*args)`` calls it. ``forward`` returns a Tensor or a tuple of them
    and runs unrecorded. ``backward`` gets the gradient of each output and returns that of each
    argument, None where there is none; what it computes of Tensors is recorded under
    ``create_graph=True``, so that it can be differentiated in turn.

    ``forward`` may also leave ``ctx`` out, if the static method ``setup_context(ctx, inputs,
    output)`` is there to fill it.

    Examples
    --------
    >>> import lamina
    >>> class Cube(lamina.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x**3
    ...     @staticmethod
    ...     def backward(ctx, grad):
    ...         (x,) = ctx.saved_tensors
    ...         return grad * 3 * x**2
    >>> x = lamina.tensor([1.0, 2.0], requires_grad=True)
    >>> Cube.apply(x).sum().backward()
    >>> x.grad.tolist()
    [3.0, 12.0]
    """

    def __init__(self) -> None:
        raise TypeError(
            f"{type(self).__name__}: a Function is never made into an object; "
            f"call {type(self).__name__}.apply(...)"
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the outputs: ``forward(ctx, *args)``, or without ctx beside ``setup_context``."""
        raise NotImplementedError("a Function must define the static method forward")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Keep in ``ctx`` what ``backward`` needs of the arguments and the result."""
        raise NotImplementedError("setup_context is not defined")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Compute the gradients of the arguments from those of the outputs."""
        raise NotImplementedError("a Function must define the static method backward")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Call the operation, and record it if an argument requires grad.

        Raises
        ------
        TypeError
            If ``forward`` returns something else than a Tensor or a tuple.
        RuntimeError
            If an argument that was marked dirty is not returned.
        """
        name = cls.__name__
        needs = tuple(isinstance(a, Tensor) and a.requires_grad for a in args)
        ctx = FunctionCtx(name, needs)
        with no_grad():
            if cls.setup_context is Function.setup_context:
                result = cls.forward(ctx, *args)
            else:
                result = cls.forward(*args)
                cls.setup_context(ctx, args, result)
        outputs = result if isinstance(result, tuple) else (result,)
        if not isinstance(result, (Tensor, tuple)):
            raise TypeError(
                f"{name}: forward must return a Tensor or a tuple of them, "
                f"got {type(result).__name__}"
            )
        for position, dirty in enumerate(ctx._dirty):
            if not any(output is dirty for output in outputs):
                raise RuntimeError(
                    f"{name}: forward marked a tensor dirty but does not return it\n"
                    f"  tensor {list(dirty.shape)}, at position {position} of mark_dirty"
                )
        if not (is_grad_enabled() and any(needs)):
            return result
        made, ctx._saved = _core._record_function(
            name,
            cls._run_backward,
            ctx,
            args,
            outputs,
            ctx._to_save,
            ctx._constant,
            ctx._dirty,
            ctx._materialize,
        )
        ctx._to_save = ctx._constant = ctx._dirty = ()  # tensors that would keep the graph alive
        return made if isinstance(result, tuple) else made[0]

    @classmethod
    def _run_backward(cls, ctx: FunctionCtx, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        result = cls.backward(ctx, *grads)
        found = result if isinstance(result, (tuple, list)) else (result,)
        count = len(ctx.needs_input_grad)
        if len(found) < count or any(extra is not None for extra in found[count:]):
            raise RuntimeError(
                f"{cls.__name__}: backward returned {len(found)} gradient(s), but forward has "
                f"{count} argument(s); return None for one without gradient"
            )
        for position, gradient in enumerate(found):
            if gradient is not None and not isinstance(gradient, Tensor):
                raise TypeError(
                    f"{cls.__name__}: backward must return Tensors or None, "
                    f"got {type(gradient).__name__} for argument {position}"
                )
        return tuple(found[:count])


class _Once(Function):
    """Passes gradients on that cannot be differentiated again."""

    @staticmethod
    def forward(ctx: Any, name: str, *tensors: Any) -> Any:
        ctx.name = name
        return tuple(t.detach() if isinstance(t, Tensor) else t for t in tensors)

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        raise RuntimeError(
            f"{ctx.name}: its backward is marked @once_differentiable, so it has no second "
            "derivative; write it with Tensor operations and take the mark off"
        )


def once_differentiable(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a ``backward`` whose result cannot be differentiated: asking for that is an error.

    Examples
    --------
    >>> import lamina
    >>> from lamina.autograd.function import once_differentiable
    >>> class Exp(lamina.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.y = x.exp()
    ...         return ctx.y.clone()
    ...     @staticmethod
    ...     @once_differentiable
    ...     def backward(ctx, grad):
    ...         return grad * ctx.y
    >>> x = lamina.tensor(0.0, requires_grad=True)
    >>> Exp.apply(x).backward()
    >>> x.grad.item()
    1.0
    """
    import functools

    @functools.wraps(fn)
    def wrapper(ctx: Any, *grads: Any) -> Any:
        with no_grad():
            result = fn(ctx, *grads)
        if not is_grad_enabled():
            return result
        found: Sequence[Any] = result if isinstance(result, tuple) else (result,)
        # Whatever the result depends on, the error must be on the way to it.
        guard = _core.zeros((), requires_grad=True)
        marked = _Once.apply(ctx._name, *found, guard)[:-1]
        return marked if isinstance(result, tuple) else marked[0]

    return wrapper
