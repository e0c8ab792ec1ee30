"""Weight normalization: a weight as a direction times a length."""

from __future__ import annotations

from lamina._core import Tensor, norm
from lamina.nn.parameter import Parameter
from lamina.nn.utils._derived import DerivedWeight, parameter_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    from lamina.nn.module import Module

    M = TypeVar("M", bound=Module)


def _norm_except(v: Tensor, dim: int | None) -> Tensor:
    if dim is None:
        return norm(v)
    rest = [d for d in range(v.ndim) if d != dim]
    return norm(v, 2, rest, keepdim=True) if rest else v.abs()


class _WeightNorm(DerivedWeight):
    method = "weight_norm"
    keys = (("_g", "original0"), ("_v", "original1"))

    def __init__(self, name: str, dim: int | None) -> None:
        super().__init__(name)
        self.dim = dim

    def compute(self, module: Module) -> Tensor:
        g, v = (getattr(module, self.name + end) for end in ("_g", "_v"))
        weight: Tensor = v * (g / _norm_except(v, self.dim))
        return weight


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Train a weight as ``g v / |v|``: its length and its direction apart.

    The parameter ``name`` gives way to two, ``name_g`` (the lengths) and ``name_v`` (the
    directions), from which it is computed before every call. The state may also be loaded
    under PyTorch's newer names, ``parametrizations.name.original0`` and ``original1``.

    Parameters
    ----------
    module : Module
        Changed in place.
    name : str, default "weight"
        The parameter.
    dim : int or None, default 0
        The dimension along which each slice has a length of its own; None or -1: one length
        for the whole tensor.

    Returns
    -------
    Module
        ``module`` itself.

    Raises
    ------
    ValueError
        If there is no such parameter.
    RuntimeError
        If it is computed from others already.

    References
    ----------
    Salimans and Kingma, "Weight Normalization", 2016.

    Examples
    --------
    >>> from lamina import nn
    >>> layer = nn.utils.weight_norm(nn.Linear(20, 40))
    >>> {name: list(p.shape) for name, p in layer.named_parameters()}
    {'bias': [40], 'weight_g': [40, 1], 'weight_v': [40, 20]}
    """
    weight = parameter_of("weight_norm", module, name)
    if dim == -1:  # as PyTorch reads it
        dim = None
    if dim is not None:
        if not -weight.ndim <= dim < weight.ndim:
            raise IndexError(f"weight_norm: dim {dim} is out of range for {weight.ndim} dimensions")
        dim %= weight.ndim
    length = _norm_except(weight.detach(), dim)
    module.register_parameter(f"{name}_g", Parameter(length))
    module.register_parameter(f"{name}_v", Parameter(weight.detach()))
    _WeightNorm(name, dim).attach(module)
    return module


def remove_weight_norm(module: M, name: str = "weight") -> M:
    """Make the weight a parameter of its own again.

    Raises
    ------
    ValueError
        If there is no weight norm on ``name``.

    Examples
    --------
    >>> from lamina import nn
    >>> layer = nn.utils.remove_weight_norm(nn.utils.weight_norm(nn.Linear(2, 1)))
    >>> [name for name, _ in layer.named_parameters()]
    ['bias', 'weight']
    """
    return _WeightNorm.removed_from(module, name)
