"""Layers that give images other sizes: each calls the function of `lamina.nn.functional`."""

from __future__ import annotations

from lamina import _core
from lamina._core import Tensor
from lamina.nn import _resize
from lamina.nn.module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class Upsample(Module):
    """Other sizes for ``[N, C, L]`` or ``[N, C, H, W]``; see `lamina.nn.functional.interpolate`.

    Parameters
    ----------
    size : int or sequence of int, optional
        The result's sizes behind N and C; either this or `scale_factor`.
    scale_factor : float or sequence of float, optional
        Each size becomes ``floor(size * scale_factor)``.
    mode : {"nearest", "linear", "bilinear"}, default "nearest"
        The element below, or a mean weighted by the distance.
    align_corners : bool, optional
        Of a mean: whether the first and last elements stay where they are.
    recompute_scale_factor : bool, optional
        Whether samples lie ``size of input / size of result`` apart.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.Upsample(scale_factor=2)(lamina.tensor([[[1.0, 2.0]]])).tolist()
    [[[1.0, 1.0, 2.0, 2.0]]]
    """

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.size = size
        self.scale_factor: float | tuple[float, ...] | None
        if isinstance(scale_factor, (list, tuple)):
            self.scale_factor = tuple(float(factor) for factor in scale_factor)
        else:
            self.scale_factor = float(scale_factor) if scale_factor else None  # type: ignore[arg-type]
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        """``[N, C, L]`` or ``[N, C, H, W]``, float32 or float64."""
        return _resize.interpolate(
            input,
            self.size,
            self.scale_factor,
            self.mode,
            self.align_corners,
            self.recompute_scale_factor,
        )

    def extra_repr(self) -> str:
        """Show scale or size, and the mode."""
        if self.scale_factor is not None:
            return f"scale_factor={self.scale_factor!r}, mode={self.mode!r}"
        return f"size={self.size!r}, mode={self.mode!r}"


class PixelShuffle(Module):
    """``[..., C r^2, H, W]`` as ``[..., C, H r, W r]``: groups of r^2 channels become squares.

    Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
    Convolutional Neural Network", CVPR 2016.

    Parameters
    ----------
    upscale_factor : int
        r.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.PixelShuffle(2)(lamina.arange(4.0).reshape(4, 1, 1)).tolist()
    [[[0.0, 1.0], [2.0, 3.0]]]
    """

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """``[..., C, H, W]`` of any dtype."""
        return _core.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        """Show the factor."""
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """``[..., C, H r, W r]`` as ``[..., C r^2, H, W]``: the inverse of `PixelShuffle`.

    Parameters
    ----------
    downscale_factor : int
        r.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.PixelUnshuffle(2)(lamina.tensor([[[0.0, 1.0], [2.0, 3.0]]])).flatten().tolist()
    [0.0, 1.0, 2.0, 3.0]
    """

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """``[..., C, H, W]`` of any dtype."""
        return _core.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        """Show the factor."""
        return f"downscale_factor={self.downscale_factor}"
