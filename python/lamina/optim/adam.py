"""Adam."""

from __future__ import annotations

from lamina import _core
from lamina.optim._fused import FusedOptimizer
from lamina.optim.optimizer import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lamina.optim.optimizer import Params


class Adam(FusedOptimizer):
    """Adam: steps scaled by running averages of the gradient and of its square.

    With g the gradient and t the number of the step: ``m = beta1 * m + (1 - beta1) * g``,
    ``v = beta2 * v + (1 - beta2) * g^2``, then
    ``p -= lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)``. Kingma and Ba, "Adam: a
    method for stochastic optimization", ICLR 2015; ``amsgrad``: Reddi et al., ICLR 2018.

    Parameters
    ----------
    betas : tuple of two floats, default (0.9, 0.999)
        How much of the averages is kept at each step, in [0, 1).
    eps : float, default 1e-8
        Added to the denominator.
    amsgrad : bool, default False
        Divide by the largest v so far instead of the newest.
    decoupled_weight_decay : bool, default False
        Take the decay off the parameter, as :class:`AdamW` does.
    params, lr, weight_decay, foreach, maximize, capturable, differentiable, fused, max_grad_norm
        As for every :class:`Optimizer`.

    Raises
    ------
    ValueError
        If a setting is out of range.

    Examples
    --------
    >>> import lamina
    >>> p = lamina.tensor([1.0], requires_grad=True)
    >>> optimizer = lamina.optim.Adam([p], lr=0.5)
    >>> (p * p).sum().backward()
    >>> optimizer.step()  # the first step has length lr
    >>> round(p.item(), 6)
    0.5
    """

    _method = "adam"
    _slots = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
    _optional = (("max_exp_avg_sq", "amsgrad"),)
    _settings = ("lr", ("betas", 2), "eps", "weight_decay", "decoupled_weight_decay")

    def __init__(
        self,
        params: Params,
        lr: float | _core.Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
        max_grad_norm: float | None = None,
    ) -> None:
        betas = tuple(map(float, betas))  # type: ignore[assignment]  # its length is checked
        super().__init__(params, settings(locals()), max_grad_norm)
