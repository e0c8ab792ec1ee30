"""Second derivatives where formulas break: zeros, ties, saturation, ignored labels.

Everywhere else they are the business of the op table, whose every differentiable row is held to
central differences of its first derivative.
"""

from __future__ import annotations

import lamina
import numpy as np
import op_table
import pytest
from lamina import autograd, nn
from lamina.autograd import gradgradcheck
from lamina.nn import functional as F


def t(a):
    return lamina.tensor(np.asarray(a, float)).requires_grad_()


def test_every_differentiable_op_is_checked_for_its_second():
    assert [r.name for r in op_table.ROWS if r.differentiable and not r.second and not r.why] == []


@pytest.mark.parametrize(
    "x",
    [
        [[0.0, 0.5, 2.0, -1.0, 3.0]],
        [[0.0, 0.0, 2.0, -1.0, 3.0]],
        [[0.0, 0.0, 0.0, -1.0, 3.0]],
        [[1.0, 0.0], [2.0, 3.0], [0.0, 0.0]],
        [[1.5], [0.0]],
    ],
)
@pytest.mark.parametrize("dim", [None, 0, 1])
def test_a_product_with_zeros(x, dim):
    # Linear in every element: central differences have no truncation error.
    assert autograd.gradgradcheck(lambda x: x.prod(dim), t(x), eps=1e-3)
    if dim is None:  # along one element the first derivative is a constant
        first = lambda x: autograd.grad(x.prod(), x, create_graph=True)[0]  # noqa: E731
        assert autograd.gradgradcheck(first, t(x), eps=1e-3)


def test_a_product_over_two_of_three_dimensions():
    x = t(np.arange(12.0).reshape(2, 3, 2) / 7)
    assert autograd.gradgradcheck(lambda x: x.prod((0, 2)), x)
    assert autograd.gradgradcheck(lambda x: x.permute(2, 0, 1).prod((0, 2), keepdim=True), x)


def hessian_of(function, x):
    return autograd.functional.hessian(lambda x: function(x).sum(), t(x)).numpy()


@pytest.mark.parametrize("exponent", [1.0, 2.0, 3.0])
def test_powers_at_zero(exponent):
    diagonal = np.diag(hessian_of(lambda x: x**exponent, [0.0, 2.0, -1.0]))
    wanted = exponent * (exponent - 1) * np.array([0.0, 2.0, -1.0]) ** max(exponent - 2, 0.0)
    np.testing.assert_allclose(diagonal, wanted, rtol=1e-15)


@pytest.mark.parametrize("name", ["gelu", "silu", "softplus", "sigmoid", "tanh"])
def test_saturated_activations_have_none(name):
    diagonal = np.diag(hessian_of(getattr(F, name), [-800.0, -60.0, 60.0, 800.0]))
    np.testing.assert_allclose(diagonal, 0, atol=1e-24)


def test_softmax_of_logits_far_apart():
    for function in (F.softmax, F.log_softmax):
        h = hessian_of(lambda x, f=function: f(x, 0) ** 2, [0.0, -800.0, 3.0])
        assert np.isfinite(h).all()


def test_cross_entropy_of_ignored_and_certain_rows():
    x = np.array([[1.0, 2.0, 3.0], [900.0, 0.0, 0.0], [0.5, -0.5, 0.0]])
    target = lamina.tensor([0, 0, -100])
    for smoothing in (0.0, 0.1):
        h = hessian_of(
            lambda x, s=smoothing: F.cross_entropy(
                x, target, reduction="sum", label_smoothing=s
            ).view(1),
            x,
        ).reshape(3, 3, 3, 3)
        p = np.exp(x[0]) / np.exp(x[0]).sum()
        np.testing.assert_allclose(h[0, :, 0], np.diag(p) - np.outer(p, p), rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(h[1], 0, atol=1e-300)
        np.testing.assert_array_equal(h[2], 0)


def test_batch_norm_in_both_modes_and_with_three_dimensions():
    rng = np.random.default_rng(0)
    w, b = t(rng.normal(size=3)), t(rng.normal(size=3))
    mean, var = lamina.tensor(rng.normal(size=3)), lamina.tensor(rng.uniform(0.5, 2, 3))
    for shape in ((5, 3), (3, 3, 4)):
        x = t(rng.normal(size=shape))
        for training in (True, False):

            def call(x, w, b, training=training):
                return F.batch_norm(x, mean.clone(), var.clone(), w, b, training)

            assert autograd.gradgradcheck(call, (x, w, b), atol=1e-4)


def check_second(model, *inputs):
    """Of a sum of squares of what a model makes, over its inputs and parameters."""
    arguments = (*inputs, *model.parameters())

    def function(*given):
        return model(*given[: len(inputs)]).square().sum()

    assert gradgradcheck(function, arguments, eps=1e-6, atol=1e-5, rtol=1e-4)


def test_through_a_cnn_with_batch_norm():
    lamina.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1),
        nn.BatchNorm2d(2),
        nn.Tanh(),
        nn.MaxPool2d(2),
        nn.Conv2d(2, 2, 2, stride=2, groups=2),
        nn.GELU(),
        nn.Flatten(),
        nn.Linear(2, 2),
    ).double()
    check_second(model, lamina.randn(3, 1, 4, 4, dtype=lamina.float64, requires_grad=True))


class Attended(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.norm = nn.LayerNorm(4)

    def forward(self, x):
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], dtype=x.dtype)
        y, _ = self.attention(x, x, x, attn_mask=mask, is_causal=True, need_weights=False)
        return self.norm(x + y)


def test_through_attention():
    lamina.manual_seed(1)
    model = Attended().double()
    check_second(model, lamina.randn(2, 3, 4, dtype=lamina.float64, requires_grad=True))
