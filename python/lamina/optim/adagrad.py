"""Adagrad."""

from __future__ import annotations

from lamina import _core
from lamina.optim._fused import FusedOptimizer
from lamina.optim.optimizer import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lamina.optim.optimizer import Params


class Adagrad(FusedOptimizer):
    """Adagrad: steps scaled by the sum of all squared gradients so far.

    With g the gradient and t the number of the step: ``s += g^2``, then
    ``p -= lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps)``. Duchi, Hazan and Singer, "Adaptive
    subgradient methods for online learning and stochastic optimization", JMLR 12, 2011.

    Parameters
    ----------
    lr_decay : float, default 0
        How fast the learning rate falls.
    initial_accumulator_value : float, default 0
        What the sums start from.
    eps : float, default 1e-10
        Added to the denominator.
    params, lr, weight_decay, foreach, maximize, differentiable, fused, max_grad_norm
        As for every :class:`Optimizer`.

    Raises
    ------
    ValueError
        If a setting is out of range.

    Examples
    --------
    >>> import lamina
    >>> p = lamina.tensor([1.0], requires_grad=True)
    >>> optimizer = lamina.optim.Adagrad([p], lr=0.5)
    >>> (p * p).sum().backward()
    >>> optimizer.step()  # the first step has length lr
    >>> round(p.item(), 6)
    0.5
    """

    _method = "adagrad"
    _slots = ("sum",)
    _settings = ("lr", "lr_decay", "eps", "weight_decay")
    _at_least_zero = ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")

    def __init__(
        self,
        params: Params,
        lr: float | _core.Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        max_grad_norm: float | None = None,
    ) -> None:
        super().__init__(params, settings(locals()), max_grad_norm)
        self._align()  # PyTorch's has its state from the start

    def _initial(self, name: str, group: dict[str, Any]) -> float:
        return float(group["initial_accumulator_value"]) if name == "sum" else 0.0

    def _saved_state(self) -> dict[_core.Tensor, dict[str, Any]]:
        return {param: dict(state) for param, state in self.state.items()}
