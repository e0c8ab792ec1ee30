"""Adam for large tables."""

from __future__ import annotations

import math

from lamina import _core
from lamina._core import Tensor
from lamina.autograd.grad_mode import enable_grad, no_grad
from lamina.optim.optimizer import Optimizer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from lamina.optim.optimizer import Params


class SparseAdam(Optimizer):
    """Adam that leaves alone each row whose gradient is zero: its value and its averages.

    With the gradient of an :class:`lamina.nn.Embedding` that is ``sparse`` a step costs what the
    rows of the batch cost, however large the table; with any other gradient the rows are looked
    for. The formulae are PyTorch's, which adds ``eps`` before the bias of v is taken out:
    ``p -= lr * sqrt(1 - beta2^t) / (1 - beta1^t) * m / (sqrt(v) + eps)``.

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
    maximize : bool, default False
        Go up the gradient instead of down.

    Raises
    ------
    ValueError
        If a setting is out of range.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> table = nn.Embedding.from_pretrained(lamina.ones(1000, 2), freeze=False, sparse=True)
    >>> optimizer = lamina.optim.SparseAdam(table.parameters(), lr=0.75)
    >>> table(lamina.tensor([7, 7])).sum().backward()
    >>> optimizer.step()
    >>> table.weight[6:9].detach().round().tolist()
    [[1.0, 1.0], [0.0, 0.0], [1.0, 1.0]]
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})

    def _validate(self, group: dict[str, Any]) -> None:
        self._require(group, ("lr", "eps"))
        betas = group["betas"]
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"SparseAdam: betas must be two numbers in [0, 1), got {betas}")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the rows that have a gradient; a closure computes it first, and its loss."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        self._update(p, p.grad, group)
        return loss

    def _update(self, p: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        state: Any = self.state[p]
        if not state:
            state["step"] = 0
            state["exp_avg"] = _core.zeros_like(p)
            state["exp_avg_sq"] = _core.zeros_like(p)
        state["step"] += 1
        rows = _core.touched_rows(grad)
        if rows.numel() == 0:
            return
        beta1, beta2 = group["betas"]
        g = -grad[rows] if group["maximize"] else grad[rows]
        means, squares = state["exp_avg"], state["exp_avg_sq"]
        mean = means[rows].lerp_(g, 1 - beta1)
        square = squares[rows].mul_(beta2).addcmul_(g, g, value=1 - beta2)
        means.index_copy_(0, rows, mean)
        squares.index_copy_(0, rows, square)
        bias1, bias2 = 1 - beta1 ** state["step"], 1 - beta2 ** state["step"]
        size = group["lr"] * math.sqrt(bias2) / bias1
        p.index_add_(0, rows, mean.div_(square.sqrt_().add_(group["eps"])), alpha=-size)
