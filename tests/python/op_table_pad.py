"""Rows of padding, interpolation, pixel shuffles, and windows as columns."""

from __future__ import annotations

import itertools
from functools import reduce

import lamina
import lamina.nn.functional as F
import numpy as np
from lamina import _core
from op_table_pool import each, windows, wrong
from op_table_row import Row, Sample, Wrong, exact, spread, stream

RNG = stream("padding")
X = spread(RNG, (2, 3))
LINES = spread(RNG, (1, 2, 5))
IMAGE = spread(RNG, (1, 3, 4))
PLANES = spread(RNG, (1, 1, 3, 4))
LARGE = RNG.standard_normal((2, 3, 13, 17))
T = lamina.ones(1, 2, 3, 4)

# -- pad -------------------------------------------------------------------------------------------


def source(i, n, mode, before, after):
    """Where along n elements element i of the result comes from; None: nowhere."""
    at = i - before
    if mode == "constant":
        return at if 0 <= at < n else None
    if mode == "reflect":
        at = abs(at)
        return at if at < n else 2 * (n - 1) - at
    if mode == "replicate":
        return min(max(at, 0), n - 1)
    low, high = max(-before, 0), n - max(-after, 0)  # what is left of a crop goes round
    return low + (at - low) % (high - low)


def pad(x, pads, mode="constant", value=0.0):
    ends = [(0, 0)] * x.ndim
    for i in range(len(pads) // 2):
        ends[-1 - i] = (pads[2 * i], pads[2 * i + 1])
    sizes = [n + a + b for n, (a, b) in zip(x.shape, ends, strict=True)]
    out = np.full(sizes, float(value))
    for at in itertools.product(*map(range, sizes)):
        place = [source(i, n, mode, *e) for i, n, e in zip(at, x.shape, ends, strict=True)]
        if None not in place:
            out[at] = x[tuple(place)]
    return out


def no_pad(match, pads, *args, x=T):
    return wrong(lambda: F.pad(x, pads, *args), rf"^pad: {match}")


PAD = Row(
    "pad",
    [
        Sample(X, (1, 2)),
        Sample(X, (1, 0, 0, 2), "constant", 1.5),
        Sample(X, (-1, 2, 1, -1), "constant", -2),
        Sample(IMAGE, (2, 1, 1, 2), "reflect"),
        Sample(IMAGE, (5, 3, 0, 4), "replicate"),
        Sample(IMAGE, (4, 1, 2, 3), "circular"),
        Sample(LINES, (-1, 2), "reflect"),
        Sample(LINES, (3, -2), "reflect"),
        Sample(LINES, (-2, 3), "replicate"),
        Sample(LINES, (3, -1), "circular"),
        Sample(X, (0, 0)),
        Sample(PLANES, (1, 1), mode="replicate"),
        Sample(X, ()),
    ],
    pad,
    wide=[Sample(LARGE, (3, 2, 4, 1), mode) for mode in ("reflect", "replicate", "circular")],
    edges=[Sample(X[:0], (1, 1)), Sample(X[:, :0], (1, 1)), Sample(IMAGE[:0], (1, 1), "reflect")],
    specials=lambda dtype: [
        Sample(np.array([[np.nan, -np.inf, -0.0]]), (2, 1), mode)
        for mode in ("constant", "reflect", "replicate", "circular")
    ],
    error=exact,
    dtypes="keep",
    wrong=[
        no_pad(r"mode must be .*, got 'symmetric'", (1, 1), "symmetric"),
        no_pad(r"needs two numbers for each .*; got \[1\]", (1,)),
        no_pad(r"needs two .* at most 1 of them; got \[1, 1, 1, 1\]", (1,) * 4, x=lamina.ones(2)),
        no_pad(r"dimension 3 would have -1 elements with -3 before and -2 after it", (-3, -2)),
        no_pad(
            r"mode 'reflect' can't make 4 elements before and 0 after .* 3 of", (4, 0), "reflect"
        ),
        no_pad(r"mode 'circular' can't make 5 elements", (5, 0), "circular"),
        no_pad(r"mode 'replicate' can't", (1, 0), "replicate", x=lamina.ones(2, 0)),
        no_pad(r"mode 'replicate' pads all but the first", (1, 1), "replicate", x=lamina.ones(2)),
        no_pad(r"no tensor is as large", (2**60, 0)),
    ],
)

# -- interpolate -----------------------------------------------------------------------------------


def samples(n, out, scale, mode, align_corners):
    """For each of `out` results its (source, weight) among n elements."""
    step = n / out if scale is None else 1 / scale
    if mode == "nearest":
        return [[(min(int(np.floor(i * step)), n - 1), 1.0)] for i in range(out)]
    if n == out:
        return [[(i, 1.0)] for i in range(out)]
    taps = []
    for i in range(out):
        if align_corners:
            at = i * (n - 1) / (out - 1) if out > 1 else 0.0
        else:
            at = min(max((i + 0.5) * step - 0.5, 0.0), n - 1.0)
        low = min(int(np.floor(at)), n - 1)
        taps.append([(low, 1 - (at - low)), (min(low + 1, n - 1), at - low)])
    return taps


def mapped(x, axis, taps):
    """Each result of `taps` along an axis; only the elements that one names have a part in it."""
    parts = [reduce(np.add, [np.take(x, k, axis) * w for k, w in pairs]) for pairs in taps]
    return np.stack(parts, axis)


def interpolate(
    x, size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None
):
    rank = x.ndim - 2
    scales = [None] * rank
    if size is None:
        scales = each(scale_factor, rank)
        size = [int(np.floor(n * s)) for n, s in zip(x.shape[2:], scales, strict=True)]
        if recompute_scale_factor:
            scales = [None] * rank
    for axis, (n, out, scale) in enumerate(
        zip(x.shape[2:], each(size, rank), scales, strict=True), 2
    ):
        x = mapped(x, axis, samples(n, out, scale, mode, align_corners))
    return x


def interpolate_error(y, x, *args, **kwargs):
    """A place among n elements is off by 3 n eps, hence two weights; then 8 roundings."""
    return 0 * y + (16 + 12 * max(x.shape[2:])) * np.abs(x).max(initial=0.0)


def unfit(match, *args, error=ValueError, x=T, **kwargs):
    return Wrong(lambda: F.interpolate(x, *args, **kwargs), error, rf"^interpolate: {match}")


INTERPOLATE = Row(
    "interpolate",
    [
        Sample(LINES, 8),
        Sample(PLANES, (5, 3)),
        Sample(LINES, 8, mode="linear"),
        Sample(PLANES, (5, 3), mode="bilinear"),
        Sample(PLANES, (5, 7), mode="bilinear", align_corners=True),
        Sample(PLANES, scale_factor=2, mode="bilinear"),
        Sample(PLANES, scale_factor=(1.7, 0.6)),
        Sample(PLANES, scale_factor=1.6, mode="bilinear"),
        Sample(PLANES, scale_factor=1.6, mode="bilinear", recompute_scale_factor=True),
        Sample(PLANES, None, 1.6, "bilinear", True),
        Sample(LINES, scale_factor=0.5, mode="linear", align_corners=False),
        Sample(PLANES, (3, 4), mode="bilinear"),
        Sample(PLANES, 1, mode="bilinear", align_corners=True),
    ],
    interpolate,
    call=F.interpolate,
    wide=[Sample(LARGE, (29, 11), mode=mode) for mode in ("nearest", "bilinear")],
    edges=[Sample(PLANES[:0], 2), Sample(PLANES[:, :0], 2, mode="bilinear")],
    specials=lambda dtype: [Sample(np.array([[[np.nan, -np.inf, -0.0]]]), 5)],
    error=interpolate_error,
    dtypes="floating",
    wrong=[
        unfit(r"mode must be 'nearest', 'linear' or 'bilinear', got 'cubic'", 2, mode="cubic"),
        unfit(r"give either size or scale_factor"),
        unfit(r"give either size or scale_factor", 2, 2),
        unfit(r"align_corners has no meaning with mode 'nearest'", 2, align_corners=False),
        unfit(r"recompute_scale_factor has no meaning", 2, recompute_scale_factor=True),
        unfit(r"mode 'linear' is for an input \[N, C, L\]", 2, mode="linear"),
        unfit(r"mode 'bilinear' is for an input \[N, C, H, W\]", 2, mode="bilinear", x=T[0]),
        unfit(r"sizes must be positive, got \[0, 0\]", 0),
        unfit(r"sizes must be positive", scale_factor=0.1),
        unfit(r"scale_factor must be positive and finite, got -1", scale_factor=-1),
        unfit(r"scale_factor must be positive", scale_factor=float("inf")),
        unfit(r"size must be a number, or 2 for this input; got \(1, 2, 3\)", (1, 2, 3)),
        unfit(r"antialias=True is not supported", 2, antialias=True, error=NotImplementedError),
        unfit(r"the input must be \[N, C, L\] or", 2, x=lamina.ones(2, 3)),
        unfit(r"input must be float32", 2, x=T.long(), error=TypeError),
        wrong(lambda: _core.interpolate(T, (2,)), r"^interpolate: needs 2 sizes, got \[2\]"),
        wrong(
            lambda: _core.interpolate(T, (2, 2), align_corners=True),
            r"^interpolate: align_corners has no meaning",
        ),
    ],
)

# -- pixel shuffles --------------------------------------------------------------------------------


def pixel_shuffle(x, f):
    *lead, c, h, w = x.shape
    out = np.empty((*lead, c // f**2, h * f, w * f))
    for k, i, j in itertools.product(*map(range, out.shape[-3:])):
        out[..., k, i, j] = x[..., k * f * f + i % f * f + j % f, i // f, j // f]
    return out


def pixel_unshuffle(x, f):
    *lead, c, h, w = x.shape
    out = np.empty((*lead, c * f**2, h // f, w // f))
    for k, i, j in itertools.product(*map(range, out.shape[-3:])):
        out[..., k, i, j] = x[..., k // f**2, i * f + k % f**2 // f, j * f + k % f]
    return out


CHANNELS = spread(RNG, (1, 4, 2, 2))
SHUFFLES = [
    Row(
        "pixel_shuffle",
        [Sample(CHANNELS, 2), Sample(CHANNELS[0], 2), Sample(CHANNELS[None], 1)],
        pixel_shuffle,
        wide=[Sample(RNG.standard_normal((2, 18, 5, 7)), 3)],
        edges=[Sample(CHANNELS[:0], 2), Sample(CHANNELS[..., :0], 2)],
        error=exact,
        dtypes="keep",
        wrong=[
            wrong(lambda: F.pixel_shuffle(T, 2), r"^pixel_shuffle: 2 channels are no mul"),
            wrong(lambda: F.pixel_shuffle(T, 0), r"^pixel_shuffle: upscale_factor must be"),
            wrong(lambda: F.pixel_shuffle(T[0, 0], 1), r"^pixel_shuffle: the input must"),
        ],
    ),
    Row(
        "pixel_unshuffle",
        [Sample(CHANNELS, 2), Sample(CHANNELS[0], 2), Sample(CHANNELS[None], 1)],
        pixel_unshuffle,
        wide=[Sample(RNG.standard_normal((2, 2, 15, 21)), 3)],
        edges=[Sample(CHANNELS[:0], 2)],
        error=exact,
        dtypes="keep",
        wrong=[
            wrong(lambda: F.pixel_unshuffle(T, 2), r"^pixel_unshuffle: 3 x 4 is no multip"),
            wrong(lambda: F.pixel_unshuffle(T, -1), r"^pixel_unshuffle: downscale_factor"),
            wrong(lambda: F.pixel_unshuffle(T[0, 0], 1), r"^pixel_unshuffle: the input mus"),
        ],
    ),
]

# -- windows as columns ----------------------------------------------------------------------------


def places(sizes, kernel, dilation, padding, stride):
    """(row in the columns' matrix, column, row, column in the image) of all that is inside."""
    numbers = zip(sizes, *(each(v, 2) for v in (kernel, stride, padding, dilation)), strict=True)
    rows, cols = (windows(*values, False) for values in numbers)
    kernel = each(kernel, 2)
    for i, j in itertools.product(range(len(rows)), range(len(cols))):
        for a, b in itertools.product(*map(range, kernel)):
            r, c = rows[i][a], cols[j][b]
            if 0 <= r < sizes[0] and 0 <= c < sizes[1]:
                yield a * kernel[1] + b, i * len(cols) + j, r, c


def count(sizes, kernel, dilation, padding, stride):
    numbers = zip(sizes, *(each(v, 2) for v in (kernel, stride, padding, dilation)), strict=True)
    rows, cols = (windows(*values, False) for values in numbers)
    return len(rows) * len(cols)


def im2col(x, kernel_size, dilation=1, padding=0, stride=1):
    rest = (kernel_size, dilation, padding, stride)
    k = int(np.prod(each(kernel_size, 2)))
    out = np.zeros((*x.shape[:-2], k, count(x.shape[-2:], *rest)))
    for row, column, r, c in places(x.shape[-2:], *rest):
        out[..., row, column] = x[..., r, c]
    return out.reshape(*x.shape[:-3], x.shape[-3] * k, out.shape[-1])


def col2im(y, output_size, kernel_size, dilation=1, padding=0, stride=1):
    k = int(np.prod(each(kernel_size, 2)))
    sizes = each(output_size, 2)
    columns = y.reshape(*y.shape[:-2], y.shape[-2] // k, k, y.shape[-1])
    out = np.zeros((*columns.shape[:-2], *sizes))
    for row, column, r, c in places(sizes, kernel_size, dilation, padding, stride):
        out[..., r, c] += columns[..., row, column]
    return out


COLUMNS = spread(RNG, (1, 4, 4))
FOLDS = [
    Row(
        "im2col",
        [
            Sample(PLANES, 2),
            Sample(IMAGE, (2, 3), 1, 1, 2),
            Sample(PLANES, 2, dilation=2, padding=(1, 0)),
            Sample(PLANES, 1, stride=2),
        ],
        im2col,
        wide=[Sample(LARGE, 3, 2, 1, (2, 1))],
        edges=[Sample(PLANES[:0], 2), Sample(IMAGE[:0], 2)],
        specials=lambda dtype: [Sample(np.array([[[np.nan, -np.inf, -0.0]]]), (1, 2))],
        error=exact,
        dtypes="floating",
        wrong=[
            wrong(lambda: F.unfold(T[0, 0], 2), r"^unfold: the input must be \[C, H, W\]"),
            wrong(lambda: F.unfold(T.long(), 2), r"^unfold: input must be float32", TypeError),
            wrong(lambda: F.unfold(T, 4), r"^unfold: a kernel of 4 .* not fit into 3 with"),
            wrong(lambda: F.unfold(T, 0), r"^unfold: kernel_size must be at least 1"),
            wrong(lambda: F.unfold(T, ()), r"^unfold: kernel_size must not be empty"),
        ],
    ),
    Row(
        "col2im",
        [
            Sample(COLUMNS, 3, 2),
            Sample(COLUMNS[0], (2, 5), 2, 1, 0),
            Sample(COLUMNS, (4, 2), 2, 2, (1, 1), (2, 1)),
            Sample(COLUMNS, 2, 2, padding=1, stride=2),
        ],
        col2im,
        wide=[Sample(RNG.standard_normal((2, 18, 6 * 9)), (13, 17), 3, 2, (1, 2), 2)],
        edges=[Sample(COLUMNS[:0], 3, 2), Sample(COLUMNS[:, :0], 3, 2)],
        error=lambda y, columns, *_, **__: 0 * y + 4 * np.abs(columns).max(initial=0.0),
        dtypes="floating",
        wrong=[
            wrong(lambda: F.fold(T, 3, 2), r"^fold: the input must be \[C \* kernel, wind"),
            wrong(lambda: F.fold(T.long()[0], 3, 2), r"^fold: input must be float32", TypeError),
            wrong(lambda: F.fold(T[0], 3, 2), r"^fold: 3 rows are no multiple of the 4 "),
            wrong(
                lambda: F.fold(T[0], 3, (1, 3)),
                r"^fold: the input has 4 windows, but an output of 3 x 3 has 3 x 1\n",
            ),
            wrong(lambda: F.fold(T[0], (), 1), r"^fold: output_size must not be empty"),
        ],
    ),
]

ROWS = [PAD, INTERPOLATE, *SHUFFLES, *FOLDS]
