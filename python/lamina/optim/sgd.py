"""Stochastic gradient descent."""

from __future__ import annotations

from lamina import _core
from lamina.optim._fused import FusedOptimizer
from lamina.optim.optimizer import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lamina.optim.optimizer import Params


class SGD(FusedOptimizer):
    """Stochastic gradient descent, with momentum and Nesterov's variant of it.

    With g the gradient: ``b = momentum * b + (1 - dampening) * g`` (``b = g`` at the first step),
    then ``p -= lr * b``, or with ``nesterov`` ``p -= lr * (g + momentum * b)``. Sutskever et al.,
    "On the importance of initialization and momentum in deep learning", ICML 2013.

    Parameters
    ----------
    momentum : float, default 0
        Share of the last direction that is kept.
    dampening : float, default 0
        Share of the gradient that is left out of the direction.
    nesterov : bool, default False
        Look ahead along the direction; needs momentum and no dampening.
    params, lr, weight_decay, maximize, foreach, differentiable, fused, max_grad_norm
        As for every :class:`Optimizer`.

    Raises
    ------
    ValueError
        If a setting is out of range.

    Examples
    --------
    >>> import lamina
    >>> p = lamina.tensor([1.0], requires_grad=True)
    >>> optimizer = lamina.optim.SGD([p], lr=0.25)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p.tolist()
    [0.5]
    """

    _method = "sgd"
    _slots = ("momentum_buffer",)
    _optional = (("momentum_buffer", "momentum"),)
    _settings = ("lr", "momentum", "dampening", "weight_decay", "nesterov")
    _scalars = ("",)  # PyTorch's counts no steps
    _at_least_zero = ("lr", "momentum", "weight_decay")

    def __init__(
        self,
        params: Params,
        lr: float | _core.Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
        max_grad_norm: float | None = None,
    ) -> None:
        super().__init__(params, settings(locals()), max_grad_norm)

    def _validate(self, group: dict[str, Any]) -> None:
        super()._validate(group)
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError("SGD: nesterov needs a momentum above 0 and dampening 0")
