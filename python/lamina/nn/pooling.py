"""Pooling layers: each calls the function of `lamina.nn.functional`."""

from __future__ import annotations

from lamina import _core
from lamina._core import Tensor
from lamina.nn import _resize
from lamina.nn.module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Ints = int | tuple[int, ...]


def _tuple(value: Any, rank: int) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, (list, tuple)) else (value,) * rank


class _MaxPool(Module):
    """What the max pools share; they differ in the dimensions they go over."""

    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        dilation: Ints = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        """Show the windows."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The largest element of each window of ``[N, C, L]`` or ``[C, L]``.

    The result has ``floor((L + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1``
    windows. Of equal elements the first is taken; a NaN is larger than any number.

    Parameters
    ----------
    kernel_size : int
        Elements in a window.
    stride : int, optional
        From one window to the next; the kernel's size by default.
    padding : int, default 0
        Elements of minus infinity at both ends, at most half of the kernel.
    dilation : int, default 1
        From one element of a window to the next.
    return_indices : bool, default False
        Return a pair: the maxima and, int64, where they are.
    ceil_mode : bool, default False
        Round the number of windows up: the last may reach beyond the padding.

    Raises
    ------
    ValueError
        By a call, if the windows do not fit the input.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.MaxPool1d(2)(lamina.tensor([[1.0, 3.0, 2.0, 0.0]])).tolist()
    [[3.0, 2.0]]
    """

    def forward(self, input: Tensor) -> Any:
        """``[N, C, L]`` or ``[C, L]``, float32 or float64."""
        return _core.max_pool1d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )


class MaxPool2d(_MaxPool):
    """The largest element of each window of ``[N, C, H, W]`` or ``[C, H, W]``.

    H and W become ``floor((n + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1``. Of
    equal elements the first is taken, row by row; a NaN is larger than any number.

    Parameters
    ----------
    kernel_size : int or pair of int
        Rows and columns of a window; a pair has one number for each.
    stride : int or pair of int, optional
        From one window to the next; the kernel's size by default.
    padding : int or pair of int, default 0
        Elements of minus infinity on every side, at most half of the kernel.
    dilation : int or pair of int, default 1
        From one element of a window to the next.
    return_indices : bool, default False
        Return a pair: the maxima and, int64, where they are: ``row * W + column``.
    ceil_mode : bool, default False
        Round the number of windows up: the last may reach beyond the padding.

    Raises
    ------
    ValueError
        By a call, if the windows do not fit the input.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> x = lamina.arange(16.0).reshape(1, 1, 4, 4)
    >>> nn.MaxPool2d(2)(x).tolist()
    [[[[5.0, 7.0], [13.0, 15.0]]]]
    """

    def forward(self, input: Tensor) -> Any:
        """``[N, C, H, W]`` or ``[C, H, W]``, float32 or float64."""
        return _core.max_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )


class MaxUnpool2d(Module):
    """The inverse of `MaxPool2d` as far as there is one: maxima at their places, zeros elsewhere.

    Parameters
    ----------
    kernel_size, stride, padding : int or pair of int
        Those of the pooling; the stride is the kernel's size by default.

    Raises
    ------
    ValueError, IndexError
        By a call, if the indices do not fit the input, or ``output_size`` is no size that pools
        to the input's.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> x = lamina.tensor([[[1.0, 2.0], [4.0, 3.0]]])
    >>> y, where = nn.MaxPool2d(2, return_indices=True)(x)
    >>> nn.MaxUnpool2d(2)(y, where).tolist()
    [[[0.0, 0.0], [4.0, 0.0]]]
    """

    def __init__(self, kernel_size: Ints, stride: Ints | None = None, padding: Ints = 0) -> None:
        super().__init__()
        self.kernel_size = _tuple(kernel_size, 2)
        self.stride = self.kernel_size if stride is None else _tuple(stride, 2)
        self.padding = _tuple(padding, 2)

    def forward(
        self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None
    ) -> Tensor:
        """``[N, C, H, W]`` or ``[C, H, W]``, and indices of the same shape."""
        return _core.max_unpool2d(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )

    def extra_repr(self) -> str:
        """Show the windows."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _AvgPool(Module):
    kernel_size: Ints
    stride: Ints
    padding: Ints

    def extra_repr(self) -> str:
        """Show the windows."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPool):
    """The mean of each window of ``[N, C, L]`` or ``[C, L]``.

    Parameters
    ----------
    kernel_size : int
        Elements in a window.
    stride : int, optional
        From one window to the next; the kernel's size by default.
    padding : int, default 0
        Zeros at both ends, at most half of the kernel.
    ceil_mode : bool, default False
        Round the number of windows up: the last may reach beyond the padding.
    count_include_pad : bool, default True
        Whether the padding counts among the elements that are averaged.

    Raises
    ------
    ValueError
        By a call, if the windows do not fit the input.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.AvgPool1d(2)(lamina.tensor([[1.0, 3.0, 2.0, 0.0]])).tolist()
    [[2.0, 1.0]]
    """

    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = _tuple(kernel_size, 1)
        self.stride = self.kernel_size if stride is None else _tuple(stride, 1)
        self.padding = _tuple(padding, 1)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        """``[N, C, L]`` or ``[C, L]``, float32 or float64."""
        return _core.avg_pool1d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
        )


class AvgPool2d(_AvgPool):
    """The mean of each window of ``[N, C, H, W]`` or ``[C, H, W]``.

    Parameters
    ----------
    kernel_size : int or pair of int
        Rows and columns of a window.
    stride : int or pair of int, optional
        From one window to the next; the kernel's size by default.
    padding : int or pair of int, default 0
        Zeros on every side, at most half of the kernel.
    ceil_mode : bool, default False
        Round the number of windows up: the last may reach beyond the padding.
    count_include_pad : bool, default True
        Whether the padding counts among the elements that are averaged.
    divisor_override : int, optional
        What to divide the sums by, whatever the window.

    Raises
    ------
    ValueError
        By a call, if the windows do not fit the input.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.AvgPool2d(2)(lamina.arange(16.0).reshape(1, 1, 4, 4)).tolist()
    [[[[2.5, 4.5], [10.5, 12.5]]]]
    """

    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        """``[N, C, H, W]`` or ``[C, H, W]``, float32 or float64."""
        return _core.avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )


class _Adaptive(Module):
    """A pooling to a given size."""

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        """Show the size."""
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_Adaptive):
    """The means of ``output_size`` windows that cut L of ``[N, C, L]`` or ``[C, L]`` evenly.

    Window i of n goes from ``floor(i L / n)`` to ``ceil((i + 1) L / n)``.

    Parameters
    ----------
    output_size : int
        How many windows.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.AdaptiveAvgPool1d(2)(lamina.tensor([[1.0, 2.0, 6.0]])).tolist()
    [[1.5, 4.0]]
    """

    def forward(self, input: Tensor) -> Tensor:
        """``[N, C, L]`` or ``[C, L]``, float32 or float64."""
        return _core.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool2d(_Adaptive):
    """The means of windows that cut H and W of ``[N, C, H, W]`` or ``[C, H, W]`` evenly.

    Window i of n goes from ``floor(i H / n)`` to ``ceil((i + 1) H / n)``.

    Parameters
    ----------
    output_size : int or pair of int or None
        How many windows; None keeps the input's size.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> tuple(nn.AdaptiveAvgPool2d(1)(lamina.ones(32, 64, 7, 7)).shape)
    (32, 64, 1, 1)
    """

    def forward(self, input: Tensor) -> Tensor:
        """``[N, C, H, W]`` or ``[C, H, W]``, float32 or float64."""
        return _resize.adaptive_avg_pool2d(input, self.output_size)


class _AdaptiveMax(_Adaptive):
    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices


class AdaptiveMaxPool1d(_AdaptiveMax):
    """The maxima of ``output_size`` windows that cut L of ``[N, C, L]`` or ``[C, L]`` evenly.

    Parameters
    ----------
    output_size : int
        How many windows.
    return_indices : bool, default False
        Return a pair: the maxima and, int64, where they are.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.AdaptiveMaxPool1d(2)(lamina.tensor([[1.0, 2.0, 6.0]])).tolist()
    [[2.0, 6.0]]
    """

    def forward(self, input: Tensor) -> Any:
        """``[N, C, L]`` or ``[C, L]``, float32 or float64."""
        return _core.adaptive_max_pool1d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool2d(_AdaptiveMax):
    """The maxima of windows that cut H and W of ``[N, C, H, W]`` or ``[C, H, W]`` evenly.

    Parameters
    ----------
    output_size : int or pair of int or None
        How many windows; None keeps the input's size.
    return_indices : bool, default False
        Return a pair: the maxima and, int64, where they are: ``row * W + column``.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.AdaptiveMaxPool2d((1, None))(lamina.tensor([[[1.0, 4.0], [2.0, 3.0]]])).tolist()
    [[[2.0, 4.0]]]
    """

    def forward(self, input: Tensor) -> Any:
        """``[N, C, H, W]`` or ``[C, H, W]``, float32 or float64."""
        return _resize.adaptive_max_pool2d(input, self.output_size, self.return_indices)
