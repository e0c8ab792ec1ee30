"""Adadelta."""

from __future__ import annotations

from lamina import _core
from lamina.optim._fused import FusedOptimizer
from lamina.optim.optimizer import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lamina.optim.optimizer import Params


class Adadelta(FusedOptimizer):
    """Adadelta: steps as long as those before, relative to the gradients then.

    With g the gradient: ``v = rho * v + (1 - rho) * g^2``,
    ``d = sqrt(u + eps) / sqrt(v + eps) * g``, ``u = rho * u + (1 - rho) * d^2``, ``p -= lr * d``.
    Zeiler, "Adadelta: an adaptive learning rate method", arXiv:1212.5701, 2012.

    Parameters
    ----------
    lr : float or Tensor, default 1
        Factor of the step.
    rho : float, default 0.9
        How much of the averages is kept at each step, in [0, 1].
    eps : float, default 1e-6
        Added under both roots; the first steps are about its root long.
    params, weight_decay, foreach, capturable, maximize, differentiable, max_grad_norm
        As for every :class:`Optimizer`.

    Raises
    ------
    ValueError
        If a setting is out of range.

    Examples
    --------
    >>> import lamina
    >>> p = lamina.tensor([1.0], requires_grad=True)
    >>> optimizer = lamina.optim.Adadelta([p], eps=1.0, rho=0.0)
    >>> (p * 0.75).sum().backward()
    >>> optimizer.step()  # by 1 / sqrt(0.75^2 + 1) * 0.75
    >>> round(p.item(), 6)
    0.4
    """

    _method = "adadelta"
    _slots = ("square_avg", "acc_delta")
    _settings = ("lr", "rho", "eps", "weight_decay")

    def __init__(
        self,
        params: Params,
        lr: float | _core.Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
        max_grad_norm: float | None = None,
    ) -> None:
        super().__init__(params, settings(locals()), max_grad_norm)

    def _validate(self, group: dict[str, Any]) -> None:
        super()._validate(group)
        if not 0 <= group["rho"] <= 1:
            raise ValueError(f"Adadelta: rho must be in [0, 1], got {group['rho']}")
