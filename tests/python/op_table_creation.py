"""Rows of what makes tensors, writes numbers into them, or draws them at random.

Expected dtypes are the references': float32 is the default for floats, int64 for integers.
"""

from __future__ import annotations

import lamina
import lamina.nn.functional as F
import numpy as np
from lamina import _core
from op_table_row import Row, Sample, Wrong, point, spread, stream

X = spread(stream("creation"), (2, 3))
T = lamina.ones(2, 3)
F32 = np.float32


def made(name, samples, reference, **more):
    return Row(name, samples, reference, differentiable=False, layouts=False, **more)


def wrong(call, error, match):
    return [Wrong(call, error, match)]


def as_dtype(reference, default=F32):
    """A NumPy constructor that takes the library's dtypes."""

    def named(*args, dtype=None, **kwargs):
        kind = default if dtype is None else repr(dtype).removeprefix("lamina.")
        return np.asarray(reference(*args, **kwargs)).astype(kind)

    return named


def filled(shape, value, dtype=None):
    kinds = {bool: bool, int: np.int64, float: F32}
    return np.full(shape, value, kinds[type(value)] if dtype is None else F32)


def counted(*args):
    out = np.arange(*args)
    return out.astype(F32) if out.dtype == np.float64 else out


SIZES = [Sample((2, 3)), Sample((0, 2)), Sample(()), Sample((2,), dtype=lamina.int32)]


def triangle(indices, n, m, k=0):
    """NumPy's, but for a matrix too tall to be made: there only the last row has an element."""
    if n > 2**30:
        return np.array([[n - 1], [0]] if m else np.empty((2, 0)), np.int64)
    return np.array(indices(n, max(-9, min(k, 9)), m), np.int64)


TRIANGLES = [
    Sample(3, 4),
    *[Sample(n, m, k) for n, m in ((3, 3), (2, 5), (4, 1)) for k in (-9, -1, 1, 2, 9)],
    Sample(0, 3),
    Sample(3, 0, 1),
    Sample(2, 3, 2**62),
    Sample(2, 3, -(2**62)),
    Sample(2**59, 0),
]

MADE = [
    made("zeros", SIZES, as_dtype(np.zeros),
         wrong=[Wrong(lambda: lamina.zeros(-1), ValueError, r"-1"),
                Wrong(lambda: lamina.zeros("a"), TypeError, r"^zeros: argument 'size' must be"),
                Wrong(lambda: lamina.zeros(2, dtype="float32"), TypeError, r"^zeros: .* a dtype")]),
    made("ones", SIZES, as_dtype(np.ones)),
    made("full", [Sample((2, 3), 7), Sample((2,), 0.5), Sample((), True),
                  Sample((2,), 3, dtype=lamina.float32)], filled),
    made("arange", [Sample(5), Sample(0), Sample(2, 7), Sample(1, 8, 3), Sample(5, 0, -2),
                    Sample(0.5, 3), Sample(0, 1, 0.25)], counted,
         wrong=[Wrong(lambda: lamina.arange(0, 1, 0), ValueError, r"^arange: step must not be"),
                Wrong(lambda: lamina.arange(0, 5, -1), ValueError, r"^arange: step -1 does not"),
                Wrong(lambda: lamina.arange(float("inf")), ValueError, r"^arange: .*finite")]),
    made("linspace", [Sample(0, 1, 5), Sample(-2.0, 3.5, 7), Sample(1, 1, 1), Sample(0, 1, 0)],
         lambda a, b, n: np.linspace(a, b, n).astype(F32), ulps=1,
         wrong=wrong(lambda: lamina.linspace(0, 1, -1), ValueError, r"^linspace: steps .* got -1")),
    made("logspace", [Sample(0, 3, 4), Sample(-2.0, 1.0, 7), Sample(0, 4, 5, 2.0), Sample(0, 1, 0)],
         lambda a, b, n, base=10.0: np.logspace(a, b, n, base=base).astype(F32), ulps=1,
         wrong=wrong(lambda: lamina.logspace(0, 1, -1), ValueError, r"^logspace: steps .* got -1")),
    made("tril_indices", [*TRIANGLES, Sample(2**40, 2, -(2**40) + 1)],
         lambda *a: triangle(np.tril_indices, *a),
         wrong=[Wrong(lambda: lamina.tril_indices(-1, 2), ValueError, r"^tril_indices: .* -1 and"),
                Wrong(lambda: lamina.tril_indices(2**40, 2**40), MemoryError, r"^tril_indices: "),
                Wrong(lambda: lamina.tril_indices(2**62, 1), MemoryError, r"^tril_indices: sizes"),
                Wrong(lambda: lamina.tril_indices(2, 2, dtype=lamina.float32), TypeError,
                      r"^tril_indices: dtype must be int64 or int32, got float32")]),
    made("triu_indices", TRIANGLES, lambda *a: triangle(np.triu_indices, *a),
         wrong=[Wrong(lambda: lamina.triu_indices(2, -1), ValueError, r"^triu_indices: .* and -1"),
                Wrong(lambda: lamina.triu_indices(2**59, 1, -(2**62)), MemoryError, r"^triu_ind")]),
    made("eye", [Sample(3), Sample(2, 4), Sample(3, 2), Sample(0)],
         lambda *n: np.eye(*n, dtype=F32)),
    made("zeros_like", [Sample(X), Sample(X > 0), Sample(X, dtype=lamina.int64)],
         lambda x, dtype=None: np.zeros(x.shape, x.dtype if dtype is None else np.int64)),
    made("ones_like", [Sample(X), Sample(X > 0)], np.ones_like),
    made("full_like", [Sample(X, 2), Sample(X > 0, 1)], np.full_like),
    made("new_zeros", [Sample(X, (3,))], lambda x, n: np.zeros(n, x.dtype)),
    made("new_ones", [Sample(X > 0, (3, 1))], lambda x, n: np.ones(n, x.dtype)),
    made("new_full", [Sample(X, (3,), 2)], lambda x, n, v: np.full(n, v, x.dtype)),
    made("new_tensor", [Sample(X, [1, 2.5]), Sample(X > 0, [0, 2]), Sample(X, X[0] > 0),
                        Sample(X > 0, [[1], [2]], dtype=lamina.int32)],
         lambda x, v, dtype=None: np.array(v).astype(x.dtype if dtype is None else np.int32),
         wrong=wrong(lambda: T.new_tensor("a"), TypeError, r"^new_tensor: .*str")),
    made("tensor", [Sample(3), Sample(2.5), Sample(True), Sample([1, 2]), Sample([[1.0], [2]]),
                    Sample([]), Sample([True, False]), Sample([[], []]),
                    Sample([1, 0], dtype=lamina.bool)],
         lambda v, dtype=None: np.array(v, dtype and bool).astype(
             np.array(v, dtype and bool).dtype if np.array(v).dtype != np.float64 else F32),
         wrong=[Wrong(lambda: lamina.tensor([[1], [1, 2]]), ValueError, r"^tensor: "),
                Wrong(lambda: lamina.tensor("a"), TypeError, r"^tensor: .*str"),
                Wrong(lambda: lamina.tensor([1, None]), TypeError, r"^tensor: .*None")]),
    made("as_tensor", [Sample([1, 2]), Sample(2.5)],
         lambda v: np.array(v, np.int64 if isinstance(v, list) else F32)),
]  # fmt: skip

# -- writing: PyTorch's methods on a copy, so that the copy's gradient is checked too --------------


def written(name):
    def call(x, *args, **kwargs):
        out = x.clone()
        assert getattr(out, name)(*args, **kwargs) is out
        return out

    return call


WRITES = [
    Row("fill_", [Sample(X, 2.5), Sample(X, -1)], lambda x, v: np.full_like(x, v),
        call=written("fill_"), edges=[Sample(X[:0], 1)],
        wrong=wrong(lambda: T.expand(4, 2, 3).fill_(1), RuntimeError, r"^fill_: .*expanded")),
    Row("zero_", [Sample(X)], np.zeros_like, call=written("zero_"), edges=[Sample(X[:0])]),
    Row("copy_", [Sample(X, X[::-1].copy()), Sample(X, X[0]), Sample(X, point(X))],
        lambda x, src: np.broadcast_to(src, x.shape), call=written("copy_"),
        wrong=wrong(lambda: T.clone().copy_(lamina.ones(2)), ValueError,
                    r"^copy_: the source does not .*\n  tensor \[2, 3\]\n  source \[2\]")),
]  # fmt: skip

# -- at random: what does not depend on the stream -------------------------------------------------

N = 20000


def uniform(low, high):
    """In [low, high), with the mean within 6 standard errors."""

    def law(x):
        assert x.min() >= low
        assert x.max() < high
        assert abs(x.mean() - (low + high) / 2) < 6 * (high - low) / np.sqrt(12 * x.size)
        assert abs(x.var() - (high - low) ** 2 / 12) < 6 * (high - low) ** 2 * np.sqrt(
            1 / 180 / x.size
        )

    return law


def normal(mean, std):
    """Mean and variance within 6 standard errors, and tails as they should be."""

    def law(x):
        z = (x.astype(np.float64) - mean) / std
        assert abs(z.mean()) < 6 / np.sqrt(z.size)
        assert abs(z.var() - 1) < 6 * np.sqrt(2 / z.size)
        beyond = 0.0455  # of a normal distribution, outside of two standard deviations
        assert abs((np.abs(z) > 2).mean() - beyond) < 6 * np.sqrt(beyond / z.size)

    return law


def integers(low, high):
    """Every value of the range about equally often."""

    def law(x):
        assert x.dtype == np.int64
        counts = np.bincount(x.reshape(-1) - low, minlength=high - low)
        expected = x.size / (high - low)
        assert len(counts) == high - low
        assert np.abs(counts - expected).max() < 6 * np.sqrt(expected)

    return law


def coin(p):
    def law(x):
        assert set(np.unique(x)) <= {0, 1}
        assert abs(x.mean() - p) < 6 * np.sqrt(p * (1 - p) / x.size)

    return law


def permutation(x):
    assert sorted(x.tolist()) == list(range(x.size))
    assert (np.diff(x) == 1).mean() < 0.01  # not sorted


def drawn(name, *args, **kwargs):
    return lambda: getattr(_core, name)(*args, **kwargs)


def drawn_into(name, *args):
    return lambda: getattr(lamina.empty(N), name)(*args)


# name: how to draw, the law, wrong calls
RANDOM = {
    # The difference of two of Gumbel's draws follows the logistic law, its sigmoid the uniform one.
    "gumbel_softmax": (lambda: F.gumbel_softmax(lamina.zeros(N, 2))[:, 0], uniform(0, 1),
                       [(lambda: F.gumbel_softmax(T, 0.0), ValueError,
                         r"^gumbel_softmax: tau must be positive, got 0$"),
                        (lambda: F.gumbel_softmax(T, dim=2), IndexError,
                         r"^gumbel_softmax: dim 2 is out of range"),
                        (lambda: F.gumbel_softmax(T.long()), TypeError,
                         r"^gumbel_softmax: logits must be float32 or float64, got int64")]),
    "rand": (drawn("rand", N), uniform(0, 1),
             [(lambda: lamina.rand(2, dtype=lamina.int64), TypeError, r"^rand: dtype must be")]),
    "randn": (drawn("randn", 100, N // 100), normal(0, 1),
              [(lambda: lamina.randn(2, dtype=lamina.bool), TypeError, r"^randn: dtype must be")]),
    "normal": (drawn("normal", 3.0, 0.5, (N,)), normal(3, 0.5),
               [(lambda: _core.normal(0, -1, (2,)), ValueError, r"^normal: std must be .* -1"),
                (lambda: _core.normal(T, -T), ValueError, r"^normal: no standard deviation may"),
                (lambda: _core.normal(T, lamina.ones(2)), ValueError, r"^normal: .*\[2, 3\]"),
                (lambda: _core.normal(1.0), TypeError, r"^normal: takes normal\(mean, std")]),
    "bernoulli": (drawn("bernoulli", lamina.full((N,), 0.3)), coin(0.3),
                  [(lambda: lamina.bernoulli(T * 2), ValueError, r"^bernoulli: every p must lie"),
                   (lambda: lamina.bernoulli(T.log() / 0), ValueError, r"^bernoulli: every p must"),
                   (lambda: lamina.bernoulli(T.long()), TypeError, r"^bernoulli: p must be float"),
                   (lambda: lamina.bernoulli(T, 2), ValueError, r"^bernoulli: p must lie in")]),
    "multinomial": (drawn("multinomial", lamina.ones(10), N, True), integers(0, 10),
                    [(lambda: T.multinomial(4), ValueError, r"^multinomial: can't draw 4")]),
    "random_": (lambda: lamina.empty(N, dtype=lamina.int64).random_(-2, 8), integers(-2, 8),
                [(lambda: T.random_(0), ValueError, r"^random_: from must be less than to"),
                 (lambda: T.expand(2, 2, 3).random_(), RuntimeError, r"^random_: .*expanded")]),
    "randint": (drawn("randint", -2, 8, (N,)), integers(-2, 8),
                [(lambda: lamina.randint(3, 3, (2,)), ValueError, r"^randint: low .* 3 and 3")]),
    "randperm": (drawn("randperm", N), permutation,
                 [(lambda: lamina.randperm(-1), ValueError, r"^randperm: n must be .* -1")]),
    "rand_like": (drawn("rand_like", lamina.zeros(N, dtype=lamina.float64)), uniform(0, 1), []),
    "randn_like": (drawn("randn_like", lamina.zeros(N)), normal(0, 1), []),
    "randint_like": (drawn("randint_like", lamina.zeros(N, dtype=lamina.int64), 2, 7),
                     integers(2, 7), []),
    "uniform_": (drawn_into("uniform_", -3, 5), uniform(-3, 5),
                 [(lambda: T.uniform_(2, 1), ValueError, r"^uniform_: from must not exceed to"),
                  (lambda: T.long().uniform_(), TypeError, r"^uniform_: tensor must be float")]),
    "normal_": (drawn_into("normal_", -1, 2), normal(-1, 2),
                [(lambda: T.normal_(0, -1), ValueError, r"^normal_: std must be at least 0")]),
    "bernoulli_": (drawn_into("bernoulli_", 0.3), coin(0.3),
                   [(lambda: T.bernoulli_(2), ValueError, r"^bernoulli_: p must lie in \[0, 1\]"),
                    (lambda: T.bernoulli_(T[:, :2]), ValueError, r"^bernoulli_: p does not broad"),
                    (lambda: T.bernoulli_(T + 1), ValueError, r"^bernoulli_: every p must lie")]),
}  # fmt: skip

ROWS = [*MADE, *WRITES]
