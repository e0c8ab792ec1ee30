"""Spectral normalization: a weight divided by its largest singular value."""

from __future__ import annotations

from lamina._core import Tensor, dot, mv, randn
from lamina.autograd.grad_mode import no_grad
from lamina.nn.parameter import Parameter
from lamina.nn.utils._derived import DerivedWeight, parameter_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    from lamina.nn.module import Module

    M = TypeVar("M", bound=Module)


class _SpectralNorm(DerivedWeight):
    method = "spectral_norm"
    keys = (("_orig", "original"), ("_u", "0._u"), ("_v", "0._v"))

    def __init__(self, name: str, n_power_iterations: int, dim: int, eps: float) -> None:
        super().__init__(name)
        self.n_power_iterations = n_power_iterations
        self.dim = dim
        self.eps = eps

    def matrix(self, weight: Tensor) -> Tensor:
        """Give the weight as a matrix, ``dim`` first."""
        return weight.movedim(self.dim, 0).flatten(1) if weight.ndim > 1 else weight.unsqueeze(1)

    def normalized(self, vector: Tensor) -> Tensor:
        return vector / vector.norm().clamp_min(self.eps)

    def iterate(self, module: Module, times: int) -> None:
        matrix = self.matrix(getattr(module, self.name + "_orig").detach())
        u, v = (getattr(module, self.name + end) for end in ("_u", "_v"))
        for _ in range(times):
            v.copy_(self.normalized(mv(matrix.t(), u)))
            u.copy_(self.normalized(mv(matrix, v)))

    def compute(self, module: Module) -> Tensor:
        weight: Tensor = getattr(module, self.name + "_orig")
        # Clones: the next step's iteration must not change what this step's backward saved.
        u, v = (getattr(module, self.name + end).clone() for end in ("_u", "_v"))
        return weight / dot(u, mv(self.matrix(weight), v))

    def __call__(self, module: Module, args: object) -> None:
        if module.training:
            with no_grad():
                self.iterate(module, self.n_power_iterations)
        super().__call__(module, args)


def spectral_norm(
    module: M,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> M:
    """Divide a weight by its largest singular value, estimated by power iteration.

    The parameter ``name`` gives way to ``name_orig``, and two buffers ``name_u`` and
    ``name_v`` hold the estimate of the singular vectors, which each call in training mode
    improves. The state may also be loaded under PyTorch's newer names,
    ``parametrizations.name.original``, ``parametrizations.name.0._u`` and ``0._v``.

    Parameters
    ----------
    module : Module
        Changed in place.
    name : str, default "weight"
        The parameter; its dimensions other than ``dim`` count as one.
    n_power_iterations : int, default 1
        Iterations in each call in training mode.
    eps : float, default 1e-12
        The smallest length by which a vector is divided.
    dim : int, optional
        The dimension of the outputs. Default: 0, and 1 for transposed convolutions.

    Returns
    -------
    Module
        ``module`` itself.

    Raises
    ------
    ValueError
        If there is no such parameter, or ``n_power_iterations`` is not positive.
    RuntimeError
        If it is computed from others already.

    References
    ----------
    Miyato et al., "Spectral Normalization for Generative Adversarial Networks", 2018.

    Examples
    --------
    >>> from lamina import nn
    >>> layer = nn.utils.spectral_norm(nn.Linear(20, 40))
    >>> {name: list(t.shape) for name, t in layer.state_dict().items()}
    {'bias': [40], 'weight_orig': [40, 20], 'weight_u': [40], 'weight_v': [20]}
    """
    if n_power_iterations < 1:
        raise ValueError(
            f"spectral_norm: n_power_iterations must be positive, got {n_power_iterations}"
        )
    weight = parameter_of("spectral_norm", module, name)
    if dim is None:
        dim = 1 if type(module).__name__.startswith("ConvTranspose") else 0
    if not -weight.ndim <= dim < weight.ndim:
        raise IndexError(f"spectral_norm: dim {dim} is out of range for {weight.ndim} dimensions")
    law = _SpectralNorm(name, n_power_iterations, dim % weight.ndim, eps)
    module.register_parameter(f"{name}_orig", Parameter(weight.detach(), weight.requires_grad))
    for end, size in zip(("_u", "_v"), law.matrix(weight.detach()).shape, strict=True):
        start = law.normalized(randn(size, dtype=weight.dtype, device=weight.device))
        module.register_buffer(name + end, start)
    law.attach(module)
    return module


def remove_spectral_norm(module: M, name: str = "weight") -> M:
    """Make the divided weight a parameter of its own again.

    Raises
    ------
    ValueError
        If there is no spectral norm on ``name``.

    Examples
    --------
    >>> from lamina import nn
    >>> layer = nn.utils.remove_spectral_norm(nn.utils.spectral_norm(nn.Linear(2, 1)))
    >>> [name for name, _ in layer.named_parameters()]
    ['bias', 'weight']
    """
    return _SpectralNorm.removed_from(module, name)
