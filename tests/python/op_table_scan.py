"""Rows of running sums and extremes, differences, norms and counts."""

from __future__ import annotations

import lamina
import numpy as np
from op_table_order import INTS, TIES, dim_only
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
    spread,
    stream,
    with_nonfinite,
)
from scipy import special

T = lamina.ones(2, 3)


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


# -- both ends, counts -----------------------------------------------------------


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
            Wrong(lambda: f(lamina.tensor([2**63 - 1])), MemoryError, r"^bincount: 92233720368547"),
            Wrong(lambda: f(T[0].long(), minlength=-1), ValueError, r"^bincount: minlength .* -1"),
        ],
    )
    return [nonzero, trace, bins]


ROWS = [
    *running(),
    *running_extremes(),
    *differences(),
    *norms(),
    *log_sums(),
    *both_ends(),
    *counts(),
]
