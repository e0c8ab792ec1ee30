"""Parameters as one long vector, and back."""

from __future__ import annotations

from lamina import _core
from lamina._core import Tensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """Join parameters into a vector, with gradients.

    Parameters
    ----------
    parameters : iterable of Tensor
        At least one, all on one device.

    Returns
    -------
    Tensor
        Of one dimension, a copy.

    Examples
    --------
    >>> import lamina
    >>> parameters_to_vector([lamina.ones(1, 2), lamina.zeros(1)])
    tensor([1., 1., 0.])
    """
    return _core.cat([parameter.reshape(-1) for parameter in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Set parameters to the parts of a vector.

    Parameters
    ----------
    vec : Tensor
        As long as all parameters, in the order of :func:`parameters_to_vector`.
    parameters : iterable of Tensor
        Their ``data`` become views of the vector.

    Raises
    ------
    TypeError
        If ``vec`` is no tensor.
    ValueError
        If the vector is longer or shorter; the parameters are left as they are.

    Examples
    --------
    >>> import lamina
    >>> p, q = lamina.zeros(1, 2), lamina.zeros(1)
    >>> vector_to_parameters(lamina.tensor([1.0, 2.0, 3.0]), [p, q])
    >>> p.tolist(), q.tolist()
    ([[1.0, 2.0]], [3.0])
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"vector_to_parameters: vec must be a Tensor, got {type(vec).__name__}")
    targets = list(parameters)
    total = sum(target.numel() for target in targets)
    if vec.ndim != 1 or vec.numel() != total:
        raise ValueError(
            f"vector_to_parameters: needs a vector of {total} elements, got {list(vec.shape)}"
        )
    parts = vec.detach().split([target.numel() for target in targets])
    for target, part in zip(targets, parts, strict=True):
        target.data = part.view(target.shape)
