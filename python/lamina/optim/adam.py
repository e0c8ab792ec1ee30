"""Adam."""

from __future__ import annotations

from lamina import _core
from lamina.optim._fused import FusedOptimizer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar

    from lamina.optim.optimizer import Params


class Adam(FusedOptimizer):
    """Adam: steps scaled by running averages of the gradient and of its square.

    With g the gradient plus ``weight_decay * p`` and t the number of the step:
    ``m = beta1 * m + (1 - beta1) * g``, ``v = beta2 * v + (1 - beta2) * g^2``, then
    ``p -= lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)``. Kingma and Ba, "Adam: a
    method for stochastic optimization", ICLR 2015; ``amsgrad``: Reddi et al., ICLR 2018.

    Parameters
    ----------
    params : iterable of Tensor or of dict
        What to optimize, or groups of it; see :class:`Optimizer`.
    lr : float, default 1e-3
        Learning rate.
    betas : tuple of two floats, default (0.9, 0.999)
        How much of the averages is kept at each step, in [0, 1).
    eps : float, default 1e-8
        Added to the denominator.
    weight_decay : float, default 0
        Factor of the L2 penalty.
    amsgrad : bool, default False
        Divide by the largest v so far instead of the newest.
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
    >>> optimizer = lamina.optim.Adam([p], lr=0.5)
    >>> (p * p).sum().backward()
    >>> optimizer.step()  # the first step has length lr
    >>> round(p.item(), 6)
    0.5
    """

    _decoupled: ClassVar[bool] = False
    _slots = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _validate(self, group: dict[str, Any]) -> None:
        self._require(group, ("lr", "eps", "weight_decay"))
        betas = group["betas"]
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(
                f"{type(self).__name__}: betas must be two numbers in [0, 1), got {betas}"
            )

    def _buffers(self, group: dict[str, Any]) -> tuple[str, ...]:
        return self._slots if group["amsgrad"] else self._slots[:2]

    def _update(self, group: dict[str, Any], tensors: object) -> None:
        beta1, beta2 = group["betas"]
        _core.adam_step(
            tensors,
            float(group["lr"]),
            beta1,
            beta2,
            group["eps"],
            group["weight_decay"],
            self._decoupled,
            group["maximize"],
        )
