"""A Sequential runs its layers natively, activations included; nobody may see a difference."""

from __future__ import annotations

import copy
import pickle

import lamina
import pytest
from lamina import nn

ACTIVATIONS = [nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU]


def by_hand(model, x):
    for module in model:
        x = module(x)
    return x


def gradients(model, y):
    return lamina.autograd.grad((y * y).sum(), list(model.parameters()), retain_graph=True)


def names(y):
    """The ops of the graph of y, newest first, along its first inputs."""
    found, node = [], y.grad_fn
    while node is not None:
        found.append(node.name())
        node = node.next_functions[0][0] if node.next_functions else None
    return found


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("mode", [False, True])
def test_same_numbers_as_module_by_module(activation, norm, mode):
    lamina.manual_seed(0)
    layers = [nn.Linear(5, 4), *([nn.BatchNorm1d(4)] if norm else []), activation()]
    model = nn.Sequential(*layers, nn.Linear(4, 3), activation(), nn.Linear(3, 2)).train(mode)
    twin = copy.deepcopy(model)
    x = lamina.randn(6, 5)
    joined, apart = model(x), by_hand(twin, x)
    assert joined.tolist() == apart.tolist()
    pairs = zip(gradients(model, joined), gradients(twin, apart), strict=True)
    assert all(a.tolist() == b.tolist() for a, b in pairs)
    assert [b.tolist() for b in model.buffers()] == [b.tolist() for b in twin.buffers()]
    with lamina.no_grad():
        assert model(x).tolist() == by_hand(model, x).tolist()


def test_an_activation_is_part_of_its_layer():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2), nn.BatchNorm1d(2), nn.ReLU())
    assert names(model(lamina.randn(3, 3))) == ["batch_norm", "linear", "linear"]
    assert names(by_hand(model, lamina.randn(3, 3)))[:3] == ["relu", "batch_norm", "linear"]


def test_norms_run_natively_too():
    x = lamina.randn(2, 3, 4, 5)
    layers = [
        nn.LayerNorm(5),
        nn.ReLU(),
        nn.BatchNorm2d(3),
        nn.Tanh(),
        nn.LayerNorm((4, 5), bias=False),
    ]
    model = nn.Sequential(*layers)
    twin = copy.deepcopy(model)
    joined, apart = model(x), by_hand(twin, x)
    assert joined.tolist() == apart.tolist()
    pairs = zip(gradients(model, joined), gradients(twin, apart), strict=True)
    assert all(a.tolist() == b.tolist() for a, b in pairs)
    assert names(joined) == ["layer_norm", "batch_norm", "relu", "layer_norm"]
    with pytest.raises(ValueError, match=r"layer_norm: the input's last sizes(.|\n)*LayerNorm"):
        model(lamina.randn(2, 3, 4, 6))
    model[0].eps = 3  # not what the class makes of it: called as any other module
    assert (
        model[0](x).tolist()
        == nn.functional.layer_norm(x, (5,), layers[0].weight, layers[0].bias, 3).tolist()
    )
    assert model(x).tolist() == by_hand(model, x).tolist()


def test_hooks_are_called():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2), nn.Tanh())
    seen = []
    for place, module in enumerate(model):
        module.register_forward_hook(lambda m, a, y, place=place: seen.append((place, y.tolist())))
    x = lamina.randn(1, 2)
    model(x)
    assert [place for place, _ in seen] == [0, 1, 2, 3]
    assert seen[0][1] == nn.functional.linear(x, model[0].weight, model[0].bias).tolist()
    half = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    half[1].register_full_backward_hook(lambda m, gi, go: (gi[0] * 0,))
    half(x).sum().backward()
    assert half[0].weight.grad.tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_what_is_not_ours_is_called(monkeypatch):
    class Doubled(nn.Linear):
        def forward(self, input):
            return super().forward(input) * 2

    x = lamina.randn(3, 2)
    model = nn.Sequential(Doubled(2, 2), nn.ReLU())
    assert model(x).tolist() == by_hand(model, x).tolist()

    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    plain = model(x)
    model[0].forward = lambda x: x * 3  # of the instance
    assert model(x).tolist() == lamina.relu(x * 3).tolist()
    del model[0].forward
    assert model(x).tolist() == plain.tolist()

    monkeypatch.setattr(nn.Linear, "forward", lambda self, x: x * 5)  # of the class
    assert model(x).tolist() == lamina.relu(x * 5).tolist()
    monkeypatch.undo()
    assert model(x).tolist() == plain.tolist()

    called = []
    monkeypatch.setattr(nn.Module, "__call__", lambda self, x: called.append(self) or x)
    nn.Sequential.forward(model, x)
    assert called == list(model)


def test_settings_of_activations():
    x = lamina.randn(4, 3)
    model = nn.Sequential(nn.Linear(3, 3), nn.GELU(approximate="tanh"))
    wanted = nn.functional.gelu(model[0](x), approximate="tanh")
    assert model(x).tolist() == wanted.tolist()
    model = nn.Sequential(nn.Identity(), nn.ReLU(inplace=True))
    y = x.clone()
    assert model(y).tolist() == y.tolist() == lamina.relu(x).tolist()


def test_the_first_layer_may_be_an_activation_and_the_input_anything():
    x = lamina.randn(3)
    assert nn.Sequential(nn.Tanh(), nn.Sigmoid())(x).tolist() == x.tanh().sigmoid().tolist()

    class Length(nn.Module):
        def forward(self, text):
            return lamina.tensor([float(len(text))])

    assert nn.Sequential(Length(), nn.Linear(1, 1), nn.ReLU())("four").shape == (1,)
    assert nn.Sequential()(x) is x


def test_errors_name_the_layer():
    model = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Linear(3, 4), nn.Tanh()))
    with pytest.raises(ValueError, match=r"weight expects 3\n(.*\n)+  in     model.1.0"):
        model(lamina.ones(2, 5))
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(5), nn.ReLU())
    with pytest.raises(ValueError, match=r"(.*\n)+ *in +model.1 \(BatchNorm1d\)"):
        model(lamina.ones(2, 3))
    with pytest.raises(TypeError, match="relu: argument 'input' must be a Tensor"):
        nn.Sequential(nn.ReLU())("text")
    count = nn.Sequential(nn.BatchNorm1d(3), nn.ReLU())
    with pytest.raises(ValueError, match="expected 2D or 3D input, got 1D"):
        count(lamina.ones(3))
    assert count[0].num_batches_tracked.item() == 0


def test_parameters_that_are_gone_or_odd():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    model[0].bias = None
    x = lamina.randn(3, 2)
    assert model(x).tolist() == lamina.relu(x @ model[0].weight.T).tolist()
    del model[0].weight
    with pytest.raises(AttributeError, match="weight"):
        model(x)


def test_copies_and_pickles_run_the_same():
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    x = lamina.randn(4, 2)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other(x).tolist() == model(x).tolist()
        assert names(other(x)) == ["linear", "linear"]
