"""Dropout, of elements and of channels."""

from __future__ import annotations

from lamina import _core
from lamina._core import Tensor
from lamina.nn.module import Module


class _Dropout(Module):
    """What the dropouts share; they differ in the function they call."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: p must be in [0, 1], got {p}")
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        """Show the probability."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """In training mode sets each element to 0 with probability ``p``, and scales the others.

    The others are divided by ``1 - p``, so that the expectation stays; in evaluation mode the
    input is returned. Srivastava et al., "Dropout", JMLR 2014.

    Parameters
    ----------
    p : float, default 0.5
        Probability of an element to be dropped, in [0, 1].
    inplace : bool, default False
        Write the result into the input.

    Raises
    ------
    ValueError
        If ``p`` is not in [0, 1].

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.Dropout(0.9).eval()(lamina.ones(3)).tolist()
    [1.0, 1.0, 1.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Drop elements of ``input``, of any shape, in training mode."""
        return _core.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_Dropout):
    """`Dropout` of whole channels: of the rows of ``[N, C, L]`` or ``[C, L]``.

    Neighbours in a row are often alike, and dropping single ones would teach little. Tompson et
    al., "Efficient Object Localization Using Convolutional Networks", CVPR 2015.

    Parameters
    ----------
    p : float, default 0.5
        Probability of a channel to be dropped, in [0, 1].
    inplace : bool, default False
        Write the result into the input.

    Raises
    ------
    ValueError
        If ``p`` is not in [0, 1].

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.Dropout1d(0.5)(lamina.ones(100, 3)).sum(1).unique().tolist()
    [0.0, 6.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        """``[N, C, L]`` or ``[C, L]``; drop channels in training mode."""
        return _core.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """`Dropout` of whole channels of ``[N, C, H, W]``, or of ``[N, C, L]``.

    Tompson et al., "Efficient Object Localization Using Convolutional Networks", CVPR 2015. As in
    PyTorch an input of three dimensions is ``[N, C, L]``, not an image without a batch.

    Parameters
    ----------
    p : float, default 0.5
        Probability of a channel to be dropped, in [0, 1].
    inplace : bool, default False
        Write the result into the input.

    Raises
    ------
    ValueError
        If ``p`` is not in [0, 1].

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.Dropout2d(0.5)(lamina.ones(1, 100, 2, 2)).sum((2, 3)).unique().tolist()
    [0.0, 8.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        """``[N, C, H, W]`` or ``[N, C, L]``; drop channels in training mode."""
        return _core.dropout2d(input, self.p, self.training, self.inplace)


class AlphaDropout(_Dropout):
    """Dropout that keeps mean 0 and variance 1, for networks with SELU.

    In training mode an element becomes ``-1.7581``, the limit of SELU, with probability ``p``;
    then all are scaled and shifted so that input of mean 0 and variance 1 keeps both. Klambauer
    et al., "Self-Normalizing Neural Networks", NeurIPS 2017.

    Parameters
    ----------
    p : float, default 0.5
        Probability of an element to be dropped, in [0, 1].
    inplace : bool, default False
        Write the result into the input.

    Raises
    ------
    ValueError
        If ``p`` is not in [0, 1].

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> len(nn.AlphaDropout(0.5)(lamina.ones(100)).unique())
    2
    """

    def forward(self, input: Tensor) -> Tensor:
        """Drop elements of ``input``, of any shape, in training mode."""
        return _core.alpha_dropout(input, self.p, self.training, self.inplace)
