"""Activations and losses beyond their rows: in place, what is drawn, texts that are shared."""

from __future__ import annotations

import inspect

import lamina
import lamina.nn.functional as F
import numpy as np
import op_check
import op_table
import pytest
from lamina import nn
from op_table_row import Sample

ROWS = {row.name: row for row in op_table.ROWS}
WITH_INPLACE = sorted(
    name
    for name, lines in op_check.SIGNATURES.items()
    if any("bool inplace=False" in line for line, _ in lines)
)


def test_what_pytorch_has_in_place_is_in_place_here():
    assert WITH_INPLACE == [
        "alpha_dropout", "celu", "dropout", "dropout1d", "dropout2d", "elu", "hardsigmoid",
        "hardswish", "hardtanh", "leaky_relu", "mish", "relu", "relu6", "rrelu", "selu", "silu",
        "threshold",
    ]  # fmt: skip
    trailing = ("relu_", "leaky_relu_", "rrelu_", "threshold_", "hardtanh_", "elu_", "celu_")
    assert {*trailing, "selu_"} <= set(F.__all__)


@pytest.mark.parametrize("name", WITH_INPLACE)
def test_inplace_overwrites_the_input_and_has_its_gradient(name):
    function = getattr(F, name)
    for sample in ROWS[name].samples:
        plain = op_check.tensors(sample, ROWS[name])
        other = op_check.tensors(sample, ROWS[name])
        lamina.manual_seed(3)
        wanted = function(*plain, **sample.kwargs)
        own = other[0].clone()
        version = own._version
        lamina.manual_seed(3)
        assert function(own, *other[1:], **sample.kwargs, inplace=True) is own
        assert own.tolist() == wanted.tolist()
        # A dropout of nothing need not write.
        assert own._version > version or (
            "dropout" in name and wanted.tolist() == plain[0].tolist()
        )
        op_check.weighted(wanted).backward()
        op_check.weighted(own).backward()
        assert other[0].grad.tolist() == plain[0].grad.tolist()


@pytest.mark.parametrize("name", WITH_INPLACE)
def test_inplace_is_refused_where_a_gradient_would_be_lost(name):
    sample = ROWS[name].samples[0]
    leaf, *rest = op_check.tensors(Sample(*sample.args), ROWS[name])
    with pytest.raises(RuntimeError, match=rf"^{name}_?: a leaf that requires grad can't be"):
        getattr(F, name)(leaf, *rest, inplace=True)


def modules_with_inplace():
    for name in nn.__all__:
        cls = getattr(nn, name)
        module = isinstance(cls, type) and issubclass(cls, nn.Module) and "Dropout" not in name
        if module and "inplace" in inspect.signature(cls).parameters:
            yield cls


@pytest.mark.parametrize("cls", [*modules_with_inplace()], ids=lambda cls: cls.__name__)
def test_modules_in_place(cls):
    settings = {"threshold": 0.5, "value": 9.0} if cls is nn.Threshold else {}
    x = lamina.tensor([[-4.0, -0.7], [0.2, 7.0]], requires_grad=True)
    lamina.manual_seed(3)
    wanted = cls(**settings)(x)
    wanted.sum().backward()
    gradient, x.grad = x.grad, None
    own = x * 1
    lamina.manual_seed(3)
    assert cls(**settings, inplace=True)(own) is own
    own.sum().backward()
    assert own.tolist() == wanted.tolist()
    assert x.grad.tolist() == gradient.tolist()


def test_integers_stay_integers_where_nothing_else_comes_out():
    x = lamina.tensor([-3, 0, 5, 9])
    for result, wanted in (
        (F.relu6(x), [0, 0, 5, 6]),
        (F.hardtanh(x, -2, 7), [-2, 0, 5, 7]),
        (F.threshold(x, 2, 7), [7, 7, 5, 9]),
    ):
        assert result.dtype == lamina.int64
        assert result.tolist() == wanted
    assert F.hardtanh(x.to(lamina.uint8), 1, 6).tolist() == [6, 1, 5, 6]
    assert F.elu(x).dtype == lamina.float32


@pytest.mark.parametrize("dtype", [lamina.float32, lamina.float64])
def test_rrelu_draws_a_slope_for_each_element(dtype):
    lamina.manual_seed(5)
    x = lamina.full((100_000,), -2.0, dtype=dtype, requires_grad=True)
    y = nn.RReLU(0.2, 0.6)(x)
    y.sum().backward()
    slopes = y.detach().numpy() / -2.0
    np.testing.assert_array_equal(x.grad.numpy(), slopes)
    assert slopes.min() >= 0.2
    assert slopes.max() <= 0.6
    # 6 standard errors of the mean of a uniform law, and of its variance (width^4 / 180).
    assert abs(slopes.mean() - 0.4) < 6 * 0.4 / np.sqrt(12 * slopes.size)
    assert abs(slopes.var() - 0.4**2 / 12) < 6 * np.sqrt(0.4**4 / 180 / slopes.size)
    lamina.manual_seed(5)
    assert F.rrelu(x, 0.2, 0.6, training=True).tolist() == y.tolist()
    positive = lamina.ones(9, dtype=dtype)
    assert F.rrelu(positive, training=True).tolist() == [1.0] * 9


def test_gumbel_softmax_draws_classes_by_their_probabilities():
    p = np.array([0.1, 0.2, 0.7])
    logits = lamina.tensor(np.log(p), requires_grad=True)
    lamina.manual_seed(7)
    n = 20_000
    hard = F.gumbel_softmax(logits.expand(n, 3), hard=True)
    values = hard.detach().numpy()
    np.testing.assert_allclose(values.sum(1), 1, atol=1e-15)
    assert ((np.abs(values) < 1e-15) | (np.abs(values - 1) < 1e-15)).all()
    assert (np.abs(values.mean(0) - p) < 6 * np.sqrt(p * (1 - p) / n)).all()
    # The gradient is that of the soft draw.
    weights = lamina.tensor([1.0, -2.0, 0.5], dtype=lamina.float64)
    gradients = []
    for kind in (True, False):
        lamina.manual_seed(7)
        logits.grad = None
        (F.gumbel_softmax(logits, 0.5, hard=kind) * weights).sum().backward()
        gradients.append(logits.grad.numpy())
    np.testing.assert_array_equal(*gradients)
    assert np.abs(gradients[0]).max() > 0
    cold = F.gumbel_softmax(lamina.zeros(2, 3), tau=1e-3, dim=0)
    assert cold.detach().max(dim=0).values.tolist() == [1.0, 1.0, 1.0]


# -- losses ----------------------------------------------------------------------------------------


def test_second_derivatives_at_extreme_logits_are_finite():
    """An exponential of the side that was not chosen may overflow, but not reach the gradient."""
    for function in (F.elu, F.celu, F.selu, F.mish, F.softplus, F.logsigmoid, F.silu):
        x = lamina.tensor([-1e4, -100.0, 100.0, 1e4], dtype=lamina.float64, requires_grad=True)
        (g,) = lamina.autograd.grad(function(x).sum(), x, create_graph=True)
        if g.requires_grad:
            g.sum().backward()
            assert np.isfinite(x.grad.numpy()).all(), function
        assert np.isfinite(g.detach().numpy()).all(), function


def test_losses_of_extreme_logits():
    x = lamina.tensor([1e4, -1e4, 1e4, -1e4], requires_grad=True)
    t = lamina.tensor([1.0, 0.0, 0.0, 1.0])
    loss = F.binary_cross_entropy_with_logits(x, t, reduction="none")
    assert loss.tolist() == [0.0, 0.0, 1e4, 1e4]
    loss.sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 1.0, -1.0]
    p = lamina.tensor([1.0, 0.0, 0.0, 1.0])
    assert F.binary_cross_entropy(p, t, reduction="none").tolist() == [0.0, 0.0, 0.0, 0.0]
    assert F.binary_cross_entropy(1 - p, t, reduction="none").tolist() == [100.0] * 4
    assert F.soft_margin_loss(x, 1 - 2 * t, reduction="none").tolist() == [1e4, 1e4, 0.0, 0.0]


def test_a_small_variance_passes_its_gradient():
    """As in PyTorch: the clamp is a constant shift to backward."""
    var = lamina.tensor([1e-9], dtype=lamina.float64, requires_grad=True)
    x = lamina.tensor([2.0], dtype=lamina.float64)
    F.gaussian_nll_loss(x, x + 1, var, eps=0.5).backward()
    # d/dv of (log v + 1 / v) / 2 at 0.5
    np.testing.assert_allclose(var.grad.tolist(), [0.5 * (1 / 0.5 - 1 / 0.25)], rtol=1e-15)
    number = F.gaussian_nll_loss(x, x + 1, 0.25)
    np.testing.assert_allclose(number.item(), 0.5 * (np.log(0.25) + 4), rtol=1e-15)


# -- texts -----------------------------------------------------------------------------------------


def test_shared_text_is_in_every_docstring_once():
    for name in nn.__all__:
        cls = getattr(nn, name)
        if not isinstance(cls, type) or cls.__doc__ is None:
            continue
        doc = inspect.getdoc(cls)
        parameters = inspect.signature(cls).parameters
        for shared in ("reduction", "inplace"):
            if shared in parameters:
                assert doc.count(f"\n{shared} : ") == 1, name
        heads = [line for line in doc.split("\n") if line in ("Parameters", "Raises", "Examples")]
        assert len(heads) == len(set(heads)), name
        if name.endswith("Loss"):
            assert heads == ["Parameters", "Raises", "Examples"], name
