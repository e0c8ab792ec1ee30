"""Rows of the ops that take tensors apart, lay them side by side, or order them anew."""

from __future__ import annotations

import lamina
import numpy as np
from lamina import _core
from op_table_row import Sample, Wrong, point, spread, stream
from op_table_shape import row, view, wrong

RNG = stream("rearrange")
X = spread(RNG, (2, 3))
CUBE = spread(RNG, (2, 3, 2))
SQUARE = spread(RNG, (3, 3))
LONG = spread(RNG, 6)
POINT = point(X)
T = lamina.ones(2, 3)
V = lamina.ones(3)
LINE = lamina.tensor(1.0)


def unflatten(x, dim, sizes):
    d = dim % x.ndim
    return x.reshape(*x.shape[:d], *np.atleast_1d(sizes), *x.shape[d + 1 :])


def windows(x, dimension, size, step):
    whole = np.lib.stride_tricks.sliding_window_view(x, size, axis=dimension)
    at = [slice(None)] * whole.ndim
    at[dimension % x.ndim] = slice(None, None, step)
    return whole[tuple(at)]


def grid(*xs, indexing="ij"):
    return tuple(np.meshgrid(*xs, indexing=indexing))


def loose(name):
    """Call a function of loose tensors, or of one list of them."""
    return lambda *xs, **kwargs: getattr(_core, name)(*xs, **kwargs)


def listed(name):
    return lambda *xs, **kwargs: getattr(_core, name)(list(xs), **kwargs)


def refused(name, text):
    return Wrong(lambda: listed(name)(), ValueError, text)


VIEWS = [
    view("unflatten", [Sample(X, 1, (3, 1)), Sample(CUBE, 1, (-1, 3)), Sample(LONG, -1, (2, 3)),
                       Sample(LONG, dim=0, sizes=(3, -1))], unflatten,
         Sample(X[:0], 0, (0, 4)), Sample(X[:0], 1, (3, 1)),
         wrong=[Wrong(lambda: T.unflatten(1, (2, 2)), ValueError,
                      r"^unflatten: sizes \[2, 2\] do not multiply to .* 3 of dimension 1\n"),
                Wrong(lambda: T.unflatten(1, (-1, -1)), ValueError, r"^unflatten: .*single -1"),
                Wrong(lambda: T.unflatten(1, (-1, 0)), ValueError, r"^unflatten: .*multiply"),
                Wrong(lambda: T.unflatten(2, (1,)), IndexError, r"^unflatten: .*\b2\b"),
                Wrong(lambda: T.unflatten(0, ()), ValueError, r"^unflatten: needs at least one")]),
    view("movedim", [Sample(X, 0, 1), Sample(CUBE, (0, 1), (2, 0)), Sample(CUBE, -1, 0),
                     Sample(CUBE, source=(2,), destination=(0,))],
         lambda x, source, destination: np.moveaxis(x, source, destination),
         Sample(X[:0], 0, 1), aliases=("moveaxis",),
         wrong=[Wrong(lambda: T.movedim((0, 1), 0), ValueError,
                      r"^movedim: needs as many destinations as sources, got \[0, 1\] and \[0\]"),
                Wrong(lambda: T.movedim((0, 0), (0, 1)), ValueError, r"^movedim: a source .*twice"),
                Wrong(lambda: T.movedim((0, 1), (1, 1)), ValueError, r"^movedim: a dest.*twice"),
                Wrong(lambda: T.movedim(2, 0), IndexError, r"^movedim: .*\b2\b")]),
    view("unfold", [Sample(LONG, 0, 2, 2), Sample(X, 1, 1, 2), Sample(CUBE, -2, 2, 2)], windows,
         Sample(X[:, :0], 0, 2, 1),
         wrong=[Wrong(lambda: T.unfold(1, 4, 1), ValueError,
                      r"^unfold: the size of a window must lie in \[0, 3\], .* 1; got 4\n"),
                Wrong(lambda: T.unfold(1, 1, 0), ValueError, r"^unfold: the step must be positive"),
                Wrong(lambda: T.unfold(2, 1, 1), IndexError, r"^unfold: .*\b2\b"),
                Wrong(lambda: T.unfold(1, 2, 1).zero_(), RuntimeError, r"^zero_: .*clone\(\)")]),
    row("unfold: windows that overlap",
        [Sample(LONG, 0, 3, 1), Sample(LONG, 0, 5, 1), Sample(CUBE, 1, 2, 1)], windows,
        call=lambda x, *args: x.unfold(*args)),
    view("split_with_sizes", [Sample(X, (1, 2), 1), Sample(CUBE, (2, 1), dim=1)],
         lambda x, sizes, dim=0: tuple(np.split(x, np.cumsum(sizes)[:-1], axis=dim)),
         wrong=wrong(lambda: T.split_with_sizes((1, 2)), ValueError,
                     r"^split_with_sizes: sizes \[1, 2\] add up to 3")),
]  # fmt: skip

GRIDS = [
    row("broadcast_tensors", [Sample(X, X[0]), Sample(X[:, :1], X[:1], point(X)), Sample(X)],
        lambda *xs: tuple(np.broadcast_arrays(*xs)), Sample(X[:0], X[0]),
        call=loose("broadcast_tensors"),
        wrong=[Wrong(lambda: lamina.broadcast_tensors(T, lamina.ones(2)), ValueError,
                     r"^broadcast_tensors: .*\[2, 3\].*\[2\]"),
               Wrong(lambda: lamina.broadcast_tensors(T, 1), TypeError,
                     r"^broadcast_tensors: argument 'tensors' .*got int"),
               Wrong(lambda: lamina.broadcast_tensors(), TypeError, r"'tensors' is missing")]),
    row("meshgrid", [Sample(X[0], X[:, 0]), Sample(X[0], X[:, 0], LONG, indexing="xy"),
                     Sample(X[0], X[:, 0], indexing="xy"), Sample(LONG, indexing="xy")],
        grid, Sample(X[0, :0], X[0]), call=loose("meshgrid"),
        wrong=[Wrong(lambda: lamina.meshgrid(T), ValueError, r"^meshgrid: takes 0-d and 1-d .*\n"),
               Wrong(lambda: lamina.meshgrid(V, V.long()), TypeError,
                     r"^meshgrid: tensors must have one dtype, got float32 and int64"),
               Wrong(lambda: lamina.meshgrid([]), ValueError, r"^meshgrid: needs at least one"),
               Wrong(lambda: lamina.meshgrid(V, indexing="ji"), ValueError,
                     r"^meshgrid: indexing must be 'ij' or 'xy', got 'ji'")]),
]  # fmt: skip


def repeat_interleave(x, repeats, dim=None):
    return np.repeat(x, repeats, axis=dim)


def tile(x, dims):
    return np.tile(x, dims)


COUNTS = np.array([2, 0, 1])
COPIES = [
    row("tile", [Sample(X, (2, 1)), Sample(X, (2,)), Sample(X[0], (2, 1, 3)), Sample(X, (1, 1))],
        tile, Sample(X, (0, 1)), Sample(POINT, (2,)), Sample(POINT, ()),
        wrong=wrong(lambda: T.tile(-1), ValueError, r"^tile: .*negative, got -1")),
    row("repeat_interleave",
        [Sample(X, 2), Sample(X, 2, 1), Sample(X, 3, dim=0), Sample(X, COUNTS, 1),
         Sample(X, np.array([1, 2]), 0), Sample(X, np.array([2])), Sample(CUBE, COUNTS, dim=-2)],
        repeat_interleave, Sample(POINT, 2), Sample(X[:0], 2, 0), Sample(X, 0, 1), layouts=(0,),
        wrong=[Wrong(lambda: T.repeat_interleave(-1), ValueError,
                     r"^repeat_interleave: .*negative, got -1"),
               Wrong(lambda: T.repeat_interleave(lamina.tensor([1, -2]), 0), ValueError,
                     r"^repeat_interleave: .*negative, got -2"),
               Wrong(lambda: T.repeat_interleave(lamina.tensor([1, 2]), 1), ValueError,
                     r"^repeat_interleave: 2 counts for 3 elements along dimension 1\n"),
               Wrong(lambda: T.repeat_interleave(V, 1), TypeError,
                     r"^repeat_interleave: the counts must be int64 or int32, got float32"),
               Wrong(lambda: T.repeat_interleave(2, 1, output_size=5), ValueError,
                     r"^repeat_interleave: output_size is 5 but the result has 6")]),
    row("repeat_interleave: positions", [Sample(COUNTS), Sample(COUNTS.astype("int32"))],
        lambda n: np.repeat(np.arange(len(n)), n), Sample(COUNTS[:0]),
        call=lamina.repeat_interleave, differentiable=False, dtypes=None),
    row("hstack", [Sample(X, X[:, :1]), Sample(X[0], X[1, :2]), Sample(CUBE, CUBE)],
        lambda *xs: np.hstack(xs), Sample(POINT, POINT), Sample(X[:0], X[:0]),
        call=listed("hstack"), dtypes=None, wrong=[refused("hstack", r"^hstack: needs at least")]),
    row("vstack", [Sample(X, X[:1]), Sample(X[0], X[1], X), Sample(CUBE, CUBE)],
        lambda *xs: np.vstack(xs), Sample(POINT, POINT),
        call=listed("vstack"), dtypes=None,
        wrong=[refused("vstack", r"^vstack: needs at least"),
               Wrong(lambda: lamina.vstack([V, T.t()]), ValueError,
                     r"^vstack: .* dimension 0\n.*\[1, 3\]\n.*\[3, 2\]")]),
    row("dstack", [Sample(X, X[::-1].copy()), Sample(X[0], X[1]), Sample(CUBE, CUBE)],
        lambda *xs: np.dstack(xs), Sample(POINT, POINT),
        call=listed("dstack"), dtypes=None, wrong=[refused("dstack", r"^dstack: needs at least")]),
    row("column_stack", [Sample(X, X[:, 0]), Sample(X[0], X[1])],
        lambda *xs: np.column_stack(xs), Sample(POINT, POINT), call=listed("column_stack"),
        dtypes=None, wrong=[refused("column_stack", r"^column_stack: needs at least")]),
    row("flip", [Sample(X, (0,)), Sample(X, (0, 1)), Sample(CUBE, (-1, 0)), Sample(X, dims=(1,)),
                 Sample(X, ())],
        lambda x, dims: np.flip(x, dims), Sample(X[:0], (0,)), Sample(POINT, ()),
        wrong=[Wrong(lambda: T.flip(0, 0), ValueError, r"^flip: dim 0 appears twice in \[0, 0\]"),
               Wrong(lambda: T.flip(2), IndexError, r"^flip: .*\b2\b"),
               Wrong(lambda: lamina.flip(T), TypeError, r"^flip: argument 'dims' is missing")]),
    row("fliplr", [Sample(X), Sample(CUBE)], np.fliplr, Sample(X[:0]),
        wrong=wrong(lambda: V.fliplr(), ValueError, r"^fliplr: needs .* two dim.*\n.*\[3\]")),
    row("flipud", [Sample(X), Sample(LONG)], np.flipud, Sample(X[:0]),
        wrong=wrong(lambda: LINE.flipud(), ValueError, r"^flipud: needs at least one")),
    row("roll", [Sample(X, 1), Sample(X, -4), Sample(X, 1, 1), Sample(CUBE, (1, -2), (0, 1)),
                 Sample(X, shifts=(1, 1), dims=(0, 0))],
        lambda x, shifts, dims=None: np.roll(x, shifts, dims),
        Sample(X[:0], 1), Sample(X[:0], 1, 0), Sample(POINT, 3), Sample(X, 10**15, 1),
        wrong=[Wrong(lambda: T.roll((1, 2)), ValueError,
                     r"^roll: needs as many shifts as dims, got \[1, 2\] and \[\]"),
               Wrong(lambda: T.roll(1, 2), IndexError, r"^roll: .*\b2\b")]),
]  # fmt: skip


def diag_embed(x, offset=0, dim1=-2, dim2=-1):
    n = x.shape[-1]
    rows = np.arange(n) + max(-offset, 0)
    columns = np.arange(n) + max(offset, 0)
    out = np.zeros((*x.shape[:-1], n + abs(offset), n + abs(offset)), x.dtype)
    out[..., rows, columns] = x
    return np.moveaxis(out, (-2, -1), (dim1, dim2))


def triangle(name, reference):
    return row(name, [Sample(X), Sample(X, 1), Sample(SQUARE, -1), Sample(CUBE, diagonal=1),
                      Sample(X, 2**62), Sample(X, -(2**62))],
               lambda x, diagonal=0: reference(x, int(np.clip(diagonal, -9, 9))), Sample(X[:0]),
               Sample(X[:, :0]), Sample(CUBE[:0]),
               specials=lambda dtype: [Sample(np.array([[np.nan, np.nan], [np.inf, -np.inf]]))],
               wrong=wrong(lambda: getattr(V, name)(), ValueError,
                           rf"^{name}: needs at least two dimensions\n.*\[3\]"))  # fmt: skip


DIAGONALS = [
    row("diag", [Sample(X[0]), Sample(X[0], -1), Sample(X), Sample(X, 1), Sample(SQUARE, -2)],
        lambda x, diagonal=0: np.diag(x, diagonal), Sample(X[0, :0]), Sample(X, 7),
        wrong=[Wrong(lambda: LINE.diag(), ValueError, r"^diag: takes a vector or a matrix"),
               Wrong(lambda: lamina.ones(1, 1, 1).diag(), ValueError, r"^diag: .*diag_embed")]),
    row("diag_embed", [Sample(X), Sample(X, 1), Sample(X, -1, 0, 1), Sample(LONG, 0, 1, 0),
                       Sample(X, dim1=0, dim2=2)],
        diag_embed, Sample(X[:0]), Sample(X[:, :0]),
        wrong=[Wrong(lambda: LINE.diag_embed(), ValueError, r"^diag_embed: a 0-d tensor"),
               Wrong(lambda: T.diag_embed(0, 1, 1), ValueError, r"^diag_embed: needs two diff"),
               Wrong(lambda: T.diag_embed(2**62), ValueError, r"^diag_embed: no tensor is as"),
               Wrong(lambda: T.diag_embed(0, 3, 1), IndexError, r"^diag_embed: .*\b3\b")]),
    triangle("tril", np.tril),
    triangle("triu", np.triu),
]  # fmt: skip

ROWS = [*VIEWS, *GRIDS, *COPIES, *DIAGONALS]
