"""Adam with decoupled weight decay."""

from __future__ import annotations

from lamina.optim.adam import Adam

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lamina import _core
    from lamina.optim.optimizer import Params


class AdamW(Adam):
    """:class:`Adam` whose weight decay acts on the parameter itself: ``p -= lr * decay * p``.

    The gradient and its averages do not see the decay, so that it is not scaled by them.
    Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019.

    Parameters
    ----------
    weight_decay : float, default 1e-2
        Share of the parameter taken off at each step, times ``lr``.
    params, lr, betas, eps, amsgrad, maximize, foreach, capturable, differentiable, fused
        As for :class:`Adam`; ``max_grad_norm`` too.

    Raises
    ------
    ValueError
        If a setting is out of range.

    Examples
    --------
    >>> import lamina
    >>> p = lamina.tensor([1.0], requires_grad=True)
    >>> optimizer = lamina.optim.AdamW([p], lr=0.5, weight_decay=0.5)
    >>> (p * 0).sum().backward()
    >>> optimizer.step()  # no gradient: only the decay
    >>> p.tolist()
    [0.75]
    """

    def __init__(
        self,
        params: Params,
        lr: float | _core.Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        max_grad_norm: float | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
            max_grad_norm=max_grad_norm,
        )

    def _validate(self, group: dict[str, Any]) -> None:
        # What was saved before there was the setting, or by hand, is AdamW all the same.
        group["decoupled_weight_decay"] = True
        super()._validate(group)
