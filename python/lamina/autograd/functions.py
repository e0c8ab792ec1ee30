"""``backward`` and ``grad``: one native call each, arguments brought into one form."""

from __future__ import annotations

from lamina import _core
from lamina._core import Tensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def _as_list(name: str, tensors: Tensor | Sequence[Tensor]) -> list[Tensor]:
    listed = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    if not listed:
        raise ValueError(f"{name}: expected at least one tensor, got none")
    return listed


def _gradients(
    name: str, given: Tensor | Sequence[Tensor | None] | None, count: int
) -> list[Tensor | None]:
    if given is None:
        return [None] * count
    listed: list[Tensor | None] = [given] if isinstance(given, Tensor) else list(given)
    if len(listed) != count:
        raise ValueError(f"{name}: {count} output(s) but {len(listed)} gradient(s) for them")
    return listed


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Add the gradient of ``tensors`` into the ``.grad`` of every leaf they depend on.

    Parameters
    ----------
    tensors : Tensor or sequence of Tensor
        What to differentiate. A tensor with one element needs no entry in ``grad_tensors``.
    grad_tensors : Tensor or sequence of Tensor or None, optional
        The gradient of some outer scalar with respect to each of ``tensors``, of their shapes.
    retain_graph : bool, optional
        Keep the graph so that it can be walked again. Default: the value of ``create_graph``.
    create_graph : bool, default False
        Record the backward pass too, so that the gradients can be differentiated.
    inputs : Tensor or sequence of Tensor, optional
        Reach only these, which may also be in the middle of the graph. Default: every leaf.

    Raises
    ------
    ValueError
        If the lists differ in length, or there is nothing to differentiate.
    RuntimeError
        If a tensor has no graph, its graph was freed, or it has more than one element and no
        gradient was given for it.

    Examples
    --------
    >>> import lamina
    >>> x = lamina.tensor([1.0, 2.0], requires_grad=True)
    >>> lamina.autograd.backward((x * x).sum())
    >>> x.grad.tolist()
    [2.0, 4.0]
    """
    outputs = _as_list("backward", tensors)
    seeds = _gradients("backward", grad_tensors, len(outputs))
    keep = create_graph if retain_graph is None else retain_graph
    into = [inputs] if isinstance(inputs, Tensor) else inputs
    _core.backward(outputs, seeds, keep, create_graph, into)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    *,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor, ...]:
    """Return the gradient of ``outputs`` with respect to ``inputs``; no ``.grad`` is touched.

    Parameters
    ----------
    outputs : Tensor or sequence of Tensor
        What to differentiate; several outputs are summed, each weighted by its gradient.
    inputs : Tensor or sequence of Tensor
        With respect to what. They may be leaves or results of other operations.
    grad_outputs : Tensor or sequence of Tensor or None, optional
        The gradient of some outer scalar with respect to each output; may be left out for
        outputs with one element.
    retain_graph : bool, optional
        Keep the graph so that it can be walked again. Default: the value of ``create_graph``.
    create_graph : bool, default False
        Record the computation of the gradients, for second derivatives.
    allow_unused : bool, optional
        Return None for an input that no output depends on, instead of raising. Default: the
        value of ``materialize_grads``.
    is_grads_batched : bool, default False
        There for PyTorch's signature; only False is allowed.
    materialize_grads : bool, default False
        Return zeros for such an input instead of None.

    Returns
    -------
    tuple of Tensor
        One gradient for each input, of the input's shape and dtype.

    Raises
    ------
    ValueError
        If ``grad_outputs`` differs in length from ``outputs``, a list is empty, or
        ``materialize_grads`` is combined with ``allow_unused=False``.
    RuntimeError
        If an output has no graph, or an input does not require grad or is unused.

    Examples
    --------
    >>> import lamina
    >>> x = lamina.tensor(3.0, requires_grad=True)
    >>> (first,) = lamina.autograd.grad(x**3, x, create_graph=True)
    >>> (second,) = lamina.autograd.grad(first, x)
    >>> first.item(), second.item()
    (27.0, 18.0)
    """
    if is_grads_batched:
        raise NotImplementedError(
            "grad: is_grads_batched=True is not there; call grad once for each gradient"
        )
    if materialize_grads and allow_unused is False:
        raise ValueError("grad: materialize_grads=True needs allow_unused to be True or None")
    sources = _as_list("grad", outputs)
    targets = _as_list("grad", inputs)
    seeds = _gradients("grad", grad_outputs, len(sources))
    keep = create_graph if retain_graph is None else retain_graph
    unused = materialize_grads if allow_unused is None else allow_unused
    found = _core.grad(sources, targets, seeds, keep, create_graph, unused)
    if materialize_grads:
        return tuple(
            _core.zeros_like(target) if gradient is None else gradient
            for gradient, target in zip(found, targets, strict=True)
        )
    return tuple(found)
