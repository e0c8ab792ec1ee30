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


def identity_convolution(x, weight, groups):
    """A convolution with padding "same", by its definition; kernels have odd sizes."""
    out, each, kernel = weight.shape[0], weight.shape[1], weight.shape[2:]
    padded = np.pad(x, [(0, 0)] + [(n // 2, n // 2) for n in kernel])
    result = np.zeros((out, *x.shape[1:]))
    for o in range(out):
        first = o // (out // groups) * each
        for place in np.ndindex(*x.shape[1:]):
            window = tuple(slice(p, p + n) for p, n in zip(place, kernel, strict=True))
            result[(o, *place)] = (padded[(slice(first, first + each), *window)] * weight[o]).sum()
    return result


@pytest.mark.parametrize("kernel", [(3,), (3, 5), (1, 3, 3)])
@pytest.mark.parametrize("groups", [1, 2])
def test_dirac_convolutions_give_their_input(kernel, groups):
    weight = drawn(init.dirac_, (4, 4 // groups, *kernel), groups=groups)
    x = np.random.default_rng(0).normal(size=(4, *[4] * len(kernel)))
    np.testing.assert_array_equal(identity_convolution(x, weight, groups), x)


def test_dirac_leaves_channels_without_counterpart_zero():
    assert drawn(init.dirac_, (3, 2, 1)).reshape(3, 2).tolist() == [[1, 0], [0, 1], [0, 0]]
    assert drawn(init.dirac_, (2, 3, 2)).tolist() == [
        [[0, 1], [0, 0], [0, 0]],
        [[0, 0], [0, 1], [0, 0]],
    ]


@pytest.mark.parametrize("shape", [(5, 5), (3, 7), (7, 3), (4, 2, 3), (2, 3, 2, 2), (1, 4)])
@pytest.mark.parametrize("gain", [1.0, 2.5])
def test_orthogonal(shape, gain):
    weight = drawn(init.orthogonal_, shape, gain=gain).reshape(shape[0], -1) / gain
    short = weight if weight.shape[0] <= weight.shape[1] else weight.T
    # An orthonormal row of n numbers: n roundings of each product of rows.
    np.testing.assert_allclose(short @ short.T, np.eye(len(short)), atol=32 * 2.3e-16)


def test_orthogonal_is_drawn_evenly():
    """An entry of an even orthogonal 3 x 3 matrix is uniform in [-1, 1] (Archimedes)."""
    lamina.manual_seed(3)
    weight = lamina.empty(3, 3, dtype=lamina.float64)
    drawn_ = np.array([init.orthogonal_(weight).tolist() for _ in range(4000)])
    law = uniform(1.0)
    for i in range(3):
        for j in range(3):
            assert follows(drawn_[:, i, j], law)


@pytest.mark.parametrize(("sparsity", "zeros"), [(0.0, 0), (0.1, 21), (0.5, 101), (1.0, 201)])
def test_sparse(sparsity, zeros):
    values = drawn(init.sparse_, (201, 100), sparsity=sparsity, std=0.5)
    assert ((values == 0).sum(0) == zeros).all()  # the share, rounded up
    if zeros < 201:
        assert follows(values[values != 0], stats.norm(0, 0.5))
    if 0 < zeros < 201:  # anywhere
        share, p = (values == 0).mean(1), zeros / 201
        assert abs(share - p).max() < 6 * np.sqrt(p * (1 - p) / 100)


@pytest.mark.parametrize(
    ("fill", "settings"),
    [
        (init.uniform_, {}),
        (init.normal_, {}),
        (init.trunc_normal_, {}),
        (init.trunc_normal_, {"a": 3.0, "b": 9.0}),
        (init.xavier_uniform_, {}),
        (init.xavier_normal_, {}),
        (init.kaiming_uniform_, {}),
        (init.kaiming_normal_, {}),
        (init.orthogonal_, {}),
        (init.sparse_, {"sparsity": 0.3}),
    ],
)
def test_a_generator_draws_in_place_of_the_process_wide_one(fill, settings):
    def values(seed):
        generator = lamina.Generator()
        generator.manual_seed(seed)
        return fill(lamina.empty(6, 5), **settings, generator=generator).tolist()

    lamina.manual_seed(1)
    before = lamina.get_rng_state()
    assert values(4) == values(4)
    assert values(4) != values(5)
    assert lamina.get_rng_state().tolist() == before.tolist()


def test_nothing_to_fill():
    for fill in (init.orthogonal_, init.xavier_uniform_, init.kaiming_normal_):
        assert tuple(fill(lamina.empty(0, 4)).shape) == (0, 4)
    assert tuple(init.sparse_(lamina.empty(0, 4), 0.5).shape) == (0, 4)


def test_parameters_are_filled_in_place_and_stay_leaves():
    parameter = lamina.nn.Parameter(lamina.ones(4, 4))
    fills = (init.uniform_, init.normal_, init.zeros_, init.eye_, init.trunc_normal_)
    for fill in (*fills, init.orthogonal_, lambda t: init.sparse_(t, 0.5)):
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
        (
            lambda: init.sparse_(lamina.empty(3), 0.5),
            r"sparse_: a matrix is needed",
        ),
        (
            lambda: init.sparse_(lamina.empty(3, 3), 1.5),
            r"sparse_: sparsity must be in \[0, 1\]",
        ),
        (lambda: init.dirac_(lamina.empty(3, 3)), r"dirac_: a weight of 3 to 5 dimensions is need"),
        (lambda: init.dirac_(lamina.empty(3, 3, 3), 2), r"dirac_: 2 groups do not divide 3 output"),
        (lambda: init.dirac_(lamina.empty(3, 3, 3), 0), r"dirac_: 0 groups do not divide 3 output"),
        (lambda: init.orthogonal_(lamina.empty(3)), r"orthogonal_: a tensor of at least 2 dimen"),
        (lambda: init.trunc_normal_(lamina.empty(3), a=1.0, b=1.0), "a must be less than b"),
        (lambda: init.trunc_normal_(lamina.empty(3), std=0.0), "std must be positive, got 0.0"),
    ],
)
def test_bad_arguments(call, text):
    with pytest.raises(ValueError, match=text):
        call()
