"""Rows of the losses beyond those of logits and squares: references from their definitions."""

from __future__ import annotations

import lamina
import lamina.nn.functional as F
import numpy as np
from op_table_losses import class_wrong, loss_error, loss_wrong, reduced, reductions
from op_table_row import Row, Sample, Wrong, point, spread, stream, with_nan
from scipy import special

RNG = stream("loss terms")
T = lamina.ones(2, 3)
BOTH = spread(RNG, (2, 2, 3), (-3.0, 3.0), avoid=(0.0,))
X, Y = BOTH
WEIGHT = np.array([0.5, 2.0, 1.25])
SIGNS = np.where(RNG.integers(0, 2, (2, 3)) > 0, 1.0, -1.0)
P, Q = spread(RNG, (2, 2, 3), (0.05, 0.95))
COUNTS = np.array([[0.0, 1.5, 4.0], [2.5, 0.3, 7.0]])
LONG, OTHER = RNG.standard_normal((2, 131))


def mean_over(terms):
    """A loss of those terms, with the settings of the terms as its own."""

    def loss(*args, reduction="mean", **settings):
        out = terms(*args, **settings)
        return reduced(out, reduction, out.size)

    return loss


def refused(name, *args, match, error=ValueError, **kwargs):
    function = getattr(F, name)
    return Wrong(lambda: function(*args, **kwargs), error, rf"^{name}: {match}")


def with_settings(*args, **settings):
    """Each setting alone, with the terms unreduced."""
    return [Sample(*args, **{k: v}, reduction="none") for k, v in settings.items()]


def pair_row(name, terms, x, y, *, wrong=(), settings=(), **more):
    """A row for a loss of input and target of one shape."""
    return Row(
        name,
        [*reductions(x, y), *(Sample(x, y, reduction="none", **s) for s in settings)],
        mean_over(terms),
        edges=[
            Sample(x[:0], y[:0], reduction="sum"),
            Sample(x[:0], y[:0]),
            Sample(point(x), point(y)),
        ],
        wrong=[*loss_wrong(name), *wrong],
        **more,
    )


def not_floating(name):
    return refused(name, T.long(), T, match="input must be float32 or float64", error=TypeError)


# -- of the difference -----------------------------------------------------------------------------


def smooth_l1(x, t, beta=1.0):
    d = np.abs(x - t)
    return d if beta == 0 else np.where(d < beta, d * d / (2 * beta), d - beta / 2)


def huber(x, t, delta=1.0):
    d = np.abs(x - t)
    return np.where(d <= delta, d * d / 2, delta * (d - delta / 2))


def special_pairs(dtype):
    values = np.array([np.nan, np.inf, -np.inf, 0.0, 1.0, -0.5])
    a, b = np.repeat(values, 6), np.tile(values, 6)
    return [Sample(a, b, reduction="none")]


DIFFERENCES = [
    pair_row(
        "smooth_l1_loss",
        smooth_l1,
        X,
        Y,
        settings=({"beta": 0.3}, {"beta": 4.0}, {"beta": 0.0}),
        wide=[Sample(LONG, OTHER)],
        specials=special_pairs,
        error=loss_error,
        wrong=[refused("smooth_l1_loss", T, T, beta=-1.0, match="beta must be at least 0, got -1")],
    ),
    pair_row(
        "huber_loss",
        huber,
        X,
        Y,
        settings=({"delta": 0.3}, {"delta": 4.0}),
        wide=[Sample(LONG, OTHER)],
        specials=special_pairs,
        error=loss_error,
        wrong=[refused("huber_loss", T, T, delta=0.0, match="delta must be positive, got 0")],
    ),
]

# -- of probabilities ------------------------------------------------------------------------------


def log(x):
    with np.errstate(all="ignore"):
        return np.maximum(np.log(x), -100.0)


def bce(x, t, weight=1.0):
    return -weight * (t * log(x) + (1 - t) * log(1 - x))


def kl_div(x, t, log_target=False):
    return np.exp(t) * (t - x) if log_target else special.xlogy(t, t) - t * x


def kl_loss(x, t, reduction="mean", log_target=False):
    terms = kl_div(x, t, log_target)
    if reduction == "batchmean":
        return terms.sum() / len(terms)
    return reduced(terms, reduction, terms.size)


# The two products of a term may cancel.
def kl_error(y, x, t, reduction="mean", log_target=False):
    size = np.exp(t) * (np.abs(t) + np.abs(x)) if log_target else np.abs(t) * (np.abs(x) + 4)
    return (x.size + 12) * np.maximum(size.sum(), 1)


def soft_margin(x, t):
    return np.logaddexp(0, -t * x)


def multilabel(x, t, weight=1.0):
    terms = (np.logaddexp(0, -x) + (1 - t) * x) * weight
    return terms.sum(-1) / terms.shape[-1] if terms.size else terms.sum(-1) + np.nan


def outside(name, at, value):
    x, t = lamina.full((2, 3), 0.5), lamina.full((2, 3), 0.5)
    (x if at == "input" else t)[1, 0] = value
    number = {1.5: "1.5", -0.5: "-0.5"}.get(value, "nan")
    match = rf"every {at} must lie in \[0, 1\], got {number} at position 3$"
    return [refused(name, x, t, match=match, reduction=r) for r in ("mean", "sum", "none")]


PROBABILITIES = [
    pair_row(
        "binary_cross_entropy",
        bce,
        P,
        Q,
        specials=lambda dtype: [
            Sample(np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0, 0.25]), reduction="sum")
        ],
        zero_sign=False,
        error=lambda y, x, t, *a, **k: (x.size + 12) * np.maximum(np.abs(y), 1),
        dtypes=None,
        constant=(2,),
        wrong=[
            not_floating("binary_cross_entropy"),
            *outside("binary_cross_entropy", "input", 1.5),
            *outside("binary_cross_entropy", "input", float("nan")),
            *outside("binary_cross_entropy", "target", -0.5),
            refused(
                "binary_cross_entropy",
                T,
                T,
                lamina.ones(4, 2, 3),
                match=r"weights must broadcast to the sizes of the input\n  input  \[2, 3\]\n",
            ),
        ],
    ),
    Row(
        "kl_div",
        [
            *reductions(np.log(P), Q),
            *reductions(np.log(P), np.log(Q), log_target=True),
            Sample(np.log(P), Q, reduction="batchmean"),
        ],
        kl_loss,
        wide=[Sample(LONG, special.expit(OTHER)), Sample(LONG, OTHER, log_target=True)],
        edges=[
            Sample(X[:0], P[:0], reduction="sum"),
            Sample(X[:0], P[:0], reduction="batchmean"),
            Sample(point(X), point(P)),
        ],
        specials=lambda dtype: [
            Sample(np.array([-1.0, np.nan, 0.5]), np.array([0.0, 0.5, np.nan]), reduction="none")
        ],
        error=kl_error,
        dtypes="floating",
        zero_sign=False,
        wrong=[
            *loss_wrong("kl_div")[:1],
            refused(
                "kl_div",
                T,
                T,
                reduction="max",
                match="reduction must be 'none', 'mean', 'sum' or 'batchmean', got 'max'$",
            ),
        ],
    ),
    pair_row(
        "soft_margin_loss",
        soft_margin,
        X,
        SIGNS,
        wide=[Sample(LONG * 100, np.sign(OTHER))],
        specials=lambda dtype: [Sample(with_nan(X), SIGNS), Sample(-1e4 * SIGNS, SIGNS)],
        error=lambda y, x, t, **k: (x.size + 12) * np.maximum(np.abs(y), 1),
        wrong=[not_floating("soft_margin_loss")],
    ),
    Row(
        "multilabel_soft_margin_loss",
        [*reductions(X, Q), *reductions(X, Q, WEIGHT), *reductions(X[0], Q[0])],
        mean_over(multilabel),
        wide=[Sample(LONG.reshape(1, 131) * 40, special.expit(OTHER).reshape(1, 131))],
        edges=[Sample(X[:0], Q[:0]), Sample(X[:, :0], Q[:, :0])],
        error=lambda y, x, t, *a, **k: (x.size + 12) * np.abs(x).max(initial=1.0) * 4,
        dtypes=None,
        constant=(2,),
        wrong=[
            *loss_wrong("multilabel_soft_margin_loss"),
            not_floating("multilabel_soft_margin_loss"),
            refused(
                "multilabel_soft_margin_loss",
                lamina.tensor(1.0),
                lamina.tensor(1.0),
                match="the input needs a dimension of classes",
            ),
        ],
    ),
]

# -- of classes and labels -------------------------------------------------------------------------

SCORES = spread(RNG, (4, 3), (-3.0, 3.0))
CLASSES = np.array([2, 0, 1, 2])


def multi_margin(x, target, p=1, margin=1.0, weight=None, reduction="mean"):
    rows = np.atleast_2d(x)
    terms = []
    for row, t in zip(rows, np.atleast_1d(target), strict=True):
        others = np.delete(margin - row[t] + row, t)
        total = (np.maximum(others, 0) ** p).sum() / len(row)
        terms.append(total * (1.0 if weight is None else weight[t]))
    terms = np.array(terms)
    return reduced(terms if np.ndim(target) else terms[0], reduction, len(terms))


def hinge(x, t, margin=1.0):
    return np.where(t == 1, x, np.maximum(0, margin - x))


def few_roundings(y, x, *args, **kwargs):
    return 4 * (x.size + 12) * np.maximum(np.abs(y), 1)


LABELS = [
    Row(
        "multi_margin_loss",
        [
            *reductions(SCORES, CLASSES),
            *reductions(SCORES, CLASSES, 2, 0.45, WEIGHT),
            Sample(SCORES[0], np.array(1)),
            Sample(SCORES[0], np.array([1]), margin=0.2, reduction="none"),
        ],
        multi_margin,
        edges=[Sample(SCORES[:0], CLASSES[:0], reduction="sum")],
        specials=lambda dtype: [Sample(SCORES * 1e30, CLASSES)],
        error=few_roundings,
        dtypes="floating",
        constant=(4,),
        wrong=[
            *[w for w in class_wrong("multi_margin_loss") if "weight" not in w.match],
            refused(
                "multi_margin_loss", T, lamina.tensor([0, 1]), 3, match="p must be 1 or 2, got 3"
            ),
            refused(
                "multi_margin_loss",
                T,
                lamina.tensor([0, 1]),
                weight=lamina.ones(2),
                match="weight must have one entry for each of the 3 classes",
            ),
            refused(
                "multi_margin_loss",
                lamina.ones(2, 3, 1),
                lamina.tensor([0, 1]),
                match=r"the input must be \[C\] or \[N, C\]",
            ),
            refused(
                "multi_margin_loss",
                T,
                lamina.tensor([0, -(2**63)]),
                match="target -9223372036854775808 at position 1 is out of range for 3 classes",
                error=IndexError,
            ),
        ],
    ),
    pair_row(
        "hinge_embedding_loss",
        hinge,
        X,
        SIGNS,
        settings=({"margin": 0.4},),
        specials=lambda dtype: [Sample(with_nan(X), SIGNS), Sample(with_nan(X), -SIGNS)],
        error=few_roundings,
        constant=(1,),
        wrong=[not_floating("hinge_embedding_loss")],
    ),
]

# -- of a distribution's parameters ----------------------------------------------------------------


def poisson(x, t, log_input=True, full=False, eps=1e-8):
    terms = np.exp(x) - t * x if log_input else x - t * np.log(x + eps)
    if full:
        safe = np.where(t > 1, t, 1.0)
        stirling = safe * np.log(safe) - safe + 0.5 * np.log(2 * np.pi * safe)
        terms = terms + np.where(t > 1, stirling, 0.0)
    return terms


def gaussian(x, t, var, full=False, eps=1e-6):
    var = np.asarray(var, float)
    if var.shape != x.shape and var.shape == x.shape[:-1]:
        var = var[..., None]
    var = np.maximum(var, eps)
    return 0.5 * (np.log(var) + (x - t) ** 2 / var) + 0.5 * np.log(2 * np.pi) * full


def term_error(y, x, *args, **kwargs):
    """The parts of a term are at most 60 here, and may cancel."""
    return (x.size + 16) * 60 * max(1, x.size if kwargs.get("reduction") == "sum" else 1)


VAR = spread(RNG, (2, 3), (0.3, 2.0))
DISTRIBUTIONS = [
    pair_row(
        "poisson_nll_loss",
        poisson,
        X,
        COUNTS,
        settings=({"full": True}, {"log_input": True, "full": True}),
        wide=[Sample(LONG, np.abs(OTHER), full=True)],
        specials=lambda dtype: [Sample(with_nan(X), COUNTS), Sample(X, with_nan(COUNTS))],
        error=term_error,
        wrong=[not_floating("poisson_nll_loss")],
    ),
    Row(
        "gaussian_nll_loss",
        [
            *reductions(X, Y, VAR),
            *reductions(X, Y, VAR[:, :1], full=True),
            Sample(X, Y, VAR[:, 0]),
            Sample(X, Y[:, :1], VAR, eps=1e-3),
            Sample(X, Y, 0.75),
            Sample(point(X), point(Y), point(VAR)),
        ],
        mean_over(gaussian),
        edges=[Sample(X[:0], Y[:0], VAR[:0]), Sample(X[:0], Y[:0], VAR[:0], reduction="sum")],
        specials=lambda dtype: [
            Sample(with_nan(X), Y, VAR),
            Sample(X, Y, np.zeros((2, 3)), eps=0.5),
        ],
        error=term_error,
        dtypes="floating",
        wrong=[
            refused("gaussian_nll_loss", T, T, -T, match="no variance may be negative"),
            refused(
                "gaussian_nll_loss",
                T,
                T,
                lamina.ones(3),
                match="var must have the input's sizes, or 1 for one of them, or lack the last\n"
                r"  input  \[2, 3\]\n  var    \[3\]$",
            ),
            refused("gaussian_nll_loss", T, T, lamina.ones(1, 1), match="var must have the"),
            refused("gaussian_nll_loss", T, lamina.ones(3), T, match="target must have"),
            refused(
                "gaussian_nll_loss", T, T, T, reduction="max", match="reduction must be 'none'"
            ),
        ],
    ),
    Row(
        "poisson_nll_loss:of rates",
        [
            Sample(np.abs(X), COUNTS, False, reduction="none"),
            Sample(np.abs(X), COUNTS, False, True, 0.1),
        ],
        mean_over(poisson),
        call=F.poisson_nll_loss,
        error=term_error,
        wrong=[
            refused("poisson_nll_loss", T, lamina.ones(3), False, match="input and target must")
        ],
    ),
]

# -- of vectors ------------------------------------------------------------------------------------

ANCHOR, NEAR, FAR = spread(RNG, (3, 4, 3))
RANKED, RIVAL = spread(RNG, (2, 4))
WINS = np.array([1.0, -1.0, -1.0, 1.0])


def margin_ranking(x1, x2, t, margin=0.0):
    return np.maximum(0, margin - t * (x1 - x2))


def cosine_embedding(x1, x2, t, margin=0.0):
    cos = (x1 * x2).sum(-1)
    cos = cos / np.sqrt(((x1 * x1).sum(-1) + 1e-12) * ((x2 * x2).sum(-1) + 1e-12))
    return np.where(t == 1, 1 - cos, np.where(t == -1, np.maximum(0, cos - margin), 0.0))


def length(d, p):
    return (np.abs(d) ** p).sum(-1) ** (1 / p)


def triplet(anchor, positive, negative, margin=1.0, p=2.0, eps=1e-6, swap=False):
    near, far = length(anchor - positive + eps, p), length(anchor - negative + eps, p)
    if swap:
        far = np.minimum(far, length(positive - negative + eps, p))
    return np.maximum(0, margin + near - far)


VECTORS = [
    Row(
        "margin_ranking_loss",
        [
            *reductions(RANKED, RIVAL, WINS),
            Sample(RANKED, RIVAL, WINS, 0.6),
            Sample(RANKED, RIVAL, WINS[:1], margin=1.5, reduction="none"),
        ],
        mean_over(margin_ranking),
        edges=[Sample(RANKED[:0], RIVAL[:0], WINS[:0], reduction="sum")],
        specials=lambda dtype: [Sample(with_nan(RANKED), RIVAL, WINS)],
        error=few_roundings,
        constant=(2,),
        dtypes="floating",
        wrong=[
            refused(
                "margin_ranking_loss",
                T,
                T,
                lamina.ones(3),
                match="inputs and target must have the same number of dimensions\n"
                r"  input1 \[2, 3\]\n  input2 \[2, 3\]\n  target \[3\]$",
            ),
            refused(
                "margin_ranking_loss", T, T, T, reduction="max", match="reduction must be 'none',"
            ),
        ],
    ),
    Row(
        "cosine_embedding_loss",
        [
            *reductions(ANCHOR, NEAR, WINS),
            Sample(ANCHOR, NEAR, WINS, 0.1),
            Sample(ANCHOR[0], NEAR[0], point(WINS)),
            Sample(ANCHOR, NEAR, WINS[:1], margin=-0.95, reduction="none"),
            Sample(ANCHOR, NEAR, WINS.astype(np.int64)),
        ],
        mean_over(cosine_embedding),
        edges=[Sample(ANCHOR[:0], NEAR[:0], WINS[:0], reduction="sum")],
        specials=lambda dtype: [
            Sample(with_nan(ANCHOR), NEAR, WINS),
            Sample(np.zeros((4, 3)), NEAR, WINS),
        ],
        error=few_roundings,
        constant=(2,),
        dtypes="floating",
        wrong=[
            refused(
                "cosine_embedding_loss",
                T,
                T,
                T,
                match=r"needs vectors \[D\] with a target \[\], or a batch \[N, D\] with \[N\]\n",
            ),
            refused("cosine_embedding_loss", T[0], T[0], T[0], match=r"needs vectors \[D\] with"),
            refused(
                "cosine_embedding_loss", T, T, T[0, :2], reduction="max", match="reduction must be"
            ),
        ],
    ),
    Row(
        "triplet_margin_loss",
        [
            *reductions(ANCHOR, NEAR, FAR),
            Sample(ANCHOR, NEAR, FAR, 2.5, 1.0, 0.01),
            Sample(ANCHOR, NEAR, FAR, margin=3.0, p=3.0, swap=True),
            Sample(ANCHOR[0], NEAR[0], FAR[0], 4.0),
            Sample(ANCHOR, NEAR[:1], FAR, 4.0),
        ],
        mean_over(triplet),
        edges=[Sample(ANCHOR[:0], NEAR[:0], FAR[:0], reduction="sum")],
        specials=lambda dtype: [Sample(with_nan(ANCHOR), NEAR, FAR)],
        error=few_roundings,
        dtypes="floating",
        wrong=[
            refused("triplet_margin_loss", T, T, T, 0.0, match="margin must be positive, got 0"),
            refused(
                "triplet_margin_loss",
                T,
                lamina.ones(3),
                T,
                match="anchor, positive and negative must have the same number of dimensions\n",
            ),
            refused(
                "triplet_margin_loss", T, T, T, reduction="max", match="reduction must be 'none'"
            ),
        ],
    ),
]

PROBABILITIES[0].samples += [Sample(P, Q, WEIGHT), Sample(P, Q, np.ones((2, 1)), reduction="none")]

ROWS = [*DIFFERENCES, *PROBABILITIES, *LABELS, *DISTRIBUTIONS, *VECTORS]
