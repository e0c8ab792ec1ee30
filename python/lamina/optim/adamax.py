"""Adamax."""

from __future__ import annotations

from lamina import _core
from lamina.optim._fused import FusedOptimizer
from lamina.optim.optimizer import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lamina.optim.optimizer import Params


class Adamax(FusedOptimizer):
    """Adamax: Adam with a fading maximum of the gradient in place of its mean square.

    With g the gradient and t the number of the step: ``m = beta1 * m + (1 - beta1) * g``,
    ``u = max(beta2 * u, |g| + eps)``, then ``p -= lr / (1 - beta1^t) * m / u``. Kingma and Ba,
    "Adam: a method for stochastic optimization", ICLR 2015, section 7.1.

    Parameters
    ----------
    betas : tuple of two floats, default (0.9, 0.999)
        How much of the average and of the maximum is kept at each step, in [0, 1).
    eps : float, default 1e-8
        Added to the size of the gradient.
    params, lr, weight_decay, foreach, maximize, differentiable, capturable, max_grad_norm
        As for every :class:`Optimizer`.

    Raises
    ------
    ValueError
        If a setting is out of range.

    Examples
    --------
    >>> import lamina
    >>> p = lamina.tensor([1.0], requires_grad=True)
    >>> optimizer = lamina.optim.Adamax([p], lr=0.5)
    >>> (p * p).sum().backward()
    >>> optimizer.step()  # the first step has length lr
    >>> round(p.item(), 6)
    0.5
    """

    _method = "adamax"
    _slots = ("exp_avg", "exp_inf")
    _settings = ("lr", ("betas", 2), "eps", "weight_decay")

    def __init__(
        self,
        params: Params,
        lr: float | _core.Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
        max_grad_norm: float | None = None,
    ) -> None:
        super().__init__(params, settings(locals()), max_grad_norm)
