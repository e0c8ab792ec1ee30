"""Windows of an image as columns of a matrix, and back."""

from __future__ import annotations

from lamina import _core
from lamina._core import Tensor
from lamina.nn.module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    Ints = int | tuple[int, ...]


def unfold(
    input: Tensor, kernel_size: Ints, dilation: Ints = 1, padding: Ints = 0, stride: Ints = 1
) -> Tensor:
    """Take the windows of ``[N, C, H, W]`` as columns; see `lamina.nn.Unfold`.

    Examples
    --------
    >>> import lamina
    >>> import lamina.nn.functional as F
    >>> tuple(F.unfold(lamina.ones(1, 3, 8, 8), 3, padding=1).shape)
    (1, 27, 64)
    """
    return _core.im2col(input, kernel_size, dilation, padding, stride)


def fold(
    input: Tensor,
    output_size: Ints,
    kernel_size: Ints,
    dilation: Ints = 1,
    padding: Ints = 0,
    stride: Ints = 1,
) -> Tensor:
    """Add columns up where `unfold` takes them from; see `lamina.nn.Fold`.

    Examples
    --------
    >>> import lamina
    >>> import lamina.nn.functional as F
    >>> tuple(F.fold(lamina.ones(1, 27, 64), 8, 3, padding=1).shape)
    (1, 3, 8, 8)
    """
    return _core.col2im(input, output_size, kernel_size, dilation, padding, stride)


class Unfold(Module):
    """The windows of ``[N, C, H, W]`` as the columns of ``[N, C * kernel, windows]``.

    Each column is a window, channel by channel and row by row; windows go row by row. A
    convolution is the product of its weights and this matrix.

    Parameters
    ----------
    kernel_size : int or pair of int
        Rows and columns of a window.
    dilation : int or pair of int, default 1
        From one element of a window to the next.
    padding : int or pair of int, default 0
        Zeros on every side.
    stride : int or pair of int, default 1
        From one window to the next.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.Unfold(2)(lamina.arange(6.0).reshape(1, 1, 2, 3)).tolist()
    [[[0.0, 1.0], [1.0, 2.0], [3.0, 4.0], [4.0, 5.0]]]
    """

    def __init__(
        self, kernel_size: Ints, dilation: Ints = 1, padding: Ints = 0, stride: Ints = 1
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        """``[N, C, H, W]`` or ``[C, H, W]``, float32 or float64."""
        return unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        """Show the windows."""
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, "
            f"padding={self.padding}, stride={self.stride}"
        )


class Fold(Module):
    """The columns of ``[N, C * kernel, windows]`` added up where `Unfold` takes them from.

    Parameters
    ----------
    output_size : int or pair of int
        H and W of the result ``[N, C, H, W]``.
    kernel_size, dilation, padding, stride : int or pair of int
        As for `Unfold`.

    Raises
    ------
    ValueError
        By a call, if an image of that size has another number of windows.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.Fold((2, 3), 2)(lamina.ones(1, 4, 2)).tolist()
    [[[[1.0, 2.0, 1.0], [1.0, 2.0, 1.0]]]]
    """

    def __init__(
        self,
        output_size: Ints,
        kernel_size: Ints,
        dilation: Ints = 1,
        padding: Ints = 0,
        stride: Ints = 1,
    ) -> None:
        super().__init__()
        self.output_size = output_size
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        """``[N, C * kernel, windows]`` or ``[C * kernel, windows]``, float32 or float64."""
        return fold(
            input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride
        )

    def extra_repr(self) -> str:
        """Show the windows."""
        return (
            f"output_size={self.output_size}, kernel_size={self.kernel_size}, "
            f"dilation={self.dilation}, padding={self.padding}, stride={self.stride}"
        )
