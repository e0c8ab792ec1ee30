"""NAdam."""

from __future__ import annotations

from lamina import _core
from lamina.optim._fused import FusedOptimizer
from lamina.optim.optimizer import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lamina.optim.optimizer import Params


class NAdam(FusedOptimizer):
    """NAdam: Adam that looks ahead along its momentum, as Nesterov's does.

    With g the gradient and t the number of the step: m and v as in :class:`Adam`,
    ``mu_t = beta1 * (1 - 0.96^(t * momentum_decay) / 2)`` with the product M_t of all up to it,
    ``n = (1 - mu_t) * g / (1 - M_t) + mu_(t+1) * m / (1 - M_(t+1))``, then
    ``p -= lr * n / (sqrt(v / (1 - beta2^t)) + eps)``. Dozat, "Incorporating Nesterov momentum into
    Adam", ICLR workshop 2016.

    Parameters
    ----------
    betas : tuple of two floats, default (0.9, 0.999)
        How much of the averages is kept at each step, in [0, 1).
    eps : float, default 1e-8
        Added to the denominator.
    momentum_decay : float, default 4e-3
        How fast the momentum grows from half of beta1 to all of it.
    decoupled_weight_decay : bool, default False
        Take the decay off the parameter, as :class:`AdamW` does.
    params, lr, weight_decay, foreach, maximize, capturable, differentiable, max_grad_norm
        As for every :class:`Optimizer`.

    Raises
    ------
    ValueError
        If a setting is out of range.

    Examples
    --------
    >>> import lamina
    >>> p = lamina.tensor([1.0], requires_grad=True)
    >>> optimizer = lamina.optim.NAdam([p], lr=0.5, betas=(0.0, 0.999))
    >>> (p * p).sum().backward()
    >>> optimizer.step()  # without momentum the first step has length lr
    >>> round(p.item(), 6)
    0.5
    """

    _method = "nadam"
    _slots = ("exp_avg", "exp_avg_sq")
    _settings = (
        "lr",
        ("betas", 2),
        "eps",
        "weight_decay",
        "momentum_decay",
        "decoupled_weight_decay",
    )
    _scalars = ("step", "mu_product")
    _at_least_zero = ("lr", "eps", "weight_decay", "momentum_decay")

    def __init__(
        self,
        params: Params,
        lr: float | _core.Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        max_grad_norm: float | None = None,
    ) -> None:
        super().__init__(params, settings(locals()), max_grad_norm)

    def _initial(self, name: str, group: dict[str, Any]) -> float:
        return 1.0 if name == "mu_product" else 0.0
