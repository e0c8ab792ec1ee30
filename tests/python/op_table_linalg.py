"""Rows of norms, distances and lamina.linalg."""

from __future__ import annotations

import lamina
import numpy as np
from lamina import linalg
from op_table_product import nan_first, row
from op_table_row import Sample, Wrong, point, spread, stream

RNG = stream("linalg")
A, B = spread(RNG, (2, 3)), spread(RNG, (3, 2))
BATCH, OTHER = spread(RNG, (2, 2, 3)), spread(RNG, (2, 3, 2))
U = spread(RNG, 3)
POINT = point(A)
T = lamina.ones(2, 3)
T3 = lamina.ones(2, 2, 3)
LINE = lamina.ones(3)

# -- norms and distances ---------------------------------------------------------------------------

INF = float("inf")
FIVE, FOUR = spread(RNG, (5, 3)), spread(RNG, (4, 3), (2.5, 6.0))
# Away from zero, and no two of one size or with one sum, where norms have kinks.
SIGNS = RNG.choice([-1.0, 1.0], (2, 2, 3))
N3 = SIGNS * (spread(RNG, (2, 2, 3), (0.4, 3.0)) + RNG.uniform(0.0, 0.01, (2, 2, 3)))
N2, N1 = N3[0], N3[1, 0]


def cdist(x, y, p=2.0):
    return norm(x[..., :, None, :] - y[..., None, :, :], p, -1)


def norm(x, ord=2, dim=None, keepdim=False):
    """NumPy's, over any number of dimensions at once."""
    dims = tuple(range(x.ndim)) if dim is None else tuple(np.atleast_1d(dim))
    size = np.abs(x)
    if ord == INF:
        return size.max(dims, keepdims=keepdim)
    if ord == -INF:
        return size.min(dims, keepdims=keepdim)
    if ord == 0:
        return (x != 0).astype(float).sum(dims, keepdims=keepdim)
    return (size**ord).sum(dims, keepdims=keepdim) ** (1 / ord)


def relative(n):
    return lambda y, *args, **kwargs: n * np.abs(y)


def norms(x):
    return [Sample(x, p) for p in (1, 3, INF, -INF, -2, 0.5, 2.5, 0)]


def any_norm(x, ord=None, dim=None, keepdim=False):
    if ord is None and dim is None:
        return norm(x, keepdim=keepdim)
    return np.linalg.norm(x, ord, dim, keepdim)


def matrix_norm(x, ord="fro", dim=(-2, -1), keepdim=False):
    return np.linalg.norm(x, ord, dim, keepdim)


NORM_WRONG = [
    Wrong(lambda: linalg.vector_norm(T.long()), TypeError,
          r"^linalg.vector_norm: the input must be float32 or float64, got int64; pass dtype="),
    Wrong(lambda: linalg.vector_norm(T[:0], INF), ValueError,
          r"^linalg.vector_norm: order inf has no value for no elements\n"),
    Wrong(lambda: linalg.vector_norm(T, 2, 2), IndexError, r"^linalg.vector_norm: .*\b2\b"),
    Wrong(lambda: linalg.vector_norm(T, "fro"), TypeError,
          r"^linalg.vector_norm: argument 'ord' must be a number, got str"),
    Wrong(lambda: linalg.vector_norm(T, dtype=lamina.int64), TypeError,
          r"^linalg.vector_norm: dtype must be float32 or float64, got int64"),
]  # fmt: skip

# The sums of powers have some ten terms; a power is good to a few units, times its exponent's size.
NORMS = [
    row("cdist", [Sample(FIVE, FOUR), *[Sample(FIVE, FOUR, p) for p in (1.0, 3.0, INF, 0.0, 1.5)],
                  Sample(OTHER, 3 + BATCH[:, 0][:, None, :2]), Sample(OTHER, B + 3, p=2.0)],
        cdist, Sample(FIVE[:0], FOUR), Sample(FIVE, FOUR[:0]), Sample(FIVE[:, :0], FOUR[:, :0]),
        error=relative(32), specials=nan_first(Sample(FIVE, FOUR)),
        wrong=[Wrong(lambda: lamina.cdist(T, lamina.ones(2, 2)), ValueError,
                     r"^cdist: the points have 3 and 2 coordinates\n"),
               Wrong(lambda: lamina.cdist(T, LINE), ValueError, r"^cdist: needs two sets of point"),
               Wrong(lambda: lamina.cdist(T, T, -1.0), ValueError, r"^cdist: p must not be neg"),
               Wrong(lambda: lamina.cdist(T, T.double()), TypeError, r"^cdist: both must have")]),
    row("linalg.vector_norm", [Sample(N2), *norms(N2), Sample(N3, 2, (0, 2)),
                               Sample(N3, 1, -1, True), Sample(N2, 2, 0, keepdim=True)],
        norm, Sample(A[:0]), Sample(POINT), Sample(A[:, :0], 2, 1), Sample(A[:, :0], INF, 0),
        call=linalg.vector_norm, error=relative(32),
        specials=nan_first(Sample(N2), Sample(N2, INF)), wrong=NORM_WRONG),
    row("linalg.norm", [Sample(N2), Sample(N3), Sample(N1, 3), Sample(N2, "fro"), Sample(N2, 1),
                        Sample(N2, -1), Sample(N2, INF), Sample(N2, -INF), Sample(N2, None, 1),
                        Sample(N3, 1, 2), Sample(N3, INF, (2, 0)),
                        Sample(N3, "fro", (0, 2), True), Sample(N2, dim=(0, 1), keepdim=True)],
        any_norm,
        Sample(A[:0]), Sample(POINT), call=linalg.norm, error=relative(32),
        wrong=[Wrong(lambda: linalg.norm(T, "nuc"), NotImplementedError,
                     r"^linalg.norm: order 'nuc' needs singular values"),
               Wrong(lambda: linalg.norm(T, "max"), ValueError,
                     r"^linalg.norm: the order must be a number, 'fro' or 'nuc', got 'max'"),
               Wrong(lambda: linalg.norm(LINE, "fro"), ValueError, r"^linalg.norm: order 'fro' is"),
               Wrong(lambda: linalg.norm(T, 2), NotImplementedError,
                     r"^linalg.norm: order 2 needs singular values"),
               Wrong(lambda: linalg.norm(T3, 1), ValueError,
                     r"^linalg.norm: with an order, dim must say .* 3 dimensions"),
               Wrong(lambda: linalg.norm(T, dim=9), IndexError, r"^linalg.norm: dim 9 is out of"),
               Wrong(lambda: linalg.norm(T3, None, (0, 1, 2)), ValueError,
                     r"^linalg.norm: dim must name one or two dimensions, got \[0, 1, 2\]")]),
    row("linalg.matrix_norm", [Sample(N2), Sample(N3, "fro"), Sample(N3, 1), Sample(N2, INF),
                               Sample(N3, -INF, (0, 1)), Sample(N3, -1, (2, 0), True)],
        matrix_norm,
        Sample(BATCH[:0]), call=linalg.matrix_norm, error=relative(32),
        wrong=[Wrong(lambda: linalg.matrix_norm(LINE), ValueError,
                     r"^linalg.matrix_norm: needs a matrix or a batch\n"),
               Wrong(lambda: linalg.matrix_norm(T, 1, (0, 9)), IndexError,
                     r"^linalg.matrix_norm: dim 9 is out of range"),
               Wrong(lambda: linalg.matrix_norm(T, -2), NotImplementedError,
                     r"^linalg.matrix_norm: order -2 needs singular values"),
               Wrong(lambda: linalg.matrix_norm(T[:, :0], -1), ValueError,
                     r"^linalg.matrix_norm: order -1 has no value for no elements\n"),
               Wrong(lambda: linalg.matrix_norm(T.long(), 1), TypeError,
                     r"^linalg.matrix_norm: the input must be float32 or float64, got int64"),
               Wrong(lambda: linalg.matrix_norm(T, 1, (0, 1, 1)), ValueError,
                     r"^linalg.matrix_norm: needs two dimensions, got \[0, 1, 1\]")]),
]  # fmt: skip

# -- factorisations --------------------------------------------------------------------------------

EYE = np.eye(3)
M = spread(RNG, (3, 3), (-0.6, 0.6)) + 2 * EYE[[1, 0, 2]]  # well conditioned, and needs pivots
MS = np.stack([M, M.T + EYE])
RIGHT = spread(RNG, (3, 2))
LARGE = RNG.standard_normal((2, 70, 70)) + 20 * np.eye(70)
SINGULAR = lamina.tensor([[1.0, 2.0], [2.0, 4.0]])
PAIR = lamina.stack([lamina.eye(2), SINGULAR])


def conditioned(y, a, *args, **kwargs):
    """A solution by elimination is off by its condition, some n^2 roundings, and its size."""
    if not a.size:
        return tuple(0 * v for v in y) if isinstance(y, tuple) else 0 * y
    n = a.shape[-1]
    size = 4 * n * n * np.linalg.cond(a).max()
    parts = y if isinstance(y, tuple) else (y,)
    bounds = tuple(size * np.abs(v).max(initial=1.0) + 0 * v for v in parts)
    return bounds if isinstance(y, tuple) else bounds[0]


def solve(a, b, left=True):
    if not left:
        return np.swapaxes(solve(np.swapaxes(a, -1, -2), np.swapaxes(b, -1, -2)), -1, -2)
    if b.ndim == 1 or b.shape == a.shape[:-1]:
        return np.linalg.solve(a, b[..., None])[..., 0]
    return np.linalg.solve(a, b)


def qr(a, mode="reduced"):
    found = np.linalg.qr(a, mode)
    return (np.zeros(0), found) if mode == "r" else tuple(found)


FACTORS = [
    row("linalg.solve", [Sample(M, RIGHT), Sample(M, U), Sample(MS, RIGHT), Sample(MS, A),
                         Sample(M, np.stack([RIGHT, -RIGHT])), Sample(M, RIGHT.T, left=False)],
        solve, Sample(M[:0, :0], RIGHT[:0]), Sample(M, RIGHT[:, :0]), Sample(MS[:0], RIGHT),
        call=linalg.solve, error=conditioned, dtypes=None, layouts=(1,),
        wide=[Sample(LARGE, LARGE[0, :, :5])],
        wrong=[Wrong(lambda: linalg.solve(SINGULAR, LINE[:2]), linalg.LinAlgError,
                     r"^linalg.solve: the matrix is singular\n.*\[2, 2\]"),
               Wrong(lambda: linalg.solve(PAIR, T[:, :2]), RuntimeError,
                     r"^linalg.solve: matrix 1 of the batch is singular\n.*\[2, 2, 2\]"),
               Wrong(lambda: linalg.solve(T, LINE), ValueError,
                     r"^linalg.solve: A must be a square matrix or a batch of them\n.*\[2, 3\]"),
               Wrong(lambda: linalg.solve(SINGULAR, LINE), ValueError,
                     r"^linalg.solve: A is 2 x 2 but B has 3 rows\n"),
               Wrong(lambda: linalg.solve(SINGULAR, LINE[:2], left=False), ValueError,
                     r"^linalg.solve: left=False needs a B that is a matrix"),
               Wrong(lambda: linalg.solve(SINGULAR, T.t().double()[:2]), TypeError,
                     r"^linalg.solve: A and B must have one dtype, got float32 and float64")]),
    row("linalg.inv", [Sample(M), Sample(MS)], np.linalg.inv, Sample(M[:0, :0]), Sample(MS[:0]),
        call=linalg.inv, error=conditioned, wide=[Sample(LARGE)], dtypes=None,
        layouts=False, why="layouts: an expanded matrix is singular; others in test_linalg.py",
        wrong=[Wrong(lambda: linalg.inv(SINGULAR), linalg.LinAlgError,
                     r"^linalg.inv: the matrix is singular\n"),
               Wrong(lambda: linalg.inv(PAIR), linalg.LinAlgError,
                     r"^linalg.inv: matrix 1 of the batch is singular\n"),
               Wrong(lambda: linalg.inv(SINGULAR.long()), TypeError,
                     r"^linalg.inv: A must be float32 or float64, got int64"),
               Wrong(lambda: linalg.inv(T), ValueError, r"^linalg.inv: A must be a square")]),
    row("linalg.qr", [Sample(M), Sample(A), Sample(B), Sample(MS), Sample(BATCH), Sample(OTHER),
                      Sample(M, "complete"), Sample(A, mode="complete")],
        qr, Sample(A[:0]), Sample(A[:, :0]), Sample(BATCH[:0]), call=linalg.qr,
        error=conditioned, layouts=False, why="layouts: as for inv",
        wide=[Sample(RNG.standard_normal((90, 40)) + 9 * np.eye(90, 40))],
        wrong=[Wrong(lambda: linalg.qr(LINE), ValueError, r"^linalg.qr: A must be a matrix or"),
               Wrong(lambda: linalg.qr(T, "raw"), ValueError,
                     r"^linalg.qr: mode must be 'reduced', 'complete' or 'r', got 'raw'"),
               Wrong(lambda: linalg.qr(T.t().clone().requires_grad_(), "complete")[1].sum()
                     .backward(), NotImplementedError,
                     r"^linalg.qr: mode 'complete' has no gradient for more rows than columns"),
               Wrong(lambda: linalg.qr(T.clone().requires_grad_(), "r").R.sum().backward(),
                     NotImplementedError, r"^linalg.qr: mode 'r' has no gradient")]),
]  # fmt: skip

ROWS = [*NORMS, *FACTORS]
