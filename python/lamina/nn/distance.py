"""Distances and angles of vectors, and the losses made of them, as modules."""

from __future__ import annotations

from lamina._core import Tensor
from lamina.nn import functional
from lamina.nn.loss import _Loss
from lamina.nn.module import Module


class CosineSimilarity(Module):
    """The cosine of the angle between vectors: ``x1 x2 / (max(|x1|, eps) * max(|x2|, eps))``.

    Parameters
    ----------
    dim : int, default 1
        The dimension that holds a vector.
    eps : float, default 1e-8
        The least length.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.CosineSimilarity(dim=0)(lamina.tensor([2.0, 0.0]), lamina.tensor([-3.0, 0.0])).item()
    -1.0
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Two tensors that broadcast; the result lacks ``dim``."""
        return functional.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """The p-norm of ``x1 - x2 + eps`` along the last dimension.

    Parameters
    ----------
    p : float, default 2.0
        The order of the norm; it may be infinite or negative.
    eps : float, default 1e-6
        Keeps the distance of equal points from 0, where it has no derivative.
    keepdim : bool, default False
        Keep the last dimension, with size 1.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.PairwiseDistance(eps=0.0)(lamina.tensor([[3.0, 4.0]]), lamina.zeros(1, 2)).tolist()
    [5.0]
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """[N, D] or [D], both or one of them."""
        return functional.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)


class MarginRankingLoss(_Loss):
    """``max(0, margin - target * (input1 - input2))``: which of two should rank higher.

    Parameters
    ----------
    margin : float, default 0.0
        By how much it should.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> x1, x2 = lamina.tensor([1.0, 1.0]), lamina.tensor([3.0, 3.0])
    >>> nn.MarginRankingLoss(reduction="none")(x1, x2, lamina.tensor([1.0, -1.0])).tolist()
    [2.0, 0.0]
    """

    def __init__(self, margin: float = 0.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """Of one rank, and broadcast; the target is 1 where the first should rank higher, or -1."""
        return functional.margin_ranking_loss(
            input1, input2, target, margin=self.margin, reduction=self.reduction
        )


class CosineEmbeddingLoss(_Loss):
    """``1 - cos`` where the target is 1, ``max(0, cos - margin)`` where it is -1.

    ``cos`` is the cosine of the angle between the two inputs.

    Parameters
    ----------
    margin : float, default 0.0
        Up to which cosine vectors count as different; in [-1, 1], 0 to 0.5 is usual.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> x1, x2 = lamina.tensor([[2.0, 0.0]]), lamina.tensor([[0.0, 1.0]])
    >>> nn.CosineEmbeddingLoss()(x1, x2, lamina.tensor([1])).item()
    1.0
    """

    def __init__(self, margin: float = 0.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """[N, D] twice and [N], or [D] twice and []."""
        return functional.cosine_embedding_loss(
            input1, input2, target, margin=self.margin, reduction=self.reduction
        )


class TripletMarginLoss(_Loss):
    """``max(0, margin + |anchor - positive| - |anchor - negative|)``.

    The lengths are those of :class:`PairwiseDistance`. Balntas et al., "Learning shallow
    convolutional feature descriptors with triplet losses", 2016.

    Parameters
    ----------
    margin : float, default 1.0
        How much farther the negative should be; positive.
    p : float, default 2.0
        The order of the norm.
    eps : float, default 1e-6
        As for :class:`PairwiseDistance`.
    swap : bool, default False
        Take the distance of positive and negative where it is less than that of anchor and
        negative.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> anchor = lamina.zeros(1, 1)
    >>> nn.TripletMarginLoss()(anchor, anchor + 2, anchor + 2).item()
    1.0
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        *,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        if not margin > 0:
            raise ValueError(f"TripletMarginLoss: margin must be positive, got {margin}")
        self.margin = margin
        self.p = p
        self.eps = eps
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """[N, D] or [D], of one rank."""
        return functional.triplet_margin_loss(
            anchor,
            positive,
            negative,
            margin=self.margin,
            p=self.p,
            eps=self.eps,
            swap=self.swap,
            reduction=self.reduction,
        )
