"""Averaged stochastic gradient descent."""

from __future__ import annotations

from lamina import _core
from lamina.optim._fused import FusedOptimizer
from lamina.optim.optimizer import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lamina.optim.optimizer import Params


class ASGD(FusedOptimizer):
    """Averaged stochastic gradient descent: keeps the mean of where it has been.

    With g the gradient and t the number of steps before: ``eta = lr / (1 + lambd * lr * t)^alpha``,
    ``p = (1 - lambd * eta) * p - eta * g``, and ``state[p]["ax"]`` is the average of p over the
    steps after ``t0``, the last p before. Polyak and Juditsky, "Acceleration of stochastic
    approximation by averaging", SIAM Journal on Control and Optimization 30, 1992.

    Parameters
    ----------
    lambd : float, default 1e-4
        Share of the parameter that is taken off, times eta.
    alpha : float, default 0.75
        Power with which the steps shorten.
    t0 : float, default 1e6
        When averaging starts.
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
    >>> optimizer = lamina.optim.ASGD([p], lr=0.25, lambd=0.0)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p.tolist(), optimizer.state[p]["ax"].tolist()
    ([0.5], [0.5])
    """

    _method = "asgd"
    _slots = ("ax",)
    _settings = ("lr", "lambd", "alpha", "t0", "weight_decay")
    _scalars = ("step", "eta", "mu")
    _at_least_zero = ("lr", "weight_decay")

    def __init__(
        self,
        params: Params,
        lr: float | _core.Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
        *,
        max_grad_norm: float | None = None,
    ) -> None:
        super().__init__(params, settings(locals()), max_grad_norm)

    def _initial(self, name: str, group: dict[str, Any]) -> float:
        return {"eta": float(group["lr"]), "mu": 1.0}.get(name, 0.0)
