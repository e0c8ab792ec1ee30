"""Rows of the activations that take arguments, and of distances."""

from __future__ import annotations

import lamina
import lamina.nn.functional as F
import numpy as np
from op_table_row import Row, Sample, Wrong, point, spread, stream, unary, with_nan
from scipy import special

RNG = stream("activations")
T = lamina.ones(2, 3)
KINK = {"avoid": (0.0,)}


def elu(x, alpha=1.0):
    with np.errstate(all="ignore"):
        return np.where(x > 0, x, alpha * np.expm1(x))


def celu(x, alpha=1.0):
    with np.errstate(all="ignore"):
        return np.where(x > 0, x, alpha * np.expm1(x / alpha))


def selu(x):  # Klambauer et al., 2017, equation 14
    alpha, scale = 1.6732632423543772848, 1.0507009873554804934
    return scale * elu(x, alpha)


def mish(x):
    with np.errstate(all="ignore"):
        return x * np.tanh(np.logaddexp(0, x))


def hardtanh(x, min_val=-1.0, max_val=1.0):
    return np.clip(x, min_val, max_val)


def threshold(x, threshold, value):
    return np.where(x <= threshold, value, x)


def hardshrink(x, lambd=0.5):
    return np.where(np.abs(x) <= lambd, 0.0, x)


def softshrink(x, lambd=0.5):
    return np.where(np.abs(x) <= lambd, 0.0, x - np.sign(x) * lambd)


def hardsigmoid(x):
    return np.clip(x + 3, 0, 6) / 6


def softsign(x):
    with np.errstate(all="ignore"):
        return x / (1 + np.abs(x))


# Beside 4 ULP of the result, what the rounding of a term costs that cancels: tanh(x) near x; the
# logarithm near 0, the table of which is in docs/accuracy.md.
def shrink_error(y, x):
    return 4 * np.abs(y) + 4 * np.minimum(np.abs(x), 1)


def sigmoid_error(y, x):
    return 4 * np.abs(y) + np.abs(x) * special.expit(-x)


def refused(name, *args, match, error=ValueError):
    function = getattr(F, name)
    return Wrong(lambda: function(T, *args), error, rf"^{name}: {match}")


def sampled(row, *samples):
    """More samples for a row, of its own input."""
    x = row.samples[0].args[0]
    row.samples += [Sample(x, *s) if isinstance(s, tuple) else Sample(x, **s) for s in samples]
    return row


def with_arguments(name, reference, dtypes, args, **more):
    """A row of an op that needs arguments beside its input."""
    row = unary(name, reference, dtypes, **more)
    for samples in (row.samples, row.wide, row.edges):
        samples[:] = [Sample(s.args[0], *args) for s in samples]
    specials = row.specials
    row.specials = lambda dtype: [Sample(s.args[0], *args) for s in specials(dtype)]
    return row


LINES = {"domain": (-5.0, 5.0), "avoid": (-3.0, 3.0)}
ELEMENTWISE = [
    unary(
        "relu6",
        lambda x: np.clip(x, 0, 6),
        "number",
        domain=(-2.0, 8.0),
        avoid=(0.0, 6.0),
        zero_sign=False,
    ),
    sampled(
        unary(
            "hardtanh",
            hardtanh,
            None,
            avoid=(-1.0, 1.0),
            zero_sign=False,
            wrong=[
                refused("hardtanh", 2.0, 1.0, match="min_val must not exceed max_val, got 2 and 1"),
                Wrong(
                    lambda: F.hardtanh(lamina.ones(2, dtype=lamina.uint8), -1.0),
                    ValueError,
                    r"^hardtanh: a limit of a uint8 tensor can't be negative, got -1$",
                ),
            ],
        ),
        (-0.7, 1.55),
        {"min_val": 0.3},
    ),
    with_arguments("threshold", threshold, "number", (0.5, 9.0), avoid=(0.5,)),
    sampled(unary("elu", elu, "float", **KINK, everywhere=(-40.0, 40.0)), (0.3,), {"alpha": -2.0}),
    sampled(
        unary(
            "celu",
            celu,
            "float",
            **KINK,
            everywhere=(-40.0, 40.0),
            wrong=[refused("celu", 0.0, match="alpha must not be 0")],
        ),
        (0.3,),
        {"alpha": 2.0},
    ),
    unary("selu", selu, "float", **KINK, everywhere=(-40.0, 40.0)),
    # e(e + 2) doubles the error of e = exp(x), and x n / (n + 2) adds four roundings.
    unary("mish", mish, "float", everywhere=(-60.0, 60.0), ulps=8),
    unary("logsigmoid", special.log_expit, "float", everywhere=(-60.0, 60.0), error=sigmoid_error),
    unary("softsign", softsign, "float", everywhere=(-60.0, 60.0)),
    unary("tanhshrink", lambda x: x - np.tanh(x), "float", error=shrink_error, zero_sign=False),
    sampled(
        unary("hardshrink", hardshrink, "float", avoid=(-0.5, 0.5, 1.0, -1.0), zero_sign=False),
        (1.0,),
        {"lambd": -1.0},
    ),
    sampled(
        unary(
            "softshrink",
            softshrink,
            "float",
            avoid=(-0.5, 0.5, 1.0, -1.0),
            zero_sign=False,
            wrong=[refused("softshrink", -1.0, match="lambd must be at least 0, got -1")],
        ),
        (1.0,),
        {"lambd": 0.0},
    ),
    unary("hardsigmoid", hardsigmoid, "float", **LINES),
    unary("hardswish", lambda x: x * hardsigmoid(x), "float", **LINES),
]

CUBE = spread(RNG, (2, 3, 2), avoid=(0.0,))
SLOPES = spread(RNG, 3)


def prelu(x, weight):
    weight = weight.reshape((-1, *[1] * (x.ndim - 2)) if weight.size > 1 else ())
    return np.where(x > 0, x, weight * x)


PRELU = Row(
    "prelu",
    [
        Sample(CUBE, SLOPES),
        Sample(CUBE, SLOPES[:1]),
        Sample(CUBE[0], SLOPES[:2]),
        Sample(CUBE[0, 0], SLOPES[:1]),
        Sample(CUBE, point(SLOPES)),
        Sample(point(CUBE), SLOPES[:1]),
    ],
    prelu,
    edges=[Sample(CUBE[:0], SLOPES), Sample(CUBE[:, :, :0], SLOPES)],
    specials=lambda dtype: [Sample(np.array([np.nan, np.inf, -np.inf, -1.0]), SLOPES[:1])],
    dtypes="floating",
    wrong=[
        refused(
            "prelu",
            lamina.ones(2),
            match=r"weight has 2 numbers but the input has 3 channels\n"
            r"  input  \[2, 3\]\n  weight \[2\]$",
        ),
        refused("prelu", lamina.ones(3, 1), match="weight must be one number, or one for each"),
        refused(
            "prelu",
            lamina.ones(3).double(),
            match="weight must have the input's dtype float32, got float64",
            error=TypeError,
        ),
    ],
)

# A slope that is drawn is drawn from one number; of others see test_activations.py.
RRELU = Row(
    "rrelu",
    [
        Sample(CUBE),
        Sample(CUBE, 0.2, 0.6),
        Sample(CUBE, 0.3, 0.3, True),
        Sample(CUBE, lower=-1.0, upper=-1.0, training=True),
    ],
    lambda x, lower=1 / 8, upper=1 / 3, training=False: np.where(x > 0, x, x * (lower + upper) / 2),
    edges=[Sample(CUBE[:0]), Sample(CUBE[:0], training=True), Sample(point(CUBE))],
    specials=lambda dtype: [Sample(np.array([np.nan, np.inf, -np.inf, -1.0]), 0.5, 0.5, True)],
    dtypes="floating",
    wrong=[
        refused("rrelu", 2.0, 1.0, match=r"lower must not exceed upper, .* got 2 and 1"),
        refused("rrelu", 0.0, np.inf, True, match=r"lower must not exceed upper, .* got 0 and inf"),
    ],
)


def glu(x, dim=-1):
    first, second = np.split(x, 2, dim)
    return first * special.expit(second)


EVEN = spread(RNG, (2, 3, 4))
GLU = Row(
    "glu",
    [Sample(EVEN), Sample(EVEN, 0), Sample(EVEN, dim=-3), Sample(EVEN[0, 0])],
    glu,
    edges=[Sample(EVEN[:0]), Sample(EVEN[:, :, :0])],
    specials=lambda dtype: [Sample(np.array([1.0, np.inf, np.nan, 2.0, -np.inf, 1.0]))],
    dtypes=None,
    wrong=[
        refused("glu", match=r"dimension 1 is halved, but its size is 3\n  input  \[2, 3\]$"),
        refused("glu", 2, match="dim 2 is out of range", error=IndexError),
        Wrong(lambda: F.glu(lamina.tensor(1.0)), ValueError, r"^glu: a 0-d tensor has no halves"),
        Wrong(lambda: F.glu(T.long()), TypeError, r"^glu: input must be float32 or float64, got"),
    ],
)

# -- distances -------------------------------------------------------------------------------------

# All numbers differ, so that no difference of two is 0.
POINTS, OTHERS = spread(RNG, (2, 2, 3, 4), avoid=(0.0,))


def norm(x, p, dim, keepdim=False):
    """NumPy's, also of no numbers."""
    if x.shape[dim] == 0:
        return np.zeros(x.sum(dim, keepdims=keepdim).shape)
    with np.errstate(all="ignore"):
        return np.linalg.norm(x, p, dim, keepdim)


def normalize(x, p=2.0, dim=1, eps=1e-12):
    return x / np.maximum(norm(x, p, dim, True), eps)


def cosine_similarity(x1, x2, dim=1, eps=1e-8):
    x1, x2 = np.broadcast_arrays(x1, x2)
    lengths = [np.maximum(norm(x, 2, dim), eps) for x in (x1, x2)]
    return (x1 * x2).sum(dim) / (lengths[0] * lengths[1])


def pairwise_distance(x1, x2, p=2.0, eps=1e-6, keepdim=False):
    return norm(x1 - x2 + eps, p, -1, keepdim)


def pdist(x, p=2.0):
    i, j = np.triu_indices(len(x), 1)
    return norm(x[i] - x[j], p, -1)


# K terms of a sum and a root, relative to numbers of size 4 at most.
def norm_error(y, x, *args, **kwargs):
    return 4 * (x.size + 16) * np.maximum(np.abs(y), 1)


def product_error(y, x1, x2, weight, bias=0.0):
    k = weight.shape[1] * weight.shape[2] + 4
    sizes = np.einsum("...i,kij,...j->...k", *map(np.abs, (x1, weight, x2)))
    return k * (sizes + np.abs(bias))


W, BIAS = spread(RNG, (2, 3, 4)), spread(RNG, 2)
LEFT, RIGHT = spread(RNG, (2, 3)), spread(RNG, (2, 4))

DISTANCES = [
    Row(
        "normalize",
        [
            Sample(POINTS),
            Sample(POINTS, 1.0, -1),
            Sample(POINTS[0], 3.0, 0),
            Sample(POINTS, p=np.inf, dim=2),
            Sample(POINTS, eps=100.0),
        ],
        normalize,
        edges=[Sample(POINTS[:0]), Sample(POINTS[:, :0])],
        specials=lambda dtype: [Sample(np.zeros((2, 3))), Sample(with_nan(POINTS))],
        error=norm_error,
        dtypes="floating",
        wrong=[
            refused("normalize", 2.0, 2, match="dim 2 is out of range", error=IndexError),
            Wrong(lambda: F.normalize(lamina.ones(3)), IndexError, r"^normalize: dim 1 is out of"),
        ],
    ),
    Row(
        "cosine_similarity",
        [
            Sample(POINTS, OTHERS),
            Sample(POINTS, OTHERS, -1),
            Sample(POINTS, OTHERS[0, 0], dim=2),
            Sample(POINTS[:, :1], OTHERS, eps=9.0),
        ],
        cosine_similarity,
        edges=[Sample(POINTS[:0], OTHERS[:0]), Sample(POINTS[:, :0], OTHERS[:, :0])],
        specials=lambda dtype: [
            Sample(np.zeros((2, 3)), np.ones((2, 3))),
            Sample(with_nan(POINTS), OTHERS),
        ],
        error=norm_error,
        dtypes="floating",
        wrong=[
            refused("cosine_similarity", T, 2, match="dim 2 is out of range", error=IndexError),
            refused("cosine_similarity", lamina.ones(4), match=r"sizes \[2, 3\] and \[4\] do not"),
        ],
    ),
    Row(
        "pairwise_distance",
        [
            Sample(POINTS, OTHERS),
            Sample(POINTS[0], OTHERS[0, 0], 1.0),
            Sample(POINTS[0, 0], OTHERS[0], 3.0, 0.5, True),
            Sample(POINTS, 1.37 * OTHERS, p=np.inf, keepdim=True),
        ],
        pairwise_distance,
        edges=[Sample(POINTS[:0], OTHERS[:0]), Sample(POINTS[0, 0], OTHERS[0, 0])],
        specials=lambda dtype: [Sample(with_nan(POINTS), OTHERS)],
        error=norm_error,
        dtypes="floating",
        wrong=[
            refused("pairwise_distance", lamina.ones(4), match=r"sizes \[2, 3\] and \[4\] do not"),
            refused("pairwise_distance", T.long(), match="x2 must be float32", error=TypeError),
        ],
    ),
    Row(
        "pdist",
        [
            Sample(POINTS[0]),
            Sample(POINTS[1], 1.0),
            Sample(POINTS[0], p=3.0),
            Sample(POINTS[0, :1]),
        ],
        pdist,
        edges=[Sample(POINTS[0, :0]), Sample(POINTS[0, :, :0])],
        specials=lambda dtype: [Sample(with_nan(POINTS[0])), Sample(np.zeros((3, 2)))],
        error=norm_error,
        dtypes="floating",
        wrong=[
            refused("pdist", -1.0, match="p must not be negative, got -1"),
            Wrong(lambda: F.pdist(T[0]), ValueError, r"^pdist: needs one point a row\n.*\[3\]"),
        ],
    ),
    Row(
        "bilinear",
        [
            Sample(LEFT, RIGHT, W, BIAS),
            Sample(LEFT, RIGHT, W),
            Sample(LEFT[0], RIGHT[0], W, BIAS),
            Sample(LEFT[:, None], RIGHT[:, None], W, BIAS),
        ],
        lambda x1, x2, weight, bias=0.0: np.einsum("...i,kij,...j->...k", x1, weight, x2) + bias,
        edges=[
            Sample(LEFT[:0], RIGHT[:0], W, BIAS),
            Sample(LEFT[:, :0], RIGHT, W[:, :0], BIAS),
            Sample(LEFT, RIGHT, W[:0]),
        ],
        specials=lambda dtype: [Sample(with_nan(LEFT), RIGHT, W, BIAS)],
        error=product_error,
        dtypes="floating",
        wrong=[
            refused(
                "bilinear",
                T,
                lamina.ones(2, 3, 4),
                match=r"the inputs have 3 and 3 features but the weight expects 3 and 4\n"
                r"  input1 \[2, 3\]\n  input2 \[2, 3\]\n  weight \[2, 3, 4\]$",
            ),
            refused("bilinear", lamina.ones(3, 3), W_ := lamina.ones(2, 3, 3), match="the inputs"),
            refused("bilinear", lamina.ones(3), W_, match="both inputs need the same number of"),
            refused("bilinear", T, T, match=r"the weight must be \[out, in1, in2\]"),
            refused("bilinear", T.double(), W_, match="both operands must have", error=TypeError),
        ],
    ),
]

ROWS = [*ELEMENTWISE, PRELU, RRELU, GLU, *DISTANCES]
