"""Rows of the layer table: activations, dropout, and layers beside Linear that move numbers."""

from __future__ import annotations

import lamina
import numpy as np
from lamina import nn
from layer_table_row import Layer, Wrong, constant, uniform
from op_table_activation import (
    celu,
    elu,
    glu,
    hardshrink,
    hardsigmoid,
    hardtanh,
    mish,
    selu,
    softshrink,
    softsign,
    threshold,
)
from op_table_pointwise import gelu, softplus
from op_table_row import point, spread, stream
from scipy import special

RNG = stream("activation layers")
# Away from every bend that a function below has.
X = spread(RNG, (3, 4), (-5.0, 8.0), avoid=(-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 6.0))
MORE = [[np.zeros((0, 3))], [X[0]], [point(X)], [X.reshape(1, 3, 2, 2)]]


def activation(name, make, function, shown, **more):
    """A row for an elementwise class without state."""
    settings = {"more": MORE, **more}
    return Layer(name, make, [X], lambda state, x: function(x), shown, **settings)


def refused(make, match, error=ValueError):
    return Wrong(make, error, match)


def of_integers(name, make):
    return refused(
        lambda: make()(lamina.tensor([[1, 2]])),
        rf"^{name}: input must be float32 or float64, got int64",
        TypeError,
    )


def with_inplace(name, make, shown):
    """How a class with `inplace` shows it; what it does is in test_activations.py."""
    row = next(r for r in PLAIN if r.name == name)
    return Layer(
        f"{name}:in place",
        make,
        [X],
        row.reference,
        shown,
        differentiable=False,
        layouts=False,
        why="no gradient: a leaf that requires grad can't be written, nor an expanded one",
    )


PLAIN = [
    activation("ReLU", nn.ReLU, lambda x: np.maximum(x, 0), "ReLU()"),
    activation("ReLU6", nn.ReLU6, lambda x: np.clip(x, 0, 6), "ReLU6()"),
    activation(
        "LeakyReLU",
        nn.LeakyReLU,
        lambda x: np.where(x > 0, x, 0.01 * x),
        "LeakyReLU(negative_slope=0.01)",
    ),
    activation(
        "RReLU",
        lambda: nn.RReLU(0.2, 0.6),
        lambda x: np.where(x > 0, x, 0.4 * x),
        "RReLU(lower=0.2, upper=0.6)",
        training=False,
        wrong=[refused(lambda: nn.RReLU(2.0, 1.0)(lamina.ones(2)), "^rrelu: lower must not")],
    ),
    activation(
        "RReLU:training",
        lambda: nn.RReLU(0.25, 0.25),  # one slope to draw
        lambda x: np.where(x > 0, x, 0.25 * x),
        "RReLU(lower=0.25, upper=0.25)",
    ),
    activation("ELU", nn.ELU, elu, "ELU(alpha=1.0)"),
    activation("ELU:alpha", lambda: nn.ELU(0.3), lambda x: elu(x, 0.3), "ELU(alpha=0.3)"),
    activation("SELU", nn.SELU, selu, "SELU()"),
    activation(
        "CELU",
        lambda: nn.CELU(0.7),
        lambda x: celu(x, 0.7),
        "CELU(alpha=0.7)",
        wrong=[refused(lambda: nn.CELU(0.0)(lamina.ones(2)), "^celu: alpha must not be 0")],
    ),
    activation(
        "GELU",
        nn.GELU,
        gelu,
        "GELU(approximate='none')",
        wrong=[refused(lambda: nn.GELU("erf"), "GELU: approximate must be 'none' or 'tanh', got")],
    ),
    activation(
        "GELU:tanh",
        lambda: nn.GELU("tanh"),
        lambda x: gelu(x, "tanh"),
        "GELU(approximate='tanh')",
    ),
    activation("SiLU", nn.SiLU, lambda x: x * special.expit(x), "SiLU()"),
    activation("Mish", nn.Mish, mish, "Mish()"),
    activation("Sigmoid", nn.Sigmoid, special.expit, "Sigmoid()"),
    activation("Tanh", nn.Tanh, np.tanh, "Tanh()"),
    activation("Softplus", nn.Softplus, softplus, "Softplus(beta=1.0, threshold=20.0)"),
    activation(
        "Softplus:sharp",
        lambda: nn.Softplus(2.0, threshold=3.0),
        lambda x: softplus(x, 2.0, 3.0),
        "Softplus(beta=2.0, threshold=3.0)",
    ),
    activation("Softsign", nn.Softsign, softsign, "Softsign()"),
    activation("Tanhshrink", nn.Tanhshrink, lambda x: x - np.tanh(x), "Tanhshrink()"),
    activation("LogSigmoid", nn.LogSigmoid, special.log_expit, "LogSigmoid()"),
    activation(
        "Softshrink",
        nn.Softshrink,
        softshrink,
        "Softshrink(0.5)",
        wrong=[refused(lambda: nn.Softshrink(-1.0)(lamina.ones(2)), "^softshrink: lambd must be")],
    ),
    activation(
        "Hardshrink", lambda: nn.Hardshrink(1.0), lambda x: hardshrink(x, 1.0), "Hardshrink(1.0)"
    ),
    activation(
        "Hardtanh",
        nn.Hardtanh,
        hardtanh,
        "Hardtanh(min_val=-1.0, max_val=1.0)",
        wrong=[
            refused(
                lambda: nn.Hardtanh(1.0, 1.0), "^Hardtanh: min_val must be less than max_val, got"
            )
        ],
    ),
    activation("Hardsigmoid", nn.Hardsigmoid, hardsigmoid, "Hardsigmoid()"),
    activation("Hardswish", nn.Hardswish, lambda x: x * hardsigmoid(x), "Hardswish()"),
    activation(
        "Threshold",
        lambda: nn.Threshold(0.5, 20.0),
        lambda x: threshold(x, 0.5, 20.0),
        "Threshold(threshold=0.5, value=20.0)",
    ),
]

IN_PLACE = [
    with_inplace("ReLU", lambda: nn.ReLU(inplace=True), "ReLU(inplace=True)"),
    with_inplace("ReLU6", lambda: nn.ReLU6(inplace=True), "ReLU6(inplace=True)"),
    with_inplace(
        "LeakyReLU",
        lambda: nn.LeakyReLU(inplace=True),
        "LeakyReLU(negative_slope=0.01, inplace=True)",
    ),
    with_inplace("ELU", lambda: nn.ELU(inplace=True), "ELU(alpha=1.0, inplace=True)"),
    with_inplace("SELU", lambda: nn.SELU(inplace=True), "SELU(inplace=True)"),
    with_inplace("CELU", lambda: nn.CELU(0.7, True), "CELU(alpha=0.7, inplace=True)"),
    with_inplace("SiLU", lambda: nn.SiLU(inplace=True), "SiLU(inplace=True)"),
    with_inplace("Mish", lambda: nn.Mish(inplace=True), "Mish(inplace=True)"),
    with_inplace(
        "Hardtanh",
        lambda: nn.Hardtanh(inplace=True),
        "Hardtanh(min_val=-1.0, max_val=1.0, inplace=True)",
    ),
    with_inplace(
        "Threshold",
        lambda: nn.Threshold(0.5, 20.0, True),
        "Threshold(threshold=0.5, value=20.0, inplace=True)",
    ),
    with_inplace(
        "RReLU:training",
        lambda: nn.RReLU(0.25, 0.25, inplace=True),
        "RReLU(lower=0.25, upper=0.25, inplace=True)",
    ),
    with_inplace("Hardsigmoid", lambda: nn.Hardsigmoid(inplace=True), "Hardsigmoid()"),
    with_inplace("Hardswish", lambda: nn.Hardswish(inplace=True), "Hardswish()"),
]


def prelu(state, x):
    weight = state["weight"]
    return np.where(x > 0, x, x * weight.reshape(-1, *[1] * (x.ndim - 2)))


PRELU = [
    Layer(
        "PReLU",
        nn.PReLU,
        [X],
        lambda state, x: np.where(x > 0, x, x * state["weight"][0]),
        "PReLU(num_parameters=1)",
        state={"weight": (1,)},
        laws={"weight": constant(0.25)},
        more=MORE,
        wrong=[of_integers("prelu", nn.PReLU)],
    ),
    Layer(
        "PReLU:channels",
        lambda: nn.PReLU(4, init=0.5),
        [X],
        prelu,
        "PReLU(num_parameters=4)",
        state={"weight": (4,)},
        laws={"weight": constant(0.5)},
        more=[[X.reshape(1, 4, 3)], [np.zeros((0, 4, 2))]],
        wrong=[
            refused(
                lambda: nn.PReLU(4)(lamina.ones(2, 3)),
                r"^prelu: weight has 4 numbers but the input has 3 channels\n  input  \[2, 3\]\n",
            )
        ],
    ),
]


def soft(name, function):
    make = getattr(nn, name)
    return Layer(
        name,
        lambda: make(dim=1),
        [X],
        lambda state, x: function(x, axis=1),
        f"{name}(dim=1)",
        ulps=32,  # the range of the exponents is 13
        more=[[np.zeros((0, 3))], [X.reshape(1, 3, 2, 2)]],
        wrong=[
            refused(
                lambda: make(2)(lamina.ones(2, 2)),
                r"dim 2 is out of range for a tensor of 2",
                IndexError,
            ),
            of_integers(name.lower().replace("logs", "log_s"), lambda: make(1)),
        ],
    )


SOFT = [
    soft("Softmax", special.softmax),
    soft("Softmin", lambda x, axis: special.softmax(-x, axis)),
    soft("LogSoftmax", special.log_softmax),
]

OTHERS = [
    Layer(
        "GLU",
        nn.GLU,
        [X],
        lambda state, x: glu(x),
        "GLU(dim=-1)",
        more=[[X[0]], [np.zeros((0, 2))], [np.zeros((2, 0))]],
        wrong=[
            refused(
                lambda: nn.GLU(0)(lamina.ones(3, 2)), "^glu: dimension 0 is halved, but its size is"
            )
        ],
    ),
    # What is dropped in training is drawn: test_layers.py. Here the two ends, and evaluation.
    Layer(
        "Dropout:everything",
        lambda: nn.Dropout(1.0),
        [X],
        lambda state, x: 0 * x,
        "Dropout(p=1.0, inplace=False)",
        more=MORE,
        wrong=[of_integers("dropout", nn.Dropout)],
    ),
    Layer(
        "Dropout:nothing",
        lambda: nn.Dropout(0.0, inplace=True),
        [X],
        lambda state, x: x,
        "Dropout(p=0.0, inplace=True)",
        differentiable=False,
        layouts=False,
        why="no gradient: a leaf that requires grad can't be written, nor an expanded one",
    ),
    Layer(
        "Unflatten",
        lambda: nn.Unflatten(1, (2, -1)),
        [X],
        lambda state, x: x.reshape(x.shape[0], 2, -1, *x.shape[2:]),
        "Unflatten(dim=1, unflattened_size=(2, -1))",
        more=[[spread(RNG, (2, 6, 3))]],
        wrong=[
            refused(lambda: nn.Unflatten("a", (1, 2)), "^Unflatten: dim must be an int", TypeError),
            refused(
                lambda: nn.Unflatten(1, 4),
                "^Unflatten: unflattened_size must be a tuple of ints, got 4",
                TypeError,
            ),
            refused(lambda: nn.Unflatten(1, (3, 5))(lamina.ones(2, 4)), r"^unflatten: "),
        ],
    ),
]


def bilinear(state, x1, x2):
    y = np.einsum("...i,kij,...j->...k", x1, state["weight"], x2)
    return y + state.get("bias", 0.0)


LEFT, RIGHT = spread(RNG, (3, 4)), spread(RNG, (3, 2))
BOUND = uniform(-0.5, 0.5)  # 1 / sqrt(4)
BILINEAR = [
    Layer(
        "Bilinear",
        lambda: nn.Bilinear(4, 2, 5),
        [LEFT, RIGHT],
        bilinear,
        "Bilinear(in1_features=4, in2_features=2, out_features=5, bias=True)",
        state={"weight": (5, 4, 2), "bias": (5,)},
        laws={"weight": BOUND, "bias": BOUND},
        more=[[LEFT[0], RIGHT[0]], [np.zeros((2, 0, 4)), np.zeros((2, 0, 2))]],
        wrong=[
            refused(lambda: nn.Bilinear(0, 2, 5), "^Bilinear: in1_features must be"),
            refused(
                lambda: nn.Bilinear(4, 2, 5)(lamina.ones(2, 3), lamina.ones(2, 2)),
                "^bilinear: the inputs have 3 and 2 features but the weight expects 4 and 2",
            ),
        ],
    ),
    Layer(
        "Bilinear:no bias",
        lambda: nn.Bilinear(4, 2, 5, bias=False),
        [LEFT, RIGHT],
        bilinear,
        "Bilinear(in1_features=4, in2_features=2, out_features=5, bias=False)",
        state={"weight": (5, 4, 2)},
        laws={"weight": BOUND},
    ),
]

ROWS = [*PLAIN, *IN_PLACE, *PRELU, *SOFT, *OTHERS, *BILINEAR]
