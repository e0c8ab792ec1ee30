"""RMSprop."""

from __future__ import annotations

from lamina import _core
from lamina.optim._fused import FusedOptimizer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lamina.optim.optimizer import Params


class RMSprop(FusedOptimizer):
    """RMSprop: steps scaled by a running average of the squared gradient.

    With g the gradient plus ``weight_decay * p``: ``v = alpha * v + (1 - alpha) * g^2``, then
    ``d = g / (sqrt(v) + eps)`` and ``p -= lr * d``; with momentum ``b = momentum * b + d`` and
    ``p -= lr * b``. ``centered`` subtracts from v the square of the running average of g.
    Tieleman and Hinton, "Neural networks for machine learning", lecture 6.5, 2012; centered:
    Graves, "Generating sequences with recurrent neural networks", 2013.

    Parameters
    ----------
    params : iterable of Tensor or of dict
        What to optimize, or groups of it; see :class:`Optimizer`.
    lr : float, default 1e-2
        Learning rate.
    alpha : float, default 0.99
        How much of the averages is kept at each step.
    eps : float, default 1e-8
        Added to the denominator.
    weight_decay : float, default 0
        Factor of the L2 penalty.
    momentum : float, default 0
        Share of the last direction that is kept.
    centered : bool, default False
        Scale by the estimated variance of the gradient instead of its square.
    maximize : bool, default False
        Go up the gradient instead of down.
    foreach : bool, optional
        Accepted as PyTorch's hint; the step is fused always.

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

    _slots = ("square_avg", "momentum_buffer", "grad_avg")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "alpha": alpha,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "centered": centered,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _validate(self, group: dict[str, Any]) -> None:
        self._require(group, ("lr", "alpha", "eps", "weight_decay", "momentum"))

    def _buffers(self, group: dict[str, Any]) -> tuple[str, ...]:
        momentum = ("momentum_buffer",) if group["momentum"] else ()
        centered = ("grad_avg",) if group["centered"] else ()
        return ("square_avg", *momentum, *centered)

    def _update(self, group: dict[str, Any], tensors: object) -> None:
        _core.rmsprop_step(
            tensors,
            float(group["lr"]),
            group["alpha"],
            group["eps"],
            group["weight_decay"],
            group["momentum"],
            group["maximize"],
        )
