"""Stochastic gradient descent."""

from __future__ import annotations

from lamina import _core
from lamina.optim._fused import FusedOptimizer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lamina.optim.optimizer import Params


class SGD(FusedOptimizer):
    """Stochastic gradient descent, with momentum and Nesterov's variant of it.

    With g the gradient plus ``weight_decay * p``: ``b = momentum * b + (1 - dampening) * g``
    (``b = g`` at the first step), then ``p -= lr * b``, or with ``nesterov``
    ``p -= lr * (g + momentum * b)``. Sutskever et al., "On the importance of initialization and
    momentum in deep learning", ICML 2013.

    Parameters
    ----------
    params : iterable of Tensor or of dict
        What to optimize, or groups of it; see :class:`Optimizer`.
    lr : float, default 1e-3
        Learning rate.
    momentum : float, default 0
        Share of the last direction that is kept.
    dampening : float, default 0
        Share of the gradient that is left out of the direction.
    weight_decay : float, default 0
        Factor of the L2 penalty.
    nesterov : bool, default False
        Look ahead along the direction; needs momentum and no dampening.
    maximize : bool, default False
        Go up the gradient instead of down.
    foreach, fused : bool, optional
        Accepted as PyTorch's hints; the step is fused always.

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

    _slots = ("momentum_buffer",)

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _validate(self, group: dict[str, Any]) -> None:
        self._require(group, ("lr", "momentum", "weight_decay"))
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError("SGD: nesterov needs a momentum above 0 and dampening 0")

    def _buffers(self, group: dict[str, Any]) -> tuple[str, ...]:
        return self._slots if group["momentum"] else ()

    def _update(self, group: dict[str, Any], tensors: object) -> None:
        _core.sgd_step(
            tensors,
            float(group["lr"]),
            group["momentum"],
            group["dampening"],
            group["weight_decay"],
            group["nesterov"],
            group["maximize"],
        )
