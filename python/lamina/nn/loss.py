"""Losses as modules: each calls the function of `lamina.nn.functional`."""

from __future__ import annotations

from lamina._core import Tensor
from lamina.nn import functional
from lamina.nn.module import Module


class _Loss(Module):
    """A loss with a reduction."""

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__()
        if reduction not in ("none", "mean", "sum"):
            raise ValueError(
                f"{type(self).__name__}: reduction must be 'none', 'mean' or 'sum', "
                f"got {reduction!r}"
            )
        self.reduction = reduction


class MSELoss(_Loss):
    """The squared difference ``(input - target)^2``.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        What becomes of the elements.

    Raises
    ------
    ValueError
        By a call, if input and target differ in shape.

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

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        What becomes of the elements.

    Raises
    ------
    ValueError
        By a call, if input and target differ in shape.

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


class CrossEntropyLoss(_Loss):
    """The cross-entropy between logits and classes or class probabilities.

    For class indices ``-weight[t] * log_softmax(input)[t]``; the mean is weighted and leaves
    out targets equal to ``ignore_index``.

    Parameters
    ----------
    weight : Tensor, optional
        One weight for each class, [C].
    ignore_index : int, default -100
        A target that counts for nothing.
    reduction : {"mean", "sum", "none"}, default "mean"
        What becomes of the losses of the samples.
    label_smoothing : float, default 0.0
        The share of the target that is spread evenly over the classes, in [0, 1].

    Raises
    ------
    ValueError, IndexError
        By a call, if shapes do not fit or a target is out of range.

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
        """Logits [N, C, ...] with int64 classes [N, ...] or probabilities [N, C, ...]."""
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

    Parameters
    ----------
    weight : Tensor, optional
        One weight for each class, [C].
    ignore_index : int, default -100
        A target that counts for nothing.
    reduction : {"mean", "sum", "none"}, default "mean"
        What becomes of the losses of the samples; the mean is weighted.

    Raises
    ------
    ValueError, IndexError
        By a call, if shapes do not fit or a target is out of range.

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
        """Log-probabilities [N, C, ...] with int64 classes [N, ...]."""
        return functional.nll_loss(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )


class BCEWithLogitsLoss(_Loss):
    """The binary cross-entropy of ``sigmoid(input)``, computed from the logits.

    ``-weight * (pos_weight * t * log(s) + (1 - t) * log(1 - s))`` with ``s = sigmoid(input)``.

    Parameters
    ----------
    weight : Tensor, optional
        Weights of the elements, broadcast against the input.
    reduction : {"mean", "sum", "none"}, default "mean"
        What becomes of the elements.
    pos_weight : Tensor, optional
        Weights of the positive targets, broadcast against the input.

    Raises
    ------
    ValueError
        By a call, if input and target differ in shape.

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
