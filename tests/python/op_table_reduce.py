"""Rows of the reductions and of softmax."""

from __future__ import annotations

import warnings

import lamina
import numpy as np
from lamina import _core
from op_table_row import Row, Sample, Wrong, exact, point, renamed, spread, stream, with_nonfinite
from scipy import special

RNG = stream("reductions")
X = spread(RNG, (3, 4), avoid=(0.0,))
CUBE = spread(RNG, (2, 3, 2), avoid=(0.0,))
WIDE = RNG.uniform(-2, 2, (37, 65))

DIMS = [
    Sample(X),
    Sample(X, 0),
    Sample(X, 1, True),
    Sample(X, dim=-1),
    Sample(X, keepdim=True),
    Sample(CUBE, (0, 2)),
    Sample(CUBE, [1, 2], keepdim=True),
    Sample(CUBE, dim=(-3,)),
]
LONG = [Sample(WIDE), Sample(WIDE, 0), Sample(WIDE, 1)]
SCALAR = Sample(point(X))
EMPTY = [Sample(X[:0]), Sample(X[:0], 1), Sample(X[:, :0], 1), Sample(X[:0], 0)]


def axes(dim):
    return tuple(dim) if isinstance(dim, (list, tuple)) else dim


def over(reference):
    """A NumPy reduction with PyTorch's names of its arguments."""

    def named(x, dim=None, keepdim=False, dtype=None):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # the mean of nothing
            return reference(x, axis=axes(dim), keepdims=keepdim)

    return named


def count(x, dim):
    return np.asarray(x).size if dim is None else np.prod([x.shape[d] for d in np.atleast_1d(dim)])


def sum_error(y, x, dim=None, keepdim=False, **_):
    """K - 1 additions of partial sums, none larger than the sum of magnitudes."""
    return (count(x, dim) + 2) * np.abs(x).sum(axis=axes(dim), keepdims=keepdim)


def mean_error(y, x, dim=None, keepdim=False, **_):
    return sum_error(y, x, dim, keepdim) / max(count(x, dim), 1)


def relative_error(y, x, dim=None, *_, **__):
    """K roundings, each relative to the result; a dim that is a flag stands for all."""
    n = np.asarray(x).size if isinstance(dim, bool) else count(x, dim)
    return (n + 8) * np.abs(y)


def bad_dims(name, call=None):
    function = call or getattr(_core, name)
    return [
        Wrong(lambda: function(lamina.ones(2, 3), 2), IndexError, rf"^{name}: .*\b2\b.*\b2\b"),
        Wrong(lambda: function(lamina.ones(2, 3), -3), IndexError, rf"^{name}: .*-3"),
        Wrong(lambda: function([1.0]), TypeError, rf"^{name}: (.*\n)*.*list"),
    ]


def twice(name):
    function = getattr(_core, name)
    return Wrong(
        lambda: function(lamina.ones(2, 3), (1, -1)), ValueError, rf"^{name}: dim -1 appears twice"
    )


def no_integers(name):
    function = getattr(_core, name)
    return Wrong(lambda: function(lamina.tensor([1, 2])), TypeError, rf"^{name}.*float.*int64")


def nothing(name):
    function = getattr(_core, name)
    return Wrong(
        lambda: function(lamina.ones(0, 3)), ValueError, r"^\w+: .*no elements.*\n.*\[0, 3\]"
    )


def sums():
    wide = {"specials": with_nonfinite(DIMS[:3]), "wide": LONG, "edges": [SCALAR, *EMPTY]}
    total = Row("sum", DIMS, over(np.sum), error=sum_error, dtypes="sum", **wide)
    total.wrong = [*bad_dims("sum"), twice("sum")]
    product = Row("prod", DIMS, over(np.prod), error=relative_error, dtypes="sum", **wide)
    product.wide = [Sample(WIDE[:, :30], 1)]
    # A zero, and two: where dividing the product by x would not do.
    product.samples = [
        *DIMS,
        Sample(np.where(X[0, 1] == X, 0.0, X), 1),
        Sample(np.where(X[:2] > 0.4, 0.0, X[:2])),
    ]
    product.wrong = bad_dims("prod")
    average = Row("mean", DIMS, over(np.mean), error=mean_error, dtypes="floating", **wide)
    average.wrong = [*bad_dims("mean"), no_integers("mean")]
    return [total, product, average]


def extremes():
    out = []
    wide = {"specials": with_nonfinite(DIMS[:3]), "wide": LONG, "error": exact}
    for name, whole in (("amax", np.max), ("amin", np.min)):
        row = Row(name, DIMS, over(whole), edges=[SCALAR, Sample(X[:0], 1)], dtypes="keep", **wide)
        row.wrong = [*bad_dims(name), nothing(name)]
        out.append(row)
    return out


def max_and_min():
    """All of it, along a dimension with indices, or of two tensors: PyTorch's three forms."""
    other = -X  # equal nowhere
    out = []
    for name, whole, at, pair in (
        ("max", np.max, np.argmax, np.maximum),
        ("min", np.min, np.argmin, np.minimum),
    ):

        def reference(x, dim=None, keepdim=False, *, whole=whole, at=at, pair=pair):
            if dim is None:
                return whole(x)
            if isinstance(dim, np.ndarray):
                return pair(x, dim)
            return whole(x, axis=dim, keepdims=keepdim), at(x, axis=dim, keepdims=keepdim)

        function = getattr(_core, name)
        samples = [
            Sample(X),
            Sample(X, 0),
            Sample(X, 1, True),
            Sample(CUBE, dim=-2),
            Sample(X, other),
        ]
        row = Row(
            name,
            samples,
            reference,
            wide=LONG,
            edges=[SCALAR, Sample(X[:0], 1)],
            specials=with_nonfinite(samples[:3]),
            error=exact,
            dtypes="keep",
        )
        row.wrong = [
            Wrong(
                lambda function=function: function(lamina.ones(2), 0.5),
                TypeError,
                rf"^{name}: takes {name}\(input\)\n(.*\n)*  got   \(lamina.Tensor, float\)",
            ),
            *bad_dims(name)[:2],
            nothing(name),
        ]
        out.append(row)
    return out


def positions():
    samples = [Sample(X), Sample(X, 0), Sample(X, 1, True), Sample(CUBE, dim=-2)]
    tied = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
    out = []
    for name, reference in (("argmax", np.argmax), ("argmin", np.argmin)):
        row = Row(
            name,
            [*samples, Sample(tied, 1), Sample(-tied, 1), Sample(X, keepdim=True)],
            over(reference),
            wide=LONG,
            edges=[SCALAR, Sample(X[:0], 1)],
            specials=with_nonfinite(samples[:3]),
            differentiable=False,
            dtypes="position",
        )
        row.wrong = [*bad_dims(name)[:2]]
        out.append(row)
    return out


def truths():
    rng = stream("any and all")
    x = rng.integers(0, 2, (3, 4)).astype(np.float64)
    samples = [Sample(x), Sample(x, 0), Sample(x > 0, 1, True), Sample(x, (0, 1)), Sample(x * 0)]
    out = []
    for name, reference in (("any", np.any), ("all", np.all)):
        row = Row(
            name,
            [*samples, Sample(x * 0 + 2)],
            over(lambda v, reference=reference, **k: reference(v != 0, **k)),
            edges=[SCALAR, *EMPTY],
            specials=lambda dtype: [Sample(np.array([np.nan])), Sample(np.array([-0.0]))],
            differentiable=False,
            dtypes="truth",
            wrong=bad_dims(name),
        )
        out.append(row)
    return out


def spreads():
    """var and std, with `correction` and the older `unbiased`."""

    def variance(x, dim=None, unbiased=True, *, correction=1, keepdim=False):
        if isinstance(dim, bool):  # var(x, unbiased)
            dim, unbiased = None, dim
        n, axis = count(x, dim), axes(dim)
        with np.errstate(all="ignore"):
            squares = np.square(x - x.mean(axis=axis, keepdims=True))
            divisor = max(n - (correction if unbiased else 0), 0)
            return squares.sum(axis=axis, keepdims=keepdim) / divisor

    def both(x, dim=None, unbiased=True, *, correction=1, keepdim=False):
        kept = {"correction": correction, "keepdim": keepdim}
        axis = None if isinstance(dim, bool) else axes(dim)
        return variance(x, dim, unbiased, **kept), x.mean(axis=axis, keepdims=keepdim)

    def both_error(y, x, dim=None, *_, keepdim=False, **__):
        return (
            relative_error(y[0], x, dim),
            mean_error(y[1], x, None if isinstance(dim, bool) else dim, keepdim),
        )

    samples = [
        Sample(X),
        Sample(X, 0),
        Sample(X, 1, keepdim=True),
        Sample(CUBE, (0, 2), correction=0),
        Sample(X, -1, correction=1.5),
        Sample(X, 0, False),
        Sample(X, False),
    ]
    base = Row(
        "var",
        samples,
        variance,
        wide=LONG,
        edges=[Sample(X[:0], 1), Sample(X[:, :1], 1)],
        specials=with_nonfinite(samples[:3]),
        error=relative_error,
        dtypes="floating",
        wrong=[*bad_dims("var"), no_integers("var")],
    )
    std = renamed(base, "std", reference=lambda *a, **k: np.sqrt(variance(*a, **k)), wrong=[])
    mean = renamed(base, "var_mean", reference=both, error=both_error, specials=None, wrong=[])
    mean.why = "specials: those of var and mean"

    def root_and_mean(*args, **kwargs):
        v, m = both(*args, **kwargs)
        return np.sqrt(v), m

    std_mean = renamed(mean, "std_mean", reference=root_and_mean, wrong=[])
    return [base, std, mean, std_mean]


def softmaxes():
    x = spread(stream("softmax"), (3, 4), (-4.0, 4.0))
    samples = [Sample(x, 1), Sample(x, 0), Sample(x, dim=-2), Sample(CUBE, 1), Sample(CUBE, -1)]

    def width(v, dim):
        """Roundings of one line: its range (of the exponent), K of the sum, a few besides."""
        k = v.shape[dim] if np.ndim(v) else 1
        span = np.ptp(v, axis=dim, keepdims=True) if np.size(v) and np.ndim(v) else 0
        return span + k + 8

    def softmax_error(y, v, dim):
        return y * width(v, dim)

    def log_error(y, v, dim):
        return width(v, dim) + np.abs(y)

    wide = {
        "wide": [Sample(WIDE * 4, 1), Sample(WIDE * 4, 0), Sample(np.array([[1e4, -1e4, 0]]), 1)],
        "edges": [Sample(x[:0], 1), Sample(x[:, :0], 1), Sample(point(x), 0)],
        "dtypes": "floating",
    }

    def safe(reference):
        def named(v, dim):
            return reference(v, axis=dim) if np.size(v) else v

        return named

    out = []
    for name, reference, error in (
        ("softmax", special.softmax, softmax_error),
        ("softmin", lambda v, axis: special.softmax(-v, axis), softmax_error),
        ("log_softmax", special.log_softmax, log_error),
    ):
        nan = np.array([[1.0, np.nan, 2.0], [1.0, -np.inf, 2.0]])
        row = Row(name, samples, safe(reference), error=error, **wide)
        row.specials = lambda dtype, nan=nan: [Sample(nan, 1)]
        function = getattr(_core, name)
        row.wrong = [
            Wrong(lambda f=function: f(lamina.ones(2, 3), 2), IndexError, rf"^{name}: .*\b2\b"),
            Wrong(
                lambda f=function: f(lamina.tensor([1, 2]), 0),
                TypeError,
                rf"^{name}: input must be float32 or float64, got int64",
            ),
        ]
        out.append(row)
    return out


ROWS = [*sums(), *extremes(), *max_and_min(), *positions(), *truths(), *spreads(), *softmaxes()]
