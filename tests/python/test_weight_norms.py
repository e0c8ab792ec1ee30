"""Weights in other forms: weight norm, spectral norm, and batch norm folded into a layer."""

from __future__ import annotations

import copy
import pickle

import lamina
import numpy as np
import pytest
from lamina import nn
from lamina.autograd import gradcheck
from lamina.nn import utils

RNG = np.random.default_rng(0)
WEIGHT = RNG.normal(size=(4, 3))
INPUT = RNG.normal(size=(5, 3))


def linear():
    made = nn.Linear(3, 4).double()
    made.weight.data.copy_(lamina.tensor(WEIGHT))
    return made


def close(tensor, want, rtol=1e-12):
    np.testing.assert_allclose(tensor.detach().numpy(), want, rtol=rtol, atol=1e-14)


# -- weight norm ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dim", "axes"), [(0, (1,)), (1, (0,)), (-2, (1,)), (None, None), (-1, None)]
)
def test_weight_norm(dim, axes):
    layer = linear()
    before = layer(lamina.tensor(INPUT))
    assert utils.weight_norm(layer, dim=dim) is layer
    assert list(layer.state_dict()) == ["bias", "weight_g", "weight_v"]
    assert [name for name, _ in layer.named_parameters()] == ["bias", "weight_g", "weight_v"]
    length = np.sqrt((WEIGHT**2).sum(axes, keepdims=axes is not None))
    assert tuple(layer.weight_g.shape) == np.shape(length)
    close(layer.weight_g, length)
    close(layer.weight_v, WEIGHT)
    close(layer(lamina.tensor(INPUT)), before.detach().numpy())
    layer.weight_g.data.fill_(2.0)
    close(layer(lamina.tensor(INPUT)), INPUT @ (2 * WEIGHT / length).T + layer.bias.tolist())
    utils.remove_weight_norm(layer)
    assert list(layer.state_dict()) == ["bias", "weight"]
    close(layer.weight, 2 * WEIGHT / length)
    assert layer._hooks is None


def test_the_gradients_of_weight_norm():
    layer = utils.weight_norm(linear())
    x = lamina.tensor(INPUT)

    def call(g, v):
        layer.weight_g.data, layer.weight_v.data = g.detach(), v.detach()
        law = type(layer._hooks.before[min(layer._hooks.before)][0])("weight", 0)
        module = nn.Module()
        module.weight_g, module.weight_v = None, None
        module.__dict__.update(weight_g=g, weight_v=v)
        return nn.functional.linear(x, law.compute(module), layer.bias)

    inputs = [p.detach().clone().requires_grad_() for p in (layer.weight_g, layer.weight_v)]
    assert gradcheck(call, inputs)
    layer(x).square().sum().backward()
    # The weight does not change with the length of v: the gradient is orthogonal to it.
    close((layer.weight_v.grad * layer.weight_v).sum(1) + 1.0, np.ones(4), rtol=1e-10)
    assert layer.weight_g.grad is not None


@pytest.mark.parametrize("wrap", [utils.weight_norm, utils.spectral_norm])
def test_a_normed_module_is_copied_and_pickled_even_after_a_call(wrap):
    model = nn.Sequential(wrap(linear()), nn.ReLU())
    x = lamina.tensor(INPUT)
    model(x).sum().backward()
    assert not model[0].weight.requires_grad  # the graph is let go after the call
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        twin.eval()
        close(twin(x), model.eval()(x).detach().numpy())
        name = next(name for name, _ in twin[0].named_parameters() if name != "bias")
        before = model[0].weight.tolist()
        getattr(twin[0], name).data[0, 0] += 1.0
        twin(x)  # its own hook computes from its own parameter
        assert twin[0].weight.tolist() != before
        model(x)
        assert model[0].weight.tolist() == before
        getattr(utils, f"remove_{wrap.__name__}")(twin[0])
        assert list(twin.state_dict()) == ["0.bias", "0.weight"]


def test_one_step_moves_both_parts():
    layer = utils.weight_norm(linear())
    optimizer = lamina.optim.SGD(layer.parameters(), lr=0.1)
    x = lamina.tensor(INPUT)
    first = layer(x).square().mean()
    first.backward()
    optimizer.step()
    assert layer(x).square().mean().item() < first.item()


def test_pytorchs_newer_names_are_loaded():
    source, target = utils.weight_norm(linear()), utils.weight_norm(nn.Linear(3, 4).double())
    state = {
        "0.bias": source.bias.detach(),
        "0.parametrizations.weight.original0": source.weight_g.detach(),
        "0.parametrizations.weight.original1": source.weight_v.detach(),
    }
    assert nn.Sequential(target).load_state_dict(state) == ([], [])
    close(target(lamina.tensor(INPUT)), source(lamina.tensor(INPUT)).detach().numpy())
    source = utils.spectral_norm(linear())
    target = utils.spectral_norm(nn.Linear(3, 4).double())
    state = {
        "bias": source.bias.detach(),
        "parametrizations.weight.original": source.weight_orig.detach(),
        "parametrizations.weight.0._u": source.weight_u,
        "parametrizations.weight.0._v": source.weight_v,
    }
    target.load_state_dict(state)
    close(target.eval()(lamina.tensor(INPUT)), source.eval()(lamina.tensor(INPUT)).detach().numpy())


# -- spectral norm -------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [None, 0, 1])
def test_spectral_norm_iterates_towards_the_largest_singular_value(dim):
    layer = utils.spectral_norm(linear(), n_power_iterations=3, dim=dim)
    assert list(layer.state_dict()) == ["bias", "weight_orig", "weight_u", "weight_v"]
    matrix = WEIGHT.T if dim == 1 else WEIGHT
    assert tuple(layer.weight_u.shape) == matrix.shape[:1]
    u, v = layer.weight_u.numpy().copy(), layer.weight_v.numpy().copy()
    close(lamina.tensor([np.linalg.norm(u), np.linalg.norm(v)]), np.ones(2), rtol=1e-12)
    for _ in range(3):
        v = matrix.T @ u / np.linalg.norm(matrix.T @ u)
        u = matrix @ v / np.linalg.norm(matrix @ v)
    y = layer(lamina.tensor(INPUT))
    close(layer.weight_u, u)
    close(layer.weight_v, v)
    close(y, INPUT @ (WEIGHT / (u @ matrix @ v)).T + layer.bias.tolist())
    for _ in range(50):
        layer(lamina.tensor(INPUT))
    # Each iteration shrinks the error by the square of the ratio of the two largest values.
    largest, second = np.linalg.svd(matrix)[1][:2]
    assert (second / largest) ** 300 < 1e-12
    close(layer.weight, WEIGHT / largest, rtol=1e-9)
    before = layer.weight_u.tolist()
    layer.eval()(lamina.tensor(INPUT))
    assert layer.weight_u.tolist() == before
    utils.remove_spectral_norm(layer)
    assert list(layer.state_dict()) == ["bias", "weight"]
    close(layer.weight, WEIGHT / largest, rtol=1e-9)


def test_the_gradient_of_spectral_norm():
    layer = utils.spectral_norm(linear()).eval()
    u, v = layer.weight_u.numpy(), layer.weight_v.numpy()
    x = lamina.tensor(INPUT)
    layer(x).sum().backward()
    # d/dW of sum(x W^T / s) with s = u W v: the two sides of a quotient.
    s = u @ WEIGHT @ v
    outer = np.ones((4, 1)) * INPUT.sum(0)
    want = outer / s - (outer * WEIGHT).sum() / s**2 * np.outer(u, v)
    close(layer.weight_orig.grad, want, rtol=1e-10)
    two = layer.train()(x).sum() + layer(x).sum()  # the second iterates before the first's backward
    two.backward()


def test_a_matrix_of_a_weight_with_more_dimensions():
    class Bank(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(lamina.tensor(RNG.normal(size=(4, 3, 2))))

        def forward(self):
            return self.weight * 1

    bank = utils.spectral_norm(Bank(), n_power_iterations=60)
    matrix = bank.weight_orig.detach().numpy().reshape(4, 6)
    close(bank(), matrix.reshape(4, 3, 2) / np.linalg.svd(matrix)[1][0], rtol=1e-6)
    assert tuple(bank.weight_v.shape) == (6,)


@pytest.mark.parametrize(
    ("act", "error", "text"),
    [
        (lambda: utils.weight_norm(nn.ReLU()), ValueError, r"ReLU has no parameter 'weight'; it h"),
        (lambda: utils.weight_norm(linear(), "w"), ValueError, r"it has \['weight', 'bias'\]"),
        (lambda: utils.weight_norm(linear(), dim=2), IndexError, "dim 2 is out of range for 2 dim"),
        (
            lambda: utils.spectral_norm(utils.weight_norm(linear())),
            RuntimeError,
            "spectral_norm: 'weight' of this Linear has weight_norm already",
        ),
        (lambda: utils.remove_weight_norm(linear()), ValueError, "Linear has no weight_norm on 'w"),
        (lambda: utils.remove_spectral_norm(linear()), ValueError, "no spectral_norm on 'weight'"),
        (
            lambda: utils.spectral_norm(linear(), n_power_iterations=0),
            ValueError,
            "n_power_iterations must be positive, got 0",
        ),
        (lambda: utils.spectral_norm(linear(), dim=5), IndexError, "dim 5 is out of range"),
        (
            lambda: utils.fuse_linear_bn_eval(linear(), nn.BatchNorm1d(4)),
            ValueError,
            r"must be in evaluation mode; call eval\(\) first",
        ),
        (
            lambda: utils.fuse_linear_bn_eval(linear().eval(), nn.BatchNorm1d(3).eval()),
            ValueError,
            "the layer gives 4 channels, the norm has 3",
        ),
        (lambda: utils.weigth_norm, AttributeError, "has no 'weigth_norm'.*nearest: weight_norm"),
    ],
)
def test_bad_use(act, error, text):
    with pytest.raises(error, match=text):
        act()


# -- batch norm folded into a layer --------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_a_linear_with_its_batch_norm(bias, affine):
    layer = nn.Linear(3, 4, bias=bias).double()
    norm = nn.BatchNorm1d(4, affine=affine).double()
    for value in [*norm.parameters(), norm.running_mean, norm.running_var]:
        value.data.copy_(lamina.tensor(RNG.uniform(0.5, 2, 4)))
    both = nn.Sequential(layer, norm).eval()
    before = layer.weight.tolist()
    one = utils.fuse_linear_bn_eval(layer, norm)
    assert type(one) is nn.Linear
    assert layer.weight.tolist() == before
    close(one(lamina.tensor(INPUT)), both(lamina.tensor(INPUT)).detach().numpy(), rtol=1e-11)


def test_a_convolution_with_its_batch_norm():
    if not hasattr(nn, "Conv2d"):
        pytest.skip("needs nn.Conv2d")
    conv = nn.Conv2d(4, 6, 3, groups=2).double()
    norm = nn.BatchNorm2d(6).double()
    for value in [*norm.parameters(), norm.running_mean, norm.running_var]:
        value.data.copy_(lamina.tensor(RNG.uniform(0.5, 2, 6)))
    both = nn.Sequential(conv, norm).eval()
    x = lamina.tensor(RNG.normal(size=(2, 4, 5, 5)))
    close(utils.fuse_conv_bn_eval(conv, norm)(x), both(x).detach().numpy(), rtol=1e-10)
