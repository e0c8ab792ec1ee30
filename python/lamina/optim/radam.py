"""RAdam."""

from __future__ import annotations

from lamina import _core
from lamina.optim._fused import FusedOptimizer
from lamina.optim.optimizer import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lamina.optim.optimizer import Params


class RAdam(FusedOptimizer):
    """RAdam: Adam whose step waits until the average of squares has something to say.

    With m and v as in :class:`Adam`, ``n = 2 / (1 - beta2) - 1`` and
    ``n_t = n - 2 * t * beta2^t / (1 - beta2^t)``: while ``n_t <= 5``,
    ``p -= lr * m / (1 - beta1^t)``; afterwards the step is divided by
    ``sqrt(v / (1 - beta2^t))`` (with eps beside the root of v) and multiplied by
    ``sqrt((n_t - 4) * (n_t - 2) * n / ((n - 4) * (n - 2) * n_t))``. Liu et al., "On the variance
    of the adaptive learning rate and beyond", ICLR 2020.

    Parameters
    ----------
    betas : tuple of two floats, default (0.9, 0.999)
        How much of the averages is kept at each step, in [0, 1).
    eps : float, default 1e-8
        Added to the denominator.
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
    >>> optimizer = lamina.optim.RAdam([p], lr=0.25)
    >>> (p * p).sum().backward()
    >>> optimizer.step()  # the first step is lr times the gradient
    >>> round(p.item(), 6)
    0.5
    """

    _method = "radam"
    _slots = ("exp_avg", "exp_avg_sq")
    _settings = ("lr", ("betas", 2), "eps", "weight_decay", "decoupled_weight_decay")

    def __init__(
        self,
        params: Params,
        lr: float | _core.Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        max_grad_norm: float | None = None,
    ) -> None:
        super().__init__(params, settings(locals()), max_grad_norm)
