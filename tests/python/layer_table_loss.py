"""Rows of the layer table: losses and distances. The formulas are those of the ops' rows."""

from __future__ import annotations

import lamina
import numpy as np
from lamina import nn
from layer_table_row import Layer, Wrong, constant
from op_table_activation import cosine_similarity, pairwise_distance
from op_table_loss_terms import (
    COUNTS,
    SIGNS,
    bce,
    cosine_embedding,
    gaussian,
    hinge,
    huber,
    kl_loss,
    margin_ranking,
    mean_over,
    multi_margin,
    multilabel,
    poisson,
    smooth_l1,
    soft_margin,
    triplet,
)
from op_table_losses import bce as bce_with_logits
from op_table_losses import cross_entropy, nll
from op_table_row import point, spread, stream
from scipy import special

RNG = stream("loss layers")
X, Y = spread(RNG, (2, 2, 3), (-3.0, 3.0), avoid=(0.0,))
P, Q = spread(RNG, (2, 2, 3), (0.05, 0.95))
LOGITS, CLASSES = spread(RNG, (4, 3), (-3.0, 3.0)), np.array([2, 0, -100, 1])
IMAGE, PIXELS = spread(RNG, (2, 3, 2), (-3.0, 3.0)), np.array([[1, 2], [0, 2]])
SOFT = special.softmax(spread(RNG, (4, 3)), 1)
EMPTY = np.zeros((0, 3))
A, B, C = spread(RNG, (3, 4, 3))
WINS = np.array([1.0, -1.0, -1.0, 1.0])
ONES = lamina.ones(2, 3)


def wrong_reduction(name):
    cls = getattr(nn, name)
    return Wrong(
        lambda: cls(reduction="avg"),
        ValueError,
        rf"^{name}: reduction must be 'none', 'mean'(,| or) .*, got 'avg'$",
    )


def wrong_sizes(name, function):
    return Wrong(
        lambda: getattr(nn, name)()(ONES, lamina.ones(2, 1)),
        ValueError,
        rf"^{function}: input and target must have the same sizes",
    )


def wrong_setting(make, match):
    return Wrong(make, ValueError, match)


def of_pairs(name, function, terms, x, y, *, fixed=(), wrong=(), **settings):
    """Rows for a loss of input and target of one shape: its mean, and its terms."""
    cls = getattr(nn, name)
    return [
        Layer(
            name,
            cls,
            [x, y],
            lambda state, a, b: mean_over(terms)(a, b),
            f"{name}()",
            more=[[point(x), point(y)], [x[:0], y[:0]]],
            constant=fixed,
            wrong=[wrong_reduction(name), wrong_sizes(name, function), *wrong],
        ),
        Layer(
            f"{name}:terms",
            lambda: cls(reduction="none", **settings),
            [x, y],
            lambda state, a, b: terms(a, b, **settings),
            f"{name}()",
            more=[[x[:0], y[:0]]],
            constant=fixed,
        ),
        Layer(
            f"{name}:sum",
            lambda: cls(reduction="sum", **settings),
            [x, y],
            lambda state, a, b: mean_over(terms)(a, b, reduction="sum", **settings),
            f"{name}()",
            more=[[x[:0], y[:0]]],
            constant=fixed,
        ),
    ]


PAIRS = [
    *of_pairs("MSELoss", "mse_loss", lambda a, b: (a - b) ** 2, X, Y),
    *of_pairs("L1Loss", "l1_loss", lambda a, b: np.abs(a - b), X, Y),
    *of_pairs(
        "SmoothL1Loss",
        "smooth_l1_loss",
        smooth_l1,
        X,
        Y,
        beta=0.4,
        wrong=[
            wrong_setting(
                lambda: nn.SmoothL1Loss(beta=-1.0), "^SmoothL1Loss: beta must be at least"
            )
        ],
    ),
    *of_pairs(
        "HuberLoss",
        "huber_loss",
        huber,
        X,
        Y,
        delta=0.4,
        wrong=[wrong_setting(lambda: nn.HuberLoss(delta=0.0), "^HuberLoss: delta must be")],
    ),
    *of_pairs(
        "BCELoss",
        "binary_cross_entropy",
        bce,
        P,
        Q,
        wrong=[
            wrong_setting(
                lambda: nn.BCELoss()(ONES * 2, ONES),
                r"^binary_cross_entropy: every input must lie in \[0, 1\], got 2 at position 0",
            )
        ],
    ),
    *of_pairs(
        "BCEWithLogitsLoss",
        "binary_cross_entropy_with_logits",
        lambda x, t: bce_with_logits(x, t, reduction="none"),
        X,
        Q,
    ),
    *of_pairs("KLDivLoss", "kl_div", lambda x, t, **k: kl_loss(x, t, "none", **k), np.log(P), Q),
    *of_pairs("SoftMarginLoss", "soft_margin_loss", soft_margin, X, SIGNS),
    *of_pairs(
        "HingeEmbeddingLoss", "hinge_embedding_loss", hinge, X, SIGNS, fixed=(1,), margin=0.3
    ),
    *of_pairs("PoissonNLLLoss", "poisson_nll_loss", poisson, X, COUNTS, full=True),
]

CLASS_LOSSES = [
    Layer(
        "CrossEntropyLoss",
        nn.CrossEntropyLoss,
        [LOGITS, CLASSES],
        lambda state, x, t: cross_entropy(x, t),
        "CrossEntropyLoss()",
        more=[
            [LOGITS[0], np.array(1)],
            [IMAGE, PIXELS],
            [EMPTY, CLASSES[:0]],  # the mean of none
            [LOGITS, np.full(4, -100)],
            [LOGITS, SOFT],
        ],
        ulps=64,
        wrong=[
            wrong_reduction("CrossEntropyLoss"),
            wrong_setting(
                lambda: nn.CrossEntropyLoss(label_smoothing=1.5),
                r"^CrossEntropyLoss: label_smoothing must be in \[0, 1\], got 1.5",
            ),
            Wrong(
                lambda: nn.CrossEntropyLoss()(ONES, lamina.tensor([0, 3])),
                IndexError,
                "^cross_entropy: target 3 at position 1 is out of range for 3 classes",
            ),
            Wrong(
                lambda: nn.CrossEntropyLoss(ignore_index=0)(ONES, ONES),
                ValueError,
                "^cross_entropy: ignore_index names a class, and has no meaning for targets that "
                "are probabilities, got 0",
            ),
            Wrong(
                lambda: nn.CrossEntropyLoss(lamina.ones(2))(ONES, ONES),
                ValueError,
                "^cross_entropy: weight must have one entry for each of the 3 classes",
            ),
        ],
    ),
    Layer(
        "CrossEntropyLoss:weights",
        lambda: nn.CrossEntropyLoss(
            lamina.ones(3), ignore_index=0, reduction="none", label_smoothing=0.2
        ),
        [LOGITS, np.array([2, 0, 1, 1])],
        lambda state, x, t: cross_entropy(x, t, state["weight"], 0, "none", 0.2),
        "CrossEntropyLoss()",
        state={"weight": (3,)},
        laws={"weight": constant(1.0)},
        ulps=64,
    ),
    Layer(
        "CrossEntropyLoss:probabilities",
        lambda: nn.CrossEntropyLoss(lamina.ones(3), label_smoothing=0.2),
        [IMAGE, special.softmax(IMAGE * 0.5, 1)],
        lambda state, x, t: cross_entropy(x, t, state["weight"], label_smoothing=0.2),
        "CrossEntropyLoss()",
        state={"weight": (3,)},
        laws={"weight": constant(1.0)},
        more=[[EMPTY, EMPTY], [LOGITS[0], SOFT[0]]],
        ulps=64,
    ),
    Layer(
        "NLLLoss",
        nn.NLLLoss,
        [np.log(SOFT), CLASSES],
        lambda state, x, t: nll(x, t),
        "NLLLoss()",
        more=[
            [np.log(SOFT[0]), np.array(1)],
            [IMAGE, PIXELS],
            [EMPTY, CLASSES[:0]],
            [LOGITS, np.full(4, -100)],
        ],
        wrong=[
            wrong_reduction("NLLLoss"),
            Wrong(
                lambda: nn.NLLLoss()(ONES, lamina.tensor([0, 3])),
                IndexError,
                "^nll_loss: target 3 at position 1 is out of range for 3 classes",
            ),
        ],
    ),
    Layer(
        "NLLLoss:weights",
        lambda: nn.NLLLoss(lamina.ones(3), ignore_index=2, reduction="sum"),
        [IMAGE, PIXELS],
        lambda state, x, t: nll(x, t, state["weight"], 2, "sum"),
        "NLLLoss()",
        state={"weight": (3,)},
        laws={"weight": constant(1.0)},
        more=[[EMPTY, CLASSES[:0]]],
    ),
    Layer(
        "MultiMarginLoss",
        nn.MultiMarginLoss,
        [LOGITS, np.array([2, 0, 1, 1])],
        lambda state, x, t: multi_margin(x, t),
        "MultiMarginLoss()",
        more=[[LOGITS[0], np.array(1)]],
        wrong=[
            wrong_reduction("MultiMarginLoss"),
            wrong_setting(lambda: nn.MultiMarginLoss(p=3), "^MultiMarginLoss: p must be 1 or 2"),
        ],
    ),
    Layer(
        "MultiMarginLoss:weights",
        lambda: nn.MultiMarginLoss(2, 0.45, lamina.ones(3), reduction="none"),
        [LOGITS, np.array([2, 0, 1, 1])],
        lambda state, x, t: multi_margin(x, t, 2, 0.45, state["weight"], "none"),
        "MultiMarginLoss()",
        state={"weight": (3,)},
        laws={"weight": constant(1.0)},
    ),
    Layer(
        "MultiLabelSoftMarginLoss",
        nn.MultiLabelSoftMarginLoss,
        [X, Q],
        lambda state, x, t: mean_over(multilabel)(x, t),
        "MultiLabelSoftMarginLoss()",
        more=[[X[0], Q[0]], [EMPTY, EMPTY]],
        wrong=[
            wrong_reduction("MultiLabelSoftMarginLoss"),
            wrong_sizes("MultiLabelSoftMarginLoss", "multilabel_soft_margin_loss"),
        ],
    ),
    Layer(
        "MultiLabelSoftMarginLoss:weights",
        lambda: nn.MultiLabelSoftMarginLoss(lamina.ones(3), reduction="none"),
        [X, Q],
        lambda state, x, t: multilabel(x, t, state["weight"]),
        "MultiLabelSoftMarginLoss()",
        state={"weight": (3,)},
        laws={"weight": constant(1.0)},
    ),
]

SETTINGS = [
    Layer(
        "BCELoss:weights",
        lambda: nn.BCELoss(lamina.ones(3)),
        [P, Q],
        lambda state, x, t: mean_over(bce)(x, t, state["weight"]),
        "BCELoss()",
        state={"weight": (3,)},
        laws={"weight": constant(1.0)},
    ),
    Layer(
        "BCEWithLogitsLoss:weights",
        lambda: nn.BCEWithLogitsLoss(lamina.ones(2, 1), pos_weight=lamina.ones(3)),
        [X, Q],
        lambda state, x, t: bce_with_logits(x, t, state["weight"], state["pos_weight"]),
        "BCEWithLogitsLoss()",
        state={"weight": (2, 1), "pos_weight": (3,)},
        laws={"weight": constant(1.0), "pos_weight": constant(1.0)},
    ),
    Layer(
        "KLDivLoss:batchmean",
        lambda: nn.KLDivLoss(reduction="batchmean", log_target=True),
        [np.log(P), np.log(Q)],
        lambda state, x, t: kl_loss(x, t, "batchmean", True),
        "KLDivLoss()",
    ),
    Layer(
        "PoissonNLLLoss:rates",
        lambda: nn.PoissonNLLLoss(False, eps=0.1),
        [np.abs(X), COUNTS],
        lambda state, x, t: mean_over(poisson)(x, t, False, eps=0.1),
        "PoissonNLLLoss()",
    ),
    Layer(
        "GaussianNLLLoss",
        nn.GaussianNLLLoss,
        [X, Y, P],
        lambda state, x, t, v: mean_over(gaussian)(x, t, v),
        "GaussianNLLLoss()",
        more=[[X, Y, P[:, :1]], [X, Y, P[:, 0]], [X, Y, 0.5], [EMPTY, EMPTY, EMPTY]],
        wrong=[
            wrong_reduction("GaussianNLLLoss"),
            wrong_setting(
                lambda: nn.GaussianNLLLoss()(ONES, ONES, -ONES),
                "^gaussian_nll_loss: no variance may be negative",
            ),
        ],
    ),
    Layer(
        "GaussianNLLLoss:full",
        lambda: nn.GaussianNLLLoss(full=True, eps=1e-3, reduction="none"),
        [X, Y, P],
        lambda state, x, t, v: gaussian(x, t, v, True, 1e-3),
        "GaussianNLLLoss()",
    ),
]

VECTORS = [
    Layer(
        "CosineSimilarity",
        nn.CosineSimilarity,
        [A, B],
        lambda state, x, y: cosine_similarity(x, y),
        "CosineSimilarity()",
        more=[[A, B[:1]], [EMPTY, EMPTY]],
        wrong=[
            Wrong(
                lambda: nn.CosineSimilarity(2)(ONES, ONES),
                IndexError,
                "^cosine_similarity: dim 2 is out of range for a tensor of",
            )
        ],
    ),
    Layer(
        "CosineSimilarity:dim",
        lambda: nn.CosineSimilarity(dim=0, eps=0.5),
        [A, B],
        lambda state, x, y: cosine_similarity(x, y, 0, 0.5),
        "CosineSimilarity()",
    ),
    Layer(
        "PairwiseDistance",
        nn.PairwiseDistance,
        [A, B],
        lambda state, x, y: pairwise_distance(x, y),
        "PairwiseDistance()",
        more=[[A[0], B], [A[0], B[0]], [EMPTY, EMPTY]],
        wrong=[
            wrong_setting(
                lambda: nn.PairwiseDistance()(ONES, lamina.ones(4)),
                r"^pairwise_distance: sizes \[2, 3\] and \[4\] do not broadcast",
            )
        ],
    ),
    Layer(
        "PairwiseDistance:settings",
        lambda: nn.PairwiseDistance(3.0, 0.01, True),
        [A, B],
        lambda state, x, y: pairwise_distance(x, y, 3.0, 0.01, True),
        "PairwiseDistance()",
    ),
    Layer(
        "MarginRankingLoss",
        nn.MarginRankingLoss,
        [A[:, 0], B[:, 0], WINS],
        lambda state, x, y, t: mean_over(margin_ranking)(x, y, t),
        "MarginRankingLoss()",
        constant=(2,),
        more=[[A[:, 0], B[:, 0], WINS[:1]], [A[:0, 0], B[:0, 0], WINS[:0]]],
        wrong=[
            wrong_reduction("MarginRankingLoss"),
            wrong_setting(
                lambda: nn.MarginRankingLoss()(ONES, ONES, lamina.ones(3)),
                "^margin_ranking_loss: inputs and target must have the same number of dimensions",
            ),
        ],
    ),
    Layer(
        "MarginRankingLoss:terms",
        lambda: nn.MarginRankingLoss(1.3, reduction="none"),
        [A[:, 0], B[:, 0], WINS],
        lambda state, x, y, t: margin_ranking(x, y, t, 1.3),
        "MarginRankingLoss()",
        constant=(2,),
    ),
    Layer(
        "CosineEmbeddingLoss",
        nn.CosineEmbeddingLoss,
        [A, B, WINS],
        lambda state, x, y, t: mean_over(cosine_embedding)(x, y, t),
        "CosineEmbeddingLoss()",
        constant=(2,),
        more=[[A[0], B[0], point(WINS)], [EMPTY, EMPTY, WINS[:0]]],
        wrong=[
            wrong_reduction("CosineEmbeddingLoss"),
            wrong_setting(
                lambda: nn.CosineEmbeddingLoss()(ONES, ONES, ONES),
                r"^cosine_embedding_loss: needs vectors \[D\] with a target \[\]",
            ),
        ],
    ),
    Layer(
        "CosineEmbeddingLoss:terms",
        lambda: nn.CosineEmbeddingLoss(-0.9, reduction="none"),
        [A, B, WINS],
        lambda state, x, y, t: cosine_embedding(x, y, t, -0.9),
        "CosineEmbeddingLoss()",
        constant=(2,),
    ),
    Layer(
        "TripletMarginLoss",
        nn.TripletMarginLoss,
        [A, B, C],
        lambda state, a, p, n: mean_over(triplet)(a, p, n),
        "TripletMarginLoss()",
        more=[[A[0], B[0], C[0]], [EMPTY, EMPTY, EMPTY]],
        wrong=[
            wrong_reduction("TripletMarginLoss"),
            wrong_setting(
                lambda: nn.TripletMarginLoss(0.0), "^TripletMarginLoss: margin must be positive"
            ),
        ],
    ),
    Layer(
        "TripletMarginLoss:settings",
        lambda: nn.TripletMarginLoss(3.5, p=3.0, eps=0.01, swap=True, reduction="none"),
        [A, B, C],
        lambda state, a, p, n: triplet(a, p, n, 3.5, 3.0, 0.01, True),
        "TripletMarginLoss()",
    ),
]

ROWS = [*PAIRS, *CLASS_LOSSES, *SETTINGS, *VECTORS]
