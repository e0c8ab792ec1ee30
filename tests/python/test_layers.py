"""The layers, activations and losses of `lamina.nn`, against NumPy."""

from __future__ import annotations

import lamina
import numpy as np
import pytest
from lamina import nn


def test_linear():
    lamina.manual_seed(0)
    linear = nn.Linear(100, 400)
    assert tuple(linear.weight.shape) == (400, 100)
    assert tuple(linear.bias.shape) == (400,)
    for parameter in (linear.weight, linear.bias):  # uniform in +-1/sqrt(100)
        values = np.array(parameter.tolist())
        assert np.abs(values).max() <= 0.1
        assert abs(values.std() - 0.1 / np.sqrt(3)) < 0.006
        assert abs(values.mean()) < 0.015
    assert nn.Linear(2, 1, bias=False).bias is None
    assert nn.Linear(2, 1, dtype=lamina.float64).weight.dtype == lamina.float64
    assert nn.Linear(0, 2).bias.tolist() == [0.0, 0.0]
    x = np.random.default_rng(0).normal(size=(2, 3, 100))
    wide = nn.Linear(100, 5, dtype=lamina.float64)
    expected = x @ np.array(wide.weight.tolist()).T + np.array(wide.bias.tolist())
    result = wide(lamina.tensor(x.tolist(), dtype=lamina.float64))
    np.testing.assert_allclose(result.tolist(), expected, rtol=1e-13, atol=1e-13)


def batch_norm_reference(x, mean, var, weight, bias, eps=1e-5):
    shape = (1, -1) + (1,) * (x.ndim - 2)
    mean, var, weight, bias = (np.asarray(v).reshape(shape) for v in (mean, var, weight, bias))
    return (x - mean) / np.sqrt(var + eps) * weight + bias


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5), (2, 3, 4, 2)])
@pytest.mark.parametrize("momentum", [0.1, 0.4, None])
def test_batch_norm(shape, momentum):
    rng = np.random.default_rng(1)
    cls = nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d
    norm = cls(3, momentum=momentum, dtype=lamina.float64)
    weight, bias = rng.normal(size=3), rng.normal(size=3)
    norm.weight.data.copy_(lamina.tensor(weight.tolist()))
    norm.bias.data.copy_(lamina.tensor(bias.tolist()))
    weight, bias = np.array(norm.weight.tolist()), np.array(norm.bias.tolist())
    axes = (0, 2, 3)[: len(shape) - 1]
    mean, var = np.zeros(3), np.ones(3)
    for count in range(1, 4):
        x = rng.normal(2.0, 3.0, size=shape)
        y = norm(lamina.tensor(x.tolist(), dtype=lamina.float64))
        expected = batch_norm_reference(x, x.mean(axes), x.var(axes), weight, bias)
        np.testing.assert_allclose(y.tolist(), expected, rtol=1e-12, atol=1e-12)
        share = 1 / count if momentum is None else momentum
        mean = (1 - share) * mean + share * x.mean(axes)
        var = (1 - share) * var + share * x.var(axes, ddof=1)
        np.testing.assert_allclose(norm.running_mean.tolist(), mean, rtol=1e-12)
        np.testing.assert_allclose(norm.running_var.tolist(), var, rtol=1e-12)
        assert norm.num_batches_tracked.item() == count
    norm.eval()
    y = norm(lamina.tensor(x.tolist(), dtype=lamina.float64))
    expected = batch_norm_reference(x, mean, var, weight, bias)
    np.testing.assert_allclose(y.tolist(), expected, rtol=1e-12, atol=1e-12)
    assert norm.num_batches_tracked.item() == 3
    norm.reset_parameters()
    assert norm.running_mean.tolist() == [0, 0, 0]
    assert norm.running_var.tolist() == [1, 1, 1]
    assert norm.weight.tolist() == [1, 1, 1]
    assert norm.num_batches_tracked.item() == 0


@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 3, 4, 2), (3, 5)])
def test_instance_norm_running_statistics(shape):
    rng = np.random.default_rng(3)
    cls = nn.InstanceNorm2d if len(shape) == 4 else nn.InstanceNorm1d
    norm = cls(3, momentum=0.3, track_running_stats=True, dtype=lamina.float64)
    batched = shape if len(shape) > 2 else (1, *shape)
    axes = tuple(range(2, len(batched)))
    mean, var = np.zeros(3), np.ones(3)
    for _ in range(3):
        x = rng.normal(2.0, 3.0, size=batched)
        norm(lamina.tensor(x.reshape(shape).tolist(), dtype=lamina.float64))
        mean = 0.7 * mean + 0.3 * x.mean(axes).mean(0)  # the samples' own, averaged
        var = 0.7 * var + 0.3 * x.var(axes, ddof=1).mean(0)
        np.testing.assert_allclose(norm.running_mean.tolist(), mean, rtol=1e-12)
        np.testing.assert_allclose(norm.running_var.tolist(), var, rtol=1e-12)
    assert norm.num_batches_tracked.item() == 0  # PyTorch does not count them either
    y = norm.eval()(lamina.tensor(x.reshape(shape).tolist(), dtype=lamina.float64))
    expected = batch_norm_reference(x, mean, var, np.ones(3), np.zeros(3)).reshape(shape)
    np.testing.assert_allclose(y.tolist(), expected, rtol=1e-12, atol=1e-12)
    same = cls(3, track_running_stats=True, dtype=lamina.float64)
    same.load_state_dict(norm.state_dict())
    np.testing.assert_array_equal(same.running_var.numpy(), norm.running_var.numpy())


def test_instance_norm_of_other_channels():
    norm = nn.InstanceNorm1d(4)
    with pytest.warns(UserWarning, match=r"InstanceNorm1d: the input has 3 channels"):
        assert norm(lamina.randn(2, 3, 5)).shape == (2, 3, 5)


def test_rms_norm_epsilon_is_the_dtypes():
    for dtype in (lamina.float32, lamina.float64):
        tiny = lamina.full((4,), lamina.finfo(dtype).eps ** 0.5, dtype=dtype)
        # mean(x^2) is eps: half of what is under the root.
        np.testing.assert_allclose(nn.RMSNorm(4, dtype=dtype)(tiny).tolist(), 0.5**0.5, rtol=1e-6)


def test_batch_norm_variants():
    bare = nn.BatchNorm1d(2, affine=False, track_running_stats=False)
    assert list(bare.state_dict()) == []
    assert bare.weight is None
    assert bare.running_mean is None
    x = lamina.tensor([[1.0, 10.0], [3.0, 30.0]])
    bare.eval()  # without running statistics every mode uses the batch's
    np.testing.assert_allclose(bare(x).tolist(), [[-1, -1], [1, 1]], atol=1e-4)
    one = nn.BatchNorm1d(2)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        one(x[:1])
    assert one.eval()(x[:1]).shape == (1, 2)
    assert tuple(nn.BatchNorm1d(2)(lamina.ones(1, 2, 3)).shape) == (1, 2, 3)
    with pytest.raises(
        ValueError, match=r"expected 2D or 3D input, got 4D\n  input  \[1, 2, 3, 4\]"
    ):
        one(lamina.ones(1, 2, 3, 4))


def test_dropout():
    lamina.manual_seed(0)
    x = lamina.ones(100, 100)
    dropout = nn.Dropout(0.3)
    y = np.array(dropout(x).tolist())
    assert set(np.unique(y)) == {0.0, np.float32(1 / 0.7)}
    # 10,000 draws: the share has a standard deviation of 0.0046
    assert abs((y == 0).mean() - 0.3) < 0.02
    dropout.eval()
    assert dropout(x) is x
    inplace = lamina.ones(8)
    assert nn.Dropout(1.0, inplace=True)(inplace) is inplace
    assert inplace.tolist() == [0.0] * 8


def erf(values):
    from scipy.special import erf as function

    return function(values)


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (nn.ReLU(), lambda x: np.maximum(x, 0)),
        (nn.LeakyReLU(), lambda x: np.where(x > 0, x, 0.01 * x)),
        (nn.LeakyReLU(0.3), lambda x: np.where(x > 0, x, 0.3 * x)),
        (nn.Sigmoid(), lambda x: 1 / (1 + np.exp(-x))),
        (nn.Tanh(), np.tanh),
        (nn.GELU(), lambda x: x / 2 * (1 + erf(x / np.sqrt(2)))),
        (
            nn.GELU("tanh"),
            lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
        ),
        (nn.Softmax(dim=0), lambda x: np.exp(x) / np.exp(x).sum(0)),
        (nn.LogSoftmax(dim=1), lambda x: x - np.log(np.exp(x).sum(1, keepdims=True))),
        (nn.Identity(), lambda x: x),
        (nn.Flatten(0), lambda x: x.ravel()),
    ],
)
def test_activations(module, expected):
    x = np.random.default_rng(2).normal(scale=2, size=(4, 5))
    result = module(lamina.tensor(x.tolist(), dtype=lamina.float64))
    np.testing.assert_allclose(result.tolist(), expected(x), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("module", [nn.ReLU(inplace=True), nn.LeakyReLU(0.5, inplace=True)])
def test_inplace_activations(module):
    slope = getattr(module, "negative_slope", 0.0)
    x = lamina.tensor([-2.0, 3.0], requires_grad=True)
    hidden = x * 1
    assert module(hidden) is hidden
    assert hidden.tolist() == [-2.0 * slope, 3.0]
    (hidden * hidden).sum().backward()
    assert x.grad.tolist() == [2 * -2.0 * slope * slope, 6.0]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses(reduction):
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(5, 4)), rng.uniform(size=(5, 4))
    classes = [0, 3, 1, 2, 3]
    weight = np.array([0.5, 1.0, 2.0, 0.25])
    reduce = {"mean": np.mean, "sum": np.sum, "none": lambda v: v}[reduction]

    def tensor(values):
        return lamina.tensor(np.asarray(values).tolist(), dtype=lamina.float64)

    def check(loss, expected, target):
        result = loss(tensor(x), target)
        np.testing.assert_allclose(result.tolist(), expected, rtol=1e-12)

    check(nn.MSELoss(reduction=reduction), reduce((x - y) ** 2), tensor(y))
    check(nn.L1Loss(reduction=reduction), reduce(np.abs(x - y)), tensor(y))
    s = 1 / (1 + np.exp(-x))
    bce = -(y * np.log(s) + (1 - y) * np.log(1 - s))
    check(nn.BCEWithLogitsLoss(reduction=reduction), reduce(bce), tensor(y))
    weighted = -weight * (2 * weight * y * np.log(s) + (1 - y) * np.log(1 - s))
    check(
        nn.BCEWithLogitsLoss(tensor(weight), pos_weight=tensor(2 * weight), reduction=reduction),
        reduce(weighted),
        tensor(y),
    )

    log_p = x - np.log(np.exp(x).sum(1, keepdims=True))
    picked = -log_p[range(5), classes]
    target = lamina.tensor(classes)
    check(nn.CrossEntropyLoss(reduction=reduction), reduce(picked), target)
    w = weight[classes]
    weighted_mean = {"mean": (w * picked).sum() / w.sum(), "sum": (w * picked).sum()}
    expected = weighted_mean.get(reduction, w * picked)
    check(nn.CrossEntropyLoss(tensor(weight), reduction=reduction), expected, target)
    nll = nn.NLLLoss(tensor(weight), reduction=reduction)
    check(lambda logits, t: nll(nn.LogSoftmax(1)(logits), t), expected, target)
    kept = np.array([c != 3 for c in classes])
    ignoring = {"mean": picked[kept].mean(), "sum": picked[kept].sum()}
    check(
        nn.CrossEntropyLoss(ignore_index=3, reduction=reduction),
        ignoring.get(reduction, picked * kept),
        target,
    )
    smooth = 0.8 * picked + 0.2 * -log_p.mean(1)
    check(nn.CrossEntropyLoss(label_smoothing=0.2, reduction=reduction), reduce(smooth), target)


@pytest.mark.parametrize("loss", [nn.MSELoss(), nn.L1Loss(), nn.BCEWithLogitsLoss()])
def test_losses_do_not_broadcast(loss):
    """[N, 1] against [N] would silently compare every pair."""
    with pytest.raises(ValueError, match=r"\[3, 1\]"):
        loss(lamina.zeros(3, 1), lamina.zeros(3))


def test_loss_weights_are_buffers():
    loss = nn.CrossEntropyLoss(lamina.ones(3))
    assert list(loss.state_dict()) == ["weight"]
    assert list(loss.parameters()) == []
    both = nn.BCEWithLogitsLoss(lamina.ones(1), pos_weight=lamina.ones(1))
    assert list(both.state_dict()) == ["weight", "pos_weight"]
    assert loss.double().weight.dtype == lamina.float64
