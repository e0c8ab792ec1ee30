"""`Sequential`, the lists and the dicts of modules and parameters."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict

import lamina
import pytest
from lamina import nn


def kinds(modules):
    return [type(module).__name__ for module in modules]


def test_sequential():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Tanh())
    assert len(model) == 3
    assert kinds(model) == ["Linear", "ReLU", "Tanh"]
    assert type(model[1:]) is nn.Sequential
    assert kinds(model[1:]) == ["ReLU", "Tanh"]
    assert list(model[1:]._modules) == ["1", "2"]
    assert model[:1][0] is model[0]
    assert model[-1] is model[2]
    assert model.append(nn.Sigmoid()) is model
    assert kinds(model)[3] == "Sigmoid"
    model.insert(1, nn.GELU()).extend([nn.Identity()])
    assert kinds(model) == ["Linear", "GELU", "ReLU", "Tanh", "Sigmoid", "Identity"]
    assert list(model._modules) == ["0", "1", "2", "3", "4", "5"]
    del model[1]
    assert list(model._modules) == ["0", "1", "2", "3", "4"]
    assert type(model.pop(-1)) is nn.Identity
    model[1] = nn.LeakyReLU()
    assert kinds(model) == ["Linear", "LeakyReLU", "Tanh", "Sigmoid"]
    del model[1:3]
    assert kinds(model) == ["Linear", "Sigmoid"]
    assert list(model._modules) == ["0", "1"]
    named = nn.Sequential(OrderedDict(inner=nn.Linear(2, 1), act=nn.ReLU()))
    assert list(named.state_dict()) == ["inner.weight", "inner.bias"]
    assert named[0] is named.inner


def test_sequential_calls_in_order():
    model = nn.Sequential(nn.Flatten(), nn.ReLU())
    x = lamina.tensor([[[-1.0, 2.0], [3.0, -4.0]]])
    assert model(x).tolist() == [[0.0, 2.0, 3.0, 0.0]]
    assert nn.Sequential()(x) is x


def test_module_list():
    layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(2))
    layers += [nn.ReLU()]
    assert kinds(layers) == ["Linear", "Linear", "ReLU"]
    assert list(layers.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert kinds(layers + nn.ModuleList([nn.Tanh()]))[3] == "Tanh"
    assert len(layers) == 3
    assert kinds(layers[::2]) == ["Linear", "ReLU"]
    with pytest.raises(NotImplementedError, match="ModuleList does not define forward"):
        layers(1)


@pytest.mark.parametrize(
    ("act", "error", "text"),
    [
        (lambda: nn.ModuleDict({"keys": nn.ReLU()}), KeyError, "the class has that attribute"),
        (lambda: nn.ModuleDict({"training": nn.ReLU()}), KeyError, "attribute exists already"),
        (lambda: nn.ModuleDict({"a.b": nn.ReLU()}), KeyError, r"must not be .* contain '\.'"),
        (lambda: nn.ModuleDict({1: nn.ReLU()}), TypeError, "name of a module must be a str, got i"),
        (lambda: nn.ModuleDict({"a": 3}), TypeError, "'a' must be a Module, got int"),
        (lambda: nn.ModuleDict(3), TypeError, "ModuleDict: expected a mapping or pairs.* got int"),
        (lambda: nn.ModuleDict([("a",)]), ValueError, "entry 0 must be a pair.*tuple of length 1"),
        (lambda: nn.ModuleDict()["a"], KeyError, "'a'"),
        (lambda: nn.ModuleDict().pop("a"), KeyError, "'a'"),
        (lambda: nn.ModuleDict()(1), NotImplementedError, "ModuleDict does not define forward"),
        (lambda: nn.ParameterList(3), TypeError, "expected an iterable of values, got int"),
        (lambda: nn.ParameterList(lamina.ones(2)), TypeError, "iterable of values, got Tensor"),
        (lambda: nn.ParameterList()[0], IndexError, r"index 0 is out of range for 0 value\(s\)"),
        (lambda: nn.ParameterList()["a"], TypeError, "integers or slices, got str"),
        (lambda: nn.ParameterList()(), RuntimeError, "ParameterList should not be called"),
        (lambda: nn.ParameterDict()(), RuntimeError, "ParameterDict should not be called"),
        (lambda: nn.ParameterDict({1: 2}), TypeError, "keys must be str, got int"),
        (lambda: nn.ParameterDict({"keys": 2}), KeyError, "the key 'keys' is taken by an attri"),
        (lambda: nn.ParameterDict({"a.b": lamina.ones(1)}), KeyError, r"contain '\.'"),
        (lambda: nn.ParameterDict().popitem(), KeyError, "the ParameterDict is empty"),
        (lambda: nn.Sequential() * 1.5, TypeError, "an integer number of times, not 1.5"),
        (lambda: nn.Sequential() * 0, ValueError, "repeats at least once, got 0"),
        (lambda: nn.Sequential() + 3, TypeError, "unsupported operand"),
    ],
)
def test_bad_use_of_containers(act, error, text):
    with pytest.raises(error, match=text):
        act()


def test_sequentials_join_and_repeat():
    relu, tanh = nn.ReLU(), nn.Tanh()
    both = nn.Sequential(relu) + nn.Sequential(tanh)
    assert [both[0], both[1]] == [relu, tanh]
    assert list(both * 2) == list(2 * both) == [relu, tanh, relu, tanh]
    both += nn.Sequential(nn.GELU())
    both *= 2
    assert kinds(both) == ["ReLU", "Tanh", "GELU"] * 2
    assert list(both._modules) == ["0", "1", "2", "3", "4", "5"]


def test_module_dict():
    heads = nn.ModuleDict({"b": nn.Linear(2, 1), "a": nn.ReLU()})
    assert list(heads) == list(heads.keys()) == ["b", "a"]
    assert "a" in heads
    assert "forward" not in heads
    assert list(heads.state_dict()) == ["b.weight", "b.bias"]
    heads["c"] = nn.Tanh()
    heads.update([("b", nn.GELU()), ("d", nn.Sigmoid())])
    assert kinds(heads.values()) == ["GELU", "ReLU", "Tanh", "Sigmoid"]
    assert [key for key, _ in heads.items()] == ["b", "a", "c", "d"]
    assert type(heads.pop("c")) is nn.Tanh
    del heads["d"]
    assert repr(heads) == "ModuleDict(\n  (b): GELU(approximate='none')\n  (a): ReLU()\n)"
    assert kinds(nn.ModuleDict(heads).values()) == ["GELU", "ReLU"]
    heads.clear()
    assert len(heads) == 0


def test_parameter_list():
    kept = nn.Parameter(lamina.ones(1))
    values = nn.ParameterList([lamina.ones(2, 3), kept])
    values += ["text"]
    assert [name for name, _ in values.named_parameters()] == ["0", "1"]
    assert values[1] is kept
    assert values[-1] == "text"
    assert [type(v) for v in values] == [nn.Parameter, nn.Parameter, str]
    values[0] = lamina.zeros(4)
    assert tuple(values[0].shape) == (4,)
    assert type(values[:2]) is nn.ParameterList
    assert len(values[:2]) == 2
    assert repr(values) == (
        "ParameterList(\n"
        "    (0): Parameter containing: [lamina.float32 of size 4]\n"
        "    (1): Parameter containing: [lamina.float32 of size 1]\n"
        "    (2): Object of type: str\n)"
    )
    assert list(values.double().state_dict()) == ["0", "1"]
    assert values[1] is kept
    assert kept.dtype == lamina.float64


def test_parameter_dict():
    values = nn.ParameterDict({"b": lamina.ones(1), "a": nn.Parameter(lamina.zeros(2))})
    assert [name for name, _ in values.named_parameters()] == ["b", "a"]
    assert (list(values), list(reversed(values)), len(values)) == (["b", "a"], ["a", "b"], 2)
    assert values.get("z") is None
    assert values.get("a") is values["a"] is dict(values.items())["a"]
    values.update({"n": 3})
    assert [name for name, _ in values.named_parameters()] == ["b", "a"]
    assert repr(values).split("\n")[3] == "    (n): Object of type: int"
    assert values.popitem() == ("n", 3)
    assert type(values.setdefault("c", lamina.ones(1))) is nn.Parameter
    joined = values | nn.ParameterDict({"d": lamina.ones(1)})
    assert list(joined) == ["b", "a", "c", "d"]
    assert joined["a"] is values.copy()["a"] is values["a"]
    values |= {"b": lamina.zeros(7)}
    assert tuple(values["b"].shape) == (7,)
    assert list(values.fromkeys(["u", "v"], lamina.ones(1))) == ["u", "v"]
    assert values.pop("b") is not None
    del values["c"]
    assert list(values.state_dict()) == ["a"]
    values.clear()
    assert list(values.parameters()) == []


@pytest.mark.parametrize("carry", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_of_containers(carry):
    model = nn.Module()
    model.heads = nn.ModuleDict({"a": nn.Linear(1, 1)})
    model.values = nn.ParameterList([lamina.ones(1)])
    model.named = nn.ParameterDict({"k": lamina.ones(1)})
    model.buffer = nn.Buffer(lamina.ones(1))
    model.hidden = nn.Buffer(lamina.ones(1), persistent=False)
    twin = carry(model)
    assert list(twin.state_dict()) == list(model.state_dict())
    assert [name for name, _ in twin.named_buffers()] == ["buffer", "hidden"]
    assert repr(twin) == repr(model)
    twin.values[0].data.fill_(9)
    assert model.values[0].item() == 1.0
    assert type(twin.buffer) is nn.Buffer
    assert not twin.hidden.persistent
