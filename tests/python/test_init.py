"""`lamina.nn.init`: fans, gains, and the laws of the draws.

The laws are tested by Kolmogorov and Smirnov's test on 40,000 draws with fixed seeds: a right law
fails with probability 1e-4 once, when the seed is chosen, and then never again.
"""

from __future__ import annotations

import math

import lamina
import numpy as np
import pytest
from lamina.nn import init
from scipy import stats

SHAPE = (200, 200)


def drawn(fill, shape=SHAPE, **options):
    lamina.manual_seed(20)
    tensor = lamina.empty(shape, dtype=lamina.float64)
    assert fill(tensor, **options) is tensor
    return np.asarray(tensor.tolist())


def follows(values, law):
    return stats.kstest(values.ravel(), law.cdf).pvalue > 1e-4


def uniform(bound):
    return stats.uniform(-bound, 2 * bound)


@pytest.mark.parametrize(
    ("fill", "shape", "options", "law"),
    [
        (init.uniform_, SHAPE, {}, stats.uniform(0, 1)),
        (init.uniform_, SHAPE, {"a": -3.0, "b": 5.0}, stats.uniform(-3, 8)),
        (init.normal_, SHAPE, {}, stats.norm(0, 1)),
        (init.normal_, SHAPE, {"mean": 2.0, "std": 0.5}, stats.norm(2, 0.5)),
        # Glorot and Bengio, equation 16: sqrt(6) / sqrt(n_in + n_out)
        (init.xavier_uniform_, (400, 100), {}, uniform(math.sqrt(6 / 500))),
        (init.xavier_uniform_, (400, 100), {"gain": 3.0}, uniform(3 * math.sqrt(6 / 500))),
        (init.xavier_normal_, (400, 100), {}, stats.norm(0, math.sqrt(2 / 500))),
        (init.xavier_normal_, (400, 100), {"gain": 3.0}, stats.norm(0, 3 * math.sqrt(2 / 500))),
        # fans count the kernel: in = 25 * 2 * 2, out = 400 * 2 * 2
        (init.xavier_normal_, (400, 25, 2, 2), {}, stats.norm(0, math.sqrt(2 / (100 + 1600)))),
        # He et al., equation 10: std = sqrt(2 / n), and 15 with a slope: sqrt(2 / ((1 + a^2) n))
        (init.kaiming_normal_, (400, 100), {}, stats.norm(0, math.sqrt(2 / 100))),
        (init.kaiming_normal_, (400, 100), {"mode": "fan_out"}, stats.norm(0, math.sqrt(2 / 400))),
        (init.kaiming_normal_, (400, 100), {"a": 2.0}, stats.norm(0, math.sqrt(2 / 5 / 100))),
        (init.kaiming_normal_, (400, 100), {"nonlinearity": "tanh"}, stats.norm(0, 5 / 3 / 10)),
        (init.kaiming_uniform_, (400, 100), {}, uniform(math.sqrt(6 / 100))),
        (init.kaiming_uniform_, (400, 100), {"nonlinearity": "linear"}, uniform(math.sqrt(0.03))),
        (init.kaiming_uniform_, (400, 25, 2, 2), {"a": 1.0}, uniform(math.sqrt(3 / 100))),
        (init.trunc_normal_, SHAPE, {}, stats.truncnorm(-2, 2)),
        (init.trunc_normal_, SHAPE, {"std": 0.02}, stats.norm(0, 0.02)),
        (
            init.trunc_normal_,
            SHAPE,
            {"mean": 1.0, "std": 2.0, "a": 0.0, "b": 4.0},
            stats.truncnorm(-0.5, 1.5, 1, 2),
        ),
        # where draws from the whole normal distribution would hardly ever fall inside
        (init.trunc_normal_, SHAPE, {"a": 4.0, "b": math.inf}, stats.truncnorm(4, math.inf)),
        (init.trunc_normal_, SHAPE, {"a": -math.inf, "b": -6.0}, stats.truncnorm(-math.inf, -6)),
        (init.trunc_normal_, SHAPE, {"a": -0.1, "b": 0.2}, stats.truncnorm(-0.1, 0.2)),
    ],
)
def test_laws(fill, shape, options, law):
    values = drawn(fill, shape, **options)
    assert follows(values, law)
    # The test notices a scale that is off by 5 %.
    assert not follows(values * 1.05, law)


def test_trunc_normal_stays_inside_in_float32():
    lamina.manual_seed(0)
    tensor = lamina.empty(100_000)
    init.trunc_normal_(tensor, mean=0.3, std=10.0, a=0.1, b=0.7)
    assert np.float32(0.1) <= min(tensor.tolist())
    assert max(tensor.tolist()) <= np.float32(0.7)


def test_fixed_values():
    assert drawn(init.ones_, (2, 2)).tolist() == [[1, 1], [1, 1]]
    assert drawn(init.zeros_, (3,)).tolist() == [0, 0, 0]
    assert drawn(init.constant_, (2,), val=-2.5).tolist() == [-2.5, -2.5]
    assert drawn(init.eye_, (2, 3)).tolist() == [[1, 0, 0], [0, 1, 0]]


def test_parameters_are_filled_in_place_and_stay_leaves():
    parameter = lamina.nn.Parameter(lamina.ones(4, 4))
    for fill in (init.uniform_, init.normal_, init.zeros_, init.eye_, init.trunc_normal_):
        before = parameter.tolist()
        assert fill(parameter) is parameter
        assert parameter.tolist() != before
        assert parameter.is_leaf
        assert parameter.requires_grad


@pytest.mark.parametrize(
    ("name", "param", "gain"),
    [
        ("linear", None, 1),
        ("conv2d", None, 1),
        ("conv_transpose3d", None, 1),
        ("sigmoid", None, 1),
        ("tanh", None, 5 / 3),
        ("relu", None, math.sqrt(2)),
        ("selu", None, 3 / 4),
        ("leaky_relu", None, math.sqrt(2 / (1 + 0.01**2))),
        ("leaky_relu", 0.5, math.sqrt(2 / 1.25)),
        ("leaky_relu", 0, math.sqrt(2)),
    ],
)
def test_gains(name, param, gain):
    assert init.calculate_gain(name, param) == pytest.approx(gain, rel=1e-15)


def test_relu_layers_keep_their_variance():
    """The point of He's rule: twenty layers deep the signal is as strong as it was."""
    lamina.manual_seed(1)
    x = lamina.randn(500, 256, dtype=lamina.float64)
    weight = lamina.empty(256, 256, dtype=lamina.float64)
    for _ in range(20):
        init.kaiming_normal_(weight, nonlinearity="relu")
        x = lamina.relu(x) @ weight.T
    # Each layer multiplies the variance by 1 with a relative spread of about sqrt(5 / 256).
    assert 0.2 < float((x * x).mean()) < 5


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: init.xavier_uniform_(lamina.empty(3)), r"xavier_uniform_: .*\n  tensor \[3\]"),
        (lambda: init.xavier_normal_(lamina.empty(3)), r"xavier_normal_: fan-in and fan-out need"),
        (lambda: init.kaiming_uniform_(lamina.empty(3)), r"kaiming_uniform_: fan-in and fan-out"),
        (lambda: init.kaiming_normal_(lamina.empty(3)), r"kaiming_normal_: fan-in and fan-out"),
        (lambda: init.kaiming_normal_(lamina.empty(3, 3), mode="fan"), "mode must be 'fan_in' or"),
        (lambda: init.calculate_gain("swish"), r"unknown nonlinearity 'swish'\n  known  .*relu"),
        (lambda: init.calculate_gain("leaky_relu", "x"), "slope must be a number, got 'x'"),
        (lambda: init.eye_(lamina.empty(3)), r"eye_: a matrix is needed\n  tensor \[3\]"),
        (lambda: init.trunc_normal_(lamina.empty(3), a=1.0, b=1.0), "a must be less than b"),
        (lambda: init.trunc_normal_(lamina.empty(3), std=0.0), "std must be positive, got 0.0"),
    ],
)
def test_bad_arguments(call, text):
    with pytest.raises(ValueError, match=text):
        call()
