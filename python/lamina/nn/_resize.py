"""Functions whose arguments need more than the native operations take: None among sizes, scales."""

from __future__ import annotations

import math

from lamina import _core
from lamina._core import Tensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Size = int | Sequence[int | None] | None


def _output_size(input: Tensor, size: Size) -> Sequence[int] | int:
    """None, alone or among the sizes, stands for the input's."""
    if isinstance(size, int):
        return size
    if size is None:
        size = (None, None)
    if len(size) != 2 or input.ndim < 2:
        return list(size)  # type: ignore[arg-type]
    own = zip(size, input.shape[-2:], strict=True)
    return [there if wanted is None else wanted for wanted, there in own]


def adaptive_avg_pool2d(input: Tensor, output_size: Size) -> Tensor:
    """Average over windows that cut ``[N, C, H, W]`` evenly; see `lamina.nn.AdaptiveAvgPool2d`.

    Examples
    --------
    >>> import lamina
    >>> import lamina.nn.functional as F
    >>> tuple(F.adaptive_avg_pool2d(lamina.ones(1, 8, 7, 5), (None, 1)).shape)
    (1, 8, 7, 1)
    """
    return _core.adaptive_avg_pool2d(input, _output_size(input, output_size))


def adaptive_max_pool2d(input: Tensor, output_size: Size, return_indices: bool = False) -> Any:
    """Take maxima of windows that cut ``[N, C, H, W]`` evenly; see `lamina.nn.AdaptiveMaxPool2d`.

    Examples
    --------
    >>> import lamina
    >>> import lamina.nn.functional as F
    >>> F.adaptive_max_pool2d(lamina.arange(4.0).reshape(1, 1, 2, 2), (1, None)).tolist()
    [[[[2.0, 3.0]]]]
    """
    return _core.adaptive_max_pool2d(input, _output_size(input, output_size), return_indices)


def _for_each(what: str, value: Any, rank: int) -> list[Any]:
    """One number for each of the dimensions behind N and C."""
    if not isinstance(value, (list, tuple)):
        return [value] * rank
    if len(value) != rank:
        raise ValueError(
            f"interpolate: {what} must be a number, or {rank} for this input; got {value!r}"
        )
    return list(value)


def interpolate(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Give ``[N, C, L]`` or ``[N, C, H, W]`` other sizes, by the values of the nearest elements.

    Parameters
    ----------
    input : Tensor
        float32 or float64.
    size : int or sequence of int, optional
        The result's sizes behind N and C; either this or `scale_factor`.
    scale_factor : float or sequence of float, optional
        Each size becomes ``floor(size * scale_factor)``.
    mode : {"nearest", "linear", "bilinear"}, default "nearest"
        The element below, or a mean weighted by the distance: "linear" for ``[N, C, L]``,
        "bilinear" for ``[N, C, H, W]``.
    align_corners : bool, optional
        Of a mean: whether the first and last elements stay where they are (and results depend on
        the size of the input), or elements are cells whose outer edges stay. Default False.
    recompute_scale_factor : bool, optional
        Whether samples lie ``size of input / size of result`` apart, or exactly
        ``1 / scale_factor``, which is the default.
    antialias : bool, default False
        Not supported.

    Returns
    -------
    Tensor
        Of the input's dtype.

    Raises
    ------
    ValueError
        If sizes and scales do not say what is wanted, or the mode does not fit the input.

    Examples
    --------
    >>> import lamina
    >>> import lamina.nn.functional as F
    >>> x = lamina.tensor([[[0.0, 1.0]]])
    >>> F.interpolate(x, scale_factor=2).tolist()
    [[[0.0, 0.0, 1.0, 1.0]]]
    >>> F.interpolate(x, size=3, mode="linear", align_corners=True).tolist()
    [[[0.0, 0.5, 1.0]]]
    """
    if antialias:
        raise NotImplementedError("interpolate: antialias=True is not supported")
    if align_corners is not None and mode == "nearest":
        raise ValueError("interpolate: align_corners has no meaning with mode 'nearest'")
    if (size is None) == (scale_factor is None):
        raise ValueError("interpolate: give either size or scale_factor")
    rank = max(input.ndim - 2, 1)
    scales: list[Any] = [None] * rank
    if scale_factor is None:
        if recompute_scale_factor:
            raise ValueError("interpolate: recompute_scale_factor has no meaning with a size")
        sizes = _for_each("size", size, rank)
    else:
        factors = [float(factor) for factor in _for_each("scale_factor", scale_factor, rank)]
        if not all(0 < factor < 2**31 for factor in factors):
            raise ValueError(
                f"interpolate: scale_factor must be positive and finite, got {scale_factor!r}"
            )
        sizes = [
            math.floor(n * factor) for n, factor in zip(input.shape[2:], factors, strict=False)
        ]
        if not recompute_scale_factor:
            scales = factors
    rows, columns = ([None, *scales])[-2:]
    return _core.interpolate(input, sizes, rows, columns, mode, bool(align_corners))
