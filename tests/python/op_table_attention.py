"""Rows of attention and of tables of rows."""

from __future__ import annotations

import lamina
import lamina.nn.functional as F
import numpy as np
from lamina import _core
from op_table_row import Row, Sample, Wrong, exact, renamed, spread, stream, with_nonfinite

RNG = stream("attention")


def scores(q, k, attn_mask, is_causal, scale):
    s = (q @ np.swapaxes(k, -1, -2)) * (1 / np.sqrt(q.shape[-1]) if scale is None else scale)
    if attn_mask is not None:
        s = np.where(attn_mask, s, -np.inf) if attn_mask.dtype == bool else s + attn_mask
    if is_causal:
        s = np.where(np.tri(*s.shape[-2:], dtype=bool), s, -np.inf)
    return s


def weights(s):
    """Softmax, 0 where there is nothing but -inf, or nothing."""
    if s.shape[-1] == 0:
        return s
    top = s.max(-1, keepdims=True)
    nothing = top == -np.inf
    e = np.exp(s - np.where(nothing, 0, top))
    return np.where(nothing, 0, e / np.where(nothing, 1, e.sum(-1, keepdims=True)))


def for_heads(x, q, enable_gqa):
    return np.repeat(x, q.shape[-3] // x.shape[-3], -3) if enable_gqa else x


def attention(q, k, v, attn_mask=None, is_causal=False, scale=None, enable_gqa=False):
    k, v = for_heads(k, q, enable_gqa), for_heads(v, q, enable_gqa)
    return weights(scores(q, k, attn_mask, is_causal, scale)) @ v


def attention_error(y, q, k, v, attn_mask=None, is_causal=False, scale=None, enable_gqa=False):
    """A score errs by (E + 3) scale |q| |k| and a probability by twice that, and by what its
    exponential and the S terms of the sum add; then come the products with the values."""
    k, v = for_heads(k, q, enable_gqa), for_heads(v, q, enable_gqa)
    factor = 1 / np.sqrt(q.shape[-1]) if scale is None else abs(scale)
    size = factor * (np.abs(q) @ np.swapaxes(np.abs(k), -1, -2))
    if attn_mask is not None and attn_mask.dtype != bool:
        size = size + np.where(np.isfinite(attn_mask), np.abs(attn_mask), 0)
    size = size.max(-1, keepdims=True, initial=0)
    p = weights(scores(q, k, attn_mask, is_causal, scale))
    return (2 * (q.shape[-1] + 3) * size + 2 * k.shape[-2] + 20) * (p @ np.abs(v))


def heads(*sizes):
    return spread(RNG, sizes)


Q, K, V = heads(1, 2, 3, 4), heads(1, 2, 5, 4), heads(1, 2, 5, 3)
SEEN = np.array([[1, 1, 0, 1, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]], bool)  # one query sees nothing
ADDED = np.where(SEEN, spread(RNG, (3, 5)), -np.inf)
T = lamina.ones(1, 2, 3, 4)


def wide(batch, count, groups, queries, keys, features, columns, *mask, **options):
    shapes = (count, queries, features), (groups, keys, features), (groups, keys, columns)
    return Sample(*(RNG.standard_normal((batch, *s)) for s in shapes), *mask, **options)


ATTENTION = Row(
    "scaled_dot_product_attention",
    [
        Sample(Q, K, V),
        Sample(Q[0, 0], K[0, 0], V[0, 0]),
        Sample(Q[0], K[0], V[0], scale=0.3),
        Sample(Q, K[:, :, :3], V[:, :, :3], is_causal=True),
        Sample(Q, K, V, is_causal=True),
        Sample(Q, K, V, SEEN),
        Sample(Q, K, V, np.array([[[[1, 0, 1, 1, 1]]]], bool), is_causal=True),
        Sample(Q, K, V, spread(RNG, (3, 5))),
        Sample(Q, K, V, spread(RNG, (2, 3, 1))),
        Sample(heads(1, 4, 2, 3), heads(1, 2, 3, 3), heads(1, 2, 3, 2), enable_gqa=True),
        Sample(heads(2, 1, 1, 2, 3), heads(1, 2, 2, 3), heads(2, 2, 2, 2)),
    ],
    attention,
    edges=[
        Sample(Q[:0], K[:0], V[:0]),
        Sample(Q[:, :, :0], K, V),
        Sample(Q, K[:, :, :0], V[:, :, :0]),
        Sample(Q, K, V[..., :0]),
        Sample(Q, K[:, :, :0], V[:, :, :0], is_causal=True),
    ],
    wide=[
        wide(2, 2, 2, 33, 65, 16, 17),
        wide(1, 3, 3, 65, 65, 32, 32, is_causal=True),
        # More than one block of queries and of keys, and a mask for each.
        wide(1, 4, 2, 150, 300, 8, 9, enable_gqa=True),
        wide(1, 1, 1, 300, 300, 8, 8, is_causal=True),
        wide(1, 2, 2, 150, 300, 8, 9, RNG.random((150, 300)) < 0.5),
        wide(1, 2, 2, 130, 270, 8, 9, RNG.random((1, 2, 1, 270)) < 0.5, is_causal=True),
    ],
    specials=with_nonfinite([Sample(Q, K, V)]),
    zero_sign=False,
    error=attention_error,
    dtypes="floating",
    wrong=[
        Wrong(
            lambda: F.scaled_dot_product_attention(T, T[..., :3], T),
            ValueError,
            r"^scaled_dot_product_attention: query has 4 features but key has 3\n  query  .*\n",
        ),
        Wrong(
            lambda: F.scaled_dot_product_attention(T, T, T[:, :, :2]),
            ValueError,
            r"^scaled_dot_product_attention: there are 3 keys but 2 values",
        ),
        Wrong(
            lambda: F.scaled_dot_product_attention(lamina.ones(1, 4, 3, 4), T, T),
            ValueError,
            r"query has 4 heads but key has 2; .* enable_gqa=True",
        ),
        Wrong(
            lambda: F.scaled_dot_product_attention(lamina.ones(1, 3, 3, 4), T, T, enable_gqa=True),
            ValueError,
            r"enable_gqa needs the query's 3 heads to be a multiple of the key's 2",
        ),
        Wrong(
            lambda: F.scaled_dot_product_attention(T, T, T[:, :1], enable_gqa=True),
            ValueError,
            r"enable_gqa needs as many heads of value as of key",
        ),
        Wrong(
            lambda: F.scaled_dot_product_attention(T[0, 0, 0], T, T),
            ValueError,
            r"query, key and value need at least 2 dimensions",
        ),
        Wrong(
            lambda: F.scaled_dot_product_attention(T, T.double(), T),
            TypeError,
            r"^scaled_dot_product_attention: .* float32 and float64",
        ),
        Wrong(
            lambda: F.scaled_dot_product_attention(T, T, T, lamina.ones(3, 4)),
            ValueError,
            r"attn_mask does not broadcast to the scores\n  attn_mask \[3, 4\]\n  scores \[1, 2, 3",
        ),
        Wrong(
            lambda: F.scaled_dot_product_attention(T, T, T, lamina.ones(3, 3).long()),
            TypeError,
            r"attn_mask must be bool or have the query's dtype float32, got int64",
        ),
        Wrong(
            lambda: F.scaled_dot_product_attention(T, T, T, dropout_p=1.5),
            ValueError,
            r"dropout_p must lie in \[0, 1\], got 1.5",
        ),
    ],
)

# Masks that are trained take another way than those that are not.
CONSTANT_MASK = renamed(
    ATTENTION,
    "scaled_dot_product_attention:constant mask",
    samples=[Sample(Q, K, V, ADDED), Sample(Q, K, V, spread(RNG, (1, 2, 1, 5)), is_causal=True)],
    call=F.scaled_dot_product_attention,
    wide=[wide(1, 2, 2, 140, 280, 8, 9, RNG.standard_normal((2, 140, 280)))],
    edges=[],
    specials=None,
    constant=(3,),
    layouts=(0, 1, 2),
    wrong=[],
)

WEIGHT = spread(RNG, (5, 3))
NUMBERS = np.array([[1, 4, 1], [0, 2, 2]])


EMBEDDING = Row(
    "embedding",
    [
        Sample(NUMBERS, WEIGHT),
        Sample(np.array(3), WEIGHT),
        Sample(np.array([4, 0], np.int32), WEIGHT),
    ],
    lambda index, weight: weight[index],
    wide=[Sample(RNG.integers(0, 40, (7, 30)), RNG.standard_normal((40, 65)))],
    edges=[Sample(NUMBERS[:0], WEIGHT), Sample(NUMBERS, WEIGHT[:, :0])],
    error=exact,
    dtypes="floating",
    layouts=(1,),
    wrong=[
        Wrong(
            lambda: F.embedding(lamina.tensor([0, 5]), lamina.ones(5, 2)),
            IndexError,
            r"^embedding: 5 is out of range for 5 rows\n  input  \[2\]\n  weight \[5, 2\]",
        ),
        Wrong(
            lambda: F.embedding(lamina.tensor([-1]), lamina.ones(5, 2)),
            IndexError,
            r"^embedding: -1 is out of range for 5 rows",
        ),
        Wrong(
            lambda: F.embedding(lamina.ones(2), lamina.ones(5, 2)),
            TypeError,
            r"^embedding: the input must be int64 or int32, got float32",
        ),
        Wrong(
            lambda: F.embedding(lamina.tensor([0]), lamina.ones(5)),
            ValueError,
            r"^embedding: the weight must be a matrix",
        ),
        Wrong(
            lambda: F.embedding(lamina.tensor([0]), lamina.ones(5, 2), 5),
            ValueError,
            r"^embedding: padding_idx 5 is out of range for 5 rows",
        ),
    ],
)


def bags(index, weight, offsets=None, sample_weights=None, *, mode="mean", padding_idx=None):
    """The rows of each bag, reduced one bag at a time."""
    flat = index.reshape(-1)
    factors = np.ones(flat.size) if sample_weights is None else sample_weights.reshape(-1)
    starts = np.arange(index.shape[0]) * index.shape[1] if offsets is None else offsets
    ends = np.append(starts[1:], flat.size)[: len(starts)]
    found = []
    for first, last in zip(starts, ends, strict=True):
        kept = [j for j in range(first, last) if flat[j] != padding_idx]
        rows = weight[flat[kept]] * factors[kept][:, None]
        if not kept:
            found.append(np.zeros(weight.shape[1]))
        else:
            found.append({"sum": rows.sum, "mean": rows.mean, "max": rows.max}[mode](0))
    return np.array(found).reshape(len(starts), weight.shape[1])


def bag_error(y, index, weight, offsets=None, sample_weights=None, **options):
    factors = None if sample_weights is None else np.abs(sample_weights)
    summed = {**options, "mode": "sum" if options.get("mode") == "sum" else "mean"}
    return (index.size + 2) * bags(index, np.abs(weight), offsets, factors, **summed)


FLAT, OFFSETS = np.array([1, 4, 1, 0, 2]), np.array([0, 2, 2, 4])
TABLE = lamina.ones(5, 2)


def bag(index, weight, offsets=None, sample_weights=None, **options):
    return F.embedding_bag(index, weight, offsets, per_sample_weights=sample_weights, **options)


EMBEDDING_BAG = Row(
    "embedding_bag",
    [
        Sample(NUMBERS, WEIGHT),
        Sample(FLAT, WEIGHT, OFFSETS),
        Sample(FLAT, WEIGHT, OFFSETS, mode="sum"),
        Sample(FLAT, WEIGHT, OFFSETS, spread(RNG, 5), mode="sum"),
        Sample(FLAT, WEIGHT, OFFSETS, padding_idx=1),
        Sample(NUMBERS, WEIGHT, None, spread(RNG, (2, 3)), mode="sum", padding_idx=2),
    ],
    bags,
    call=bag,
    wide=[Sample(RNG.integers(0, 40, (7, 30)), RNG.standard_normal((40, 65)))],
    edges=[
        Sample(NUMBERS[:0], WEIGHT),
        Sample(NUMBERS[:, :0], WEIGHT),
        Sample(FLAT[:0], WEIGHT, np.array([0, 0])),
    ],
    error=bag_error,
    layouts=(1,),
    dtypes="floating",
    wrong=[
        Wrong(
            lambda: F.embedding_bag(lamina.tensor([0, 1]), TABLE),
            ValueError,
            r"^embedding_bag: a 1-d input needs offsets",
        ),
        Wrong(
            lambda: F.embedding_bag(lamina.tensor([[0, 1]]), TABLE, lamina.tensor([0])),
            ValueError,
            r"^embedding_bag: a 2-d input has a bag in every row and takes no offsets",
        ),
        Wrong(
            lambda: F.embedding_bag(lamina.tensor([0, 1]), TABLE, lamina.tensor([1])),
            ValueError,
            r"^embedding_bag: offsets must begin with 0, got 1",
        ),
        Wrong(
            lambda: F.embedding_bag(lamina.tensor([0, 1]), TABLE, lamina.tensor([0, 3])),
            ValueError,
            r"must not decrease nor go beyond the 2 numbers of the input, got 3 at position 1",
        ),
        Wrong(
            lambda: F.embedding_bag(lamina.tensor([0, 7]), TABLE, lamina.tensor([0])),
            IndexError,
            r"^embedding_bag: 7 is out of range for 5 rows",
        ),
        Wrong(
            lambda: F.embedding_bag(lamina.tensor([[0]]), TABLE, mode="min"),
            ValueError,
            r"^embedding_bag: mode must be 'sum', 'mean' or 'max', got 'min'",
        ),
        Wrong(
            lambda: F.embedding_bag(
                lamina.tensor([[0]]), TABLE, per_sample_weights=lamina.ones(1, 1)
            ),
            ValueError,
            r"^embedding_bag: per_sample_weights need mode='sum'",
        ),
        Wrong(
            lambda: F.embedding_bag(
                lamina.tensor([[0]]), TABLE, per_sample_weights=lamina.ones(1, 2), mode="sum"
            ),
            ValueError,
            r"^embedding_bag: per_sample_weights must have the sizes of the input",
        ),
        Wrong(
            lambda: F.embedding_bag(
                lamina.tensor([[0]]), TABLE, mode="max", scale_grad_by_freq=True
            ),
            ValueError,
            r"^embedding_bag: mode='max' has no gradient that scale_grad_by_freq could scale",
        ),
    ],
)
LARGEST = renamed(
    EMBEDDING_BAG,
    "embedding_bag:max",
    samples=[
        Sample(NUMBERS, WEIGHT, mode="max"),
        Sample(FLAT, WEIGHT, OFFSETS, mode="max"),
        Sample(FLAT, WEIGHT, OFFSETS, mode="max", padding_idx=4),
    ],
    wide=[],
    error=exact,
    edges=[Sample(NUMBERS[:, :0], WEIGHT, mode="max")],
    wrong=[],
)

ONE_HOT = Row(
    "one_hot",
    [Sample(NUMBERS), Sample(NUMBERS, 7), Sample(np.array(2), 3)],
    lambda index, classes=-1: (
        index[..., None] == np.arange(index.max() + 1 if classes == -1 else classes)
    ).astype(np.int64),
    edges=[Sample(NUMBERS[:0], 4)],
    differentiable=False,
    wrong=[
        Wrong(
            lambda: F.one_hot(lamina.tensor([3]), 3),
            ValueError,
            r"^one_hot: 3 is no class\n  classes 3",
        ),
        Wrong(lambda: F.one_hot(lamina.tensor([-1])), ValueError, r"^one_hot: -1 is no class"),
        Wrong(
            lambda: F.one_hot(lamina.tensor([1]), 0),
            ValueError,
            r"^one_hot: num_classes must be positive, got 0",
        ),
        Wrong(
            lambda: F.one_hot(lamina.ones(2)),
            TypeError,
            r"^one_hot: the input must be integers, got float32",
        ),
        Wrong(
            lambda: F.one_hot(lamina.zeros(0).long()),
            ValueError,
            r"^one_hot: an empty input does not say how many classes there are",
        ),
    ],
)

HOLED = WEIGHT * np.array([1, 0, 0, 1, 0])[:, None]
TOUCHED = Row(
    "touched_rows",
    [Sample(HOLED), Sample(HOLED[:, 0].copy()), Sample(HOLED[:, None].repeat(2, 1))],
    lambda x: np.flatnonzero((x != 0).any(tuple(range(1, x.ndim)))),
    edges=[Sample(HOLED[:0]), Sample(HOLED[:, :0])],
    specials=lambda dtype: [Sample(np.array([[0, -0.0], [0, np.nan], [np.inf, 0]]))],
    differentiable=False,
    dtypes=None,
    wrong=[Wrong(lambda: _core.touched_rows(lamina.tensor(1.0)), ValueError, r"a 0-d tensor has")],
)

ROWS = [ATTENTION, CONSTANT_MASK, EMBEDDING, EMBEDDING_BAG, LARGEST, ONE_HOT, TOUCHED]
