"""Rows of the products beside matmul."""

from __future__ import annotations

import lamina
import numpy as np
from op_table_row import Row, Sample, Wrong, point, spread, stream, with_nan

RNG = stream("products")
A, B = spread(RNG, (2, 3)), spread(RNG, (3, 2))
BATCH, OTHER = spread(RNG, (2, 2, 3)), spread(RNG, (2, 3, 2))
C, U, V = spread(RNG, (2, 2)), spread(RNG, 3), spread(RNG, 3)
POINT = point(A)
T = lamina.ones(2, 3)
LINE = lamina.ones(3)


def row(name, samples, reference, *edges, error, **more):
    return Row(
        name, samples, reference, edges=list(edges), error=error, **{"dtypes": "floating", **more}
    )


def terms(reference, roundings):
    """So many roundings of the sum of the terms' sizes, which the reference of sizes is."""

    def error(y, *args, **kwargs):
        sizes = [np.abs(a) if isinstance(a, np.ndarray) else a for a in args]
        kwargs = {k: abs(v) if k in ("alpha", "beta") else v for k, v in kwargs.items()}
        return roundings * np.abs(reference(*sizes, **kwargs))

    return error


def nan_first(*samples):
    """The samples with a NaN in every array."""
    return lambda dtype: [
        Sample(*[with_nan(a) if isinstance(a, np.ndarray) else a for a in s.args], **s.kwargs)
        for s in samples
    ]


def product(name, samples, reference, *edges, roundings=8, **more):
    """Sums of at most five products."""
    return row(name, samples, reference, *edges, error=terms(reference, roundings),
               **{"specials": nan_first(*samples[:2]), **more})  # fmt: skip


def mixed(name, *args):
    """One operand of another dtype."""
    f = getattr(lamina, name)
    return Wrong(
        lambda: f(*args[:-1], args[-1].double()),
        TypeError,
        rf"^{name}: (both|all) operands must have one dtype, got float32 and float64",
    )


PRODUCTS = [
    product("mv", [Sample(A, U)], np.matmul, Sample(A[:0], U), Sample(A[:, :0], U[:0]),
            wrong=[Wrong(lambda: lamina.mv(T, LINE[:2]), ValueError,
                         r"^mv: the matrix has 3 columns but the vector 2 elements\n"),
                   Wrong(lambda: lamina.mv(T, T), ValueError, r"^mv: second must be a vector\n"),
                   Wrong(lambda: lamina.mv(LINE, LINE), ValueError, r"^mv: .* a matrix\n"),
                   mixed("mv", T, LINE)]),
    product("dot", [Sample(U, V)], np.dot, Sample(U[:0], U[:0]),
            wrong=[Wrong(lambda: LINE.dot(LINE[:2]), ValueError,
                         r"^dot: the vectors must have as many elements\n.*\[3\]\n.*\[2\]"),
                   Wrong(lambda: T.dot(T), ValueError, r"^dot: first must be a vector\n"),
                   mixed("dot", LINE, LINE)]),
    product("inner", [Sample(A, BATCH), Sample(U, V), Sample(A, U), Sample(A, POINT)], np.inner,
            Sample(A[:0], A), Sample(A[:, :0], A[:, :0]),
            wrong=[Wrong(lambda: T.inner(T.t()), ValueError,
                         r"^inner: the last dimensions have sizes 3 and 2\n"),
                   mixed("inner", T, T)]),
    product("outer", [Sample(U, A[0]), Sample(U, A[:, 0])], np.outer, Sample(U[:0], V),
            dtypes="promote",
            wrong=[Wrong(lambda: T.outer(LINE), ValueError, r"^outer: first must be a vector\n")]),
    product("kron", [Sample(A, B), Sample(A, U), Sample(BATCH[:1], C), Sample(A, POINT)], np.kron,
            Sample(A[:0], B), dtypes="promote",
            wrong=[Wrong(lambda: lamina.kron(T, 2), TypeError,
                         r"^kron: argument 'other' must be a Tensor, got int"),
                   Wrong(lambda: lamina.ones(1, 1, 1, 1, 1, 1, 2).kron(LINE), ValueError,
                         r"^kron: operands have at most 6 dimensions, got 7\n.*, 2\]\n.*\[3\]$")]),
]  # fmt: skip


def added(multiply):
    def reference(x, a, b, beta=1, alpha=1):
        y = alpha * multiply(a, b)
        return y if beta == 0 else y + beta * x

    return reference


def adding(name, multiply, x, a, b, smaller, *edges, wrong=()):
    """A row of beta x + alpha (a b); ``smaller`` broadcasts to x's sizes."""
    scale = {"beta": 0.5, "alpha": -1.5}
    samples = [
        Sample(x, a, b),
        Sample(x, a, b, **scale),
        Sample(smaller, a, b, **scale),
        Sample(point(x), a, b),
        Sample(x, a, b, beta=0, alpha=2),
    ]

    def specials(dtype):
        ignored = Sample(with_nan(x), a, b, beta=0.0)
        return [ignored, Sample(with_nan(x), a, b), Sample(x, a, with_nan(b))]

    size = multiply(a, b).shape
    bad = lamina.ones(*[n + 1 for n in size])
    f, (a32, b32) = getattr(lamina, name), [lamina.tensor(v).float() for v in (a, b)]
    return product(
        name,
        samples,
        added(multiply),
        *edges,
        specials=specials,
        wrong=[
            Wrong(lambda: f(bad, a32, b32), ValueError,
                  rf"^{name}: the input does not broadcast to the product\n"),
            Wrong(lambda: f(bad, b32, b32), ValueError, rf"^{name}: "),
            Wrong(lambda: getattr(lamina.ones(1), name + "_")(a32, b32), ValueError,
                  rf"^{name}_: the result has other sizes than the tensor that is written\n"),
            mixed(name, lamina.ones(1), a32, b32),
            Wrong(lambda: f(lamina.ones(1).double(), a32, b32), TypeError,
                  rf"^{name}: all operands must have one dtype, got float64 and float32"),
            *wrong,
        ],
    )  # fmt: skip


ADDITIONS = [
    adding("addmm", np.matmul, C, A, B, C[0], Sample(C[:, :0], A, B[:, :0]),
           Sample(C, A[:, :0], B[:0]),
           wrong=[Wrong(lambda: lamina.addmm(T, LINE, T), ValueError,
                        r"^addmm: needs two matrices\n.*\[3\]\n.*\[2, 3\]"),
                  Wrong(lambda: lamina.addmm(T, T, T), ValueError,
                        r"^addmm: the first has 3 columns but the second 2 rows\n")]),
    adding("addmv", np.matmul, A[:, 0], A, U, A[:1, 0], Sample(A[:0, 0], A[:0], U),
           Sample(A[:, 0], A[:, :0], U[:0])),
    adding("addr", np.outer, A, A[:, 0], U, A[0], Sample(A[:0], A[:0, 0], U)),
    adding("baddbmm", np.matmul, BATCH[:, :, :2], BATCH, OTHER, C, Sample(C[None][:0], BATCH[:0],
                                                                          OTHER[:0])),
    adding("addbmm", lambda a, b: np.matmul(a, b).sum(0), C, BATCH, OTHER, C[0],
           Sample(C, BATCH[:0], OTHER[:0])),
]  # fmt: skip


def einsum(*operands, equation):
    return np.einsum(equation, *operands)


def sums(*equations_and_operands):
    return [Sample(*operands, equation=equation) for equation, *operands in equations_and_operands]


SUMS = sums(
    ("ij,jk->ik", A, B),
    ("ij,jk", A, B),
    ("ij->ji", A),
    ("ba", A),
    ("ii->i", C),
    ("ii", C),
    ("bij,bjk->bik", BATCH, OTHER),
    ("...ij,...jk->...ik", BATCH, B),
    ("...j,j", BATCH, U),
    ("i...->...", BATCH),
    ("i,j->ij", U, V),
    ("i,i->i", U, V),
    ("ij,ij->", A, A + 1),
    ("ij,ik,il->jkl", A, C, C),
    ("aij,ajb,bi->", BATCH, OTHER, C),
    ("iij,jk->ik", np.stack([C, C], 2), C),
    (" i j , j -> i ", A, U),
    ("ij,k->ij", A, U),
    ("A,b,A->Ab", U, V, V),
    ("ij->", A),
)


def wrong_sum(equation, text, *operands):
    return Wrong(lambda: lamina.einsum(equation, *operands), ValueError, r"^einsum: " + text)


def tensordot(a, b, dims=2):
    return np.tensordot(a, b, dims)


OTHERS = [
    product("tensordot", [Sample(BATCH, OTHER, ([1, 2], [2, 1])), Sample(A, B, 1), Sample(A, B, 0),
                          Sample(BATCH, BATCH[0]), Sample(A, A, dims=[[0], [0]])],
            tensordot, Sample(A[:0], A[:0], ([0], [0])), Sample(A[:, :0], B[:0], 1), roundings=10,
            wrong=[Wrong(lambda: lamina.tensordot(T, T, 3), ValueError, r"^tensordot: dims must"),
                   Wrong(lambda: lamina.tensordot(T, T, 1), ValueError,
                         r"^tensordot: dimension 1 of the first has size 3 but dimension 0 .* 2\n"),
                   Wrong(lambda: lamina.tensordot(T, T, ([0, 0], [0, 1])), ValueError,
                         r"^tensordot: a dimension appears twice in \[0, 0\] or \[0, 1\]"),
                   Wrong(lambda: lamina.tensordot(T, T, ([0], [0, 1])), ValueError,
                         r"^tensordot: needs as many dimensions"),
                   Wrong(lambda: lamina.tensordot(T, T, ([0], [2])), IndexError,
                         r"^tensordot: dim 2 is out of range"),
                   Wrong(lambda: lamina.tensordot(T, T, "ab"), TypeError,
                         r"^tensordot: argument 'dims' must be an int or a pair of lists of ints"),
                   mixed("tensordot", T, T)]),
    product("einsum", SUMS, einsum, *sums(("ij,jk->ik", A[:0], B), ("ij,jk->ik", A[:, :0], B[:0]),
                                          ("ij->", A[:0]), ("...,...", POINT, POINT)),
            call=lambda *xs, equation: lamina.einsum(equation, *xs), dtypes="keep", roundings=12,
            wrong=[wrong_sum("ij->ijj", r"subscript j appears twice in the output", T),
                   wrong_sum("ij->k", r"subscript k of the output .* is in no operand", T),
                   wrong_sum("i", r"operand 0 has 2 dimensions but 'i' gives it 1\n", T),
                   wrong_sum("i...j k", r".*3 and an ellipsis\n.*\[2, 3\]", T),
                   wrong_sum("ij,jk", r"'ij,jk' does not have as many operands as .* 1", T),
                   wrong_sum("ij", r"'ij' does not have as many operands as .* 2", T, T),
                   wrong_sum("ij,ik", r"subscript i has size 3 in operand 1 but 2 before\n", T,
                             T.t()),
                   wrong_sum("ii", r"subscript i stands for sizes 2 and 3 of operand 0\n", T),
                   wrong_sum("i.j", r"a single '\.'", T),
                   wrong_sum("......", r"two ellipses", T),
                   wrong_sum("i1", r"'1' in 'i1'; subscripts are letters", T),
                   Wrong(lambda: lamina.einsum("i", 3), TypeError,
                         r"^einsum: argument 'operands' must be .* got int"),
                   Wrong(lambda: lamina.einsum("i"), TypeError, r"'operands' is missing"),
                   Wrong(lambda: lamina.einsum("i", []), ValueError, r"^einsum: needs at least")]),
]  # fmt: skip

ROWS = [*PRODUCTS, *ADDITIONS, *OTHERS]
