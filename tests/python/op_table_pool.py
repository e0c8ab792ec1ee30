"""Rows of pooling, and their references, written from the definitions."""

from __future__ import annotations

import itertools
import math

import lamina
import lamina.nn.functional as F
import numpy as np
from lamina import _core
from op_table_row import Row, Sample, Wrong, exact, spread, stream, with_nonfinite

RNG = stream("pooling")
LINES = spread(RNG, (1, 2, 7))
PLANES = spread(RNG, (1, 1, 4, 4))
IMAGE = spread(RNG, (1, 3, 5))
BATCH = spread(RNG, (2, 2, 7, 6))
T1, T2 = lamina.ones(1, 2, 7), lamina.ones(1, 2, 6, 5)


def wrong(call, match, error=ValueError):
    return Wrong(call, error, match)


def each(value, rank):
    """One number for each dimension."""
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * rank


def windows(n, kernel, stride, padding, dilation, ceil_mode):
    """Positions of the elements of each window along n elements; some lie outside of [0, n)."""
    steps = (n + 2 * padding - dilation * (kernel - 1) - 1) / stride
    count = (math.ceil(steps) if ceil_mode else math.floor(steps)) + 1
    # With ceil_mode no window starts behind the input and the padding before it.
    if ceil_mode and (count - 1) * stride >= n + padding:
        count -= 1
    starts = [i * stride - padding for i in range(count)]
    return [[start + k * dilation for k in range(kernel)] for start in starts]


def cuts(n, count):
    """The same for parts of n elements that are as even as they can be."""
    return [
        list(range(math.floor(i * n / count), math.ceil((i + 1) * n / count))) for i in range(count)
    ]


def pooled(x, axes, f):
    """f(values, places) of the window that is the product of one of each axis's, inside of x."""
    rank = len(axes)
    sizes = x.shape[-rank:]
    lead, counts = x.shape[:-rank], [len(a) for a in axes]
    out = np.empty((*lead, *counts), object)
    for at in itertools.product(*map(range, lead), *map(range, counts)):
        positions = [axis[i] for axis, i in zip(axes, at[-rank:], strict=True)]
        inside = [[p for p in ps if 0 <= p < n] for ps, n in zip(positions, sizes, strict=True)]
        values, places = [], []
        for place in itertools.product(*inside):
            values.append(x[(*at[: len(lead)], *place)])
            places.append(int(np.ravel_multi_index(place, sizes)))
        out[at] = f(values, places)
    return out


def largest(values, places):
    """The first of equal ones; the last NaN, if there is any."""
    nan = [i for i, v in enumerate(values) if np.isnan(v)]
    at = nan[-1] if nan else int(np.argmax(values))
    return values[at], places[at]


def maxima(x, axes, return_indices):
    out = pooled(x, axes, largest)
    values = np.array([v for v, _ in out.flat], float).reshape(out.shape)
    places = np.array([p for _, p in out.flat], np.int64).reshape(out.shape)
    return (values, places) if return_indices else values


def axes_of(x, rank, kernel, stride, padding, dilation, ceil_mode):
    kernel = each(kernel, rank)
    stride = kernel if stride is None else each(stride, rank)
    numbers = zip(
        x.shape[-rank:], kernel, stride, each(padding, rank), each(dilation, rank), strict=True
    )
    return [windows(*values, ceil_mode) for values in numbers]


def cuts_of(x, rank, output_size):
    own = x.shape[-rank:]
    sizes = each(output_size, rank)
    return [cuts(n, n if size is None else size) for n, size in zip(own, sizes, strict=True)]


def max_pool(rank):
    def reference(
        x, kernel, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
    ):
        axes = axes_of(x, rank, kernel, stride, padding, dilation, ceil_mode)
        return maxima(x, axes, return_indices)

    return reference


def avg_pool(rank):
    def reference(
        x,
        kernel,
        stride=None,
        padding=0,
        ceil_mode=False,
        count_include_pad=True,
        divisor_override=None,
    ):
        axes = axes_of(x, rank, kernel, stride, padding, 1, ceil_mode)
        padded = zip(x.shape[-rank:], each(padding, rank), strict=True)
        limits = [(-p, n + p) if count_include_pad else (0, n) for n, p in padded]
        sums = pooled(x, axes, lambda values, _: np.sum(values)).astype(float)
        counted = [
            [sum(low <= p < high for p in ps) for ps in axis]
            for axis, (low, high) in zip(axes, limits, strict=True)
        ]
        count = np.array(counted[-1], float)
        if rank == 2:
            count = np.multiply.outer(counted[0], count)
        return sums / (count if divisor_override is None else divisor_override)

    return reference


def adaptive_max(rank):
    return lambda x, size, return_indices=False: maxima(x, cuts_of(x, rank, size), return_indices)


def adaptive_avg(rank):
    def reference(x, size):
        return pooled(x, cuts_of(x, rank, size), lambda values, _: np.mean(values)).astype(float)

    return reference


def mean_error(y, x, *args, **kwargs):
    """Of K terms: K roundings of sums that are at most K max|x|, one of the quotient."""
    divisor = kwargs.get("divisor_override") or (args[5] if len(args) > 5 else None)
    terms = int(np.prod(x.shape[-2:])) if x.ndim > 1 else x.size
    scale = terms if divisor else 1
    return 0 * np.abs(y) + (terms + 2) * scale * np.nanmax(np.abs(x), initial=0.0)


def refused(name, rank, *more):
    """What every pooling with windows refuses."""
    function = getattr(_core, name)
    x = T1 if rank == 1 else T2
    two = r"an int$|an int, got" if rank == 1 else r"an int or a pair of them, got \[1, 1, 1\]"
    shape = r"\[C, L\] or \[N, C, L\]" if rank == 1 else r"\[C, H, W\] or \[N, C, H, W\]"
    return [
        wrong(lambda: function(lamina.ones(3), 2), rf"^{name}: the input must be {shape}"),
        wrong(lambda: function(x.long(), 2), rf"^{name}: input must be float32 or", TypeError),
        wrong(lambda: function(x[..., :0], 2), rf"^{name}: dimension . has no elements"),
        wrong(lambda: function(x, 0), rf"^{name}: kernel_size must be at least 1, got"),
        wrong(lambda: function(x, ()), rf"^{name}: kernel_size must not be empty"),
        wrong(lambda: function(x, (1, 1, 1)), rf"^{name}: kernel_size must be {two}"),
        wrong(lambda: function(x, 2, 0), rf"^{name}: stride must be at least 1, got"),
        wrong(lambda: function(x, 2, padding=-1), rf"^{name}: padding must be at least"),
        wrong(lambda: function(x, 2**40), rf"^{name}: kernel_size must be .* 2\^31"),
        wrong(
            lambda: function(x, 3, padding=2),
            rf"^{name}: padding must be at most half of kernel_size, got 2 and 3",
        ),
        wrong(
            lambda: function(x, 9),
            rf"^{name}: a kernel of 9 elements, 1 apart, does not fit into . with a padding of 0",
        ),
        *more,
    ]


def nonfinite(samples):
    """With numbers of either sign beside them, and windows of nothing else."""
    made = with_nonfinite(samples)

    def specials(dtype):
        same = [np.full_like(samples[0].args[0], v) for v in (np.nan, -np.inf, 0.0, -0.0)]
        rest = [Sample(x, *samples[0].args[1:], **samples[0].kwargs) for x in same]
        return [*made(dtype), *rest]

    return specials


MAX1 = [
    Sample(LINES, 2),
    Sample(LINES[0], 3, 1, 1),
    Sample(LINES, 3, 2, 1, 2, True, True),
    Sample(LINES, (2,), (3,), ceil_mode=True, return_indices=True),
    Sample(LINES, 4, 3, 2),
]
MAX2 = [
    Sample(PLANES, 2),
    Sample(IMAGE, (3, 2), 1, 1),
    Sample(PLANES, 3, 2, 1, return_indices=True),
    Sample(PLANES, 2, 3, 1, 2, True, True),
    Sample(IMAGE, 2, ceil_mode=True),
    Sample(IMAGE, (1, 3), (2, 1), (0, 1), (1, 2)),
]
LARGE = RNG.standard_normal((2, 3, 37, 41))
TIES = RNG.integers(-2, 3, (2, 3, 19, 34)).astype(float)
MAX_WIDE = [
    Sample(x, kernel, stride, padding, dilation, ceil_mode, True)
    for x in (LARGE, TIES)
    for kernel, stride, padding, dilation, ceil_mode in [
        (2, 2, 0, 1, False),
        (2, 2, 1, 1, True),
        (3, 2, 1, 1, False),
        (3, 1, 1, 1, False),
        (3, 1, 0, 2, False),
        ((2, 5), (1, 2), (1, 2), (3, 1), True),
        (17, 3, 8, 1, False),  # no byte says where in such a window something is
    ]
]

MAX_POOLS = [
    Row(
        "max_pool1d",
        MAX1,
        max_pool(1),
        wide=[Sample(LARGE[0], 3, 2, 1), Sample(TIES[0], 2, return_indices=True)],
        edges=[Sample(LINES[:0], 2), Sample(LINES[:, :0], 2)],
        specials=nonfinite(MAX1),
        error=exact,
        dtypes="floating",
        wrong=refused(
            "max_pool1d",
            1,
            wrong(lambda: F.max_pool1d(T1, 2, dilation=0), r"^max_pool1d: dilation must"),
            wrong(lambda: F.max_pool1d(T2, 2), r"^max_pool1d: .*\n.*\[1, 2, 6, 5\]"),
        ),
    ),
    Row(
        "max_pool2d",
        MAX2,
        max_pool(2),
        wide=[*MAX_WIDE, Sample(LARGE, 2), Sample(LARGE, 3, 2, 1), Sample(LARGE, 16)],
        edges=[Sample(PLANES[:0], 2), Sample(IMAGE[:0], 2)],
        specials=nonfinite(MAX2),
        error=exact,
        dtypes="floating",
        wrong=refused(
            "max_pool2d",
            2,
            wrong(lambda: F.max_pool2d(T2, 2, dilation=5), r"^max_pool2d: .* 2 .*, 5 a"),
        ),
    ),
]

AVG1 = [
    Sample(LINES, 2),
    Sample(LINES[0], 3, 1, 1),
    Sample(LINES, 3, 2, 1, False, False),
    Sample(LINES, 4, 3, 2, True),
    Sample(LINES, (2,), (3,), ceil_mode=True, count_include_pad=False),
]
AVG2 = [
    Sample(PLANES, 2),
    Sample(IMAGE, (3, 2), 1, 1),
    Sample(PLANES, 3, 2, 1, False, False),
    Sample(PLANES, 3, 2, 1, True),
    Sample(IMAGE, 2, ceil_mode=True, count_include_pad=False),
    Sample(PLANES, 3, 2, 1, divisor_override=5),
]
AVG_POOLS = [
    Row(
        "avg_pool1d",
        AVG1,
        avg_pool(1),
        wide=[Sample(LARGE[0], 3, 2, 1)],
        edges=[Sample(LINES[:0], 2), Sample(LINES[:, :0], 2)],
        specials=nonfinite(AVG1),
        zero_sign=False,
        error=mean_error,
        dtypes="floating",
        wrong=refused("avg_pool1d", 1),
    ),
    Row(
        "avg_pool2d",
        AVG2,
        avg_pool(2),
        wide=[Sample(LARGE, 2), Sample(LARGE, 3, 1, 1, True, False), Sample(LARGE, (5, 3), 2)],
        edges=[Sample(PLANES[:0], 2), Sample(IMAGE[:0], 2)],
        specials=nonfinite(AVG2),
        zero_sign=False,
        error=mean_error,
        dtypes="floating",
        wrong=refused(
            "avg_pool2d",
            2,
            wrong(
                lambda: F.avg_pool2d(T2, 2, divisor_override=0),
                r"^avg_pool2d: divisor_override must not be 0",
            ),
        ),
    ),
]


def adaptive_refused(name, rank):
    function = getattr(_core, name)
    x = T1 if rank == 1 else T2
    return [
        wrong(lambda: function(lamina.ones(3), 2), rf"^{name}: the input must be \[C, "),
        wrong(lambda: function(x.long(), 2), rf"^{name}: input must be float32 or", TypeError),
        wrong(lambda: function(x[..., :0], 2), rf"^{name}: dimension . has no elements"),
        wrong(lambda: function(x, -1), rf"^{name}: output_size must be at least 0, got"),
        wrong(lambda: function(x, ()), rf"^{name}: output_size must not be empty"),
        wrong(lambda: function(x, (1, 2, 3)), rf"^{name}: output_size must be an int"),
    ]


def adaptive(name, rank, samples, reference, error, call=None):
    return Row(
        name,
        samples,
        reference,
        call=call,
        wide=[Sample(LARGE[0] if rank == 1 else LARGE, n) for n in (1, 5, 37, 50)],
        edges=[Sample(samples[0].args[0][:0], 2), Sample(samples[0].args[0], 0)],
        specials=nonfinite(samples),
        zero_sign=False,
        error=error,
        dtypes="floating",
        wrong=adaptive_refused(name, rank),
    )


SIZES1 = [Sample(LINES, n) for n in (3, 1, 7, 9)] + [Sample(LINES[0], (2,))]
SIZES2 = [Sample(PLANES, 2), Sample(PLANES, 1), Sample(PLANES, (3, 5)), Sample(IMAGE, (2, 3))]
WITH_INDICES1 = [Sample(s.args[0], s.args[1], True) for s in SIZES1]
WITH_INDICES2 = [Sample(s.args[0], s.args[1], return_indices=True) for s in SIZES2]
NONE_SIZES = [Sample(PLANES, (None, 3)), Sample(IMAGE, (2, None)), Sample(PLANES, None)]
ADAPTIVE = [
    adaptive("adaptive_avg_pool1d", 1, SIZES1, adaptive_avg(1), mean_error),
    adaptive(
        "adaptive_avg_pool2d",
        2,
        [*SIZES2, *NONE_SIZES],
        adaptive_avg(2),
        mean_error,
        F.adaptive_avg_pool2d,
    ),
    adaptive("adaptive_max_pool1d", 1, [*SIZES1, *WITH_INDICES1], adaptive_max(1), exact),
    adaptive(
        "adaptive_max_pool2d",
        2,
        [*SIZES2, *NONE_SIZES, *WITH_INDICES2],
        adaptive_max(2),
        exact,
        F.adaptive_max_pool2d,
    ),
]


def max_unpool2d(x, indices, kernel, stride=None, padding=0, output_size=None):
    kernel = each(kernel, 2)
    stride = kernel if stride is None else each(stride, 2)
    sizes = [
        (n - 1) * s - 2 * p + k
        for n, k, s, p in zip(x.shape[-2:], kernel, stride, each(padding, 2), strict=True)
    ]
    if output_size is not None:
        sizes = list(output_size[-2:])
    out = np.zeros((*x.shape[:-2], sizes[0] * sizes[1]))
    flat = (*x.shape[:-2], x.shape[-2] * x.shape[-1])
    np.put_along_axis(out, indices.reshape(flat), x.reshape(flat), -1)
    return out.reshape(*x.shape[:-2], *sizes)


PLACES = np.array([[[[0, 3], [9, 14]]]])
SMALL = spread(RNG, (1, 1, 2, 2))
SMALL_T, PLACES_T = lamina.ones(1, 1, 2, 2), lamina.tensor(PLACES)
UNPOOL = Row(
    "max_unpool2d",
    [
        Sample(SMALL, PLACES, 2),
        Sample(SMALL[0], PLACES[0], (2, 2), (3, 2), output_size=(5, 5)),
        Sample(SMALL, PLACES, 3, 2, 0, (1, 1, 4, 5)),
        Sample(SMALL, PLACES, 4, 2, 1),
    ],
    max_unpool2d,
    edges=[Sample(SMALL[:0], PLACES[:0], 2)],
    specials=lambda dtype: [Sample(np.array([[[[np.nan, np.inf], [-0.0, 1.0]]]]), PLACES, 2)],
    error=exact,
    dtypes="floating",
    wrong=[
        wrong(
            lambda: F.max_unpool2d(SMALL_T, PLACES_T[0], 2),
            r"^max_unpool2d: input and indices must have one shape\n.*\n  indices \[1, 2, 2\]",
        ),
        wrong(
            lambda: F.max_unpool2d(SMALL_T, PLACES_T + 2, 2),
            r"^max_unpool2d: index 16 is out of range for dimension 2 of size 16",
            IndexError,
        ),
        wrong(
            lambda: F.max_unpool2d(SMALL_T, PLACES_T - 1, 2), r"^max_unpool2d: .* -1 ", IndexError
        ),
        wrong(lambda: F.max_unpool2d(SMALL_T, SMALL_T, 2), r"^max_unpool2d: .* int64", TypeError),
        wrong(
            lambda: F.max_unpool2d(SMALL_T, PLACES_T, 2, output_size=(6, 4)),
            r"^max_unpool2d: output_size \[6, 4\] is too far .* must lie between 2 and 6",
        ),
        wrong(
            lambda: F.max_unpool2d(SMALL_T, PLACES_T, 2, output_size=(1, 4, 4)),
            r"^max_unpool2d: output_size must have 2 or 4 entries, got \[1, 4, 4\]",
        ),
        wrong(
            lambda: F.max_unpool2d(SMALL_T, PLACES_T, 1, padding=3),
            r"^max_unpool2d: the result would have -4 elements",
        ),
    ],
)

ROWS = [*MAX_POOLS, *AVG_POOLS, *ADAPTIVE, UNPOOL]
