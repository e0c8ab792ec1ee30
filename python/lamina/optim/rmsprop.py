"""RMSprop."""

from __future__ import annotations

from lamina import _core
from lamina.optim._fused import FusedOptimizer
from lamina.optim.optimizer import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lamina.optim.optimizer import Params


class RMSprop(FusedOptimizer):
    """RMSprop: steps scaled by a running average of the squared gradient.

    With g the gradient: ``v = alpha * v + (1 - alpha) * g^2``, then
    ``d = g / (sqrt(v) + eps)`` and ``p -= lr * d``; with momentum ``b = momentum * b + d`` and
    ``p -= lr * b``. ``centered`` subtracts from v the square of the running average of g.
    Tieleman and Hinton, "Neural networks for machine learning", lecture 6.5, 2012; centered:
    Graves, "Generating sequences with recurrent neural networks", 2013.

    Parameters
    ----------
    alpha : float, default 0.99
        How much of the averages is kept at each step.
    eps : float, default 1e-8
        Added to the denominator.
    momentum : float, default 0
        Share of the last direction that is kept.
    centered : bool, default False
        Scale by the estimated variance of the gradient instead of its square.
    params, lr, weight_decay, capturable, foreach, maximize, differentiable, max_grad_norm
        As for every :class:`Optimizer`.

    Raises
    ------
    ValueError
        If a setting is out of range.

    Examples
    --------
    >>> import lamina
    >>> p = lamina.tensor([1.0], requires_grad=True)
    >>> optimizer = lamina.optim.RMSprop([p], lr=0.05)
    >>> (p * p).sum().backward()
    >>> optimizer.step()  # the first step has length lr / sqrt(1 - alpha)
    >>> round(p.item(), 6)
    0.5
    """

    _method = "rmsprop"
    _slots = ("square_avg", "momentum_buffer", "grad_avg")
    _optional = (("momentum_buffer", "momentum"), ("grad_avg", "centered"))
    _settings = ("lr", "alpha", "eps", "weight_decay", "momentum")
    _at_least_zero = ("lr", "alpha", "eps", "weight_decay", "momentum")

    def __init__(
        self,
        params: Params,
        lr: float | _core.Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        *,
        max_grad_norm: float | None = None,
    ) -> None:
        super().__init__(params, settings(locals()), max_grad_norm)
