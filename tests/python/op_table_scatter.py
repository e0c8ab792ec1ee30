"""Rows of the ops that read and write at positions along one dimension."""

from __future__ import annotations

import lamina
import numpy as np
from op_table_row import Row, Sample, Wrong, exact, point, spread, stream
from op_table_shape import row

RNG = stream("scatter")
X = spread(RNG, (2, 3))
CUBE = spread(RNG, (2, 3, 2))
LINE = spread(RNG, 5)
POINT = point(X)
T = lamina.ones(2, 3)
V = lamina.ones(3)
AT = lamina.tensor([[0, 7]])
LOW = lamina.tensor([[0, -1]])

# Indices without an element that comes twice along the dimension, and with.
ONCE = np.array([[2, 0], [1, 2]])
TWICE = np.array([[2, 0, 2, 2], [1, 1, 0, 1]])
DOWN = np.array([[1, 0, 1]])
DEEP = np.array([[[2, 0], [0, 1], [1, 2]], [[0, 1], [2, 2], [1, 0]]])


def places(index, dim):
    """The index arrays that name what a gather along ``dim`` reads."""
    where = list(np.indices(index.shape))
    where[dim % max(index.ndim, 1)] = index
    return tuple(where)


def gather(x, dim, index):
    if not index.size or not x.ndim:
        return x if index.size else np.zeros(index.shape)
    return x[places(index, dim)]


def along(x, indices, dim=None):
    return np.take_along_axis(x if dim is not None else x.reshape(-1),
                              indices if dim is not None else indices.reshape(-1),
                              axis=0 if dim is None else dim)  # fmt: skip


def scattered(x, dim, index, src, reduce=None):
    out = np.array(x)
    if not index.size or not x.ndim:
        return np.array(src) if index.size else out
    if isinstance(src, np.ndarray) and src.ndim:
        src = src[tuple(slice(n) for n in index.shape)]
    at = places(index, dim)
    if reduce == "add":
        np.add.at(out, at, src)
    elif reduce == "multiply":
        np.multiply.at(out, at, src)
    else:
        out[at] = src
    return out


def out_of_range(name, *more):
    """An index past the end and one below zero, by a function of (tensor, dim, index, ...)."""
    f = getattr(lamina, name)
    return [
        Wrong(lambda: f(T, 1, AT, *more), IndexError,
              rf"^{name}: index 7 is out of range for dimension 1 of size 3\n.*\[2, 3\]"),
        Wrong(lambda: f(T, 1, LOW, *more), IndexError, rf"^{name}: index -1 is out of range"),
        Wrong(lambda: f(T, 2, AT, *more), IndexError, rf"^{name}: .*\b2\b"),
    ]  # fmt: skip


FLOAT_AT = lamina.ones(1, 2)
READS = [
    row("gather", [Sample(X, 1, TWICE), Sample(X, 0, DOWN), Sample(CUBE, 1, DEEP),
                   Sample(CUBE, -1, DEEP % 2), Sample(X, -1, ONCE[:1]),
                   Sample(X, 1, ONCE.astype("int32"))],
        gather, Sample(X, 1, ONCE[:0]), Sample(X[:0], 1, ONCE[:0]), Sample(POINT, 0, np.array(0)),
        wrong=[*out_of_range("gather"),
               Wrong(lambda: T.gather(1, FLOAT_AT), TypeError,
                     r"^gather: the index must be int64 or int32, got float32"),
               Wrong(lambda: T.gather(1, lamina.tensor([0])), ValueError,
                     r"^gather: the index must have .*\n  input  \[2, 3\]\n  index  \[1\]"),
               Wrong(lambda: T.gather(0, lamina.zeros(1, 4).long()), ValueError, r"^gather: ")]),
    row("take_along_dim", [Sample(X, ONCE, 1), Sample(X, np.array([5, 1, -1])),
                           Sample(X, DOWN, 0), Sample(X, np.array([[1], [-3]]), dim=1),
                           Sample(CUBE, DEEP[:, :, :1], 1)],
        along,
        Sample(X, ONCE[:, :0], 1), Sample(X[:0], ONCE[:0], 1),
        wrong=[Wrong(lambda: lamina.take_along_dim(T, AT, 1), IndexError,
                     r"^take_along_dim: index 7 is out of range for dimension 1 of size 3"),
               Wrong(lambda: lamina.take_along_dim(T, AT[0], 1), ValueError,
                     r"^take_along_dim: the index must have the input's dimensions\n"),
               Wrong(lambda: lamina.take_along_dim(T, FLOAT_AT, 1), TypeError,
                     r"^take_along_dim: the index must be int64 or int32, got float32")]),
    row("take", [Sample(X, np.array([5, 0, -1])), Sample(X, ONCE), Sample(CUBE, np.array([11, 3])),
                 Sample(X, np.array(2))],
        lambda x, index: np.take(x, index), Sample(X, ONCE[:0]), Sample(POINT, np.array([0, 0])),
        wrong=[Wrong(lambda: T.take(AT - 1), IndexError,
                     r"^take: index 6 is out of range for dimension 0 of size 6"),
               Wrong(lambda: T.take(V), TypeError, r"^take: the index must be int64")]),
]  # fmt: skip

SOURCE = spread(RNG, (3, 4))
WRITES = [
    row("scatter", [Sample(X, 1, ONCE, SOURCE), Sample(X, 0, DOWN, SOURCE), Sample(X, 1, ONCE, 2.5),
                    Sample(CUBE, 1, DEEP, CUBE + 1), Sample(X, 1, ONCE, point(SOURCE)),
                    Sample(X, 1, TWICE, SOURCE, reduce="add"),
                    Sample(X, 1, ONCE, 3.0, reduce="add")],
        scattered, Sample(X, 1, ONCE[:0], SOURCE), Sample(X[:0], 1, ONCE[:0], SOURCE),
        Sample(POINT, 0, np.array(0), np.array(4.0)), Sample(X, 1, ONCE[:0], 1.0),
        wrong=[*out_of_range("scatter", T),
               Wrong(lambda: T.scatter(1, FLOAT_AT, T), TypeError,
                     r"^scatter: the index must be int64 or int32, got float32"),
               Wrong(lambda: T.scatter(1, AT, T.double()), TypeError,
                     r"^scatter: src must have the tensor's dtype float32, got float64"),
               Wrong(lambda: T.scatter(1, AT, V), ValueError,
                     r"^scatter: the index must have .*\n  tensor \[2, 3\]\n  index  \[1, 2\]"),
               Wrong(lambda: T.scatter(1, AT, T[:, :1]), ValueError, r"^scatter: the index must"),
               Wrong(lambda: T.scatter(1, AT, T, reduce="mean"), ValueError,
                     r"^scatter: reduce must be 'add' or 'multiply', got 'mean'")]),
    Row("scatter: multiply", [Sample(X, 1, TWICE, SOURCE), Sample(X, 0, DOWN, 2.0)],
        lambda x, dim, index, src: scattered(x, dim, index, src, "multiply"),
        call=lambda *args: lamina.scatter(*args, reduce="multiply"), constant=(0, 3),
        differentiable=False, dtypes="keep", why="gradient: there is none, and it says so",
        wrong=[Wrong(lambda: T.scatter(1, AT * 0, T.clone().requires_grad_(), reduce="multiply"),
                     NotImplementedError, r"^scatter: reduce='multiply' has no gradient")]),
    row("masked_fill: a value with a gradient", [Sample(X, X > 0, point(SOURCE)),
                                                 Sample(X, X[0] > 0, point(SOURCE))],
        lambda x, mask, value: np.where(mask, value, x), Sample(X[:0], X[:0] > 0, POINT),
        call=lamina.masked_fill, layouts=(0,),
        wrong=[Wrong(lambda: T.masked_fill(T > 0, V), ValueError,
                     r"^masked_fill: the value must be a number or a 0-d tensor\n.*\[3\]")]),
    row("scatter_add", [Sample(X, 1, TWICE, SOURCE), Sample(X, 0, DOWN, SOURCE),
                        Sample(CUBE, -1, DEEP % 2, CUBE), Sample(LINE, 0, TWICE[0], SOURCE[0])],
        lambda x, dim, index, src: scattered(x, dim, index, src, "add"),
        Sample(X, 1, ONCE[:0], SOURCE), Sample(X[:0], 1, ONCE[:0], SOURCE),
        wrong=[*out_of_range("scatter_add", T)]),
]  # fmt: skip


def slices(x, dim, index):
    at = [slice(None)] * x.ndim
    at[dim % x.ndim] = np.atleast_1d(index)
    return tuple(at)


def index_add(x, dim, index, source, alpha=1):
    out = np.array(x)
    np.add.at(out, slices(x, dim, index), alpha * source)
    return out


def index_copy(x, dim, index, source):
    out = np.array(x)
    out[slices(x, dim, index)] = source
    return out


ROW_AT = np.array([2, 0])
AGAIN = np.array([1, 1, 0, 1])
COLUMNS = spread(RNG, (2, 4))
BAD = lamina.tensor([7])


def wrong_slices(name, *more, low=True):
    f = getattr(lamina, name)
    out = [
        Wrong(lambda: f(T, 1, BAD, *more), IndexError,
              rf"^{name}: index 7 is out of range for dimension 1 of size 3\n"),
        Wrong(lambda: f(T, 1, V, *more), TypeError,
              rf"^{name}: the index must be int64 or int32, got float32"),
        Wrong(lambda: f(T, 1, AT, *more), ValueError, rf"^{name}: the index must have one dim"),
        Wrong(lambda: f(T, 2, BAD, *more), IndexError, rf"^{name}: .*\b2\b"),
    ]  # fmt: skip
    if low:
        out.append(Wrong(lambda: f(T, 1, -BAD, *more), IndexError, rf"^{name}: index -7 is"))
    return out


def wrong_source(name):
    f = getattr(lamina, name)
    at = lamina.tensor([0])
    return [
        Wrong(lambda: f(T, 1, at, T), ValueError,
              rf"^{name}: the source must have .*\n  tensor \[2, 3\]\n.*\n  needs  \[2, 1\]"),
        Wrong(lambda: f(T, 1, at, T[:, :1].double()), TypeError,
              rf"^{name}: the source must have the tensor's dtype float32, got float64"),
    ]  # fmt: skip


SLICES = [
    row("index_add", [Sample(X, 1, AGAIN, COLUMNS), Sample(X, 0, np.array([1]), X[:1]),
                      Sample(CUBE, -2, ROW_AT, CUBE[:, :2], alpha=2.5), Sample(LINE, 0, ROW_AT,
                                                                              LINE[:2])],
        index_add, Sample(X, 1, ROW_AT[:0], X[:, :0]), Sample(X[:0], 1, ROW_AT, X[:0, :2]),
        wrong=[*wrong_slices("index_add", T[:, :1]), *wrong_source("index_add"),
               Wrong(lambda: T.long().index_add(1, lamina.tensor([0]), T[:, :1].long(), alpha=0.5),
                     TypeError, r"^index_add: alpha must be an integer for a tensor of int64")]),
    row("index_copy", [Sample(X, 1, ROW_AT, COLUMNS[:, :2]), Sample(X, 0, np.array([1]), X[:1]),
                       Sample(CUBE, -2, ROW_AT, CUBE[:, 1:] + 1)],
        index_copy, Sample(X, 1, ROW_AT[:0], X[:, :0]), Sample(X[:0], 1, ROW_AT, X[:0, :2]),
        wrong=[*wrong_slices("index_copy", T[:, :1]), *wrong_source("index_copy")]),
    row("index_fill", [Sample(X, 1, ROW_AT, 2.0), Sample(X, 0, np.array([-1]), point(COLUMNS)),
                       Sample(CUBE, 1, AGAIN, point(COLUMNS))],
        index_copy, Sample(X, 1, ROW_AT[:0], 1.0), Sample(X[:0], 1, ROW_AT, 1.0),
        wrong=[*wrong_slices("index_fill", 1.0),
               Wrong(lambda: T.index_fill(1, lamina.tensor([0]), V), ValueError,
                     r"^index_fill: the value must be a number or a 0-d tensor\n.*\[3\]")]),
]  # fmt: skip

ADDED = {"scatter", "scatter_add", "index_add"}


def added(y, x, dim, index, src, reduce=None, alpha=1):
    """As many roundings as there are terms, each of a partial sum of the terms' sizes."""
    return 8 * (np.abs(x).max(initial=0.0) + abs(alpha) * 4 * np.abs(src).max(initial=0.0))


for made in [*WRITES, *SLICES]:
    made.error = added if made.name in ADDED else exact
WRITES[1].error = lambda y, *args: 4 * np.abs(y)

ROWS = [*READS, *WRITES, *SLICES]
