"""Rows of what sorts along a dimension, and of medians, quantiles and unique values."""

from __future__ import annotations

import lamina
import numpy as np
from lamina import _core
from op_table_reduce import (
    CUBE,
    SCALAR,
    WIDE,
    X,
    bad_dims,
)
from op_table_row import (
    Row,
    Sample,
    Wrong,
    exact,
    point,
    renamed,
    stream,
    with_nan,
    with_nonfinite,
)

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


ROWS = [*sorting(), *first_k(), *medians(), *quantiles(), *uniques()]
