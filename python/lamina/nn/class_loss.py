"""Losses against classes, as modules: each calls the function of `lamina.nn.functional`."""

from __future__ import annotations

from lamina._core import Tensor
from lamina.nn import functional
from lamina.nn.loss import _Loss


class CrossEntropyLoss(_Loss):
    """The cross-entropy between logits and classes or class probabilities.

    For class indices ``-weight[t] * log_softmax(input)[t]``; the mean is weighted and leaves
    out targets equal to ``ignore_index``. For probabilities the sum over the classes of
    ``-weight * target * log_softmax(input)``, and the mean over the samples.

    Parameters
    ----------
    weight : Tensor, optional
        One weight for each class, [C].
    ignore_index : int, default -100
        A class index that counts for nothing.
    label_smoothing : float, default 0.0
        The share of the target that is spread evenly over the classes, in [0, 1].

    Raises
    ------
    IndexError
        By a call, if a class is out of range.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> loss = nn.CrossEntropyLoss()(lamina.zeros(3, 4), lamina.tensor([0, 1, 3]))
    >>> round(loss.item(), 6)  # log(4)
    1.386294
    """

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction=reduction)
        if not 0 <= label_smoothing <= 1:
            raise ValueError(
                f"CrossEntropyLoss: label_smoothing must be in [0, 1], got {label_smoothing}"
            )
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Logits [N, C, ...] with int64 classes [N, ...] or probabilities [N, C, ...].

        Or [C] with one class [], or probabilities [C].
        """
        return functional.cross_entropy(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(_Loss):
    """``-weight[t] * input[t]``, for log-probabilities: what follows a :class:`LogSoftmax`.

    The mean is weighted and leaves out targets equal to ``ignore_index``.

    Parameters
    ----------
    weight : Tensor, optional
        One weight for each class, [C].
    ignore_index : int, default -100
        A target that counts for nothing.

    Raises
    ------
    IndexError
        By a call, if a class is out of range.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.NLLLoss()(lamina.tensor([[-0.5, -1.0]]), lamina.tensor([1])).item()
    1.0
    """

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Log-probabilities [N, C, ...] with int64 classes [N, ...], or [C] with one class []."""
        return functional.nll_loss(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )


class MultiMarginLoss(_Loss):
    """How far other classes come within the margin of the right one.

    The sum over the classes i other than the target t of
    ``weight[t] * max(0, margin - input[t] + input[i])^p``, over the number of all classes.

    Parameters
    ----------
    p : {1, 2}, default 1
        The power.
    margin : float, default 1.0
        How much more the right class should get.
    weight : Tensor, optional
        One weight for each class, [C].

    Raises
    ------
    IndexError
        By a call, if a class is out of range.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.MultiMarginLoss()(lamina.tensor([[0.5, 2.0]]), lamina.tensor([0])).item()
    1.25
    """

    weight: Tensor | None

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        *,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        if p not in (1, 2):
            raise ValueError(f"MultiMarginLoss: p must be 1 or 2, got {p}")
        self.p = p
        self.margin = margin
        self.register_buffer("weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Scores [N, C] with int64 classes [N], or [C] with one class []."""
        return functional.multi_margin_loss(
            input,
            target,
            p=self.p,
            margin=self.margin,
            weight=self.weight,
            reduction=self.reduction,
        )


class MultiLabelSoftMarginLoss(_Loss):
    """The mean over the last dimension of :class:`BCEWithLogitsLoss`: any classes may be right.

    Parameters
    ----------
    weight : Tensor, optional
        One weight for each class, [C].

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> loss = nn.MultiLabelSoftMarginLoss()(lamina.zeros(1, 3), lamina.tensor([[0.0, 1.0, 1.0]]))
    >>> round(loss.item(), 6)  # log(2)
    0.693147
    """

    weight: Tensor | None

    def __init__(self, weight: Tensor | None = None, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.register_buffer("weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Logits and targets 0 and 1, [..., C]; a loss for each [...] unless it is reduced."""
        return functional.multilabel_soft_margin_loss(
            input, target, weight=self.weight, reduction=self.reduction
        )
