"""Convolutions beyond the tables: what they are to each other, and what they cost."""

from __future__ import annotations

import copy
import subprocess
import sys

import lamina
import lamina.nn.functional as F
import numpy as np
import pytest
from lamina import nn
from lamina.autograd import grad

SETTINGS = [
    {},
    {"stride": 2, "padding": 1},
    {"stride": (1, 3), "padding": (0, 2), "dilation": (2, 1)},
    {"groups": 2, "padding": 2},
    {"groups": 4, "stride": 2},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_transposed_convolution_is_the_adjoint(settings):
    lamina.manual_seed(0)
    groups = settings.get("groups", 1)
    x = lamina.randn(2, 4, 9, 11, dtype=lamina.float64)
    weight = lamina.randn(8, 4 // groups, 3, 2, dtype=lamina.float64)
    y = F.conv2d(x, weight, **settings)
    g = lamina.randn(y.shape, dtype=lamina.float64)
    # What a stride leaves over at the end is for output_padding to say.
    spread = F.conv_transpose2d(g, weight, **settings)
    more = tuple(a - b for a, b in zip(x.shape[2:], spread.shape[2:], strict=True))
    spread = F.conv_transpose2d(g, weight, output_padding=more, **settings)
    assert spread.shape == x.shape
    # Both are one sum of products, in different orders.
    assert float((y * g).sum()) == pytest.approx(float((x * spread).sum()), rel=1e-11)


def test_derivatives_of_any_order():
    """Of sum(conv(x, w)^2), a polynomial, the third derivatives are those that algebra gives."""
    lamina.manual_seed(1)
    x = lamina.randn(1, 2, 4, 4, dtype=lamina.float64, requires_grad=True)
    weight = lamina.randn(2, 2, 2, 2, dtype=lamina.float64, requires_grad=True)
    direction = lamina.randn(x.shape, dtype=lamina.float64)

    def value(x):
        return (F.conv2d(x, weight, stride=2, padding=1) ** 2).sum()

    (first,) = grad(value(x), x, create_graph=True)
    (second,) = grad((first * direction).sum(), x, create_graph=True)
    # The Hessian does not depend on x: its quadratic form is twice the value at the direction.
    assert float((second * direction).sum()) == pytest.approx(
        2 * float(value(direction)), rel=1e-12
    )
    (third,) = grad((second * direction).sum(), weight)
    (wanted,) = grad(2 * value(direction), weight)
    np.testing.assert_allclose(third.numpy(), wanted.numpy(), rtol=1e-11, atol=1e-12)


def names(y):
    found, node = [], y.grad_fn
    while node is not None:
        found.append(node.name())
        node = node.next_functions[0][0] if node.next_functions else None
    return found


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU])
def test_an_activation_behind_a_layer_is_part_of_its_op(activation):
    lamina.manual_seed(2)
    model = nn.Sequential(
        nn.Conv2d(2, 5, 3, padding=1),
        activation(),
        nn.Flatten(2),
        nn.Conv1d(5, 3, 4, 3),
        activation(),
    )
    twin = copy.deepcopy(model)
    x = lamina.randn(3, 2, 6, 5)
    joined, apart = model(x), x
    for module in twin:
        apart = module(apart)
    kind = activation.__name__.lower()
    assert names(joined) == ["conv1d", "view", "conv2d"]
    assert names(apart) == [kind, "conv1d", "view", kind, "conv2d"]
    assert joined.tolist() == apart.tolist()
    (joined * joined).sum().backward()
    (apart * apart).sum().backward()
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        assert ours.grad.tolist() == theirs.grad.tolist()


def test_an_error_in_a_sequential_names_the_layer():
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU())
    with pytest.raises(
        ValueError, match=r"^conv2d: input has 4 channels(.*\n)+ *in +model.0 \(Conv2d"
    ):
        model(lamina.ones(1, 4, 5, 5))


MEMORY = """
import lamina
import lamina.nn.functional as F
lamina.set_num_threads(2)
x = lamina.ones(1, 32, 256, 256, requires_grad=True)
weight = lamina.ones(32, 32, 3, 3, requires_grad=True)
y = F.conv2d(x, weight, padding=1)
y.backward(lamina.ones(y.shape))
print(lamina.allocator_stats()["peak_bytes"])
"""


def test_there_is_no_matrix_of_patches():
    """Beside tensors, memory is what fits the caches of two threads.

    The matrix would be nine images, 75 MB.
    """
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True
    )
    image = 4 * 32 * 256 * 256
    assert 4 * image <= int(done.stdout) <= 4 * image + (6 << 20)  # x, y and their gradients


def test_same_bits_for_any_number_of_threads():
    """The same bits for any number of threads, in forward and in every gradient."""
    lamina.manual_seed(3)
    layer = nn.Conv2d(3, 20, 3, stride=2, padding=1)
    x = lamina.randn(9, 3, 40, 33, requires_grad=True)
    before, found = lamina.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            lamina.set_num_threads(threads)
            y = layer(x)
            gradients = grad((y * y).sum(), [x, layer.weight, layer.bias])
            found.append([t.tolist() for t in (y, *gradients)])
    finally:
        lamina.set_num_threads(before)
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    ("layer", "name"),
    [(nn.Conv2d(1, 2, 3), "conv"), (nn.LSTM(3, 4), "lstm"), (nn.BatchNorm1d(1), "batch_norm")],
    ids=["conv", "lstm", "batch_norm"],
)
def test_an_array_where_a_tensor_belongs(layer, name):
    """Said as plainly where the native function has several signatures as where it has one."""
    with pytest.raises(TypeError, match=rf"^{name}: argument 'input' must be a Tensor, got numpy"):
        layer(np.zeros((2, 1, 3), np.float32))
