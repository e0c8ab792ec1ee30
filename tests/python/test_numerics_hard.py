"""Numbers at which the obvious formula fails: cancellation, overflow, kinks, long sums."""

from __future__ import annotations

import lamina
import lamina.nn.functional as F
import numpy as np
import pytest
from lamina import _core, autograd

F32_EPS = float(np.finfo(np.float32).eps)
F64_EPS = float(np.finfo(np.float64).eps)
TIGHT = {"eps": 1e-5, "rtol": 1e-6, "atol": 2e-9}


def leaf(values, dtype=lamina.float64):
    return lamina.tensor(values, dtype=dtype, requires_grad=True)


def gradient(function, *inputs):
    """The gradients of the sum of a function's elements, as lists."""
    found = autograd.grad(function(*inputs).sum(), inputs)
    return [g.tolist() for g in found]


# -- sums ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [10**6, 10**6 + 37])
def test_a_long_sum_does_not_lose_its_tail(count):
    """A running float32 sum of a million tenths is off by 1e-2 of its value."""
    x = np.full(count, 0.1, np.float32)
    exact = float(np.float32(0.1)) * count
    # Partial sums of 2^k elements: log2(n) roundings, and those of a block of some hundreds.
    bound = (np.log2(count) + 512) / 2 * F32_EPS * exact
    assert abs(lamina.tensor(x).sum().item() - exact) < bound
    assert abs(lamina.tensor(x).mean().item() - exact / count) < bound / count
    assert abs(lamina.tensor(x).reshape(-1, 1).sum(0).item() - exact) < bound


def test_a_sum_that_cancels_is_off_by_its_terms_alone():
    rng = np.random.default_rng(1)
    x = rng.standard_normal(20_001).astype(np.float32) * 1e6
    x = np.concatenate([x, -x[::-1], np.float32([0.25])])
    bound = 600 * F32_EPS * np.abs(x.astype(float)).sum()
    assert abs(lamina.tensor(x).sum().item() - 0.25) < bound


def test_variance_far_from_zero():
    """E[x^2] - E[x]^2 has no digit left here: 1e8 against 1."""
    rng = np.random.default_rng(2)
    for dtype, offset, eps in (("float32", 1e4, F32_EPS), ("float64", 1e8, F64_EPS)):
        x = (rng.standard_normal((257, 3)) + offset).astype(dtype)
        exact = x.astype(np.longdouble).var(axis=0, ddof=1)
        # n roundings of squares, and deviations from means that are some roundings off: with
        # squares of 1e8 and 1e16 the bound would be a thousand times the variance.
        bound = (257 + 8) * eps * exact + 16 * eps * offset * np.sqrt(exact)
        assert (np.abs(lamina.tensor(x).var(0).numpy() - exact) < bound).all()
        y = F.batch_norm(lamina.tensor(x), None, None, training=True)
        wanted = (x - x.astype(np.longdouble).mean(0)) / np.sqrt(exact * 256 / 257 + 1e-5)
        assert np.abs(y.numpy() - wanted).max() < (257 + 8) * 2 * eps * offset


def test_a_deep_product_is_off_by_its_terms_alone():
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((7, 5000)), rng.standard_normal((5000, 9))
    for dtype, eps in (("float32", F32_EPS), ("float64", F64_EPS)):
        x, y = a.astype(dtype), b.astype(dtype)
        exact = x.astype(np.longdouble) @ y.astype(np.longdouble)
        bound = 5002 * eps * (np.abs(x).astype(float) @ np.abs(y).astype(float))
        got = lamina.tensor(x) @ lamina.tensor(y)
        assert (np.abs(got.numpy() - exact) < bound).all()


# -- the ends of the range -------------------------------------------------------------------------


def test_softmax_and_its_losses_at_logits_that_overflow_exp():
    x = leaf([[1000.0, 0.0, -1000.0], [-2000.0, -2000.0, -2000.0]])
    assert F.softmax(x, 1).tolist() == [[1.0, 0.0, 0.0], pytest.approx([1 / 3] * 3, rel=1e-15)]
    assert F.log_softmax(x, 1)[0].tolist() == [0.0, -1000.0, -2000.0]
    loss = F.cross_entropy(x, lamina.tensor([2, 0]), reduction="none")
    assert loss.tolist() == [2000.0, pytest.approx(np.log(3), rel=1e-15)]
    (g,) = gradient(lambda t: F.cross_entropy(t, lamina.tensor([2, 0]), reduction="none"), x)
    assert g[0] == [1.0, 0.0, -1.0]
    assert g[1] == pytest.approx([1 / 3 - 1, 1 / 3, 1 / 3], rel=1e-14)


def test_binary_cross_entropy_at_the_ends():
    x = leaf([1000.0, -1000.0, 1000.0, -1000.0, 0.0])
    t = lamina.tensor([1.0, 0.0, 0.0, 1.0, 0.5], dtype=lamina.float64)

    def loss(x):
        return F.binary_cross_entropy_with_logits(x, t, reduction="none")

    assert loss(x).tolist() == [0.0, 0.0, 1000.0, 1000.0, pytest.approx(np.log(2), rel=1e-15)]
    assert gradient(loss, x)[0] == [0.0, 0.0, 1.0, -1.0, 0.0]


@pytest.mark.parametrize("dtype", [lamina.float32, lamina.float64])
def test_tails_stay_finite_and_fall_to_zero(dtype):
    x = leaf([-1e4, -100.0, 100.0, 1e4], dtype)
    for function, ends in (
        (lamina.sigmoid, [0.0, 1.0]),
        (lamina.tanh, [-1.0, 1.0]),
        (lamina.erf, [-1.0, 1.0]),
        (F.gelu, [0.0, 1e4]),
        (lambda t: F.gelu(t, approximate="tanh"), [0.0, 1e4]),
        (F.silu, [0.0, 1e4]),
        (F.softplus, [0.0, 1e4]),
    ):
        y = function(x)
        assert [y[0].item(), y[-1].item()] == ends
        (g,) = gradient(function, x)
        assert np.isfinite(g).all()
        assert abs(g[0]) < np.finfo(np.float32 if dtype == lamina.float32 else float).tiny
        assert g[-1] in (0.0, 1.0)


# -- derivatives at kinks: PyTorch's choices -------------------------------------------------------


def test_derivatives_at_kinks():
    zero, one = leaf([0.0]), leaf([1.0])
    assert gradient(lamina.relu, zero) == [[0.0]]
    assert gradient(lamina.abs, zero) == [[0.0]]
    assert gradient(lamina.sign, zero) == [[0.0]]
    assert gradient(lambda x: F.leaky_relu(x, 0.25), zero) == [[0.25]]
    assert gradient(lamina.sqrt, zero) == [[np.inf]]
    assert gradient(lamina.maximum, one, leaf([1.0])) == [[0.5], [0.5]]
    assert gradient(lamina.minimum, one, leaf([1.0])) == [[0.5], [0.5]]
    assert gradient(lambda x: lamina.clamp(x, 1.0, 2.0), leaf([0.5, 1.0, 1.5, 2.0, 3.0])) == [
        [0.0, 1.0, 1.0, 1.0, 0.0]
    ]
    tied = leaf([2.0, 1.0, 2.0])
    assert gradient(lamina.amax, tied) == [[0.5, 0.0, 0.5]]
    assert gradient(lambda x: lamina.max(x, 0)[0], tied) == [[1.0, 0.0, 0.0]]


def test_derivatives_of_powers_at_zero():
    x, y = leaf([0.0, 0.0, 2.0]), leaf([0.0, 3.0, 0.0])
    gx, gy = gradient(lamina.pow, x, y)
    assert gx == [0.0, 0.0, 0.0]
    assert gy == [0.0, 0.0, pytest.approx(np.log(2), rel=1e-15)]
    assert gradient(lambda t: t**2, leaf([-3.0, 0.0])) == [[-6.0, 0.0]]
    assert gradient(lambda t: t**0.5, leaf([4.0])) == [[0.25]]


def test_the_standard_deviation_of_what_does_not_vary_has_gradient_zero():
    x = leaf([[1.0, 1.0, 1.0], [1.0, 2.0, 3.0]])
    (g,) = gradient(lambda t: t.std(1), x)
    assert g[0] == [0.0, 0.0, 0.0]
    assert g[1] == pytest.approx([-0.5, 0.0, 0.5], rel=1e-15)
    assert x.std(1).tolist() == [0.0, 1.0]
    assert lamina.ones(1).std().isnan().item()


def test_rounded_division_between_its_steps():
    x, y = leaf([[5.3, -5.3], [0.4, -7.9]]), leaf([2.0, -1.5])
    assert autograd.gradcheck(_core.remainder, (x, y), **TIGHT)
    assert autograd.gradcheck(_core.floor_divide, (x, y), **TIGHT)
    assert autograd.gradcheck(lambda a, b: _core.div(a, b, rounding_mode="trunc"), (x, y), **TIGHT)
    for a, b in ((7, 3), (-7, 3), (7, -3), (-7, -3), (6, 3), (-6, 3)):
        ints = lamina.tensor(a), lamina.tensor(b)
        assert (ints[0] // ints[1]).item() == a // b
        assert (ints[0] % ints[1]).item() == a % b
    with pytest.raises(RuntimeError, match=r"^floor_divide: division of integers by zero"):
        lamina.tensor([1]) // 0


# -- batch norm ------------------------------------------------------------------------------------


def test_running_statistics_are_those_of_all_that_was_seen():
    rng = np.random.default_rng(4)
    mean, var = lamina.zeros(3, dtype=lamina.float64), lamina.ones(3, dtype=lamina.float64)
    wanted_mean, wanted_var = np.zeros(3), np.ones(3)
    versions = mean._version, var._version
    for _ in range(4):
        x = rng.standard_normal((6, 3, 2)) * [[[2.0], [1.0], [0.5]]] + 1
        F.batch_norm(lamina.tensor(x), mean, var, training=True, momentum=0.3)
        wanted_mean = 0.7 * wanted_mean + 0.3 * x.mean((0, 2))
        wanted_var = 0.7 * wanted_var + 0.3 * x.var((0, 2), ddof=1)  # unbiased, as PyTorch's
    np.testing.assert_allclose(mean.numpy(), wanted_mean, rtol=1e-14)
    np.testing.assert_allclose(var.numpy(), wanted_var, rtol=1e-14)
    assert (mean._version, var._version) > versions
    before = mean.tolist(), var.tolist()
    F.batch_norm(lamina.tensor(x), mean, var)
    assert (mean.tolist(), var.tolist()) == before


def test_a_constant_channel_is_shifted_to_zero():
    x = leaf(np.full((5, 2), 3.0))
    y = F.batch_norm(x, None, None, training=True)
    assert y.tolist() == np.zeros((5, 2)).tolist()
    y.sum().backward()
    assert np.isfinite(x.grad.numpy()).all()


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_a_loss_may_be_written_in_place(reduction):
    """What backward needs of cross-entropy is not what the caller gets."""
    x = lamina.randn(4, 3, requires_grad=True)
    target, mask = lamina.tensor([0, 1, 2, 0]), lamina.tensor([1.0, 0.0, 2.0, 1.0])
    factor = mask if reduction == "none" else 3.0
    (wanted,) = lamina.autograd.grad(
        (F.cross_entropy(x, target, reduction=reduction) * factor).sum(), x
    )
    loss = F.cross_entropy(x, target, reduction=reduction)
    loss *= factor
    loss.sum().backward()
    assert x.grad.tolist() == wanted.tolist()
