"""Rows of what sorts and scans along a dimension, of norms, quantiles and counts."""

from __future__ import annotations

import lamina
import numpy as np
from lamina import _core
from op_table_reduce import (
    CUBE,
    EMPTY,
    SCALAR,
    WIDE,
    X,
    axes,
    bad_dims,
    count,
    nothing,
    over,
    sum_error,
)
from op_table_row import (
    Row,
    Sample,
    Wrong,
    exact,
    point,
    renamed,
    spread,
    stream,
    with_nan,
    with_nonfinite,
)
from scipy import special

# Longer lines with many equal elements, on either side of where sorting changes its method.
TIES = np.round(stream("order").normal(size=(5, 150)), 1)
LONG_TIES = np.round(stream("long order").normal(size=(3, 700)), 1)
INTS = stream("order of ints").integers(-3, 4, (4, 6))
T = lamina.ones(2, 3)


def dim_only(name, *more):
    """Wrong calls of an op whose second argument is one dimension."""
    function = getattr(_core, name)
    return [
        Wrong(lambda: function(T, *more, 2), IndexError, rf"^{name}: .*\b2\b.*\b2\b"),
        Wrong(lambda: function(T, *more, -3), IndexError, rf"^{name}: .*-3"),
        Wrong(lambda: function([1.0], *more, 0), TypeError, rf"^{name}: (.*\n)*.*list"),
    ]


# -- running sums, products, extremes ----------------------------------------------------------


def running():
    def total_error(y, x, dim, **_):
        return 2 * np.size(x) * (np.cumsum(np.abs(x), axis=dim) if np.ndim(x) else np.abs(x))

    def product_error(y, x, dim, **_):
        return 2 * np.size(x) * np.abs(y)

    lines = [Sample(X, 0), Sample(X, 1), Sample(CUBE, -2), Sample(CUBE, dim=-1)]
    zeros = np.where(X[0, 1] == X, 0.0, X)
    two = np.array([[0.5, 0.0, 2.0, 0.0, 1.5], [1.0, 2.0, 0.25, -1.0, 0.0]])
    edges = [Sample(point(X), 0), Sample(X[:0], 0), Sample(X[:0], 1), Sample(X[:, :0], 1)]
    shared = {"edges": edges, "dtypes": "sum"}
    total = Row(
        "cumsum",
        lines,
        lambda x, dim: np.cumsum(x, axis=dim) if np.ndim(x) else x,
        wide=[Sample(WIDE, 0), Sample(WIDE, 1)],
        specials=with_nonfinite(lines[:2]),
        error=total_error,
        wrong=dim_only("cumsum"),
        **shared,
    )
    product = Row(
        "cumprod",
        [*lines[:3], Sample(zeros, 1), Sample(two, 1), Sample(two[:, ::-1].copy(), 0), lines[3]],
        lambda x, dim: np.cumprod(x, axis=dim) if np.ndim(x) else x,
        wide=[Sample(WIDE[:, :30], 1)],
        specials=with_nonfinite(lines[:2]),
        error=product_error,
        wrong=dim_only("cumprod"),
        **shared,
    )
    return [total, product]


def running_extremes():
    def reference(better):
        def named(x, dim):
            if np.ndim(x) == 0:
                return x, np.int64(0)
            moved = np.moveaxis(np.asarray(x), dim, 0)
            values, indices = moved.copy(), np.zeros(moved.shape, np.int64)
            for i in range(1, len(moved)):
                new = np.isnan(moved[i]) | better(moved[i], values[i - 1])
                values[i] = np.where(new, moved[i], values[i - 1])
                indices[i] = np.where(new, i, indices[i - 1])
            return np.moveaxis(values, 0, dim), np.moveaxis(indices, 0, dim)

        return named

    lines = [Sample(X, 0), Sample(X, 1), Sample(CUBE, -2)]
    out = []
    for name, better in (("cummax", np.greater_equal), ("cummin", np.less_equal)):
        row = Row(
            name,
            lines,
            reference(better),
            wide=[Sample(TIES, 1), Sample(TIES, 0), Sample(INTS, 1), Sample(INTS > 0, 0)],
            edges=[Sample(point(X), 0), Sample(X[:0], 0), Sample(X[:0], 1)],
            specials=with_nonfinite(lines[:2]),
            error=exact,
            dtypes="keep",
            wrong=dim_only(name),
        )
        out.append(row)
    return out


def differences():
    samples = [
        Sample(X),
        Sample(X, 1, 0),
        Sample(X, 2),
        Sample(CUBE, n=1, dim=-2),
        Sample(X, 1, -1, X[:, :2], X[:, 1:]),
        Sample(X, 0),
        Sample(X, 9),
    ]

    def reference(x, n=1, dim=-1, prepend=None, append=None):
        more = {"prepend": prepend, "append": append}
        return np.diff(x, n, axis=dim, **{k: v for k, v in more.items() if v is not None})

    def error(y, x, n=1, *_, **__):
        return 4 * 2**n * np.abs(x).max(initial=0) + 0 * y

    row = Row("diff", samples, reference, error=error, dtypes="diff")
    row.edges = [Sample(X[:0], 1, 0), Sample(X[:, :1])]
    row.wrong = [
        Wrong(lambda: lamina.diff(lamina.tensor(1.0)), ValueError, r"^diff: .*one dimension"),
        Wrong(lambda: lamina.diff(T, -1), ValueError, r"^diff: n must not be negative, got -1"),
        Wrong(lambda: lamina.diff(T, 1, 2), IndexError, r"^diff: .*\b2\b"),
    ]
    return [row]


# -- order -------------------------------------------------------------------------------------


def order(x, axis, descending):
    """A stable order, with NaN as the largest."""
    if not descending:
        return np.argsort(x, axis=axis, kind="stable")
    flipped = np.flip(x, axis)
    last = x.shape[axis] - 1
    return last - np.flip(np.argsort(flipped, axis=axis, kind="stable"), axis)


def sorted_reference(x, dim=-1, descending=False, k=None, **_):
    x = np.asarray(x)
    if x.ndim == 0:
        return x, np.int64(0)
    at = np.take(order(x, dim, descending), range(x.shape[dim] if k is None else k), axis=dim)
    return np.take_along_axis(x, at, dim), at


def sorting():
    samples = [
        Sample(X),
        Sample(X, 0),
        Sample(X, 1, True),
        Sample(CUBE, dim=-2, descending=True),
        Sample(CUBE, 0, stable=True),
    ]
    ties = [
        Sample(a, dim, down)
        for a in (TIES, LONG_TIES, INTS, INTS > 0, np.abs(INTS).astype(np.uint8))
        for dim, down in ((0, False), (1, False), (1, True))
    ]
    ties += [Sample(LONG_TIES.reshape(-1), 0), Sample(LONG_TIES * 1e-40, 1)]
    tails = [Sample(np.array([2**62, -(2**63), 2**63 - 1, -1, 0, 2**62 + 1]), 0)]
    edges = [Sample(point(X)), Sample(X[:0]), Sample(X[:0], 0), Sample(X[:, :0], 1, True)]
    row = Row(
        "sort",
        samples,
        sorted_reference,
        wide=[*ties, *tails],
        edges=edges,
        specials=with_nonfinite([*samples[:3], Sample(LONG_TIES, 1), Sample(LONG_TIES, 1, True)]),
        zero_sign=True,
        error=exact,
        dtypes="keep",
        wrong=dim_only("sort"),
    )
    positions = renamed(
        row,
        "argsort",
        reference=lambda *a, **k: sorted_reference(*a, **k)[1],
        differentiable=False,
        dtypes="position",
        wrong=dim_only("argsort"),
    )
    return [row, positions]


def first_k():
    samples = [
        Sample(X, 2),
        Sample(X, 1, 0),
        Sample(X, 3, 1, False),
        Sample(CUBE, 2, dim=-2, largest=False),
        Sample(CUBE, 2, sorted=False),
        Sample(X, 0),
        Sample(X, 4),
    ]

    def reference(x, k, dim=-1, largest=True, sorted=True):
        return sorted_reference(x, dim, largest, k)

    ties = [
        Sample(a, k, 1, largest)
        for a in (TIES, LONG_TIES)
        for k in (1, 7, 90)
        for largest in (True, False)
    ]
    return [
        Row(
            "topk",
            samples,
            reference,
            wide=[*ties, Sample(INTS, 3), Sample(LONG_TIES, 2, 0)],
            edges=[Sample(point(X), 1), Sample(X[:0], 2), Sample(X[:, :0], 0)],
            specials=with_nonfinite([Sample(X, 2), Sample(TIES, 5), Sample(TIES, 5, -1, False)]),
            error=exact,
            dtypes="keep",
            wrong=[
                Wrong(lambda: lamina.topk(T, 4), ValueError, r"^topk: k .*\[0, 3\].*1, got 4"),
                Wrong(lambda: lamina.topk(T, -1), ValueError, r"^topk: k .* got -1"),
                Wrong(lambda: lamina.topk(T, 1, 2), IndexError, r"^topk: .*\b2\b"),
                Wrong(lambda: lamina.topk(T), TypeError, r"^topk: argument 'k' is missing"),
            ],
        )
    ]


def medians():
    def reference(x, dim=None, keepdim=False):
        flat = np.reshape(x, -1) if dim is None or np.ndim(x) == 0 else np.asarray(x)
        axis = 0 if flat.ndim == 1 else dim
        if flat.size == 0 and dim is None:
            return np.array(np.nan)
        at = np.take(order(flat, axis, False), (flat.shape[axis] - 1) // 2, axis=axis)
        at = np.where(np.isnan(flat).any(axis), np.isnan(flat).argmax(axis), at)
        values = np.take_along_axis(flat, np.expand_dims(at, axis), axis)
        if dim is None or np.ndim(x) == 0:
            return values[0] if dim is None else (values[0], at)
        return (values, np.expand_dims(at, axis)) if keepdim else (values.squeeze(axis), at)

    samples = [Sample(X), Sample(X, 0), Sample(X, 1, True), Sample(CUBE, dim=-2), Sample(X[:, :3])]
    row = Row(
        "median",
        samples,
        reference,
        wide=[Sample(TIES), Sample(TIES, 1), Sample(TIES, 0, True), Sample(LONG_TIES, 1)],
        edges=[SCALAR, Sample(point(X), 0), Sample(X[:0]), Sample(X[:0], 1)],
        specials=with_nonfinite(samples[:3]),
        error=exact,
        dtypes="keep",
    )
    row.wrong = [
        *bad_dims("median")[:2],
        Wrong(lambda: lamina.median(lamina.ones(0, 3), 0), ValueError, r"^median: dimension 0 has"),
        Wrong(lambda: lamina.tensor([], dtype=lamina.int64).median(), TypeError, r"^median: .*int"),
    ]
    return [row]


def quantiles():
    def reference(x, q, dim=None, keepdim=False, interpolation="linear"):
        return np.quantile(x, q, axis=dim, keepdims=keepdim, method=interpolation)

    def error(y, x, q, dim=None, *_, **__):
        """q and its rank are rounded: by n eps of the distance between neighbours."""
        n = np.size(x) if dim is None else x.shape[dim]
        top = np.nanmax(np.abs(x), initial=0)
        return (4 * n + 4) * top + np.zeros(np.shape(y))

    q = np.array([0.125, 0.8, 0.55])
    samples = [
        Sample(X, 0.3),
        Sample(X, 0.7, 0),
        Sample(X, 0.3, 1, True),
        Sample(CUBE, 0.4, dim=-2, interpolation="midpoint"),
        Sample(X, q, 1),
        Sample(X, point(q), 1, True),
        Sample(X, q, keepdim=True),
        Sample(X, 0.3, 0, interpolation="lower"),
        Sample(X, 0.3, 0, interpolation="higher"),
        Sample(X, 0.3, 1, interpolation="nearest"),
    ]

    def nan(dtype):
        return [Sample(with_nan(X), 0.3, 0), Sample(with_nan(X), q, 1), Sample(with_nan(X), 0.5)]

    f = lamina.quantile
    row = Row("quantile", samples, reference, error=error, specials=nan, dtypes="floating")
    # Of these the rank is exact in float32 too, or its fraction, a gradient, would not be.
    row.wide = [Sample(WIDE, 0.78125), Sample(WIDE, 0.375, 1), Sample(WIDE, np.array([0.625]), 0)]
    row.edges = [Sample(point(X), 0.5), Sample(X[:0], 0.5, 1), Sample(X, 0.0, 1), Sample(X, 1.0, 1)]
    row.wrong = [
        Wrong(lambda: f(T, 1.5), ValueError, r"^quantile: q must lie in \[0, 1\], got 1.5"),
        Wrong(lambda: f(T, lamina.tensor([0.1, -1])), ValueError, r"^quantile: q must lie in"),
        Wrong(lambda: f(T, lamina.tensor([0.5]).double()), TypeError, r"^quantile: q must .*dtype"),
        Wrong(lambda: f(T, lamina.ones(1, 1)), ValueError, r"^quantile: q must be a number or 1-d"),
        Wrong(lambda: f(T.long(), 0.5), TypeError, r"^quantile: input must be float.*int64"),
        Wrong(lambda: f(lamina.ones(0), 0.5), ValueError, r"^quantile: no elements"),
        Wrong(lambda: f(T, 0.5, 2), IndexError, r"^quantile: .*\b2\b"),
        Wrong(lambda: f(T, 0.5, interpolation="cubic"), ValueError, r"^quantile: .*'cubic'"),
    ]
    return [row]


# -- norms, logarithms of sums ---------------------------------------------------------------------


def norms():
    def reference(x, p="fro", dim=None, keepdim=False):
        power = 2 if p in ("fro", None) else p
        size, axis = np.abs(x), axes(dim)
        if power == 0:
            return (size != 0).sum(axis=axis, keepdims=keepdim).astype(float)
        if np.isinf(power):
            return (np.max if power > 0 else np.min)(size, axis=axis, keepdims=keepdim)
        return (size**power).sum(axis=axis, keepdims=keepdim) ** (1 / power)

    def error(y, x, p="fro", dim=None, *_, **__):
        """K roundings of the sum; two powers, of which the exponent magnifies the rounding."""
        return (count(x, dim) + 32) * np.abs(y)

    zero = np.where(X[0, 1] == X, 0.0, X)
    samples = [
        Sample(X),
        Sample(X, 2, 0),
        Sample(X, 1, 1, True),
        Sample(X, 3.0, 1),
        Sample(CUBE, float("inf"), (0, 2)),
        Sample(X, 1.5, 0),
        Sample(X, -float("inf"), 1),
        Sample(X, -1, 0),
        Sample(CUBE, "fro", (0, 1), True),
        Sample(zero, 2, keepdim=True),
        Sample(zero, 3, 1),
        Sample(X, p=None, dim=[-1]),
    ]
    row = Row("norm", samples, reference, error=error, dtypes="floating")
    row.wide = [Sample(WIDE), Sample(WIDE, 1, 0), Sample(WIDE, 2, 1), Sample(WIDE, 0, 1)]
    row.edges = [SCALAR, *EMPTY, Sample(X * 0), Sample(X * 0, 3, 0), Sample(X * 0, 0)]
    row.specials = with_nonfinite([Sample(X), Sample(X, 1, 0), Sample(X, float("inf"), 1)])
    row.wrong = [
        Wrong(lambda: T.norm(dim=2), IndexError, r"^norm: .*\b2\b"),
        Wrong(lambda: T.long().norm(), TypeError, r"^norm: input must be float.*int64"),
        Wrong(lambda: T.norm("nuc"), ValueError, r"^norm: p must be .* got 'nuc'"),
        Wrong(lambda: T.norm(float("nan")), ValueError, r"^norm: p must be a number, got NaN"),
        Wrong(lambda: lamina.ones(0).norm(float("inf")), ValueError, r"^norm: no elements"),
        Wrong(lambda: T.norm(2, (0, -2)), ValueError, r"^norm: dim -2 appears twice"),
    ]
    return [row]


def log_sums():
    def error(y, x, dim, *_, **__):
        k = count(x, dim) if np.ndim(x) else 1
        return k + 8 + np.ptp(x) + np.abs(y) if np.size(x) else 0 * np.abs(y)

    samples = [Sample(X, 0), Sample(X, 1, True), Sample(CUBE, (0, 2)), Sample(CUBE, dim=[1])]
    inf = np.inf
    row = Row(
        "logsumexp",
        samples,
        over(lambda x, axis, keepdims: special.logsumexp(x, axis=axis, keepdims=keepdims)),
        wide=[Sample(WIDE * 40, 1), Sample(WIDE, 0)],
        edges=[Sample(point(X), 0), Sample(X[:0], 1)],
        error=error,
        dtypes="float",
        wrong=bad_dims("logsumexp"),
    )
    rows = np.array([[-inf, -inf], [inf, 1], [np.nan, 1], [-inf, 1]])
    row.specials = lambda dtype: [Sample(rows, 1), Sample(rows, 0)]
    return [row]


# -- both ends, counts, unique values -----------------------------------------------------------


def both_ends():
    def reference(x, dim=None, keepdim=False):
        return np.min(x, axis=dim, keepdims=keepdim), np.max(x, axis=dim, keepdims=keepdim)

    samples = [
        Sample(X),
        Sample(X, dim=0),
        Sample(X, dim=1, keepdim=True),
        Sample(CUBE, dim=-2),
        Sample(X, keepdim=True),
    ]
    row = Row("aminmax", samples, reference, error=exact, dtypes="keep")
    row.wide = [Sample(WIDE), Sample(WIDE, dim=0), Sample(WIDE, dim=1)]
    row.edges = [SCALAR, Sample(X[:0], dim=1)]
    row.specials = with_nonfinite(samples[:3])
    f = lamina.aminmax
    row.wrong = [
        Wrong(lambda: f(T, dim=2), IndexError, r"^aminmax: .*\b2\b"),
        Wrong(lambda: f(T, 0), TypeError, r"^aminmax: too many positional"),
        nothing("aminmax"),
    ]
    return [row]


def counts():
    x = np.where(X > 0, X, 0.0)
    plain = {"differentiable": False, "dtypes": "position"}
    nonzero = Row(
        "count_nonzero",
        [Sample(x), Sample(x, 0), Sample(x, (0, 1)), Sample(INTS, -1), Sample(INTS > 0, 0)],
        lambda v, dim=None: np.asarray(np.count_nonzero(v, axis=axes(dim))),
        edges=[SCALAR, *[Sample(*s.args) for s in EMPTY]],
        specials=lambda dtype: [Sample(np.array([np.nan, -0.0, 0.0, np.inf]))],
        wrong=bad_dims("count_nonzero"),
        **plain,
    )
    trace = Row(
        "trace",
        [Sample(X), Sample(X.T.copy()), Sample(X[:1])],
        lambda v: np.asarray(np.trace(v)),
        edges=[Sample(X[:0]), Sample(X[:, :0])],
        error=lambda y, v: sum_error(y, np.diagonal(v)),
        dtypes="sum",
        wrong=[Wrong(lambda: T[0].trace(), ValueError, r"^trace: needs a matrix\n.*\[3\]")],
    )
    small = np.array([3, 0, 1, 1, 5, 3, 3])
    w = spread(stream("bincount"), small.shape)
    f = lamina.bincount
    bins = Row(
        "bincount",
        [Sample(small), Sample(small, minlength=9), Sample(small, w), Sample(small, w, 2)],
        lambda v, weights=None, minlength=0: np.bincount(v, weights, minlength),
        wide=[Sample(np.abs(INTS).reshape(-1)), Sample(small.astype(np.uint8))],
        edges=[Sample(small[:0]), Sample(small[:0], minlength=3)],
        differentiable=False,
        error=lambda y, v, *_, **__: 4 * np.abs(y) + 4,
        wrong=[
            Wrong(lambda: f(T[0]), TypeError, r"^bincount: the input must be integers, got float"),
            Wrong(lambda: f(T.long()), ValueError, r"^bincount: the input must be 1-d\n.*\[2, 3\]"),
            Wrong(lambda: f(lamina.tensor([1, -2])), ValueError, r"^bincount: .*negative, got -2"),
            Wrong(
                lambda: f(T[0].long(), T[0, :2]), ValueError, r"^bincount: .*one weight for each"
            ),
            Wrong(
                lambda: f(lamina.tensor([2**63 - 1])), MemoryError, r"^bincount: 92233720368547"
            ),
            Wrong(lambda: f(T[0].long(), minlength=-1), ValueError, r"^bincount: minlength .* -1"),
        ],
    )
    return [nonzero, trace, bins]


def uniques():
    def reference(x, sorted=True, return_inverse=False, return_counts=False, dim=None):
        values, inverse, number = np.unique(
            x, return_inverse=True, return_counts=True, axis=dim, equal_nan=False
        )
        inverse = inverse.reshape(np.shape(x) if dim is None else -1)
        out = [values, *[inverse] * return_inverse, *[number] * return_counts]
        return tuple(out) if len(out) > 1 else values

    rounded = np.round(X)
    repeated = np.array([[1.0, 2, 1, 0], [0.5, 1, 0.5, 3], [1, 2, 1, 0], [1, 2, 1, 0]])
    both = {"return_inverse": True, "return_counts": True}
    f = lamina.unique
    return [
        Row(
            "unique",
            [
                Sample(rounded),
                Sample(rounded, True, True),
                Sample(rounded, return_counts=True),
                Sample(repeated, dim=0),
                Sample(repeated, dim=1, **both),
                Sample(repeated, dim=-2, **both),
                Sample(INTS, **both),
                Sample(INTS > 0, dim=1),
            ],
            reference,
            wide=[Sample(TIES, **both), Sample(LONG_TIES), Sample(np.round(TIES), dim=0, **both)],
            edges=[SCALAR, Sample(X[:0], **both), Sample(X[:0], dim=0), Sample(X[:1], **both)],
            specials=lambda dtype: [Sample(np.array([np.nan, 1, np.inf, np.nan, -np.inf]), **both)],
            differentiable=False,
            error=exact,
            dtypes="keep",
            wrong=[
                Wrong(lambda: f(T, dim=2), IndexError, r"^unique: .*\b2\b"),
                Wrong(lambda: f(lamina.ones(2, 0), dim=0), ValueError, r"^unique: slices without"),
                Wrong(lambda: f([1, 2]), TypeError, r"^unique: .*list"),
            ],
        )
    ]


ROWS = [
    *running(),
    *running_extremes(),
    *differences(),
    *sorting(),
    *first_k(),
    *medians(),
    *quantiles(),
    *norms(),
    *log_sums(),
    *both_ends(),
    *counts(),
    *uniques(),
]
