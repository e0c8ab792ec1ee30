"""What the tables of ops and layers do not ask of pooling, interpolation and dropout."""

from __future__ import annotations

import lamina
import lamina.nn.functional as F
import numpy as np
import pytest
from lamina import autograd, nn

FUNCTIONS = {
    "max_pool2d": lambda x: F.max_pool2d(x, 2),
    "max_pool2d, overlapping": lambda x: F.max_pool2d(x, 3, 2, 1),
    "avg_pool2d": lambda x: F.avg_pool2d(x, 3, 2, 1),
    "adaptive_avg_pool2d": lambda x: F.adaptive_avg_pool2d(x, 5),
    "interpolate": lambda x: F.interpolate(x, scale_factor=1.7, mode="bilinear"),
    "unfold": lambda x: F.unfold(x, 3, padding=1),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_same_bits_for_any_number_of_threads(name):
    rng = np.random.default_rng(1)
    x = lamina.tensor(rng.standard_normal((8, 7, 29, 31)).astype("float32"), requires_grad=True)
    found = []
    before = lamina.get_num_threads()
    try:
        for threads in (1, 2, 3):
            lamina.set_num_threads(threads)
            y = FUNCTIONS[name](x)
            g = lamina.linspace(-1, 1, y.numel()).reshape(y.shape)
            (dx,) = autograd.grad(y, x, g)
            found.append((y.detach().numpy(), dx.numpy()))
    finally:
        lamina.set_num_threads(before)
    for y, dx in found[1:]:
        np.testing.assert_array_equal(y, found[0][0])
        np.testing.assert_array_equal(dx, found[0][1])


def test_a_window_without_elements():
    """Padding and a wide dilation leave the second window nothing but places outside."""
    x = lamina.tensor([[3.0, 5.0]], requires_grad=True)
    y, where = F.max_pool1d(x, 2, 2, 1, 3, True, True)
    assert y.tolist() == [[-np.inf]]
    assert where.tolist() == [[-1]]
    y.sum().backward()
    assert x.grad.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("function", [F.adaptive_avg_pool2d, F.adaptive_max_pool2d])
def test_a_result_without_elements_needs_no_memory(function):
    x = lamina.ones(1, 1, 2, 2, requires_grad=True)
    y = function(x, (2**31 - 1, 0))
    assert tuple(y.shape) == (1, 1, 2**31 - 1, 0)
    y.sum().backward()
    assert x.grad.tolist() == [[[[0.0, 0.0], [0.0, 0.0]]]]


def test_the_mean_of_ones_is_one():
    x = lamina.ones(1, 1, 49, 49)
    for size in (3, 7):
        assert (F.avg_pool2d(x, size) == 1).all().item()
    assert (F.adaptive_avg_pool2d(x, 9) == 1).all().item()


def test_indices_that_backward_needs_are_not_to_be_written():
    x = lamina.ones(1, 4, requires_grad=True)
    y, where = F.max_pool1d(x, 2, return_indices=True)
    where.zero_()
    with pytest.raises(RuntimeError, match=r"^max_pool1d: backward needs .* has changed it"):
        y.sum().backward()


LAYERS = [nn.Dropout, nn.Dropout1d, nn.AlphaDropout]


@pytest.mark.parametrize("layer", LAYERS)
def test_dropout_in_place(layer):
    x = lamina.full((4, 6, 3), 2.0, requires_grad=True)
    lamina.manual_seed(2)
    apart = layer(0.5)(x * 1)
    (wanted,) = autograd.grad(apart.sum(), x)
    lamina.manual_seed(2)
    own = x * 1
    assert layer(0.5, inplace=True)(own) is own
    assert own.tolist() == apart.tolist()
    (found,) = autograd.grad(own.sum(), x)
    assert found.tolist() == wanted.tolist()


@pytest.mark.parametrize(("layer", "shape"), [(nn.Dropout1d, (7,)), (nn.Dropout2d, (3, 2))])
def test_channels_are_dropped_as_a_whole(layer, shape):
    lamina.manual_seed(0)
    y = layer(0.3)(lamina.ones(100, 100, *shape)).numpy().reshape(10_000, -1)
    assert (y == y[:, :1]).all()
    assert set(np.unique(y)) == {0.0, np.float32(1 / 0.7)}
    # 10,000 draws: the share has a standard deviation of 0.0046
    assert abs((y[:, 0] == 0).mean() - 0.3) < 0.02


def test_alpha_dropout_keeps_mean_and_variance():
    lamina.manual_seed(0)
    x = lamina.randn(100_000)
    y = F.alpha_dropout(x, 0.3, True).numpy()
    # Of 100,000 numbers of variance 1: 0.003 and less than 0.006 are the standard deviations.
    assert abs(y.mean()) < 0.015
    assert abs(y.var() - 1) < 0.03
    values, counts = np.unique(y, return_counts=True)
    assert abs(counts.max() / len(y) - 0.3) < 0.008  # the dropped ones are one number
    assert values[counts.argmax()] < -1
