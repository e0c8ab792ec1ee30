"""Rows of the elementwise functions beyond arithmetic.

Circular and hyperbolic functions, powers and logarithms of other bases, division with remainder,
bits, and ops of three operands.
"""

from __future__ import annotations

import math

import lamina
import numpy as np
from lamina import _core
from op_table_pointwise import KINK, POSITIVE, STEPS, arithmetic, refuses_bool, tensor, with_kwargs
from op_table_row import Row, Sample, Wrong, point, spread, stream, unary
from scipy import special

EVERYDAY = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1, -1, 2.5, -0.75])


def everyday_pairs(dtype):
    n = len(EVERYDAY)
    return [Sample(np.repeat(EVERYDAY, n), np.tile(EVERYDAY, n))]


def sinc(x):
    """sin(pi x) / (pi x), with an angle that is small (NumPy's loses digits with x)."""
    r = np.pi * (x - 2 * np.round(x / 2))
    with np.errstate(all="ignore"):
        return np.where(x == 0, 1.0, np.sin(r) / (np.pi * x))


ERFC = np.vectorize(math.erfc, otypes=[float])


# An absolute error of the sine of a rounded angle, beside 4 ULP.
def sinc_error(y, x):
    return 4 * np.abs(y) + 2 / np.maximum(1, np.abs(x))


# The argument x / (1 - x) of the logarithm is two roundings off.
def logit_error(y, x, eps=None):
    return 4 * np.abs(y) + 2


def logit(x, eps=None):
    return special.logit(x if eps is None else np.clip(x, eps, 1 - eps))


UNARY = [
    unary("exp2", np.exp2, "float", everywhere=(-120.0, 120.0)),
    unary("log2", np.log2, "float", **POSITIVE),
    unary("log10", np.log10, "float", **POSITIVE),
    unary("tan", np.tan, "float", domain=(-1.3, 1.3), everywhere=(-50.0, 50.0)),
    unary("asin", np.arcsin, "float", domain=(-0.9, 0.9), aliases=("arcsin",)),
    unary("acos", np.arccos, "float", domain=(-0.9, 0.9), aliases=("arccos",)),
    unary("atan", np.arctan, "float", everywhere=(-50.0, 50.0), aliases=("arctan",)),
    unary("sinh", np.sinh, "float", everywhere=(-80.0, 80.0)),
    unary("cosh", np.cosh, "float", everywhere=(-80.0, 80.0)),
    unary("asinh", np.arcsinh, "float", everywhere=(-1e3, 1e3), aliases=("arcsinh",)),
    unary(
        "acosh",
        np.arccosh,
        "float",
        domain=(1.3, 4.0),
        everywhere=(1.0, 1e3),
        aliases=("arccosh",),
    ),
    unary("atanh", np.arctanh, "float", domain=(-0.9, 0.9), aliases=("arctanh",)),
    # 0.15 is where the derivative changes its method.
    unary(
        "sinc",
        sinc,
        "float",
        avoid=(-0.15, 0.15),
        everywhere=(-40.0, 40.0),
        error=sinc_error,
        zero_sign=False,
    ),
    # The C library's: SciPy's is 30 ULP off at 6.
    unary("erfc", ERFC, "float", everywhere=(-4.0, 8.0), ulps=6),
    # SciPy's erfinv(-0.0) is 0.0.
    unary("erfinv", special.erfinv, "float", domain=(-0.95, 0.95), zero_sign=False),
    unary("frac", lambda x: x - np.trunc(x), "number", **STEPS, wrong=[refuses_bool("frac")]),
    unary("positive", np.positive, "number", wrong=[refuses_bool("positive")]),
]


def parametrised():
    row = unary("logit", logit, "float", domain=(0.05, 0.95), error=logit_error)
    x = row.samples[0].args[0]
    row.samples += [Sample(x, 0.2), Sample(x, eps=1e-6)]

    def nan_to_num(v, nan=0.0, posinf=None, neginf=None):
        return np.nan_to_num(v, nan=nan, posinf=posinf, neginf=neginf)

    replace = unary("nan_to_num", nan_to_num, "keep", specials=False)
    replace.samples.append(Sample(replace.samples[0].args[0], 1.0, posinf=2.0))
    replace.specials = lambda dtype: [
        Sample(EVERYDAY, 0.0, float(np.finfo(dtype).max), -float(np.finfo(dtype).max)),
        Sample(EVERYDAY, nan=2.5, posinf=1.0, neginf=-1.0),
    ]
    return [row, replace]


def divides(name):
    function = getattr(_core, name)
    return Wrong(
        lambda: function(tensor(1), tensor(0)), RuntimeError, rf"^{name}: division of integers by"
    )


def divided(name, reference, **more):
    row = arithmetic(name, reference, "promote number", other=(0.4, 3.0), **more)
    row.wrong.append(divides(name))
    return row


BINARY = [
    divided("fmod", np.fmod),
    # NumPy gives a zero the divisor's sign, PyTorch the dividend's.
    divided("remainder", np.remainder, zero_sign=False),
    divided("floor_divide", np.floor_divide),
    arithmetic("hypot", np.hypot, "promote float", **KINK),
    arithmetic("xlogy", special.xlogy, "promote float", other=(0.3, 3.0)),
    arithmetic(
        "logaddexp",
        np.logaddexp,
        "promote float",
        error=lambda y, a, b: 4 * np.abs(y) + 2 * np.maximum(np.abs(a), np.abs(b)) + 1,
    ),
    arithmetic("fmax", np.fmax, "promote", apart=True, zero_sign=False),
    arithmetic("fmin", np.fmin, "promote", apart=True, zero_sign=False),
    arithmetic("clamp_min", np.maximum, "promote", apart=True, zero_sign=False),
    arithmetic("clamp_max", np.minimum, "promote", apart=True, zero_sign=False),
    with_kwargs(
        arithmetic(
            "rsub",
            lambda x, y, alpha=1: y - alpha * x,
            "promote number",
            error=lambda y, a, b, alpha=1: np.abs(b) + 2 * np.abs(alpha * a),
        ),
        "rsub",
        {"alpha": 2.5},
    ),
]
BINARY[-1].wrong = [refuses_bool("rsub", True)]


def bits():
    """On integers and bools; there is no gradient."""
    rng = stream("bits")

    def integers(dtype, low=0):
        info = np.iinfo(dtype)
        return rng.integers(max(low, info.min), info.max, (3, 4), dtype, endpoint=True)

    pairs = [Sample(integers(t), integers(t)) for t in ("uint8", "int32", "int64")]
    pairs += [Sample(integers("int64", -(2**62)), integers("int64", -(2**62))[0])]
    x, mask = integers("int32", -(2**31)), rng.integers(0, 2, (3, 4)) > 0
    pairs += [Sample(x, 6), Sample(x[:, :1], x[:1]), Sample(mask, mask[0]), Sample(x[:0], x[0])]
    counts = np.arange(12).reshape(3, 4) % 8
    shifts = [Sample(integers(t), counts.astype(t)) for t in ("uint8", "int32", "int64")]
    shifts += [Sample(x, 3), Sample(x, counts[0].astype("int32")), Sample(x[:0], 1)]
    flat = {"differentiable": False}

    def only(name, kinds, *more):
        function = getattr(_core, name)
        x = lamina.ones(2)
        text = rf"^{name}: only for {kinds} tensors, got float32$"
        return [Wrong(lambda: function(x, *more), TypeError, text)]

    rows = [
        Row(name, pairs, getattr(np, name), **flat, wrong=only(name, "bool and integer", 1))
        for name in ("bitwise_and", "bitwise_or", "bitwise_xor")
    ]
    rows += [
        Row(
            name,
            shifts,
            reference,
            **flat,
            wrong=[
                *only(name, "integer", 1),
                Wrong(
                    lambda name=name: getattr(_core, name)(tensor(True), tensor(True)),
                    TypeError,
                    rf"^{name}: not defined for bool",
                ),
            ],
        )
        for name, reference in (
            ("bitwise_left_shift", np.left_shift),
            ("bitwise_right_shift", np.right_shift),
        )
    ]
    singles = [Sample(integers("uint8")), Sample(x), Sample(mask), Sample(x[:0]), Sample(point(x))]
    wrong = only("bitwise_not", "bool and integer")
    return [*rows, Row("bitwise_not", singles, np.invert, **flat, wrong=wrong)]


def of_three():
    rng = stream("three")
    x, y = spread(rng, (2, 3)), spread(rng, (2, 3))
    z = spread(rng, (2, 3), (0.4, 3.0))
    weight = spread(rng, (2, 3), (0.0, 1.0), avoid=(0.5,))
    samples = [
        Sample(x, y, z),
        Sample(x, y, z, value=-2.5),
        Sample(x, y[0], z[:, :1]),
        Sample(x, point(y), point(z)),
        Sample(x[0], y[:, :1], z, value=3),
    ]
    edges = [Sample(x[:0], y[:0], z[0]), Sample(point(x), point(y), point(z))]
    long = [Sample(*(spread(rng, 131, (0.4, 3.0)) for _ in range(3)))]

    def special_values(dtype):
        n = len(EVERYDAY)
        return [Sample(np.ones(n * n), np.repeat(EVERYDAY, n), np.tile(EVERYDAY, n))]

    def wrong(name):
        function = getattr(_core, name)
        return [
            Wrong(
                lambda: function(lamina.ones(2, 3), lamina.ones(4), lamina.ones(3)),
                ValueError,
                rf"^{name}: sizes \[4\] and \[3\] do not broadcast: 4 against 3 in dimension 0$",
            ),
            Wrong(
                lambda: function(lamina.ones(3), 2.0, lamina.ones(3)),
                TypeError,
                rf"^{name}: argument '\w+' must be a Tensor, got float",
            ),
        ]

    return [
        Row(
            "addcmul",
            samples,
            lambda a, b, c, value=1: a + value * b * c,
            error=lambda y, a, b, c, value=1: np.abs(a) + 3 * np.abs(value * b * c),
            edges=edges,
            wide=long,
            specials=special_values,
            dtypes="promote number",
            wrong=wrong("addcmul"),
        ),
        Row(
            "addcdiv",
            samples,
            lambda a, b, c, value=1: a + value * b / c,
            error=lambda y, a, b, c, value=1: np.abs(a) + 3 * np.abs(value * b / c),
            edges=edges,
            wide=long,
            specials=special_values,
            dtypes="promote float",
            wrong=wrong("addcdiv"),
        ),
        Row(
            "lerp",
            [
                Sample(x, y, weight),
                Sample(x, y, 0.25),
                Sample(x, y[0], 0.75),
                Sample(x, y, point(weight)),
                Sample(x, y[0], weight[:, :1]),
            ],
            lambda a, b, w: a + w * (b - a),
            error=lambda y, a, b, w: 4 * (np.abs(a) + np.abs(b)) * (1 + np.abs(w)),
            edges=[Sample(x[:0], y[:0], 0.5), Sample(point(x), point(y), point(weight))],
            wide=long,
            dtypes="promote float",
            wrong=wrong("lerp"),
        ),
    ]


ROWS = [*UNARY, *parametrised(), *BINARY, *bits(), *of_three()]
