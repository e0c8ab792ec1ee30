"""Rows of the ops that show or move elements, and of indexing."""

from __future__ import annotations

import lamina
import numpy as np
from lamina import _core
from op_table_row import Row, Sample, Wrong, exact, point, spread, stream

RNG = stream("shapes")
X = spread(RNG, (2, 3))
CUBE = spread(RNG, (2, 3, 2))
ONES = spread(RNG, (2, 1, 3, 1))
POINT = point(X)
T = lamina.ones(2, 3)


def row(name, samples, reference, *edges, **more):
    return Row(
        name,
        samples,
        reference,
        edges=list(edges),
        error=exact,
        **{"dtypes": "keep", **more},
    )


def view(name, samples, reference, *edges, **more):
    return row(name, samples, reference, *edges, **{"is_view": True, **more})


def split(x, sizes, dim=0):
    if isinstance(sizes, int):
        n = x.shape[dim]
        return tuple(np.split(x, range(sizes, n, sizes), axis=dim))
    return tuple(np.split(x, np.cumsum(sizes)[:-1], axis=dim))


def chunk(x, chunks, dim=0):
    return split(x, -(-x.shape[dim] // chunks), dim)


def flatten(x, start_dim=0, end_dim=-1):
    if x.ndim == 0:
        return x.reshape(1)
    start, end = start_dim % x.ndim, end_dim % x.ndim
    return x.reshape(*x.shape[:start], -1, *x.shape[end + 1 :])


def narrow(x, dim, start, length):
    return np.take(x, range(start, start + length), axis=dim)


def strided(x, size, stride, storage_offset=0):
    flat = np.ascontiguousarray(x).reshape(-1)[storage_offset:]
    steps = [s * flat.itemsize for s in stride]
    return np.lib.stride_tricks.as_strided(flat, size, steps)


def squeeze(x, dim=None):
    dims = range(x.ndim) if dim is None else np.atleast_1d(dim) % max(x.ndim, 1)
    return x.reshape([n for i, n in enumerate(x.shape) if n != 1 or i not in dims])


def method(name):
    return lambda x, *args, **kwargs: getattr(x, name)(*args, **kwargs)


def wrong(call, error, match):
    return [Wrong(call, error, match)]


SHAPES = [Sample(X, (3, 2)), Sample(X, (-1,)), Sample(CUBE, (4, -1)), Sample(X, (1, 2, 1, 3))]
SWAPS = [Sample(X, 0, 1), Sample(CUBE, 0, -1), Sample(CUBE, dim0=1, dim1=2)]

VIEWS = [
    view(
        "view",
        SHAPES,
        np.reshape,
        Sample(X[:0], (3, 0)),
        Sample(POINT, (1, 1)),
        layouts=False,
        why="layouts: a view of other sizes is refused where it needs a copy",
        wrong=[
            Wrong(lambda: T.view(4), ValueError, r"^view: sizes \[4\] hold 4 elements .* 6\n"),
            Wrong(lambda: T.view(-1, -1), ValueError, r"^view: only one size can be -1"),
            Wrong(lambda: T.t().view(6), RuntimeError, r"^view: .* copy.*reshape\(\)\n.*\[3, 2\]"),
            Wrong(lambda: T.view("a"), TypeError, r"^view: argument 'shape' must be .* got .*str"),
        ],
    ),
    view("permute", [Sample(X, (1, 0)), Sample(CUBE, (2, 0, 1)), Sample(CUBE, (0, -1, 1))],
         np.transpose, Sample(X[:0], (1, 0)), Sample(POINT, ()),
         wrong=[Wrong(lambda: T.permute(0), ValueError, r"^permute: needs all 2 dim.*\[0\]"),
                Wrong(lambda: T.permute(0, 0), ValueError, r"^permute: .* twice in \[0, 0\]")]),
    view("transpose", SWAPS, lambda x, dim0, dim1: np.swapaxes(x, dim0, dim1),
         Sample(X[:0], 0, 1), aliases=("swapaxes", "swapdims"),
         wrong=wrong(lambda: T.transpose(0, 2), IndexError, r"^transpose: .*\b2\b")),
    view("t", [Sample(X), Sample(X[0])], np.transpose, Sample(X[:0]), Sample(POINT),
         wrong=wrong(lambda: lamina.ones(1, 1, 1).t(), ValueError, r"^t: .* 2 .*\n.*\[1, 1, 1\]")),
    view("T", [Sample(X), Sample(CUBE)], np.transpose, call=lambda x: x.T),
    view("mT", [Sample(X), Sample(CUBE)], lambda x: np.swapaxes(x, -1, -2), call=lambda x: x.mT,
         wrong=wrong(lambda: lamina.ones(2).mT, ValueError, r"^mT: needs at least 2 dimensions")),
    view("squeeze", [Sample(ONES), Sample(ONES, 1), Sample(ONES, -1), Sample(ONES, (1, 3)),
                     Sample(ONES, dim=0)], squeeze, Sample(POINT), Sample(ONES[:0]),
         wrong=wrong(lambda: T.squeeze(2), IndexError, r"^squeeze: .*\b2\b")),
    view("unsqueeze", [Sample(X, 0), Sample(X, -1), Sample(X, dim=1)],
         lambda x, dim: np.expand_dims(x, dim), Sample(POINT, 0), Sample(X[:0], 1),
         wrong=wrong(lambda: T.unsqueeze(3), IndexError, r"^unsqueeze: .*\b3\b")),
    view("select", [Sample(X, 0, 1), Sample(CUBE, -1, -2), Sample(CUBE, dim=1, index=0)],
         lambda x, dim, index: np.take(x, index, axis=dim), Sample(X[:, :0], 0, 0),
         wrong=[Wrong(lambda: T.select(1, 3), IndexError,
                      r"^select: index 3 is out of .* dimension 1 of size 3\n.*\[2, 3\]"),
                Wrong(lambda: lamina.tensor(1.0).select(0, 0), IndexError, r"^select: a 0-d")]),
    view("narrow", [Sample(X, 1, 1, 2), Sample(CUBE, 0, 0, 1)], narrow, Sample(X, 1, 1, 0),
         wrong=wrong(lambda: T.narrow(1, 2, 2), IndexError, r"^narrow: start 2 and length 2 .* 3")),
    view("diagonal", [Sample(X), Sample(X, 1), Sample(X, -1), Sample(CUBE, 0, 0, 2),
                      Sample(CUBE, offset=0, dim1=1, dim2=2)],
         lambda x, offset=0, dim1=0, dim2=1: np.diagonal(x, offset, dim1, dim2), Sample(X, 5),
         wrong=wrong(lambda: T.diagonal(0, 1, 1), ValueError, r"^diagonal: needs two different")),
    view("as_strided", [Sample(X, (2, 2), (1, 2)), Sample(X, (2,), (3,), 1)], strided,
         Sample(X, (0, 3), (3, 1)),
         layouts=False, why="layouts: it reads the memory itself, whatever shows it",
         wrong=[Wrong(lambda: T.as_strided((4, 3), (3, 1)), ValueError,
                      r"^as_strided: reaches outside of the memory"),
                Wrong(lambda: T.as_strided((2,), (1, 1)), ValueError, r"^as_strided: 1 sizes but"),
                Wrong(lambda: T.as_strided((2,), (-1,)), ValueError, r"^as_strided: .*negative")]),
    view("unbind", [Sample(X), Sample(X, 1), Sample(CUBE, dim=-1)],
         lambda x, dim=0: tuple(np.moveaxis(x, dim, 0)),
         wrong=wrong(lambda: lamina.tensor(1.0).unbind(), ValueError, r"^unbind: a 0-d tensor")),
    view("split", [Sample(X, 2, 1), Sample(X, 5), Sample(X, [1, 2], 1),
                   Sample(CUBE, (2, 1), dim=1)], split,
         wrong=[Wrong(lambda: T.split(0), ValueError, r"^split: the size must be positive, got 0"),
                Wrong(lambda: T.split([1, 2]), ValueError, r"^split: sizes \[1, 2\] add up to 3"),
                Wrong(lambda: T.split([1, "a"]), TypeError, r"^split: a size must be an int"),
                Wrong(lambda: T.split("ab"), TypeError, r"^split: .* must be an int or a list")]),
    view("chunk", [Sample(X, 2, 1), Sample(CUBE, 2, dim=1), Sample(X, 7)], chunk,
         wrong=wrong(lambda: T.chunk(0), ValueError, r"^chunk: needs at least one chunk, got 0")),
    view("detach", [Sample(X)], lambda x: x, Sample(X[:0]), Sample(POINT), differentiable=False),
    view("view_as", [Sample(X, X.T)], lambda x, other: x.reshape(other.shape), layouts=False,
         constant=(1,), why="layouts: as view"),
]  # fmt: skip


def expand(x, size):
    old = (1,) * (len(size) - x.ndim) + x.shape
    return np.broadcast_to(x, [n if s == -1 else s for s, n in zip(size, old, strict=True)])


EXPANDED = [
    view("expand", [Sample(X, (2, 2, 3)), Sample(X[:, :1], (-1, 3)), Sample(X[:1], (4, 3))],
         expand,
         Sample(POINT, (2, 2)), Sample(X[:1], (0, 3)),
         wrong=[Wrong(lambda: T.expand(4, 3), ValueError,
                      r"^expand: dimension 0 has size 2, not 1, and can't become 4\n.*\[2, 3\]"),
                Wrong(lambda: T.expand(3), ValueError, r"^expand: 1 sizes are fewer"),
                Wrong(lambda: T.expand(-1, 2, 3), ValueError, r"^expand: -1 keeps a size, but")]),
    view("broadcast_to", [Sample(X, (2, 2, 3)), Sample(X[:1], (4, 3))], np.broadcast_to,
         Sample(POINT, (2,))),
    view("expand_as", [Sample(X[0], X)], lambda x, other: np.broadcast_to(x, other.shape),
         constant=(1,)),
]  # fmt: skip


def tensors(function):
    """Call a function of a list of tensors with loose ones."""
    return lambda *xs, **kwargs: getattr(_core, function)(xs, **kwargs)


def joined(name, reference, samples, *edges, **more):
    return row(name, samples, lambda *xs, dim=0: reference(xs, axis=dim), *edges,
               call=tensors(name), dtypes=None, **more)  # fmt: skip


PARTS = [Sample(X, CUBE[0].T), Sample(X, X[:, :1], X, dim=1), Sample(CUBE, CUBE, dim=-1)]
OTHER = lamina.ones(3, 3)

MOVES = [
    row("reshape", SHAPES, np.reshape, Sample(X[:0], (0, 7)), Sample(POINT, (1,)),
        wrong=[Wrong(lambda: T.reshape(4, -1), ValueError,
                     r"^reshape: sizes \[4, -1\] leave no whole size for -1\n.*\[2, 3\]"),
               Wrong(lambda: T.reshape(-2, 3), ValueError, r"^reshape: sizes must not be neg")]),
    row("reshape_as", [Sample(X, X.T)], lambda x, other: x.reshape(other.shape), constant=(1,)),
    row("flatten", [Sample(X), Sample(CUBE, 1), Sample(CUBE, 0, 1), Sample(CUBE, start_dim=-1)],
        flatten, Sample(POINT), Sample(X[:0]),
        wrong=wrong(lambda: T.flatten(1, 0), ValueError, r"^flatten: start_dim 1 comes after")),
    row("ravel", [Sample(X), Sample(CUBE)], np.ravel, Sample(POINT)),
    row("repeat", [Sample(X, (2, 1)), Sample(X, (2, 1, 3)), Sample(X[0], (2,))],
        lambda x, n: np.tile(x, n), Sample(X, (0, 1)),
        wrong=[Wrong(lambda: T.repeat(2), ValueError, r"^repeat: .* 2 dimensions, got 1"),
               Wrong(lambda: T.repeat(-1, 1), ValueError, r"^repeat: .*negative, got -1")]),
    row("clone", [Sample(X), Sample(CUBE)], np.array, Sample(POINT), Sample(X[:0])),
    row("contiguous", [Sample(X), Sample(CUBE)], np.array, Sample(POINT), Sample(X[:0])),
    joined("cat", np.concatenate, PARTS, Sample(X[:0], X), aliases=("concat", "concatenate"),
           wrong=[Wrong(lambda: lamina.cat([T, OTHER], 1), ValueError,
                        r"^cat: .* dimension 1\n  first  \[2, 3\]\n  no. 1  \[3, 3\]"),
                  Wrong(lambda: lamina.cat([]), ValueError, r"^cat: needs at least one tensor"),
                  Wrong(lambda: lamina.cat([T, 1]), TypeError, r"^cat: .* int at position 1"),
                  Wrong(lambda: lamina.cat([lamina.tensor(1.0)]), ValueError, r"^cat: 0-d ")]),
    joined("stack", np.stack, [Sample(X, X), Sample(X, X[::-1].copy(), dim=1), Sample(X, dim=-1)],
           Sample(POINT, POINT), Sample(X[:0], X[:0]),
           wrong=wrong(lambda: lamina.stack([T, OTHER]), ValueError,
                       r"^stack: tensors must have the same sizes\n.*\[2, 3\]\n.*\[3, 3\]")),
]  # fmt: skip

MASK = X > 0
AT = np.array([2, 0, 2, -1])
BAD = lamina.tensor([0, 7])


def put(x, index, values):
    out = np.array(x)
    out[index] = values
    return out


def put_native(x, index, values):
    out = x.clone()
    out[index] = values
    return out


INDEXING = [
    row("index_select", [Sample(X, 1, AT[:2]), Sample(CUBE, 1, np.array([0, 0, 2]))],
        lambda x, dim, index: np.take(x, index, axis=dim) if x.ndim else x,
        Sample(X, 1, AT[:0]), Sample(POINT, 0, AT[1:2]),
        wrong=[Wrong(lambda: lamina.index_select(T, 0, BAD), IndexError,
                      r"^index_select: index 7 is out of range for dimension 0 of size 2\n.*\[2"),
                Wrong(lambda: lamina.index_select(T, 0, -BAD[:1] - 1), IndexError,
                      r"^index_select: index -1 is out of range"),
               Wrong(lambda: lamina.index_select(T, 0, lamina.ones(1)), TypeError,
                     r"^index_select: the index must be int64 or int32, got float32")]),
    row("masked_select", [Sample(X, MASK), Sample(X, MASK[0])],
        lambda x, m: x[np.broadcast_to(m, x.shape)], Sample(X, MASK & False), layouts=(0,),
        wrong=wrong(lambda: lamina.masked_select(T, T), TypeError, r"^masked_select: .*float32")),
    row("nonzero", [Sample(np.where(MASK, X, 0.0)), Sample(MASK), Sample(X[0])],
        lambda x: np.argwhere(x), Sample(X[:0]), differentiable=False, dtypes=None),
    row("gather_rows", [Sample(X, AT[1:2]), Sample(CUBE, np.array([1, 0, 1]))],
        lambda x, index: x[index], Sample(X, AT[:0]), differentiable=False,
        wrong=wrong(lambda: _core.gather_rows(T, BAD), IndexError, r"^gather_rows: index 7 is")),
]  # fmt: skip

INDICES = [
    Sample(CUBE, 1),
    Sample(CUBE, (slice(None), -1)),
    Sample(CUBE, (Ellipsis, slice(0, 1))),
    Sample(CUBE, (0, slice(1, 3), 1)),
    Sample(CUBE, (slice(None), slice(None, None, 2), None)),
    Sample(X, (slice(0, 0),)),
]
ARRAYS = [
    Sample(X, [1, 0, 1]),
    Sample(X, (slice(None), [2, 0, -1])),
    Sample(CUBE, ([0, 1], [2, 0])),
    Sample(CUBE, ([0, 1], slice(None), [1, 0])),  # apart: in front
    Sample(CUBE, (slice(None), [[0, 1], [2, 2]])),
    Sample(CUBE, (1, [0, 2])),
    Sample(X, MASK.tolist()),
    Sample(X, (slice(None), [True, False, True])),
]


def numpy_index(index):
    """A list in a tuple means the same to NumPy; a bare one is made an array."""
    return np.array(index) if isinstance(index, list) else index


INDEX_ROWS = [
    view("getitem: views", INDICES, lambda x, i: x[i], call=lambda x, i: x[i],
         wrong=[Wrong(lambda: T[2], IndexError,
                      r"^index 2 is out of range for dimension 0 of size 2\n  input  \[2, 3\]"),
                Wrong(lambda: T[0, 0, 0], IndexError, r"^index: too many indices: .* 2 .* 3"),
                Wrong(lambda: T[..., ...], IndexError, r"^index: an Ellipsis .* only once"),
                Wrong(lambda: T[::-1], ValueError, r"^index: a slice's step must be positive"),
                Wrong(lambda: T["a"], IndexError, r"^index: an index is an int, .* got str")]),
    row("getitem: arrays", ARRAYS, lambda x, i: x[numpy_index(i)], call=lambda x, i: x[i],
        wrong=[Wrong(lambda: T[lamina.tensor([0.5])], IndexError, r"^index: .*got float32"),
               Wrong(lambda: T[:, [0, 3]], IndexError, r"^index 3 is out of range for .* size 3"),
               Wrong(lambda: T[lamina.tensor([True])], IndexError, r"^index: the mask's sizes"),
               Wrong(lambda: T[[0, 1], [0, 1, 2]], ValueError, r"^index: .*\[2\].*\n?.*\[3\]")]),
    row("setitem", [Sample(X, 1, X[0]), Sample(X, (slice(None), 0), 5.0),
                    Sample(X, (slice(None), [2, 0]), X[:, :2]), Sample(X, MASK.tolist(), 2.0),
                    Sample(CUBE, (slice(None), 1), X[:, :1]), Sample(X, [1], X[:1]),
                    Sample(CUBE, (Ellipsis, 0), X)],
        lambda x, i, v: put(x, numpy_index(i), v), call=put_native,
        wrong=[Wrong(lambda: put_native(T, 0, lamina.ones(2)), ValueError,
                     r"^copy_: the source does not broadcast .*\n.*\[3\]\n.*\[2\]"),
               Wrong(lambda: put_native(T, 0, "a"), TypeError, r"^index: the value must .*str")]),
]  # fmt: skip

ROWS = [*VIEWS, *EXPANDED, *MOVES, *INDEXING, *INDEX_ROWS]
