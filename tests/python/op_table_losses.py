"""Rows of the losses."""

from __future__ import annotations

import lamina
import lamina.nn.functional as F
import numpy as np
from op_table_row import Row, Sample, Wrong, spread, stream, with_nan
from scipy import special

RNG = stream("losses")
T = lamina.ones(2, 3)
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


def cross_entropy(x, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
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

ROWS = [
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
