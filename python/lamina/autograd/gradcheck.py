"""Comparing gradients with central differences, element by element.

For every input x_j and output y_k the derivative (y_k(x_j + eps) - y_k(x_j - eps)) / (2 eps) is
compared with what the tape says. The truncation error is eps**2 / 6 times the third derivative
and the rounding error about 1e-16 |y| / eps, so that in float64 eps = 1e-6 leaves about 1e-10.
"""

from __future__ import annotations

from itertools import product

from lamina import _core
from lamina._core import Tensor
from lamina.autograd.functions import grad
from lamina.autograd.grad_mode import enable_grad, no_grad

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    Rows = list[list[float]]  # [element of the input][element of the output]


class GradcheckError(RuntimeError):
    """A gradient differs from the central difference by more than the tolerance."""


def _outputs(result: Any) -> list[Tensor]:
    listed = [result] if isinstance(result, Tensor) else list(result)
    return [item for item in listed if isinstance(item, Tensor) and item.is_floating_point()]


def _positions(tensor: Tensor) -> list[tuple[int, ...]]:
    return list(product(*(range(size) for size in tensor.shape)))


def _flat(tensor: Tensor) -> list[float]:
    return [float(value) for value in tensor.detach().reshape(-1).tolist()]


def _numerical(
    function: Callable[..., Any], inputs: tuple[Any, ...], moved: Tensor, eps: float
) -> list[Rows]:
    """For each output, the derivative of its elements with respect to those of ``moved``."""
    jacobians: list[Rows] = []
    writable = moved.detach()  # the same storage, free of the graph
    with no_grad():
        for position in _positions(moved):
            centre = writable[position].item()
            sides: list[list[list[float]]] = []
            for value in (centre + eps, centre - eps):
                writable[position] = value
                sides.append([_flat(output) for output in _outputs(function(*inputs))])
            writable[position] = centre
            if not jacobians:
                jacobians = [[] for _ in sides[0]]
            for rows, upper, lower in zip(jacobians, *sides, strict=True):
                rows.append([(u - v) / (2 * eps) for u, v in zip(upper, lower, strict=True)])
    return jacobians


def _analytical(output: Tensor, inputs: list[Tensor]) -> list[Rows]:
    """For each input, the derivative of ``output`` as the tape gives it."""
    jacobians: list[Rows] = [[[] for _ in range(tensor.numel())] for tensor in inputs]
    for position in _positions(output):
        seed = _core.zeros_like(output)
        seed[position] = 1.0
        gradients: Sequence[Tensor | None] = grad(
            output, inputs, seed, retain_graph=True, allow_unused=True
        )
        for index, (rows, gradient) in enumerate(zip(jacobians, gradients, strict=True)):
            if gradient is not None and gradient.shape != inputs[index].shape:
                raise GradcheckError(
                    "gradcheck: a gradient differs in shape from its input\n"
                    f"  input    {list(inputs[index].shape)}\n"
                    f"  gradient {list(gradient.shape)}"
                )
            column = [0.0] * len(rows) if gradient is None else _flat(gradient)
            for row, value in zip(rows, column, strict=True):
                row.append(value)
    return jacobians


def _compare(
    where: str,
    source: Tensor,
    output: Tensor,
    pair: tuple[Rows, Rows],
    tolerance: tuple[float, float],
) -> None:
    """Raise if the two Jacobians (numerical, analytical) of ``where`` differ."""
    atol, rtol = tolerance
    places = _positions(source), _positions(output)
    for place, numbers, claims in zip(places[0], *pair, strict=True):
        for spot, number, claim in zip(places[1], numbers, claims, strict=True):
            allowed = atol + rtol * abs(number)
            # Written so that NaN on one side fails, and on both sides passes.
            if abs(claim - number) <= allowed or (claim != claim and number != number):
                continue
            raise GradcheckError(
                f"gradcheck: the gradient of {where} is wrong\n"
                f"  at         output {list(spot)}, input {list(place)}\n"
                f"  numerical  {number!r}\n"
                f"  analytical {claim!r}\n"
                f"  difference {abs(claim - number):.3g}, allowed {allowed:.3g}"
            )


def _check(
    function: Callable[..., Any],
    inputs: tuple[Any, ...],
    eps: float,
    tolerance: tuple[float, float],
    nondet_tol: float,
) -> None:
    watched = [
        (index, item)
        for index, item in enumerate(inputs)
        if isinstance(item, Tensor) and item.requires_grad
    ]
    if not watched:
        raise ValueError("gradcheck: no input requires grad, so there is nothing to check")
    for index, tensor in watched:
        if tensor.dtype != _core.float64:
            import warnings

            warnings.warn(
                f"gradcheck: input {index} is {tensor.dtype}; central differences are only "
                "accurate in float64",
                stacklevel=3,
            )
    outputs = _outputs(function(*inputs))
    if not outputs:
        raise ValueError("gradcheck: the function returns no floating point tensor")
    tensors = [tensor for _, tensor in watched]
    zeros = [[[0.0] * output.numel() for _ in _positions(t)] for output in outputs for t in tensors]
    claims: list[list[Rows]] = []
    for number, output in enumerate(outputs):
        if not output.requires_grad:
            claims.append(zeros[number * len(tensors) : (number + 1) * len(tensors)])
            continue
        claims.append(_analytical(output, tensors))
        again = _analytical(output, tensors)
        for index, first, second in zip(range(len(tensors)), claims[-1], again, strict=True):
            where = f"output {number} with respect to input {watched[index][0]}, run twice,"
            _compare(where, tensors[index], output, (first, second), (nondet_tol, 0.0))
    for index, tensor in enumerate(tensors):
        for number, rows in enumerate(_numerical(function, inputs, tensor, eps)):
            where = f"output {number} with respect to input {watched[index][0]}"
            _compare(where, tensor, outputs[number], (rows, claims[number][index]), tolerance)


def gradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
) -> bool:
    """Say whether the gradients of ``func`` agree with central differences.

    Parameters
    ----------
    func : callable
        Takes ``inputs`` and returns a Tensor or a sequence of them. It must be deterministic.
    inputs : Tensor or sequence
        Arguments of ``func``. Tensors that require grad are checked; they should be float64 and
        are moved in place and put back, so they must not overlap in memory.
    eps : float, default 1e-6
        Half the width of the central difference.
    atol, rtol : float, default 1e-5 and 1e-3
        An element passes if ``|analytical - numerical| <= atol + rtol * |numerical|``.
    raise_exception : bool, default True
        Raise on a difference instead of returning False.
    nondet_tol : float, default 0.0
        How much two runs of the same backward pass may differ.

    Returns
    -------
    bool
        True if every element passes.

    Raises
    ------
    GradcheckError
        If an element does not pass: says which output, input and element, and both numbers.
    ValueError
        If no input requires grad or no output is a floating point tensor.

    Examples
    --------
    >>> import lamina
    >>> x = lamina.tensor([0.3, -0.2], dtype=lamina.float64, requires_grad=True)
    >>> lamina.autograd.gradcheck(lamina.tanh, (x,))
    True
    """
    arguments = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    try:
        _check(func, arguments, eps, (atol, rtol), nondet_tol)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _seed(output: Tensor, salt: int) -> Tensor:
    """Make an arbitrary gradient for ``output``; the process-wide random stream is left alone."""
    import random

    stream = random.Random(salt)
    values = [stream.uniform(-1.0, 1.0) for _ in range(output.numel())]
    seed = _core.tensor(values, dtype=output.dtype).reshape(output.shape)
    return seed.requires_grad_()


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    grad_outputs: Tensor | Sequence[Tensor] | None = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
) -> bool:
    """Say whether the second derivatives of ``func`` agree with central differences.

    Checks the function that maps ``inputs`` and the gradients of the outputs to the gradients
    of the inputs, as :func:`gradcheck` does.

    Parameters
    ----------
    func, inputs, eps, atol, rtol, raise_exception, nondet_tol
        As in :func:`gradcheck`.
    grad_outputs : Tensor or sequence of Tensor, optional
        Gradients of the outputs, of their shapes. Default: arbitrary fixed numbers in (-1, 1).

    Returns
    -------
    bool
        True if every element passes.

    Raises
    ------
    GradcheckError, ValueError
        As :func:`gradcheck`.

    Examples
    --------
    >>> import lamina
    >>> x = lamina.tensor([0.3, -0.2], dtype=lamina.float64, requires_grad=True)
    >>> lamina.autograd.gradgradcheck(lamina.tanh, (x,))
    True
    """
    arguments = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    count = len(arguments)
    seeds: list[Tensor]
    if grad_outputs is None:
        live = [output for output in _outputs(func(*arguments)) if output.requires_grad]
        seeds = [_seed(output, salt) for salt, output in enumerate(live)]
    else:
        seeds = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs)

    def first_derivative(*args: Any) -> tuple[Tensor, ...]:
        # Under no_grad (the differences) the tape is still needed to get the first derivative.
        with enable_grad():
            outputs = [out for out in _outputs(func(*args[:count])) if out.requires_grad]
            sources = [a for a in args[:count] if isinstance(a, Tensor) and a.requires_grad]
            return grad(outputs, sources, args[count:], create_graph=True, materialize_grads=True)

    return gradcheck(
        first_derivative,
        (*arguments, *seeds),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
    )
