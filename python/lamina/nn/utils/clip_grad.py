"""Limits on gradients, one native call for all of them."""

from __future__ import annotations

from lamina import _core
from lamina._core import Tensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Tensors = Tensor | Iterable[Tensor]


def _listed(tensors: Tensors) -> list[Tensor]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def clip_grad_norm_(
    parameters: Tensors,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients down together, in place, where their norm is above ``max_norm``.

    The factor is ``max_norm / (norm + 1e-6)``. An optimizer's ``max_grad_norm`` does it within the
    step, in half the passes over memory.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Whose gradients; those that have none are passed over.
    max_norm : float
        The largest norm, at least 0.
    norm_type : float, default 2
        Order of the norm; ``inf`` is the largest absolute value.
    error_if_nonfinite : bool, default False
        Raise where the norm is NaN or infinite, instead of scaling by that.
    foreach : bool, optional
        Accepted as PyTorch's hint.

    Returns
    -------
    Tensor
        The norm before, of no dimensions.

    Raises
    ------
    ValueError
        If ``max_norm`` is negative or NaN.
    RuntimeError
        See ``error_if_nonfinite``; the gradients are left as they are.

    Examples
    --------
    >>> import lamina
    >>> p = lamina.tensor([3.0, 4.0], requires_grad=True)
    >>> (p * p / 2).sum().backward()
    >>> clip_grad_norm_([p], max_norm=1.0)
    tensor(5.)
    >>> [round(x, 4) for x in p.grad.tolist()]
    [0.6, 0.8]
    """
    return _core.clip_grad_norm_(
        _listed(parameters), float(max_norm), float(norm_type), error_if_nonfinite
    )


def clip_grad_value_(parameters: Tensors, clip_value: float, foreach: bool | None = None) -> None:
    """Clamp every element of the gradients to ``[-clip_value, clip_value]``, in place.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Whose gradients; those that have none are passed over.
    clip_value : float
        The limit, at least 0.
    foreach : bool, optional
        Accepted as PyTorch's hint.

    Examples
    --------
    >>> import lamina
    >>> p = lamina.tensor([3.0, -4.0], requires_grad=True)
    >>> (p * p).sum().backward()
    >>> clip_grad_value_(p, 7.0)
    >>> p.grad.tolist()
    [6.0, -7.0]
    """
    _core.clip_grad_value_(_listed(parameters), float(clip_value))


def get_total_norm(
    tensors: Tensors,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Take the norm of several tensors as if they were one.

    Parameters
    ----------
    tensors : Tensor or iterable of Tensor
        Gradients, mostly.
    norm_type, error_if_nonfinite, foreach
        As for :func:`clip_grad_norm_`.

    Returns
    -------
    Tensor
        Of no dimensions.

    Examples
    --------
    >>> import lamina
    >>> get_total_norm([lamina.tensor([3.0]), lamina.tensor([[4.0]])])
    tensor(5.)
    """
    norm = _core.total_norm(_listed(tensors), float(norm_type))
    if error_if_nonfinite and not norm.isfinite():
        raise RuntimeError(
            f"get_total_norm: the norm of order {norm_type} is {norm.item()}; "
            "error_if_nonfinite=False returns it all the same"
        )
    return norm


def clip_grads_with_norm_(
    parameters: Tensors, max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scale all gradients as :func:`clip_grad_norm_` does, by a norm that is known.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Whose gradients; those that have none are passed over.
    max_norm : float
        The largest norm, at least 0.
    total_norm : Tensor
        The norm, of one element.
    foreach : bool, optional
        Accepted as PyTorch's hint.

    Examples
    --------
    >>> import lamina
    >>> p = lamina.tensor([3.0], requires_grad=True)
    >>> (p * p).sum().backward()
    >>> clip_grads_with_norm_(p, 1.0, lamina.tensor(12.0))
    >>> round(p.grad.item(), 4)
    0.5
    """
    _core.clip_grads_with_norm_(_listed(parameters), float(max_norm), float(total_norm))
