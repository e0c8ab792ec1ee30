"""Convolutions and transposed convolutions, in one and two dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lamina import _core
from lamina._core import Tensor, conv_act, conv_transpose1d, conv_transpose2d
from lamina.nn import init
from lamina.nn.module import Module
from lamina.nn.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar

_MODES = ("zeros", "reflect", "replicate", "circular")


class _Conv(Module):
    """What all of them have: settings as tuples, a weight and a bias with their starting laws."""

    _spatial: ClassVar[int]
    _transposed: ClassVar[bool] = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int],
        padding: str | int | Sequence[int],
        dilation: int | Sequence[int],
        output_padding: int | Sequence[int],
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: _core.dtype | None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if groups < 1:
            raise ValueError(f"{name}: groups must be at least 1, got {groups}")
        for what, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise ValueError(f"{name}: groups = {groups} must divide {what} = {channels}")
        if padding_mode not in (_MODES[:1] if self._transposed else _MODES):
            allowed = "'zeros'" if self._transposed else ", ".join(map(repr, _MODES))
            raise ValueError(f"{name}: padding_mode must be {allowed}, got {padding_mode!r}")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = self._tuple("kernel_size", kernel_size)
        self.stride = self._tuple("stride", stride)
        self.padding = padding if isinstance(padding, str) else self._tuple("padding", padding)
        self.dilation = self._tuple("dilation", dilation)
        self.transposed = self._transposed
        self.output_padding = self._tuple("output_padding", output_padding)
        self.groups = groups
        self.padding_mode = padding_mode
        if padding == "same" and any(step != 1 for step in self.stride):
            raise ValueError(f"{name}: padding 'same' needs a stride of 1, got {self.stride}")
        if isinstance(padding, str) and padding not in ("same", "valid"):
            raise ValueError(f"{name}: padding must be numbers, 'valid' or 'same', got {padding!r}")
        ends = (out_channels, in_channels)
        first, second = ends[::-1] if self._transposed else ends
        shape = (first, second // groups, *self.kernel_size)
        self.weight = Parameter(_core.empty(shape, dtype=dtype, device=device))
        self.bias: Parameter | None
        self.register_parameter(
            "bias",
            Parameter(_core.empty((out_channels,), dtype=dtype, device=device)) if bias else None,
        )
        self.reset_parameters()

    def _tuple(self, what: str, value: int | Sequence[int]) -> tuple[int, ...]:
        if isinstance(value, int):
            return (value,) * self._spatial
        if len(value) != self._spatial:
            name, count = type(self).__name__, self._spatial
            raise ValueError(f"{name}: {what} must be one number or {count}, got {value}")
        return tuple(value)

    def reset_parameters(self) -> None:
        """Draw new values, as at the start."""
        if self.weight.numel() == 0:
            if self.bias is not None:
                init.zeros_(self.bias)
            return
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))  # the bound is then 1/sqrt(fan_in)
        if self.bias is not None:
            bound = 1 / math.sqrt(self.weight[0].numel())
            init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        """Show the sizes, and the settings that are not the default ones."""
        shown = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"]
        shown.append(f"stride={self.stride}")
        for name, default in (("padding", 0), ("dilation", 1), ("output_padding", 0)):
            value = getattr(self, name)
            if value != (default,) * self._spatial:
                shown.append(f"{name}={value}")
        if self.groups != 1:
            shown.append(f"groups={self.groups}")
        if self.bias is None:
            shown.append("bias=False")
        if self.padding_mode != "zeros":
            shown.append(f"padding_mode={self.padding_mode}")
        return ", ".join(shown)


class _Convolution(_Conv):
    """A convolution with the padding that it was made with."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: str | int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: _core.dtype | None = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            0,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Tensor) -> Tensor:
        """Correlate ``input`` with the filters."""
        return self._convolve(input, "none")

    def _convolve(self, input: Tensor, activation: str) -> Tensor:
        """Give the result to an activation, within the same op."""
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            from lamina.nn import functional

            ends: list[int] = []  # from the last dimension to the first, as F.pad takes them
            for i in reversed(range(self._spatial)):
                reach = self.dilation[i] * (self.kernel_size[i] - 1) if padding == "same" else 0
                both = 0 if padding == "valid" else None if padding == "same" else padding[i]
                ends += [reach // 2, reach - reach // 2] if both is None else [both, both]
            pad: Any = functional.pad
            input, padding = pad(input, ends, self.padding_mode), 0
        return conv_act(
            input,
            self.weight,
            self.bias,
            self.stride,
            padding,
            self.dilation,
            self.groups,
            activation,
        )


class Conv1d(_Convolution):
    """Correlation of ``[N, C, L]`` (or ``[C, L]``) with filters along L: see :class:`Conv2d`.

    Its settings are one number each, or a tuple of one.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> tuple(nn.Conv1d(16, 33, 3, stride=2)(lamina.zeros(20, 16, 50)).shape)
    (20, 33, 24)
    """

    _spatial = 1


class Conv2d(_Convolution):
    """Correlation of images ``[N, C, H, W]`` (or one ``[C, H, W]``) with filters.

    ``y[n, k, i, j] = bias[k] + sum over c, r, s of weight[k, c, r, s] * x[n, c, i * stride -
    padding + r * dilation, j * stride - padding + s * dilation]``, where x counts as zero outside.
    The result is ``[N, out_channels, P, Q]`` with ``P = (H + 2 * padding - dilation *
    (kernel_size - 1) - 1) // stride + 1``.

    Parameters
    ----------
    in_channels, out_channels : int
        C, and the number of filters.
    kernel_size : int or tuple
        Height and width of the filters; one number stands for both, here and below.
    stride : int or tuple, default 1
        Steps of the filters over the image.
    padding : int, tuple or str, default 0
        Rows and columns added on all sides; "same" adds what a result of the input's size needs
        (with a stride of 1), "valid" none.
    dilation : int or tuple, default 1
        Distance of a filter's elements on the image.
    groups : int, default 1
        Channels and filters are cut into as many groups, and each group of filters sees its group
        of channels alone.
    bias : bool, default True
        Whether there is an additive bias for each filter.
    padding_mode : str, default "zeros"
        What padding holds; "reflect", "replicate" and "circular" are those of ``F.pad``.
    device, dtype : optional
        Where and as what the parameters are made.

    Attributes
    ----------
    weight : Parameter, [out_channels, in_channels / groups, height, width]
    bias : Parameter, [out_channels], or None
        Both start uniform in ``(-b, b)`` with ``b = 1/sqrt(in_channels / groups * height *
        width)``.

    Raises
    ------
    ValueError
        If groups do not divide the channels or a setting is out of range; by a call: if the input
        has other channels, or is smaller than the filters.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> tuple(nn.Conv2d(3, 8, 3, padding=1)(lamina.zeros(2, 3, 32, 32)).shape)
    (2, 8, 32, 32)
    """

    _spatial = 2


class _ConvTranspose(_Conv):
    """A transposed convolution, whose size of result may be chosen by a call."""

    _transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: str | int | Sequence[int] = 0,  # a word is refused
        output_padding: int | Sequence[int] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | Sequence[int] = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: _core.dtype | None = None,
    ) -> None:
        if isinstance(padding, str):
            name = type(self).__name__
            raise TypeError(f"{name}: padding must be numbers, got {padding!r}")
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            output_padding,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """Spread ``input`` with the filters.

        ``output_size``, the last dimensions of the result or all of them, chooses among the sizes
        that a convolution with a stride brings to the input's.
        """
        extra = self.output_padding
        if output_size is not None:
            extra = self._output_padding(input, list(output_size))
        convolve = conv_transpose1d if self._spatial == 1 else conv_transpose2d
        padding: Any = self.padding
        return convolve(
            input,
            self.weight,
            self.bias,
            self.stride,
            padding,
            extra,
            self.groups,
            self.dilation,
        )

    def _output_padding(self, input: Tensor, wanted: list[int]) -> tuple[int, ...]:
        name, spatial = type(self).__name__, self._spatial
        if len(wanted) not in (spatial, input.ndim):
            raise ValueError(
                f"{name}: output_size must have {spatial} or {input.ndim} numbers, got {wanted}"
            )
        padding: Any = self.padding
        extra = []
        for i, size in enumerate(wanted[-spatial:]):
            reach = self.dilation[i] * (self.kernel_size[i] - 1)
            step = self.stride[i]
            least = (input.shape[i - spatial] - 1) * step - 2 * padding[i] + reach + 1
            if not least <= size < least + step:
                raise ValueError(
                    f"{name}: output_size {wanted} is not reached: dimension {i - spatial} may be "
                    f"from {least} to {least + step - 1}"
                )
            extra.append(size - least)
        return tuple(extra)


class ConvTranspose1d(_ConvTranspose):
    """Transposed convolution of ``[N, C, L]`` (or ``[C, L]``): see :class:`ConvTranspose2d`.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> tuple(nn.ConvTranspose1d(16, 8, 4, stride=2, padding=1)(lamina.zeros(20, 16, 25)).shape)
    (20, 8, 50)
    """

    _spatial = 1


class ConvTranspose2d(_ConvTranspose):
    """What the gradient of a :class:`Conv2d` does to its input, as a layer.

    Images ``[N, C, H, W]`` (or one ``[C, H, W]``) become ``[N, out_channels, P, Q]`` with ``P = (H
    - 1) * stride - 2 * padding + dilation * (kernel_size - 1) + output_padding + 1``: each pixel
    spreads the filters, scaled by it, over the result.

    Parameters
    ----------
    in_channels, out_channels : int
        C, and the channels of the result.
    kernel_size, stride, padding, dilation, groups, bias, device, dtype
        Of the convolution that this transposes; as in :class:`Conv2d`. ``padding_mode`` is
        "zeros".
    output_padding : int or tuple, default 0
        Rows and columns that the result has more, smaller than stride or dilation.

    Attributes
    ----------
    weight : Parameter, [in_channels, out_channels / groups, height, width]
    bias : Parameter, [out_channels], or None
        Both start uniform in ``(-b, b)`` with ``b = 1/sqrt(out_channels / groups * height *
        width)``.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> layer = nn.ConvTranspose2d(16, 8, 3, stride=2, padding=1)
    >>> tuple(layer(lamina.zeros(2, 16, 12, 12), output_size=(24, 24)).shape)
    (2, 8, 24, 24)
    """

    _spatial = 2
