"""`lamina.nn.Module`: names, modes, copies and texts."""

from __future__ import annotations

import copy
import pickle

import lamina
import pytest
from lamina import nn


class Block(nn.Module):
    """A parameter, buffers and children, in an order that is not alphabetical."""

    def __init__(self):
        super().__init__()
        self.second = nn.Linear(3, 2)
        self.scale = nn.Parameter(lamina.ones(3))
        self.register_buffer("seen", lamina.zeros(1))
        self.register_buffer("cache", lamina.zeros(1), persistent=False)
        self.register_parameter("offset", None)
        self.first = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.ReLU())

    def forward(self, x):
        return self.second(self.first(x * self.scale))


STATE_KEYS = [
    "scale",
    "seen",
    "second.weight",
    "second.bias",
    "first.0.weight",
    "first.0.bias",
    "first.1.weight",
    "first.1.bias",
    "first.1.running_mean",
    "first.1.running_var",
    "first.1.num_batches_tracked",
]


# -- names -------------------------------------------------------------------------------------


def test_names_come_in_pytorchs_order():
    model = Block()
    assert list(model.state_dict()) == STATE_KEYS
    assert [name for name, _ in model.named_parameters()] == [
        "scale",
        "second.weight",
        "second.bias",
        "first.0.weight",
        "first.0.bias",
        "first.1.weight",
        "first.1.bias",
    ]
    assert [name for name, _ in model.named_parameters("m", recurse=False)] == ["m.scale"]
    assert [name for name, _ in model.named_buffers()] == [
        "seen",
        "cache",
        "first.1.running_mean",
        "first.1.running_var",
        "first.1.num_batches_tracked",
    ]
    assert [name for name, _ in model.named_modules()] == [
        "",
        "second",
        "first",
        "first.0",
        "first.1",
        "first.2",
    ]
    assert [name for name, _ in model.named_children()] == ["second", "first"]
    assert list(model.children()) == [model.second, model.first]
    assert len(list(model.modules())) == 6
    assert len(list(model.parameters())) == 7
    assert len(list(model.buffers())) == 5


def test_what_is_shared_is_listed_once_but_saved_under_all_its_names():
    linear = nn.Linear(2, 2)
    model = nn.Sequential(linear, nn.Tanh(), linear)
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias"]
    assert [name for name, _ in model.named_modules()] == ["", "0", "1"]
    assert [name for name, _ in model.named_modules(remove_duplicate=False)] == ["", "0", "1", "2"]
    assert len(list(model.named_parameters(remove_duplicate=False))) == 4
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    tied = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    tied[1].weight = tied[0].weight
    assert [name for name, _ in tied.named_parameters()] == ["0.weight", "0.bias", "1.bias"]


def test_attributes_are_ordinary_until_they_are_not():
    model = nn.Module()
    model.x = 3
    model.x = nn.Parameter(lamina.zeros(1))
    assert [name for name, _ in model.named_parameters()] == ["x"]
    model.x = nn.Linear(1, 1)
    assert [name for name, _ in model.named_children()] == ["x"]
    assert list(model.state_dict()) == ["x.weight", "x.bias"]
    model.y = nn.Parameter(lamina.zeros(1))
    del model.x
    assert list(model.state_dict()) == ["y"]
    assert not hasattr(model, "x")
    model.y = None
    assert list(model.parameters()) == []
    assert model.y is None
    model.y = nn.Parameter(lamina.ones(1))  # the place was kept
    assert list(model.state_dict()) == ["y"]
    assert model.__dict__["y"] is model.y  # no detour on the way to a parameter


def test_the_registries_can_be_read_but_not_written():
    model = Block()
    assert list(model._parameters) == ["scale", "offset"]
    assert model._parameters["offset"] is None
    assert list(model._buffers) == ["seen", "cache"]
    assert model._modules["second"] is model.second
    with pytest.raises(TypeError):
        model._parameters["scale"] = None


def test_get_submodule():
    model = Block()
    assert model.get_submodule("first.1") is model.first[1]
    assert model.get_submodule("") is model
    with pytest.raises(AttributeError, match=r"Sequential has no module '7' .*'first.7'"):
        model.get_submodule("first.7")
    with pytest.raises(AttributeError, match="Block has no module 'scale'"):
        model.get_submodule("scale")


def test_get_parameter_and_get_buffer():
    model = Block()
    assert model.get_parameter("first.1.weight") is model.first[1].weight
    assert model.get_buffer("first.1.running_mean") is model.first[1].running_mean
    assert model.get_buffer("cache") is model.cache
    for path in ("seen", "offset", "first", "first.1.gone"):
        with pytest.raises(AttributeError, match=rf"has no parameter .*for '{path}'"):
            model.get_parameter(path)
    with pytest.raises(AttributeError, match="get_buffer: Block has no buffer 'scale'"):
        model.get_buffer("scale")
    with pytest.raises(AttributeError, match="has no module 'gone'"):
        model.get_buffer("gone.x")


def test_set_submodule():
    model = Block()
    tanh, relu = nn.Tanh(), nn.ReLU()
    model.set_submodule("first.1", tanh)
    assert model.first[1] is tanh
    model.set_submodule("third", relu)
    assert model.third is relu
    for path, text in (("fourth", "no module 'fourth'"), ("first.9", "no module '9'")):
        with pytest.raises(AttributeError, match=text):
            model.set_submodule(path, relu, strict=True)
    with pytest.raises(AttributeError, match="no module 'gone'"):
        model.set_submodule("gone.x", relu)
    with pytest.raises(ValueError, match="needs a path and a Module, got '' and ReLU"):
        model.set_submodule("", relu)
    with pytest.raises(ValueError, match="needs a path and a Module, got 'first' and int"):
        model.set_submodule("first", 3)


def test_dir_leaves_out_what_is_no_identifier():
    model = nn.Sequential(nn.Linear(1, 1))
    model.extra = nn.Parameter(lamina.ones(1))
    names = dir(model)
    assert "extra" in names
    assert "forward" in names
    assert "0" not in names


def test_buffer():
    model = nn.Module()
    data = lamina.zeros(2)
    model.kept = nn.Buffer(data)
    model.hidden = nn.Buffer(lamina.ones(1), persistent=False)
    assert list(model.state_dict()) == ["kept"]
    assert [name for name, _ in model.named_buffers()] == ["kept", "hidden"]
    data.fill_(3)
    assert model.kept.tolist() == [3.0, 3.0]  # shared, not copied
    model.kept = lamina.ones(3)  # the name stays a buffer's
    assert model.state_dict()["kept"].tolist() == [1.0, 1.0, 1.0]
    model.hidden = nn.Buffer(lamina.ones(1))
    assert list(model.state_dict()) == ["kept", "hidden"]
    model.hidden = nn.Parameter(lamina.ones(1))
    assert [name for name, _ in model.named_buffers()] == ["kept"]
    assert tuple(nn.Buffer().shape) == (0,)
    assert not nn.Buffer(data).requires_grad
    with pytest.raises(TypeError, match="Buffer: data must be a Tensor, got int"):
        nn.Buffer(3)
    with pytest.raises(TypeError, match="cannot assign a Buffer to parameter 'weight'"):
        nn.Linear(1, 1).weight = nn.Buffer(data)


def test_compile_changes_nothing():
    model = nn.Linear(2, 1)
    assert model.compile(mode="default") is None
    assert model(lamina.ones(1, 2)).shape == (1, 1)
    with pytest.raises(TypeError, match="compile: no option 'mod'"):
        model.compile(mod="default")


@pytest.mark.parametrize(
    ("act", "error", "text"),
    [
        (lambda m: setattr(m, "scale", 3), TypeError, "a int to parameter 'scale' .Parameter or N"),
        (lambda m: setattr(m, "scale", lamina.ones(3)), TypeError, "to parameter 'scale'"),
        (lambda m: setattr(m, "seen", 3), TypeError, "a int to buffer 'seen' .Tensor or None"),
        (lambda m: setattr(m, "first", 3), TypeError, "a int to module 'first' .Module or None"),
        (lambda m: m.register_buffer("a.b", None), KeyError, "not be empty or contain '.'"),
        (lambda m: m.register_buffer("", None), KeyError, "not be empty or contain '.'"),
        (lambda m: m.register_buffer("first", None), KeyError, "attribute exists already"),
        (lambda m: m.register_buffer("train", None), KeyError, "the class has that attribute"),
        (lambda m: m.register_buffer("b", 3), TypeError, "'b' must be a Tensor or None, got int"),
        (lambda m: m.register_parameter("p", lamina.ones(1)), TypeError, "'p' must be a Parameter"),
        (lambda m: m.add_module("m", 3), TypeError, "'m' must be a Module, got int"),
        (lambda m: setattr(m, "children", nn.ReLU()), KeyError, "the class has that attribute"),
        (lambda m: m.train("yes"), ValueError, "mode must be a bool, got 'yes'"),
        (lambda m: m.to(lamina.int64), TypeError, "needs a floating point dtype, got .*int64"),
        (lambda m: nn.Parameter(3), TypeError, "data must be a Tensor, got int"),
        (lambda m: m.load_state_dict(3), TypeError, "expected a mapping, got int"),
        (lambda m: nn.Module()(1), NotImplementedError, r"Module does not define forward\(\)"),
        (lambda m: nn.Sequential(nn.ReLU(), abs), TypeError, "module '1' must be a Module"),
        (lambda m: nn.ModuleList([abs]), TypeError, "must be a Module, got builtin"),
        (lambda m: m.first[3], IndexError, r"index 3 is out of range for 3 module\(s\)"),
        (lambda m: m.first["a"], TypeError, "indices are integers or slices, got str"),
        (lambda m: m.first.insert(5, nn.ReLU()), IndexError, "index 5 is out of range"),
        (lambda m: nn.Dropout(1.5), ValueError, r"Dropout: p must be in \[0, 1\], got 1.5"),
        (lambda m: nn.GELU("erf"), ValueError, "approximate must be 'none' or 'tanh', got 'erf'"),
        (lambda m: nn.MSELoss(reduction="avg"), ValueError, "MSELoss: reduction must be 'none'"),
        (
            lambda m: nn.CrossEntropyLoss(label_smoothing=2),
            ValueError,
            "label_smoothing must be in",
        ),
    ],
)
def test_bad_use(act, error, text):
    with pytest.raises(error, match=text):
        act(Block())


def test_assigning_before_init():
    class Early(nn.Module):
        def __init__(self):
            self.linear = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match=r"'linear' before Module.__init__\(\) was called"):
        Early()


# -- modes and conversions -----------------------------------------------------------------------


def test_train_eval_apply_requires_grad():
    model = Block()
    assert model.eval() is model
    assert not any(module.training for module in model.modules())
    model.first.train()
    assert [m.training for m in model.modules()] == [False, False, True, True, True, True]
    visited = []
    assert model.apply(lambda module: visited.append(module)) is model
    first = model.first
    assert visited == [model.second, *first, first, model]
    assert model.requires_grad_(False) is model
    assert not any(p.requires_grad for p in model.parameters())


def test_zero_grad():
    model = nn.Linear(2, 1)
    model(lamina.ones(1, 2)).sum().backward()
    model.zero_grad(set_to_none=False)
    assert model.weight.grad.tolist() == [[0.0, 0.0]]
    model.zero_grad()
    assert model.weight.grad is None
    assert model.bias.grad is None


def test_conversions_keep_identity_and_integers():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    weight = model[0].weight
    values = weight.tolist()
    model(lamina.tensor([[1.0, 2.0], [3.0, 5.0]])).sum().backward()
    assert model.double() is model
    assert model[0].weight is weight
    assert weight.requires_grad
    assert weight.is_leaf
    assert {p.dtype for p in model.parameters()} == {lamina.float64}
    assert {p.grad.dtype for p in model.parameters()} == {lamina.float64}
    assert model[1].running_mean.dtype == lamina.float64
    assert model[1].num_batches_tracked.dtype == lamina.int64
    assert weight.tolist() == values
    assert model(lamina.ones(2, 2, dtype=lamina.float64)).dtype == lamina.float64
    for back in (
        lambda: model.float(),
        lambda: model.to(lamina.float32),
        lambda: model.to("cpu", lamina.float32),
        lambda: model.to(dtype=lamina.float32, device="cpu"),
        lambda: model.to(lamina.ones(1)),
    ):
        model.double()
        assert back() is model
        assert weight.dtype == lamina.float32
        assert model[1].running_var.dtype == lamina.float32
    model.cpu()
    assert weight.dtype == lamina.float32
    assert weight.tolist() == values


@pytest.mark.parametrize("carry", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_whole_and_independent(carry):
    model = Block().eval()
    model.tied = model.second.weight
    model.first[0].requires_grad_(False)
    twin = carry(model)
    assert {k: v.tolist() for k, v in twin.state_dict().items()} == {
        k: v.tolist() for k, v in model.state_dict().items()
    }
    assert repr(twin) == repr(model)
    assert not twin.training
    assert twin.tied is twin.second.weight
    assert twin.tied is not model.tied
    assert isinstance(twin.scale, nn.Parameter)
    assert twin.scale.is_leaf
    assert [p.requires_grad for p in twin.parameters()] == [
        p.requires_grad for p in model.parameters()
    ]
    twin.scale.data.fill_(9)
    assert model.scale.tolist() == [1.0] * 3
    x = lamina.ones(2, 3)
    twin.load_state_dict(model.state_dict())
    assert twin(x).tolist() == model(x).tolist()


def test_parameter():
    data = lamina.zeros(2)
    weight = nn.Parameter(data)
    assert isinstance(weight, lamina.Tensor)
    assert weight.requires_grad
    assert weight.is_leaf
    weight.data.fill_(3)
    assert data.tolist() == [3.0, 3.0]  # shared, not copied
    assert repr(weight).startswith("Parameter containing:\n")
    assert "3." in repr(weight)
    assert not nn.Parameter(data, requires_grad=False).requires_grad
    assert type(weight * 1) is lamina.Tensor
    assert tuple(nn.Parameter().shape) == (0,)
    frozen = copy.deepcopy(nn.Parameter(data, requires_grad=False))
    assert isinstance(frozen, nn.Parameter)
    assert not frozen.requires_grad


# -- text ----------------------------------------------------------------------------------------


def test_repr_is_pytorchs():
    assert repr(Block()) == (
        "Block(\n"
        "  (second): Linear(in_features=3, out_features=2, bias=True)\n"
        "  (first): Sequential(\n"
        "    (0): Linear(in_features=3, out_features=3, bias=True)\n"
        "    (1): BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, "
        "track_running_stats=True)\n"
        "    (2): ReLU()\n"
        "  )\n"
        ")"
    )


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (lambda: nn.Linear(2, 3, bias=False), "Linear(in_features=2, out_features=3, bias=False)"),
        (lambda: nn.ReLU(inplace=True), "ReLU(inplace=True)"),
        (lambda: nn.LeakyReLU(0.2), "LeakyReLU(negative_slope=0.2)"),
        (lambda: nn.GELU(), "GELU(approximate='none')"),
        (lambda: nn.Softmax(dim=-1), "Softmax(dim=-1)"),
        (lambda: nn.LogSoftmax(dim=1), "LogSoftmax(dim=1)"),
        (lambda: nn.Dropout(0.2), "Dropout(p=0.2, inplace=False)"),
        (lambda: nn.Flatten(), "Flatten(start_dim=1, end_dim=-1)"),
        (lambda: nn.Identity(54, unused=0.1), "Identity()"),
        (lambda: nn.CrossEntropyLoss(), "CrossEntropyLoss()"),
        (lambda: nn.Sequential(), "Sequential()"),
        (
            lambda: nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.Tanh(), nn.ReLU()]),
            "ModuleList(\n  (0-1): 2 x ReLU()\n  (2): Tanh()\n  (3): ReLU()\n)",
        ),
    ],
)
def test_repr_of_layers(module, text):
    assert repr(module()) == text
