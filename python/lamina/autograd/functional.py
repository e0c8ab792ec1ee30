"""Derivatives of functions: products with the Jacobian and the Hessian, and both in full."""

from __future__ import annotations

from lamina import _core
from lamina._core import Tensor
from lamina.autograd.functions import grad
from lamina.autograd.grad_mode import enable_grad

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    Tensors = Tensor | Sequence[Tensor]

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


def _tuple(name: str, what: str, given: Any) -> tuple[Tensor, ...]:
    listed = (given,) if isinstance(given, Tensor) else given
    if not isinstance(listed, (tuple, list)) or not listed:
        raise TypeError(f"{name}: {what} must be a Tensor or a tuple of them, got {given!r:.60}")
    for position, item in enumerate(listed):
        if not isinstance(item, Tensor):
            raise TypeError(
                f"{name}: {what} must be a Tensor or a tuple of them, "
                f"got {type(item).__name__} at position {position}"
            )
    return tuple(listed)


def _like(given: Any, values: Sequence[Any]) -> Any:
    """One value for a single Tensor, else a tuple."""
    return values[0] if isinstance(given, Tensor) else tuple(values)


def _fresh(inputs: tuple[Tensor, ...], create_graph: bool) -> tuple[Tensor, ...]:
    """Copy the inputs, as leaves or, with ``create_graph``, as part of their graph."""
    if create_graph:
        return tuple(
            t.view_as(t) if t.requires_grad else t.detach().requires_grad_() for t in inputs
        )
    return tuple(t.detach().requires_grad_() for t in inputs)


def _directions(
    name: str, v: Any, like: tuple[Tensor, ...], what: str, create_graph: bool
) -> tuple[Tensor, ...]:
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise ValueError(
                f"{name}: v may be left out only where {what} is one tensor with one element; "
                "it must have the shape of " + ", ".join(str(list(t.shape)) for t in like)
            )
        return (_core.ones_like(like[0]),)
    vectors = _tuple(name, "v", v)
    if len(vectors) != len(like):
        raise ValueError(f"{name}: {what} has {len(like)} tensor(s), but v has {len(vectors)}")
    for position, (vector, tensor) in enumerate(zip(vectors, like, strict=True)):
        if vector.shape != tensor.shape:
            raise ValueError(
                f"{name}: v must have the shape of {what}\n"
                f"  {what} {list(tensor.shape)}, at position {position}\n"
                f"  v      {list(vector.shape)}"
            )
    return vectors if create_graph else tuple(vector.detach() for vector in vectors)


def _gradients(
    name: str,
    outputs: Sequence[Tensor],
    inputs: tuple[Tensor, ...],
    seeds: Sequence[Tensor | None] | None,
    create_graph: bool,
    strict: bool,
    retain_graph: bool | None = None,
) -> list[Tensor]:
    """Gradients, zeros for what is independent, or with ``strict`` an error."""
    live = [i for i, output in enumerate(outputs) if output.requires_grad]
    if strict and len(live) < len(outputs):
        raise RuntimeError(
            f"{name}: with strict=True every output must depend on the inputs, but one does not"
        )
    found: Sequence[Tensor | None] = [None] * len(inputs)
    if live:
        found = grad(
            [outputs[i] for i in live],
            inputs,
            None if seeds is None else [seeds[i] for i in live],
            retain_graph=retain_graph,
            create_graph=create_graph,
            allow_unused=True,
        )
    for position, gradient in enumerate(found):
        if gradient is None and strict:
            raise RuntimeError(
                f"{name}: with strict=True every input must take part, but input {position} does "
                "not; its derivative is zero"
            )
    return [
        _core.zeros_like(tensor) if gradient is None else gradient
        for gradient, tensor in zip(found, inputs, strict=True)
    ]


def _done(values: Any, create_graph: bool) -> Any:
    if create_graph:
        return values
    if isinstance(values, Tensor):
        return values.detach()
    return tuple(_done(value, create_graph) for value in values)


def vjp(
    func: Callable[..., Any],
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """Return ``func(*inputs)`` and the product of ``v`` with its Jacobian (reverse mode).

    Parameters
    ----------
    func : callable
        Takes the inputs and returns a Tensor or a tuple of them.
    inputs : Tensor or tuple of Tensor
        Where to differentiate.
    v : Tensor or tuple of Tensor, optional
        Of the outputs' shapes. May be left out for one output with one element.
    create_graph : bool, default False
        Record the computation, so that the results can be differentiated.
    strict : bool, default False
        Raise where an output does not depend on an input, instead of giving zeros.

    Returns
    -------
    outputs, product : Tensor or tuple of Tensor
        The product has the inputs' shapes.

    Examples
    --------
    >>> import lamina
    >>> x = lamina.tensor([1.0, 2.0])
    >>> y, g = lamina.autograd.functional.vjp(lambda x: x * x, x, lamina.tensor([1.0, 10.0]))
    >>> y.tolist(), g.tolist()
    ([1.0, 4.0], [2.0, 40.0])
    """
    with enable_grad():
        points = _fresh(_tuple("vjp", "inputs", inputs), create_graph)
        result = func(*points)
        outputs = _tuple("vjp", "outputs", result)
        seeds = _directions("vjp", v, outputs, "outputs", create_graph)
        found = _gradients("vjp", outputs, points, seeds, create_graph, strict)
    return _done(result, create_graph), _done(_like(inputs, found), create_graph)


def jvp(
    func: Callable[..., Any],
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """Return ``func(*inputs)`` and the product of its Jacobian with ``v``.

    Computed by two reverse passes, so that ``func`` needs second derivatives.

    Parameters
    ----------
    func, inputs, create_graph, strict
        As in :func:`vjp`.
    v : Tensor or tuple of Tensor, optional
        Of the inputs' shapes. May be left out for one input with one element.

    Returns
    -------
    outputs, product : Tensor or tuple of Tensor
        The product has the outputs' shapes.

    Examples
    --------
    >>> import lamina
    >>> x, v = lamina.tensor([1.0, 2.0]), lamina.tensor([1.0, 10.0])
    >>> lamina.autograd.functional.jvp(lambda x: (x * x).sum(), x, v)[1].item()
    42.0
    """
    with enable_grad():
        points = _fresh(_tuple("jvp", "inputs", inputs), create_graph)
        directions = _directions("jvp", v, points, "inputs", create_graph)
        result = func(*points)
        outputs = _tuple("jvp", "outputs", result)
        # The gradient is linear in these, and the Jacobian, transposed, its derivative.
        seeds = tuple(_core.zeros_like(output).requires_grad_() for output in outputs)
        first = _gradients("jvp", outputs, points, seeds, True, strict)
        # Nothing may depend on the seeds: then the derivative is zero.
        found = _gradients("jvp", first, seeds, directions, create_graph, strict)
    return _done(result, create_graph), _done(_like(result, found), create_graph)


def _scalar(name: str, result: Any) -> Tensor:
    if not isinstance(result, Tensor) or result.numel() != 1:
        shown = list(result.shape) if isinstance(result, Tensor) else type(result).__name__
        raise RuntimeError(
            f"{name}: the function must return one Tensor with one element, got {shown}"
        )
    return result


def vhp(
    func: Callable[..., Any],
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """Return ``func(*inputs)``, a scalar, and the product of ``v`` with its Hessian.

    Parameters
    ----------
    func, inputs, create_graph, strict
        As in :func:`vjp`.
    v : Tensor or tuple of Tensor, optional
        Of the inputs' shapes. May be left out for one input with one element.

    Returns
    -------
    output, product : Tensor or tuple of Tensor
        The product has the inputs' shapes.

    Examples
    --------
    >>> import lamina
    >>> x, v = lamina.tensor([1.0, 2.0]), lamina.tensor([1.0, 0.0])
    >>> lamina.autograd.functional.vhp(lambda x: x[0] * x[1] ** 2, x, v)[1].tolist()
    [0.0, 4.0]
    """
    return _hessian_product("vhp", func, inputs, v, create_graph, strict)


def hvp(
    func: Callable[..., Any],
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """Return ``func(*inputs)``, a scalar, and the product of its Hessian with ``v``.

    The Hessian of what is recorded is symmetric: the same as :func:`vhp`.

    Parameters
    ----------
    func, inputs, v, create_graph, strict
        As in :func:`vhp`.

    Returns
    -------
    output, product : Tensor or tuple of Tensor
        The product has the inputs' shapes.

    Examples
    --------
    >>> import lamina
    >>> x, v = lamina.tensor([1.0, 2.0]), lamina.tensor([1.0, 1.0])
    >>> lamina.autograd.functional.hvp(lambda x: x[0] * x[1] ** 2, x, v)[1].tolist()
    [4.0, 6.0]
    """
    return _hessian_product("hvp", func, inputs, v, create_graph, strict)


def _hessian_product(
    name: str, func: Callable[..., Any], inputs: Any, v: Any, create_graph: bool, strict: bool
) -> tuple[Any, Any]:
    with enable_grad():
        points = _fresh(_tuple(name, "inputs", inputs), create_graph)
        directions = _directions(name, v, points, "inputs", create_graph)
        result = _scalar(name, func(*points))
        first = _gradients(name, (result,), points, None, True, strict)
        found = _gradients(name, first, points, directions, create_graph, strict)
    return _done(result, create_graph), _done(_like(inputs, found), create_graph)


def _refuse_forward_mode(name: str, vectorize: bool, strategy: str) -> None:
    if vectorize:
        raise NotImplementedError(f"{name}: vectorize=True is not there; leave it out")
    if strategy != "reverse-mode":
        raise NotImplementedError(f"{name}: strategy must be 'reverse-mode', got {strategy!r}")


def jacobian(
    func: Callable[..., Any],
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """Return the derivative of every output element with respect to every input element.

    One backward pass for each output element.

    Parameters
    ----------
    func, inputs, create_graph, strict
        As in :func:`vjp`.
    vectorize, strategy
        There for PyTorch's signature; only the defaults are allowed.

    Returns
    -------
    Tensor or tuple
        ``J[i][j]`` has the shape of output i followed by that of input j. Without the index that
        belongs to a single Tensor.

    Examples
    --------
    >>> import lamina
    >>> lamina.autograd.functional.jacobian(lambda x: x * x, lamina.tensor([1.0, 2.0])).tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    """
    _refuse_forward_mode("jacobian", vectorize, strategy)
    with enable_grad():
        points = _fresh(_tuple("jacobian", "inputs", inputs), create_graph)
        result = func(*points)
        outputs = _tuple("jacobian", "outputs", result)
        rows = [_rows(output, points, create_graph, strict) for output in outputs]
    blocks = [_like(inputs, row) for row in rows]
    return _done(_like(result, blocks), create_graph)


def _rows(
    output: Tensor, inputs: tuple[Tensor, ...], create_graph: bool, strict: bool
) -> list[Tensor]:
    """For each input, the Jacobian of ``output`` with respect to it."""
    stacked: list[list[Tensor]] = [[] for _ in inputs]
    for element in output.reshape(-1).unbind(0):
        found = _gradients("jacobian", (element,), inputs, None, create_graph, strict, True)
        for column, gradient in zip(stacked, found, strict=True):
            column.append(gradient)
    return [
        _core.stack(column).view((*output.shape, *tensor.shape))
        if column
        else _core.zeros((*output.shape, *tensor.shape), dtype=tensor.dtype)
        for column, tensor in zip(stacked, inputs, strict=True)
    ]


def hessian(
    func: Callable[..., Any],
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """Return the second derivatives of a function with one scalar output.

    Parameters
    ----------
    func, inputs, create_graph, strict
        As in :func:`vjp`.
    vectorize, outer_jacobian_strategy
        There for PyTorch's signature; only the defaults are allowed.

    Returns
    -------
    Tensor or tuple of tuple of Tensor
        ``H[i][j]`` has the shape of input i followed by that of input j; for a single Tensor
        without the indices.

    Examples
    --------
    >>> import lamina
    >>> x = lamina.tensor([1.0, 2.0])
    >>> lamina.autograd.functional.hessian(lambda x: x[0] * x[1] ** 2, x).tolist()
    [[0.0, 4.0], [4.0, 2.0]]
    """
    _refuse_forward_mode("hessian", vectorize, outer_jacobian_strategy)
    _tuple("hessian", "inputs", inputs)

    def gradient(*points: Tensor) -> Any:
        result = _scalar("hessian", func(*points))
        return _like(inputs, _gradients("hessian", (result,), points, None, True, strict))

    return jacobian(gradient, inputs, create_graph=create_graph, strict=strict)
