"""A module's state: out as a dict, and in again, with what is wrong listed."""

from __future__ import annotations

import lamina
import pytest
from lamina import nn
from test_module import Block


def test_state_dict_shares_memory_and_is_detached():
    model = nn.Linear(2, 1)
    state = model.state_dict(prefix="a.")
    assert list(state) == ["a.weight", "a.bias"]
    assert not state["a.weight"].requires_grad
    state["a.bias"].fill_(7)
    assert model.bias.tolist() == [7.0]
    assert model.state_dict(keep_vars=True)["weight"] is model.weight
    into = {"x": 1}
    assert model.state_dict(destination=into) is into
    assert list(into) == ["x", "weight", "bias"]


def test_load_state_dict():
    source, target = Block(), Block()
    source.scale.data.fill_(3)
    kept = target.scale
    result = target.load_state_dict(source.state_dict())
    assert result.missing_keys == []
    assert result.unexpected_keys == []
    assert target.scale is kept
    assert kept.requires_grad
    for key, value in target.state_dict().items():
        assert value.tolist() == source.state_dict()[key].tolist()
    doubled = {k: v.double() for k, v in source.state_dict().items()}
    target.load_state_dict(doubled)
    assert target.scale.dtype == lamina.float32


def test_load_state_dict_lists_everything_and_changes_nothing():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    before = {k: v.tolist() for k, v in model.state_dict().items()}
    state = {k: lamina.zeros_like(v) for k, v in model.state_dict().items()}
    del state["0.bias"]
    state["1.bias"] = lamina.zeros(4)
    state["1.weight"] = 5
    state["2.weight"] = lamina.zeros(1)
    with pytest.raises(RuntimeError) as caught:
        model.load_state_dict(state)
    assert str(caught.value) == (
        "Error(s) in loading state_dict for Sequential:\n"
        '  Missing key(s) in state_dict: "0.bias".\n'
        '  Unexpected key(s) in state_dict: "2.weight".\n'
        "  1.weight in state_dict must be a Tensor, got int\n"
        "  size mismatch for 1.bias: copying a param with shape [4] from checkpoint, "
        "the shape in current model is [1].\n"
        "  strict=False would pass over the keys, but not over the other errors."
    )
    with pytest.raises(RuntimeError, match=r"Sequential:\n  1.weight in .* int\n  size mis.*$"):
        model.load_state_dict(state, strict=False)
    assert {k: v.tolist() for k, v in model.state_dict().items()} == before
    del state["1.bias"], state["1.weight"]
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert missing == ["0.bias", "1.weight", "1.bias"]
    assert unexpected == ["2.weight"]
    assert model[0].weight.tolist() == [[0, 0]] * 3
    assert model[1].weight.tolist() == before["1.weight"]


def linear_state(prefix="", **change):
    state = {f"{prefix}{k}": v for k, v in nn.Linear(2, 1).state_dict().items()}
    return {**state, **change}


@pytest.mark.parametrize(
    ("state", "advice"),
    [
        (
            linear_state("module."),
            r"Every key begins with 'module.': load \{k.removeprefix\('module.'\): v for",
        ),
        (linear_state("a.b."), "Every key begins with 'a.b.': load"),
        ({"x": lamina.ones(1)}, "No key fits: it is the state of another model"),
        (linear_state(x=lamina.ones(1)), "strict=False loads what fits and returns the other"),
    ],
)
def test_advice(state, advice):
    with pytest.raises(RuntimeError, match=advice):
        nn.Linear(2, 1).load_state_dict(state)


def test_advice_where_the_state_is_a_parts():
    with pytest.raises(
        RuntimeError, match=r"Every key lacks '0.': load it into the module of that"
    ):
        nn.Sequential(nn.Linear(2, 1)).load_state_dict(linear_state())


def test_assign_takes_the_tensors_themselves():
    linear = nn.Linear(2, 1)
    linear.weight.requires_grad_(False)
    weight, bias = lamina.ones(1, 2, dtype=lamina.float64), nn.Parameter(lamina.zeros(1))
    linear.load_state_dict({"weight": weight, "bias": bias}, assign=True)
    weight[0, 0] = 5.0
    assert linear.weight.tolist() == [[5.0, 1.0]]
    assert linear.weight.dtype == lamina.float64
    assert isinstance(linear.weight, nn.Parameter)
    assert not linear.weight.requires_grad
    assert linear.bias is bias
    norm = nn.BatchNorm1d(2)
    mean = lamina.ones(2)
    norm.load_state_dict({"running_mean": mean}, strict=False, assign=True)
    assert norm.running_mean is mean
    assert dict(norm.named_buffers())["running_mean"] is mean
    with pytest.raises(RuntimeError, match="size mismatch for weight"):
        linear.load_state_dict({"weight": lamina.ones(3)}, strict=False, assign=True)


def test_a_child_that_gives_its_state_in_a_way_of_its_own():
    class Compact(nn.Linear):
        def state_dict(self, *, destination=None, prefix="", keep_vars=False):
            destination = {} if destination is None else destination
            destination[prefix + "all"] = self.weight.detach()
            return destination

    assert list(nn.Sequential(Compact(2, 1)).state_dict()) == ["0.all"]


def test_hooks_on_the_state():
    log = []
    inner = nn.Linear(1, 1)
    model = nn.Sequential(inner)
    inner.register_state_dict_pre_hook(lambda m, prefix, keep: log.append((m, prefix, keep)))
    model.register_state_dict_post_hook(
        lambda m, state, prefix, meta: state.update({prefix + "version": lamina.ones(1)})
    )
    state = model.state_dict(prefix="p.")
    assert log == [(inner, "p.0.", False)]
    assert list(state) == ["p.0.weight", "p.0.bias", "p.version"]
    state = model.state_dict()

    def before(module, given, prefix, meta, strict, missing, unexpected, errors):
        log.append((prefix, strict, sorted(given)))
        del given["version"]

    handle = model.register_load_state_dict_pre_hook(before)
    model.register_load_state_dict_post_hook(lambda m, found: log.append(found))
    assert model.load_state_dict(state) == ([], [])
    assert log[-2:] == [("", True, ["0.bias", "0.weight", "version"]), ([], [])]
    assert "version" in state  # the hook saw a copy
    handle.remove()
    with pytest.raises(RuntimeError, match=r'Unexpected key.*"version"'):
        model.load_state_dict(state)
    model.register_load_state_dict_post_hook(lambda m, found: found.unexpected_keys.clear())
    assert model.load_state_dict(state) == ([], [])
    assert model._hooks is None  # calls make no detour
    inner.register_load_state_dict_pre_hook(lambda *args: args[-1].append("no, says the hook"))
    with pytest.raises(RuntimeError, match="no, says the hook"):
        model.load_state_dict(state, strict=False)
