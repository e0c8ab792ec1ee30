"""Lion."""

from __future__ import annotations

from lamina import _core
from lamina.optim._fused import FusedOptimizer
from lamina.optim.optimizer import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lamina.optim.optimizer import Params


class Lion(FusedOptimizer):
    """Lion: every element moves by ``lr``, in the direction that momentum and gradient agree on.

    With g the gradient: ``p -= lr * (sign(beta1 * m + (1 - beta1) * g) + weight_decay * p)``, then
    ``m = beta2 * m + (1 - beta2) * g``. It wants a learning rate three to ten times smaller than
    Adam's, and a decay as many times larger. Chen et al., "Symbolic discovery of optimization
    algorithms", NeurIPS 2023. PyTorch has none.

    Parameters
    ----------
    lr : float or Tensor, default 1e-4
        How far every element moves.
    betas : tuple of two floats, default (0.9, 0.99)
        Share of the momentum in the direction, and how much of it is kept, in [0, 1).
    weight_decay : float, default 0
        Share of the parameter taken off at each step, times ``lr``.
    params, maximize, foreach, max_grad_norm
        As for every :class:`Optimizer`.

    Raises
    ------
    ValueError
        If a setting is out of range.

    Examples
    --------
    >>> import lamina
    >>> p = lamina.tensor([1.0, -3.0], requires_grad=True)
    >>> optimizer = lamina.optim.Lion([p], lr=0.25)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p.tolist()
    [0.75, -2.75]
    """

    _method = "lion"
    _slots = ("exp_avg",)
    _settings = ("lr", ("betas", 2), "weight_decay")
    _scalars = ("",)
    _at_least_zero = ("lr", "weight_decay")

    def __init__(
        self,
        params: Params,
        lr: float | _core.Tensor = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        max_grad_norm: float | None = None,
    ) -> None:
        super().__init__(params, settings(locals()), max_grad_norm)
