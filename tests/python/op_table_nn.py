"""Rows of products and layers."""

from __future__ import annotations

import lamina
import lamina.nn.functional as F
import numpy as np
from lamina import _core
from op_table_row import Row, Sample, Wrong, point, spread, stream, with_nan
from scipy.special import ndtr

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
        Wrong(lambda: function(x, x), ValueError, rf"^{name}: .*\b3\b.*\b2\b.*\n.*3\]\n.*3\]"),
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
        Wrong(lambda: F.linear(T, lamina.ones(3)), ValueError, r"^linear: the weight must be"),
        Wrong(lambda: F.linear(T, T.double()), TypeError, r"^linear: .* float32 and float64"),
    ],
)

ACTIVATIONS = {
    "none": lambda z: z,
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "gelu": lambda z: z * ndtr(z),
}


def after_activation(error, z):
    """No activation's slope exceeds 1.13; its own roundings are 8 of |z| + 1."""
    return 1.13 * error + 8 * (np.abs(z) + 1)


def unknown_activation(name, call):
    return Wrong(
        lambda: call("elu"),
        ValueError,
        rf"^{name}: activation must be 'none', 'relu', 'tanh', 'sigmoid' or 'gelu', got 'elu'$",
    )


LINEAR_ACT = Row(
    "linear_act",
    [
        *[Sample(A, W, BIAS, name) for name in ACTIVATIONS],
        Sample(A, W, None, "gelu"),
        Sample(BATCH, W, BIAS, "tanh"),
    ],
    lambda x, weight, bias, act: ACTIVATIONS[act](linear(x, weight, 0.0 if bias is None else bias)),
    edges=[Sample(A[:0], W, BIAS, "gelu"), Sample(A[:, :0], W[:, :0], BIAS, "tanh")],
    wide=[
        Sample(RNG.standard_normal((33, 70)), RNG.standard_normal((17, 70)), np.ones(17), name)
        for name in ACTIVATIONS
    ],
    error=lambda y, x, weight, bias, act: after_activation(
        linear_error(y, x, weight, 0.0 if bias is None else bias),
        linear(x, weight, 0.0 if bias is None else bias),
    ),
    dtypes="floating",
    wrong=[
        unknown_activation("linear_act", lambda act: _core.linear_act(T, T, None, act)),
        Wrong(
            lambda: _core.linear_act(T, lamina.ones(4, 2), None, "relu"),
            ValueError,
            r"^linear: input has 3 features but weight expects 2",
        ),
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

BATCH_NORM_ACT = Row(
    "batch_norm_act",
    [
        *[Sample(DATA, None, None, CHANNELS, SHIFT, True, 0.1, 1e-5, a) for a in ACTIVATIONS],
        Sample(spread(RNG, (2, 3, 2)), None, None, None, None, True, 0.1, 1e-3, "gelu"),
        Sample(DATA, MEAN, VAR, CHANNELS, SHIFT, False, 0.1, 1e-5, "sigmoid"),
        Sample(DATA, MEAN, VAR, CHANNELS, None, False, 0.1, 1e-5, "gelu"),
    ],
    lambda *args: ACTIVATIONS[args[-1]](batch_norm(*args[:-1])),
    edges=[Sample(DATA[:0], MEAN, VAR, CHANNELS, SHIFT, False, 0.1, 1e-5, "tanh")],
    error=lambda y, *args: after_activation(
        batch_norm_error(y, *args[:-1]), batch_norm(*args[:-1])
    ),
    constant=(1, 2),
    layouts=(0,),
    why="layouts: channel vectors are refused unless contiguous",
    dtypes="floating",
    wrong=[
        unknown_activation(
            "batch_norm_act",
            lambda act: _core.batch_norm_act(T, ONES3, ONES3, None, None, False, 0.1, 1e-5, act),
        ),
    ],
)

X = spread(RNG, (2, 2, 3))


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
        Wrong(lambda: F.dropout(T.long()), TypeError, r"^dropout: input must be float32"),
    ],
)

ROWS = [*PRODUCTS, LINEAR, LINEAR_ACT, BATCH_NORM, BATCH_NORM_ACT, DROPOUT]
