"""Rows of the elementwise ops."""

from __future__ import annotations

import lamina
import numpy as np
from lamina import _core
from op_table_row import Row, Sample, Wrong, binary, point, spread, stream, unary
from scipy import special

EPS64 = float(np.finfo(np.float64).eps)


def tensor(*values):
    return lamina.tensor(list(values))


def refuses_bool(name, *more, says=None):
    function = getattr(_core, name)
    text = rf"^{says or name}: not defined for bool"
    return Wrong(lambda: function(tensor(True), *more), TypeError, text)


def gelu(x, approximate="none"):
    with np.errstate(all="ignore"):
        if approximate == "tanh":
            u = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
            y = x * special.expit(2 * u)
        else:
            y = x * special.ndtr(x)
    return np.where(x == -np.inf, -0.0, y)  # the limit


def softplus(x, beta=1.0, threshold=20.0):
    return np.where(x * beta > threshold, x, np.logaddexp(0, x * beta) / beta)


def some(x, **kwargs):
    return [Sample(x), *[Sample(x, **{k: v}) for k, v in kwargs.items()]]


KINK = {"avoid": (0.0,)}
STEPS = {"avoid": (-2.0, -1.0, 0.0, 1.0, 2.0), "everywhere": (-300.0, 300.0)}
POSITIVE = {"domain": (0.3, 3.0), "everywhere": (1e-3, 1e3)}
HALVES = (-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0)

UNARY = [
    unary("neg", np.negative, "number", wrong=[refuses_bool("neg")], aliases=("negative",)),
    unary("abs", np.abs, "number", **KINK, wrong=[refuses_bool("abs")], aliases=("absolute",)),
    # The sign of NaN is 0, as in PyTorch; NumPy's is NaN.
    unary("sign", lambda x: np.where(np.isnan(x), 0, np.sign(x)), "keep", **KINK),
    unary("square", np.square, "number", wrong=[refuses_bool("square")]),
    unary("floor", np.floor, "number", **STEPS),
    unary("ceil", np.ceil, "number", **STEPS),
    unary("trunc", np.trunc, "number", **STEPS, aliases=("fix",)),
    unary("round", np.round, "number", avoid=HALVES, everywhere=(-300.0, 300.0)),
    unary("reciprocal", np.reciprocal, "float", domain=(0.3, 2.0), everywhere=(-9.0, 9.0)),
    unary("sqrt", np.sqrt, "float", **POSITIVE),
    unary("rsqrt", lambda x: 1 / np.sqrt(x), "float", **POSITIVE),
    unary("exp", np.exp, "float", everywhere=(-80.0, 80.0)),
    unary("expm1", np.expm1, "float", everywhere=(-20.0, 20.0)),
    unary("log", np.log, "float", **POSITIVE),
    unary("log1p", np.log1p, "float", domain=(-0.7, 3.0), everywhere=(-0.99, 99.0)),
    unary("sin", np.sin, "float", everywhere=(-50.0, 50.0)),
    unary("cos", np.cos, "float", everywhere=(-50.0, 50.0)),
    unary("tanh", np.tanh, "float", everywhere=(-20.0, 20.0)),
    unary("sigmoid", special.expit, "float", everywhere=(-50.0, 50.0)),
    unary("erf", special.erf, "float", everywhere=(-5.0, 5.0)),
    # max(-0, 0) may be either zero.
    unary("relu", lambda x: np.maximum(x, 0), "number", **KINK, zero_sign=False),
    unary("silu", lambda x: x * special.expit(x), "float", everywhere=(-30.0, 30.0)),
]


def parametrised():
    """Elementwise functions with arguments beside the tensor."""

    def leaky(x, negative_slope=0.01):
        return np.where(x > 0, x, x * negative_slope)

    leaky_relu = unary("leaky_relu", leaky, "float", **KINK)
    x = leaky_relu.samples[0].args[0]
    leaky_relu.samples += [Sample(x, 0.3), Sample(x, negative_slope=-1.5)]

    # Beside 4 ULP an absolute error of one epsilon times |x|: the table in docs/accuracy.md.
    def near(y, x, **_):
        return 4 * np.abs(y) + np.abs(x)

    smooth = unary("gelu", gelu, "float", everywhere=(-9.0, 9.0), error=near, zero_sign=False)
    smooth.samples += some(smooth.samples[0].args[0], approximate="tanh")[1:]
    smooth.wide += some(smooth.wide[0].args[0], approximate="tanh")[1:]
    smooth.wrong = [
        Wrong(
            lambda: _core.gelu(tensor(1.0), approximate="erf"),
            ValueError,
            r"^gelu: approximate must be 'none' or 'tanh', got 'erf'$",
        )
    ]

    def scaled(y, x, beta=1.0, threshold=20.0):
        return 4 * np.abs(y) + np.abs(x) * special.expit(beta * x)

    plus = unary("softplus", softplus, "float", everywhere=(-50.0, 50.0), error=scaled)
    x = plus.samples[0].args[0]
    plus.samples += [Sample(x, 2.0), Sample(x, beta=0.5, threshold=0.4)]
    return [leaky_relu, smooth, plus]


def shape_error(name):
    function = getattr(_core, name)
    return [
        Wrong(
            lambda: function(lamina.ones(2, 3), lamina.ones(4)),
            ValueError,
            rf"^{name}: sizes \[2, 3\] and \[4\] do not broadcast: 3 against 4 in dimension 1$",
        ),
        Wrong(
            lambda: function(lamina.ones(2), "one"),
            TypeError,
            rf"^{name}: argument '\w+' must be a Tensor or a number, got .*str",
        ),
    ]


def arithmetic(name, reference, dtypes, **more):
    return binary(name, reference, dtypes, wrong=shape_error(name), **more)


def with_kwargs(row, name, *extra):
    """Add samples with keywords to a binary row."""
    x, y = row.samples[0].args
    row.samples += [Sample(x, y, **kwargs) for kwargs in extra]
    return row


def divide(x, y, rounding_mode=None):
    return {None: np.divide, "floor": np.floor_divide, "trunc": lambda a, b: np.trunc(a / b)}[
        rounding_mode
    ](x, y)


BINARY = [
    with_kwargs(
        arithmetic(
            "add",
            lambda x, y, alpha=1: x + alpha * y,
            "promote",
            error=lambda y, a, b, alpha=1: np.abs(a) + 2 * np.abs(alpha * np.asarray(b)),
        ),
        "add",
        {"alpha": 2.5},
        {"alpha": -3},
    ),
    with_kwargs(
        arithmetic(
            "sub",
            lambda x, y, alpha=1: x - alpha * y,
            "promote number",
            error=lambda y, a, b, alpha=1: np.abs(a) + 2 * np.abs(alpha * np.asarray(b)),
            aliases=("subtract",),
        ),
        "sub",
        {"alpha": 0.5},
    ),
    arithmetic("mul", np.multiply, "promote", aliases=("multiply",)),
    with_kwargs(
        arithmetic(
            "div", divide, "promote float", other=(0.4, 3.0), aliases=("divide", "true_divide")
        ),
        "div",
        {"rounding_mode": "floor"},
        {"rounding_mode": "trunc"},
    ),
    # x > 0, where log x exists.
    arithmetic("pow", np.power, "promote number", domain=(0.3, 2.5), other=(-2.5, 3.0)),
    arithmetic("maximum", np.maximum, "promote", apart=True, zero_sign=False),
    arithmetic("minimum", np.minimum, "promote", apart=True, zero_sign=False),
    arithmetic("atan2", np.arctan2, "promote float", avoid=(0.0,), aliases=("arctan2",)),
]


def compared(name, reference, *aliases):
    wrong = shape_error(name)[:1]
    row = binary(name, reference, "bool", differentiable=False, wrong=wrong, aliases=aliases)
    x = spread(stream(name), (3, 4))
    row.samples.append(Sample(x, np.where(x > 0, x, -x)))  # half of them equal
    return row


COMPARISONS = [
    compared("eq", np.equal),
    compared("ne", np.not_equal, "not_equal"),
    compared("lt", np.less, "less"),
    compared("le", np.less_equal, "less_equal"),
    compared("gt", np.greater, "greater"),
    compared("ge", np.greater_equal, "greater_equal"),
]


def predicate(name, reference):
    return unary(name, reference, "bool", differentiable=False)


def closeness(x, y, rtol=1e-5, atol=1e-8, equal_nan=False):
    return np.isclose(x, y, rtol=rtol, atol=atol, equal_nan=equal_nan)


def truth():
    """Ops on truth values, and those that return one."""
    rng = stream("truth")
    x = rng.integers(0, 2, (3, 4)).astype(np.float64)
    y = rng.integers(0, 2, (3, 4)).astype(np.float64)
    mask, other = x > 0, y > 0
    pairs = [Sample(x, y), Sample(mask, other), Sample(x, other), Sample(x, y[0])]
    flat = {"differentiable": False, "layouts": True, "dtypes": "bool"}
    near = x * (1 + 1e-6)
    kinds = [Sample(x, near), Sample(x, x * 1.1), Sample(x, near, rtol=1e-9), Sample(x, y, atol=2)]
    same = [Sample(x, x), Sample(x, y), Sample(x, x[:2])]
    return [
        predicate("isnan", np.isnan),
        predicate("isinf", np.isinf),
        predicate("isfinite", np.isfinite),
        predicate("logical_not", lambda v: v == 0),
        Row("logical_and", pairs, lambda a, b: (a != 0) & (b != 0), **flat),
        Row("logical_or", pairs, lambda a, b: (a != 0) | (b != 0), **flat),
        Row("logical_xor", pairs, lambda a, b: (a != 0) ^ (b != 0), **flat),
        Row(
            "isclose",
            kinds,
            closeness,
            specials=lambda dtype: [
                Sample(np.array([np.nan, np.inf, np.inf, 1.0]), np.array([np.nan, np.inf, 1, 2])),
                Sample(np.array([np.nan]), np.array([np.nan]), equal_nan=True),
            ],
            differentiable=False,
        ),
        Row(
            "allclose",
            kinds,
            lambda *a, **k: bool(closeness(*a, **k).all()),
            differentiable=False,
        ),
        Row("equal", same, np.array_equal, differentiable=False),
    ]


def selecting():
    """where, clamp, masked_fill."""
    rng = stream("selecting")
    c = rng.integers(0, 2, (2, 3)) > 0
    x, y = spread(rng, (2, 3)), spread(rng, (2, 3))
    at = spread(rng, (3, 4), avoid=(-0.5, 0.5, 1.0))
    low, high = np.full(4, -0.5), np.full((3, 1), 0.5)
    limits = [
        Sample(at, -0.5, 0.5),
        Sample(at, min=-0.5),
        Sample(at, max=0.5),
        Sample(at, 1.0, -0.5),  # the upper limit wins
        Sample(at, low, high),
    ]

    def clamp(v, min=None, max=None):
        v = v if min is None else np.maximum(v, min)
        return v if max is None else np.minimum(v, max)

    return [
        Row(
            "where",
            [
                Sample(c, x, y),
                Sample(c[0], x[:, :1], y),
                Sample(c, x, 1.5),
                Sample(c, 2.5, y),
                Sample(c, point(x), y[0]),
            ],
            np.where,
            call=lamina.where,  # the method has its arguments in another order
            edges=[Sample(c[:0], x[:0], y[:0]), Sample(point(c), x, y)],
            specials=lambda dtype: [Sample(c, np.full((2, 3), np.nan), np.full((2, 3), -np.inf))],
            dtypes="where",
            wrong=[
                Wrong(
                    lambda: lamina.where(tensor(1, 0), tensor(1.0, 2.0), tensor(3.0, 4.0)),
                    TypeError,
                    r"^where: the condition must be bool, got int64",
                )
            ],
        ),
        Row(
            "clamp",
            limits,
            clamp,
            edges=[Sample(at[:0], -0.5, 0.5), Sample(point(at), -0.5, 0.5)],
            specials=lambda dtype: [
                Sample(np.array([np.nan, np.inf, -np.inf, 1.0]), -2.0, 2.0),
                Sample(np.array([1.0, 3.0]), np.array([np.nan, 2.0]), np.array([2.0, np.nan])),
            ],
            constant=(1, 2),  # the limits' own gradient: where()'s, checked there
            aliases=("clip",),
            dtypes="clamp",
            wrong=[
                Wrong(lambda: lamina.clamp(tensor(1.0)), ValueError, r"^clamp: needs min, max or")
            ],
        ),
        Row(
            "masked_fill",
            [Sample(x, c, 7.5), Sample(x, c[0], -1), Sample(x[0], c, 0.0)],
            lambda v, mask, value: np.where(mask, value, v),
            edges=[Sample(x[:0], c[:0], 1.0)],
            specials=lambda dtype: [Sample(np.full((2, 3), np.nan), c, np.inf)],
            dtypes="masked_fill",
            wrong=[
                Wrong(
                    lambda: lamina.masked_fill(tensor(1.0), tensor(1), 0),
                    TypeError,
                    r"^masked_fill: the mask must be bool, got int64",
                )
            ],
        ),
    ]


ROWS = [*UNARY, *parametrised(), *BINARY, *COMPARISONS, *truth(), *selecting()]
