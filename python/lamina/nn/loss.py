"""Losses with a term for each element, as modules.

Those against classes are in `lamina.nn.class_loss`, those of vectors in `lamina.nn.distance`. Each
calls the function of `lamina.nn.functional`.
"""

from __future__ import annotations

from lamina._core import Tensor
from lamina.nn import functional
from lamina.nn._docs import add_to_section
from lamina.nn.module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar


class _Loss(Module):
    """A loss with a reduction."""

    _reductions: ClassVar[tuple[str, ...]] = ("none", "mean", "sum")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if ">>>" not in (cls.__doc__ or ""):
            return
        names = ", ".join(f'"{name}"' for name in cls._reductions)
        entry = (
            f'reduction : {{{names}}}, default "mean"\n'
            '    What becomes of the terms: "none" returns each. The mean of no terms is NaN.'
        )
        add_to_section(cls, "Parameters", entry)
        entry = (
            "ValueError\n"
            "    If a setting is none of those that are allowed; by a call, if the sizes of the\n"
            "    tensors do not fit."
        )
        add_to_section(cls, "Raises", entry)

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__()
        if reduction not in self._reductions:
            *most, last = (repr(name) for name in self._reductions)
            raise ValueError(
                f"{type(self).__name__}: reduction must be {', '.join(most)} or {last}, "
                f"got {reduction!r}"
            )
        self.reduction = reduction


class MSELoss(_Loss):
    """The squared difference ``(input - target)^2``.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.MSELoss()(lamina.tensor([1.0, 5.0]), lamina.tensor([2.0, 2.0])).item()
    5.0
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Input and target of one shape; a scalar unless the reduction is "none"."""
        return functional.mse_loss(input, target, reduction=self.reduction)


class L1Loss(_Loss):
    """The absolute difference ``|input - target|``.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.L1Loss()(lamina.tensor([1.0, 3.0]), lamina.tensor([2.0, 1.0])).item()
    1.5
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Input and target of one shape; a scalar unless the reduction is "none"."""
        return functional.l1_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(_Loss):
    """``d^2 / (2 beta)`` where ``|d| < beta``, ``|d| - beta / 2`` elsewhere; d = input - target.

    Girshick, "Fast R-CNN", 2015. :class:`HuberLoss` is ``beta`` times it.

    Parameters
    ----------
    beta : float, default 1.0
        Where the parabola ends; with 0 it is :class:`L1Loss`.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.SmoothL1Loss()(lamina.tensor([0.5, 3.0]), lamina.zeros(2)).item()
    1.3125
    """

    def __init__(self, *, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        if not beta >= 0:
            raise ValueError(f"SmoothL1Loss: beta must be at least 0, got {beta}")
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Input and target of one shape; a scalar unless the reduction is "none"."""
        return functional.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(_Loss):
    """``d^2 / 2`` where ``|d| <= delta``, ``delta (|d| - delta / 2)`` elsewhere.

    ``d`` is input - target. Huber, "Robust Estimation of a Location Parameter", 1964.

    Parameters
    ----------
    delta : float, default 1.0
        Where the parabola ends; positive.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.HuberLoss(delta=2.0)(lamina.tensor([1.0, 4.0]), lamina.zeros(2)).item()
    3.25
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        if not delta > 0:
            raise ValueError(f"HuberLoss: delta must be positive, got {delta}")
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Input and target of one shape; a scalar unless the reduction is "none"."""
        return functional.huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class BCELoss(_Loss):
    """The binary cross-entropy ``-(t * log(x) + (1 - t) * log(1 - x))`` of probabilities.

    A logarithm is at least -100, so that the loss stays finite. Where the probabilities come from
    logits, :class:`BCEWithLogitsLoss` is more exact.

    Parameters
    ----------
    weight : Tensor, optional
        Weights of the elements, broadcast to the input.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> loss = nn.BCELoss()(lamina.tensor([0.5, 0.5]), lamina.tensor([0.0, 1.0]))
    >>> round(loss.item(), 6)  # log(2)
    0.693147
    """

    weight: Tensor | None

    def __init__(self, weight: Tensor | None = None, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.register_buffer("weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Input and target in [0, 1], of one shape."""
        return functional.binary_cross_entropy(
            input, target, weight=self.weight, reduction=self.reduction
        )


class BCEWithLogitsLoss(_Loss):
    """The binary cross-entropy of ``sigmoid(input)``, computed from the logits.

    ``-weight * (pos_weight * t * log(s) + (1 - t) * log(1 - s))`` with ``s = sigmoid(input)``.

    Parameters
    ----------
    weight : Tensor, optional
        Weights of the elements, broadcast to the input.
    pos_weight : Tensor, optional
        Weights of the positive targets, broadcast to the input.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> loss = nn.BCEWithLogitsLoss()(lamina.zeros(2), lamina.tensor([0.0, 1.0]))
    >>> round(loss.item(), 6)  # log(2)
    0.693147
    """

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(reduction=reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Logits and targets in [0, 1], of one shape."""
        return functional.binary_cross_entropy_with_logits(
            input,
            target,
            weight=self.weight,
            pos_weight=self.pos_weight,
            reduction=self.reduction,
        )


class KLDivLoss(_Loss):
    """The terms ``target * (log(target) - input)`` of the divergence of Kullback and Leibler.

    Parameters
    ----------
    log_target : bool, default False
        The target is a logarithm too: ``exp(target) * (target - input)``.

    Notes
    -----
    The divergence itself is the sum over the classes, averaged over a batch by
    ``reduction="batchmean"``: the sum over the size of dimension 0. "mean" divides by the number of
    all elements.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> p = lamina.tensor([[0.5, 0.5]])
    >>> nn.KLDivLoss(reduction="batchmean")(p.log(), p).item()
    0.0
    """

    _reductions = ("none", "mean", "sum", "batchmean")

    def __init__(self, *, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction=reduction)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Log-probabilities, and probabilities or their logarithms, of one shape."""
        return functional.kl_div(
            input, target, reduction=self.reduction, log_target=self.log_target
        )


class SoftMarginLoss(_Loss):
    """``log(1 + exp(-target * input))``, for targets 1 and -1.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.SoftMarginLoss()(lamina.tensor([-1000.0]), lamina.tensor([1.0])).item()
    1000.0
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Input and target of one shape; a scalar unless the reduction is "none"."""
        return functional.soft_margin_loss(input, target, reduction=self.reduction)


class HingeEmbeddingLoss(_Loss):
    """``input`` where the target is 1, ``max(0, margin - input)`` where it is -1.

    For an input that is a distance: of what belongs together, and of what does not.

    Parameters
    ----------
    margin : float, default 1.0
        How far apart the latter should be.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> loss = nn.HingeEmbeddingLoss(reduction="none")
    >>> loss(lamina.tensor([0.25, 0.25]), lamina.tensor([1.0, -1.0])).tolist()
    [0.25, 0.75]
    """

    def __init__(self, margin: float = 1.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Input and target of one shape; a scalar unless the reduction is "none"."""
        return functional.hinge_embedding_loss(
            input, target, margin=self.margin, reduction=self.reduction
        )


class PoissonNLLLoss(_Loss):
    """Minus the log-likelihood of counts that follow Poisson's law.

    ``exp(input) - target * input`` of the logarithm of the rate, or of the rate itself
    ``input - target * log(input + eps)``.

    Parameters
    ----------
    log_input : bool, default True
        The input is the logarithm of the rate.
    full : bool, default False
        Add Stirling's ``t log(t) - t + log(2 pi t) / 2`` for ``log(t!)``, for targets above 1.
    eps : float, default 1e-8
        Keeps the logarithm of a rate from 0.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.PoissonNLLLoss()(lamina.zeros(2), lamina.tensor([0.0, 3.0])).item()
    1.0
    """

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        *,
        eps: float = 1e-8,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.log_input = log_input
        self.full = full
        self.eps = eps

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Input and target of one shape; a scalar unless the reduction is "none"."""
        return functional.poisson_nll_loss(
            input,
            target,
            log_input=self.log_input,
            full=self.full,
            eps=self.eps,
            reduction=self.reduction,
        )


class GaussianNLLLoss(_Loss):
    """Minus the log-likelihood of targets that follow normal laws.

    ``(log(v) + (input - target)^2 / v) / 2`` with ``v = max(var, eps)``, of which the gradient is
    that of ``var``. Nix and Weigend, "Estimating the mean and variance of the target probability
    distribution", 1994.

    Parameters
    ----------
    full : bool, default False
        Add the constant ``log(2 pi) / 2``.
    eps : float, default 1e-6
        The least variance.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> mean, target = lamina.zeros(2), lamina.tensor([1.0, 3.0])
    >>> nn.GaussianNLLLoss()(mean, target, lamina.ones(2)).item()
    2.5
    """

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.full = full
        self.eps = eps

    def forward(self, input: Tensor, target: Tensor, var: Tensor | float) -> Tensor:
        """Means, targets, variances.

        ``var`` has the shape of the input, or 1 for one of its sizes, or lacks the last; or it is
        one number. A target may have 1 for a size of the input.
        """
        return functional.gaussian_nll_loss(
            input, target, var, full=self.full, eps=self.eps, reduction=self.reduction
        )
