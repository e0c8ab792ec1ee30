"""Resilient backpropagation."""

from __future__ import annotations

from lamina import _core
from lamina.optim._fused import FusedOptimizer
from lamina.optim.optimizer import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lamina.optim.optimizer import Params


class Rprop(FusedOptimizer):
    """Rprop: each element has a step of its own, which only the gradient's sign changes.

    Where the gradient keeps its sign the step grows by ``etas[1]``; where it turns, it shrinks by
    ``etas[0]`` and is not taken this time. ``p -= sign(g) * step``. For whole batches, not for
    samples of them. Riedmiller and Braun, "A direct adaptive method for faster backpropagation
    learning", IEEE International Conference on Neural Networks, 1993.

    Parameters
    ----------
    lr : float or Tensor, default 1e-2
        What the steps start from.
    etas : tuple of two floats, default (0.5, 1.2)
        The two factors, the first in (0, 1) and the second above 1.
    step_sizes : tuple of two floats, default (1e-6, 50)
        The shortest and the longest step.
    params, capturable, foreach, maximize, differentiable, max_grad_norm
        As for every :class:`Optimizer`.

    Raises
    ------
    ValueError
        If a setting is out of range.

    Examples
    --------
    >>> import lamina
    >>> p = lamina.tensor([1.0], requires_grad=True)
    >>> optimizer = lamina.optim.Rprop([p], lr=0.25)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (p * p).sum().backward()
    ...     optimizer.step()
    >>> round(p.item(), 6)  # 1 - 0.25 - 1.2 * 0.25
    0.45
    """

    _method = "rprop"
    _slots = ("prev", "step_size")
    _settings = (("etas", 2), ("step_sizes", 2))
    _at_least_zero = ("lr",)

    def __init__(
        self,
        params: Params,
        lr: float | _core.Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        max_grad_norm: float | None = None,
    ) -> None:
        super().__init__(params, settings(locals()), max_grad_norm)

    def _validate(self, group: dict[str, Any]) -> None:
        super()._validate(group)
        etas = group["etas"]
        if len(etas) != 2 or not 0 < etas[0] < 1 < etas[1]:
            raise ValueError(f"Rprop: etas must be a number in (0, 1) and one above 1, got {etas}")

    def _initial(self, name: str, group: dict[str, Any]) -> float:
        return float(group["lr"]) if name == "step_size" else 0.0
