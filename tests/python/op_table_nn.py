"""Rows of products, layers and losses."""

from __future__ import annotations

import lamina
import lamina.nn.functional as F
import numpy as np
from lamina import _core
from op_table_row import Row, Sample, Wrong, point, spread, stream
from scipy import special

RNG = stream("layers")
A, B = spread(RNG, (2, 3)), spread(RNG, (3, 2))
BATCH, OTHER = spread(RNG, (2, 2, 3)), spread(RNG, (2, 3, 2))
LONG = [Sample(RNG.standard_normal((37, 65)), RNG.standard_normal((65, 19)))]
T = lamina.ones(2, 3)


def product_error(y, a, b):
    """K - 1 additions and K products of terms: (K + 2) eps sum |a| |b|."""
    return (a.shape[-1] + 2) * np.matmul(np.abs(a), np.abs(b))


def product_errors(name):
    function = getattr(_core, name)
    rank = 3 if name == "bmm" else 2
    x = lamina.ones(*[2] * (rank - 2), 2, 3)
    return [
        Wrong(lambda: function(x, x), ValueError, rf"^{name}: .*\b3\b.*\b2\b.*\n.*2, 3\]\n.*2, 3\]"),
        Wrong(
            lambda: function(x, x.double()),
            TypeError,
            rf"^{name}: both operands must have one dtype, got float32 and float64",
        ),
        Wrong(lambda: function(x.long(), x.long()), TypeError, rf"^{name}: .* float32 or float64"),
    ]


def product(name, samples, *edges, wide=()):
    return Row(
        name,
        samples,
        np.matmul,
        edges=list(edges),
        wide=list(wide),
        specials=lambda dtype: [Sample(*[with_nan(a) for a in samples[0].args])],
        error=product_error,
        dtypes="floating",
        wrong=product_errors(name),
    )


def with_nan(a):
    out = a.copy()
    out.reshape(-1)[0] = np.nan
    return out


PRODUCTS = [
    product(
        "matmul",
        [
            Sample(A, B),
            Sample(A[0], B[:, 0]),
            Sample(A[0], B),
            Sample(A, B[:, 0]),
            Sample(BATCH, OTHER),
            Sample(BATCH, B),
            Sample(A, OTHER),
            Sample(A[0], OTHER),
            Sample(spread(RNG, (2, 1, 1, 2)), spread(RNG, (3, 2, 1))),
        ],
        Sample(A[:0], B),
        Sample(A[:, :0], B[:0]),
        Sample(BATCH[:0], OTHER[:0]),
        Sample(BATCH[:, :, :0], B[:0]),
        wide=[*LONG, Sample(RNG.standard_normal((3, 9, 33)), RNG.standard_normal((33, 5)))],
    ),
    product("mm", [Sample(A, B)], Sample(A[:0], B), Sample(A[:, :0], B[:0]), wide=LONG),
    product("bmm", [Sample(BATCH, OTHER)], Sample(BATCH[:0], OTHER[:0])),
]
PRODUCTS[0].wrong.append(
    Wrong(
        lambda: lamina.matmul(lamina.tensor(1.0), T),
        ValueError,
        r"^matmul: 0-d tensors have no product; use \*",
    )
)


def linear(x, weight, bias=0.0):
    return x @ weight.T + bias


def linear_error(y, x, weight, bias=0.0):
    return (x.shape[-1] + 3) * (np.abs(x) @ np.abs(weight.T) + np.abs(bias))


W, BIAS = spread(RNG, (2, 3)), spread(RNG, 2)

LINEAR = Row(
    "linear",
    [
        Sample(A, W),
        Sample(A, W, BIAS),
        Sample(A[0], W, BIAS),
        Sample(BATCH, W, BIAS),
    ],
    linear,
    edges=[Sample(A[:0], W, BIAS), Sample(A[:, :0], W[:, :0], BIAS), Sample(A, W[:0], BIAS[:0])],
    wide=[Sample(RNG.standard_normal((33, 70)), RNG.standard_normal((17, 70)), np.ones(17))],
    specials=lambda dtype: [Sample(with_nan(A), W, BIAS), Sample(A, W, np.array([np.inf, 1.0]))],
    error=linear_error,
    dtypes="floating",
    wrong=[
        Wrong(
            lambda: F.linear(lamina.ones(32, 20), lamina.ones(512, 784)),
            ValueError,
            r"^linear: input has 20 features but weight expects 784\n"
            r"  input  \[32, 20\]\n  weight \[512, 784\]$",
        ),
        Wrong(
            lambda: F.linear(T, lamina.ones(4, 3), lamina.ones(3)),
            ValueError,
            r"^linear: weight gives 4 features but bias has sizes \[3\]",
        ),
        Wrong(lambda: F.linear(T, lamina.ones(3)), ValueError, r"^linear: the weight must be a mat"),
        Wrong(lambda: F.linear(T, T.double()), TypeError, r"^linear: .* float32 and float64"),
    ],
)

# -- batch norm --------------------------------------------------------------------------------

CHANNELS = spread(RNG, 3, (0.3, 2.0))
SHIFT, MEAN, VAR = (
    spread(RNG, 3),
    spread(RNG, 3),
    spread(RNG, 3, (0.5, 2.0)),
)
DATA = spread(RNG, (4, 3))


def moments(x, mean, var, training):
    if training:
        axes = (0, *range(2, x.ndim))
        return x.mean(axes), x.var(axes)
    return mean, var


def batch_norm(
    x, mean=None, var=None, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5
):
    m, v = moments(x, mean, var, training)
    per = (1, -1, *[1] * (x.ndim - 2))
    y = (x - m.reshape(per)) / np.sqrt(v.reshape(per) + eps)
    y = y if weight is None else y * weight.reshape(per)
    return y if bias is None else y + bias.reshape(per)


def batch_norm_error(y, x, mean=None, var=None, weight=None, bias=None, training=False, *rest, **k):
    """The mean of K numbers is off by K eps mean|x|, the scale by K + 8 roundings."""
    m, v = moments(x, mean, var, training)
    per = (1, -1, *[1] * (x.ndim - 2))
    gain = (1.0 if weight is None else np.abs(weight)) / np.sqrt(v)
    shift = 0.0 if bias is None else np.abs(bias)
    size = np.nanmax(np.abs(x), initial=0.0) + np.abs(m)
    bound = (x.shape[0] * x[0:1, 0:1].size + 8) * 2 * (size * gain + shift)
    return np.broadcast_to(bound.reshape(per), x.shape)


def norm_wrong(match, error, *args, **kwargs):
    return Wrong(lambda: F.batch_norm(*args, **kwargs), error, match)


ONES3, ONES2 = lamina.ones(3), lamina.ones(2)
BATCH_NORM = Row(
    "batch_norm",
    [
        Sample(DATA, None, None, training=True),
        Sample(DATA, None, None, CHANNELS, SHIFT, True),
        Sample(spread(RNG, (2, 3, 2)), None, None, CHANNELS, SHIFT, True, 0.1, 1e-3),
        Sample(DATA, MEAN, VAR, CHANNELS, SHIFT),
        Sample(DATA, MEAN, VAR),
        Sample(DATA, MEAN, VAR, CHANNELS, None),
    ],
    batch_norm,
    wide=[Sample(3 + RNG.standard_normal((65, 3)), None, None, CHANNELS, SHIFT, True)],
    edges=[Sample(DATA[:0], MEAN, VAR, CHANNELS, SHIFT)],
    specials=lambda dtype: [Sample(with_nan(DATA), MEAN, VAR, CHANNELS, SHIFT)],
    error=batch_norm_error,
    constant=(1, 2),
    layouts=(0,),
    why="layouts: channel vectors are refused unless contiguous",
    dtypes="floating",
    wrong=[
        norm_wrong(
            r"^batch_norm: expected more than 1 value per channel when training\n.*\[1, 3\]",
            ValueError,
            lamina.ones(1, 3),
            None,
            None,
            training=True,
        ),
        norm_wrong(r"^batch_norm: outside of training it needs", ValueError, T, None, None),
        norm_wrong(
            r"^batch_norm: weight must have one entry for each of the 3 channels\n"
            r"  input  \[2, 3\]\n  weight \[2\]",
            ValueError,
            T,
            ONES3,
            ONES3,
            ONES2,
        ),
        norm_wrong(r"^batch_norm: the input must be \[N, C\]", ValueError, ONES3, ONES3, ONES3),
        norm_wrong(
            r"^batch_norm: bias must have the input's dtype float32, got float64",
            TypeError,
            T,
            ONES3,
            ONES3,
            None,
            ONES3.double(),
        ),
    ],
)

# -- losses ------------------------------------------------------------------------------------

LOGITS = spread(RNG, (4, 3), (-3.0, 3.0))
TARGET = np.array([2, 0, -100, 1])
CLASS_WEIGHT = np.array([0.5, 2.0, 1.25])
IMAGE, PIXELS = spread(RNG, (2, 3, 2), (-3.0, 3.0)), np.array([[1, 2], [0, 2]])
SOFT = special.softmax(spread(RNG, (4, 3)), 1)


def classes_last(x):
    return np.moveaxis(x, 1, -1).reshape(-1, x.shape[1]) if x.ndim > 1 else x.reshape(1, -1)


def reduced(terms, reduction, divisor):
    if reduction == "none":
        return terms
    return terms.sum() if reduction == "sum" else terms.sum() / divisor


def nll(logp, target, weight=None, ignore_index=-100, reduction="mean", smoothing=0.0):
    rows, labels = classes_last(logp), target.reshape(-1)
    live = labels != ignore_index
    w = np.ones(rows.shape[1]) if weight is None else weight
    safe = np.where(live, labels, 0)
    own = w[safe] * live
    terms = -own * np.where(live, rows[np.arange(len(rows)), safe], 0.0)
    if smoothing:
        terms = (1 - smoothing) * terms - smoothing * live * (rows * w).mean(1)
    return reduced(terms.reshape(target.shape), reduction, own.sum())


def cross_entropy(
    x, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0
):
    axis = 1 if x.ndim > 1 else 0
    logp = special.log_softmax(x, axis)
    if target.dtype != np.float64:
        return nll(logp, target, weight, ignore_index, reduction, label_smoothing)
    shape = [-1 if d == axis else 1 for d in range(x.ndim)]
    t = target * (1 - label_smoothing) + label_smoothing / x.shape[axis]
    terms = -(logp * t * (1.0 if weight is None else weight.reshape(shape))).sum(axis)
    return reduced(terms, reduction, terms.size)


def entropy_error(y, x, target, weight=None, *args, **kwargs):
    """Log-probabilities of C classes are off by (range + C + 8), the sum of N by N more."""
    axis = 1 if x.ndim > 1 else 0
    logp = special.log_softmax(x, axis) if x.size else np.zeros(1)
    top = 1.0 if weight is None else float(weight.max())
    n = x.size // x.shape[axis]
    each = (np.nanmax(x) - np.nanmin(x) if x.size else 0) + x.shape[axis] + 8 + n
    size = 1 + np.nanmax(np.abs(logp))
    return each * size * top * (1 + n * (kwargs.get("reduction") == "sum"))


def mean_loss(terms):
    def loss(x, target, reduction="mean"):
        out = terms(x, target)
        return reduced(out, reduction, out.size)

    return loss


def loss_error(y, x, *args, **kwargs):
    """All terms have one sign: K additions and a few roundings each, relative to the result."""
    return (x.size + 8) * np.abs(y)


def bce_terms(x, t, weight=None, pos_weight=None):
    pos = 1.0 if pos_weight is None else pos_weight
    w = 1.0 if weight is None else weight
    return w * (1 - t) * x, w * (1 + (pos - 1) * t) * np.logaddexp(0, -x)


def bce(x, t, weight=None, pos_weight=None, reduction="mean"):
    terms = sum(bce_terms(x, t, weight, pos_weight))
    return reduced(terms, reduction, terms.size)


def bce_error(y, x, t, weight=None, pos_weight=None, reduction="mean"):
    """The two parts of a term may cancel: relative to their magnitudes."""
    terms = sum(np.abs(part) for part in bce_terms(x, t, weight, pos_weight))
    return (x.size + 12) * reduced(terms, reduction, terms.size)


def reductions(*args, **kwargs):
    return [Sample(*args, **kwargs, reduction=r) for r in ("mean", "sum", "none")]


X, Y = spread(RNG, (2, 2, 3))
PROBABILITY = special.expit(Y)


def loss_wrong(name, *args):
    function = getattr(F, name)
    return [
        Wrong(
            lambda: function(T, lamina.ones(2, 1)),
            ValueError,
            rf"^{name}: input and target must have the same sizes .*\n"
            r"  input  \[2, 3\]\n  target \[2, 1\]",
        ),
        Wrong(
            lambda: function(T, T, reduction="max"),
            ValueError,
            rf"^{name}: reduction must be 'none', 'mean' or 'sum', got 'max'",
        ),
    ]


def class_wrong(name):
    function = getattr(F, name)
    labels = lamina.tensor([0, 1])
    return [
        Wrong(
            lambda: function(T, lamina.tensor([0, 3])),
            IndexError,
            rf"^{name}: target 3 at position 1 is out of range for 3 classes",
        ),
        Wrong(
            lambda: function(T, lamina.tensor([0])),
            ValueError,
            rf"^{name}: class targets must have sizes \[2\] .*\n.*\[2, 3\]\n.*\[1\]",
        ),
        Wrong(
            lambda: function(T, labels, lamina.ones(2)),
            ValueError,
            rf"^{name}: weight must have one entry for each of the 3 classes\n  weight \[2\]",
        ),
        Wrong(
            lambda: function(T, labels, reduction="avg"),
            ValueError,
            rf"^{name}: reduction must be 'none', 'mean' or 'sum', got 'avg'",
        ),
    ]


CROSS_ENTROPY = [
    *reductions(LOGITS, TARGET),
    *reductions(LOGITS, TARGET, CLASS_WEIGHT, label_smoothing=0.1),
    Sample(LOGITS, TARGET, label_smoothing=0.3),
    Sample(LOGITS, np.maximum(TARGET, 0), None, 0),
    Sample(LOGITS[0], np.array(1)),
    *reductions(IMAGE, PIXELS, CLASS_WEIGHT),
    *reductions(LOGITS, SOFT),
    Sample(LOGITS, SOFT, CLASS_WEIGHT, label_smoothing=0.2),
    Sample(IMAGE, special.softmax(IMAGE * 0.5, 1)),
    Sample(LOGITS[0], SOFT[0]),
]

LOSSES = [
    Row(
        "cross_entropy",
        CROSS_ENTROPY,
        cross_entropy,
        wide=[Sample(RNG.standard_normal((37, 19)) * 5, RNG.integers(0, 19, 37))],
        edges=[Sample(LOGITS[:0], TARGET[:0], reduction="sum")],
        specials=lambda dtype: [Sample(with_nan(LOGITS), TARGET, reduction="none")],
        zero_sign=False,  # of an ignored target's loss
        error=entropy_error,
        constant=(2,),  # class weights are data
        dtypes="floating",
        wrong=[
            *class_wrong("cross_entropy"),
            Wrong(
                lambda: F.cross_entropy(T, lamina.tensor([0, 1]), label_smoothing=1.5),
                ValueError,
                r"^cross_entropy: label_smoothing must lie in \[0, 1\], got 1.5",
            ),
        ],
    ),
    Row(
        "nll_loss",
        [
            *reductions(special.log_softmax(LOGITS, 1), TARGET),
            *reductions(special.log_softmax(LOGITS, 1), TARGET, CLASS_WEIGHT),
            Sample(special.log_softmax(IMAGE, 1), PIXELS, None, 2),
        ],
        nll,
        edges=[Sample(LOGITS[:0], TARGET[:0], reduction="sum")],
        specials=lambda dtype: [Sample(np.full((4, 3), -np.inf), TARGET, reduction="none")],
        zero_sign=False,
        error=lambda y, x, *a, **k: (x.size + 8) * np.abs(x).max(initial=0.0) * 8,
        constant=(2,),
        dtypes="floating",
        wrong=class_wrong("nll_loss"),
    ),
    Row(
        "mse_loss",
        reductions(X, Y),
        mean_loss(lambda x, t: np.square(x - t)),
        wide=[Sample(RNG.standard_normal(131), RNG.standard_normal(131))],
        edges=[Sample(X[:0], Y[:0], reduction="sum"), Sample(X[:0], Y[:0])],
        error=loss_error,
        wrong=loss_wrong("mse_loss"),
    ),
    Row(
        "l1_loss",
        reductions(X, Y),
        mean_loss(lambda x, t: np.abs(x - t)),
        wide=[Sample(RNG.standard_normal(131), RNG.standard_normal(131))],
        edges=[Sample(X[:0], Y[:0], reduction="sum")],
        error=loss_error,
        wrong=loss_wrong("l1_loss"),
    ),
    Row(
        "binary_cross_entropy_with_logits",
        [
            *reductions(X, PROBABILITY),
            Sample(X, PROBABILITY, np.array([0.5, 2.0, 1.0])),
            Sample(X, PROBABILITY, None, np.array([0.5, 2.0, 3.0])),
        ],
        bce,
        wide=[Sample(RNG.standard_normal(131) * 40, RNG.uniform(0, 1, 131))],
        edges=[Sample(X[:0], PROBABILITY[:0], reduction="sum")],
        specials=lambda dtype: [
            Sample(np.array([np.nan, 800.0, -800.0]), np.array([1.0, 1.0, 0.0]), reduction="none")
        ],
        error=bce_error,
        constant=(2, 3),
        dtypes="floating",
        wrong=loss_wrong("binary_cross_entropy_with_logits"),
    ),
]

def dropout(x, p=0.5, training=True):
    """The same elements every time, so that differences can be taken."""
    lamina.manual_seed(3)
    return F.dropout(x, p, training)


def dropout_reference(x, p=0.5, training=True):
    """What is kept is the library's choice; what becomes of it is not."""
    if not training or p == 0:
        return x
    lamina.manual_seed(3)
    kept = F.dropout(lamina.ones(x.shape, dtype=lamina.float64), p).numpy() != 0
    return np.where(kept, x / (1 - p) if p < 1 else 0.0, 0.0)


DROPOUT = Row(
    "dropout",
    [Sample(X), Sample(X, 0.3), Sample(X, 0.5, False), Sample(X, 0.0), Sample(X, 1.0)],
    dropout_reference,
    call=dropout,
    wide=[Sample(RNG.uniform(1, 2, (9, 31)), 0.2)],
    edges=[Sample(X[:0]), Sample(point(X), 0.5)],
    dtypes="floating",
    wrong=[
        Wrong(lambda: F.dropout(T, 1.5), ValueError, r"^dropout: p must lie in \[0, 1\], got 1.5"),
        Wrong(lambda: F.dropout(T.long()), TypeError, r"^dropout: input must be float32 or float64"),
    ],
)

ROWS = [*PRODUCTS, LINEAR, BATCH_NORM, *LOSSES, DROPOUT]
