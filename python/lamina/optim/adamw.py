"""Adam with decoupled weight decay."""

from __future__ import annotations

from lamina.optim.adam import Adam

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lamina.optim.optimizer import Params


class AdamW(Adam):
    """:class:`Adam` whose weight decay acts on the parameter itself: ``p -= lr * decay * p``.

    The gradient and its averages do not see the decay, so that it is not scaled by them.
    Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019.

    Parameters
    ----------
    weight_decay : float, default 1e-2
        Share of the parameter taken off at each step, times ``lr``.
    params, lr, betas, eps, amsgrad, maximize, foreach, fused
        As for :class:`Adam`.

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

    _decoupled = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            maximize=maximize,
            foreach=foreach,
            fused=fused,
        )
