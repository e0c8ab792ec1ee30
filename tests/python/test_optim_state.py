"""What optimizers remember, and how it is saved, copied and taken over from PyTorch."""

from __future__ import annotations

import contextlib
import copy
import math
import pickle

import lamina
import pytest
from lamina import _core, optim


def parameter(*values):
    return lamina.tensor(list(values), dtype=lamina.float64, requires_grad=True)


def give_gradients(*params):
    for p in params:
        p.grad = lamina.ones_like(p.detach())


# PyTorch's names, for each of its optimizers and each set of options that changes them.
STATES = [
    (optim.SGD, {"momentum": 0.9}, {"momentum_buffer"}),
    (optim.Adam, {}, {"step", "exp_avg", "exp_avg_sq"}),
    (optim.AdamW, {"amsgrad": True}, {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"}),
    (optim.RMSprop, {}, {"step", "square_avg"}),
    (
        optim.RMSprop,
        {"momentum": 0.9, "centered": True},
        {"step", "square_avg", "momentum_buffer", "grad_avg"},
    ),
    (optim.Adagrad, {"lr_decay": 0.1}, {"step", "sum"}),
    (optim.Adadelta, {}, {"step", "square_avg", "acc_delta"}),
    (optim.Adamax, {}, {"step", "exp_avg", "exp_inf"}),
    (optim.NAdam, {}, {"step", "exp_avg", "exp_avg_sq", "mu_product"}),
    (optim.RAdam, {}, {"step", "exp_avg", "exp_avg_sq"}),
    (optim.ASGD, {"t0": 2}, {"step", "eta", "mu", "ax"}),
    (optim.Rprop, {}, {"step", "prev", "step_size"}),
    (optim.Lion, {}, {"exp_avg"}),
    (optim.Muon, {}, {"momentum_buffer"}),
]
NUMBERS = {"step", "mu_product", "eta", "mu"}


@pytest.mark.parametrize(("method", "options", "names"), STATES)
def test_state(method, options, names):
    p = lamina.tensor([[1.0, 2.0]], dtype=lamina.float64, requires_grad=True)
    optimizer = method([p], lr=0.1, **options)
    if method is not optim.Adagrad:  # PyTorch's has its state from the start
        assert not optimizer.state
        assert optimizer.state_dict()["state"] == {}
    for count in (1, 2):
        give_gradients(p)
        optimizer.step()
        state = optimizer.state[p]
        assert set(state) == names
        assert set(optimizer.state_dict()["state"][0]) == names
        assert int(state.get("step", count)) == count
        assert all(v.shape == (() if k in NUMBERS else p.shape) for k, v in state.items())


def test_a_step_of_pytorchs_dtype_travels():
    """Its step counts are floating; an integer would stop its own optimizers from counting on."""
    p = parameter(1.0)
    optimizer = optim.Adam([p])
    give_gradients(p)
    optimizer.step()
    assert optimizer.state_dict()["state"][0]["step"].is_floating_point()


def test_adagrad_has_its_state_from_the_start():
    p = parameter(1.0)
    optimizer = optim.Adagrad([p], initial_accumulator_value=0.5)
    assert optimizer.state[p]["sum"].tolist() == [0.5]
    assert set(optimizer.state_dict()["state"][0]) == {"step", "sum"}


def test_state_dict_has_pytorchs_form():
    a, b, c = parameter(1.0), parameter(2.0), parameter(3.0)
    optimizer = optim.Adam([{"params": [a, b]}, {"params": [c], "lr": 0.5}], lr=0.1)
    give_gradients(a, c)
    optimizer.step()
    saved = optimizer.state_dict()
    assert list(saved) == ["state", "param_groups"]
    assert {k: sorted(v) for k, v in saved["state"].items()} == {
        0: ["exp_avg", "exp_avg_sq", "step"],
        2: ["exp_avg", "exp_avg_sq", "step"],
    }
    assert [group["params"] for group in saved["param_groups"]] == [[0, 1], [2]]
    assert [group["lr"] for group in saved["param_groups"]] == [0.1, 0.5]
    assert saved["param_groups"][0]["betas"] == (0.9, 0.999)
    # m = (1 - beta1) g and v = (1 - beta2) g^2 after one step with g = 1
    assert saved["state"][2]["exp_avg"].item() == pytest.approx(0.1, rel=1e-14)
    assert saved["state"][2]["exp_avg_sq"].item() == pytest.approx(0.001, rel=1e-13)


@pytest.mark.parametrize(("method", "options"), [case[:2] for case in STATES])
@pytest.mark.parametrize("carry", ["state_dict", "deepcopy", "pickle"])
def test_training_goes_on_bit_for_bit(method, options, carry):
    """Ten steps at once, and five, saved and restored, and five."""

    def run(p, optimizer, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            (p**4).sum().backward()
            optimizer.step()

    def start():
        p = lamina.nn.Parameter(lamina.tensor([[1.0, -2.0]]))
        return p, method([p], lr=0.01, **options)

    p, optimizer = start()
    run(p, optimizer, 10)
    q, half = start()
    run(q, half, 5)
    if carry == "state_dict":
        saved = copy.deepcopy(half.state_dict())
        r = lamina.nn.Parameter(q.detach().clone())
        other = method([r], lr=77.0)
        other.load_state_dict(saved)
        run(q, half, 5)  # the saved state is a copy, not touched by this
    elif carry == "deepcopy":
        r, other = copy.deepcopy((q, half))
    else:
        r, other = pickle.loads(pickle.dumps((q, half)))
    run(r, other, 5)
    assert r.tolist() == p.tolist()
    assert int(other.state[r].get("step", 10)) == 10


def test_loading_pytorchs_state():
    """Its SGD counts no steps, its Adam counts them in float32, and its groups say more."""
    p = parameter(0.0)
    optimizer = optim.SGD([p], lr=1.0, momentum=0.5)
    group = {"lr": 1.0, "momentum": 0.5, "dampening": 0, "weight_decay": 0, "nesterov": False}
    group |= {"maximize": False, "foreach": None, "differentiable": False, "params": [0]}
    buffer = lamina.tensor([2.0])
    optimizer.load_state_dict({"state": {0: {"momentum_buffer": buffer}}, "param_groups": [group]})
    give_gradients(p)
    optimizer.step()
    assert p.item() == -(0.5 * 2.0 + 1.0)
    assert buffer.item() == 2.0
    assert optimizer.state[p]["momentum_buffer"].dtype == lamina.float64

    q = parameter(0.0)
    adam_optimizer = optim.Adam([q], lr=1.0)
    saved = adam_optimizer.state_dict()
    saved["state"] = {
        0: {
            "step": lamina.tensor(9.0),
            "exp_avg": lamina.zeros(1),
            "exp_avg_sq": lamina.zeros(1),
        }
    }
    adam_optimizer.load_state_dict(saved)
    give_gradients(q)
    adam_optimizer.step()
    assert int(adam_optimizer.state[q]["step"]) == 10
    ratio = 0.1 / (1 - 0.9**10) / math.sqrt(0.001 / (1 - 0.999**10))
    assert q.item() == pytest.approx(-ratio, rel=1e-6)


def test_a_state_that_does_not_fit_changes_nothing():
    p = parameter(1.0, 2.0)
    optimizer = optim.Adam([p], lr=0.1)
    other = optim.Adam([parameter(1.0), parameter(2.0)], lr=0.7)
    with pytest.raises(
        ValueError, match=r"Adam: .*\n  saved sizes     \[2\]\n  optimizer sizes \[1\]"
    ):
        optimizer.load_state_dict(other.state_dict())
    longer = parameter(1.0, 2.0, 3.0)
    third = optim.Adam([longer], lr=0.7)
    give_gradients(longer)
    third.step()
    with pytest.raises(
        ValueError, match=r"exp_avg.* of parameter 0 does not fit\n  saved     \[3\]"
    ):
        optimizer.load_state_dict(third.state_dict())
    bad = optimizer.state_dict()
    bad["param_groups"][0]["lr"] = -1.0
    with pytest.raises(ValueError, match=r"lr must be at least 0, got -1\.0"):
        optimizer.load_state_dict(bad)
    assert optimizer.param_groups[0]["lr"] == 0.1
    assert not optimizer.state


# -- the native steps: what they are given by hand -------------------------------------------------

# How many numbers each method takes as settings.
METHODS = {
    "sgd": 5, "adam": 6, "rmsprop": 5, "adagrad": 4, "adadelta": 4, "adamax": 5, "nadam": 7,
    "radam": 6, "asgd": 5, "rprop": 4, "lion": 4, "muon": 10,
}  # fmt: skip


def group_of(method, params, states=(), scalars=3, settings=None):
    settings = (("a", METHODS[method]),) if settings is None else settings
    counts = lamina.zeros(len(params), scalars, dtype=lamina.float64)
    lists = [*states, None, None, None][:3]
    return _core.optimizer_group(method, settings, (None,), params, *lists, counts)


def native(method, params, states=(), scalars=3, numbers=None):
    """Run a step with settings of a half over a group that is made by hand."""
    entries = {"a": [0.5] * METHODS[method] if numbers is None else numbers}
    _core.optimizer_step((group_of(method, params, states, scalars),), [entries], 1.0)


@pytest.mark.parametrize("method", METHODS)
def test_native_steps_refuse_what_does_not_fit(method):
    def made():
        p = lamina.ones(2, 3, requires_grad=True)
        p.grad = lamina.ones(2, 3)
        return p

    p = made()
    name = f"{method}_step"
    with pytest.raises(ValueError, match=rf"^{name}: needs \d float64 numbers for each of 1 param"):
        native(method, [p], scalars=0)
    if method != "sgd":
        with pytest.raises(ValueError, match=rf"^{name}: 1 parameters but 0 tensors of state in"):
            native(method, [p])
    with pytest.raises(
        ValueError, match=rf"^{name}: 'a' .* must be {METHODS[method]} numbers, got"
    ):
        native(method, [p], [[lamina.ones(2, 3)]] * 2, numbers=[0.5, 0.5])
    group = group_of(method, [p], [[lamina.ones(2, 3)]] * 2, settings=())
    with pytest.raises(ValueError, match=rf"^{name}: needs {METHODS[method]} numbers as settings"):
        _core.optimizer_step((group,), [{}], 1.0)
    if method != "muon":  # which is made of ops that say it their own way
        for wrong in (lamina.ones(3, 2), lamina.ones(2, 3, dtype=lamina.float64), lamina.ones(0)):
            with pytest.raises(ValueError, match=rf"^{name}: optimizer state does not fit its ten"):
                native(method, [p], [[wrong]] * 2)
        shrunk = made()
        shrunk.data = lamina.ones(1)
        with pytest.raises(ValueError, match=rf"^{name}: gradient does not fit its tensor"):
            native(method, [shrunk], [[lamina.ones(1)]] * 2)
    assert p.tolist() == [[1.0] * 3] * 2
    native(method, [p], [[lamina.ones(2, 3)]] * 2)
    native(method, [])


def test_a_group_says_what_it_cannot_read():
    p = parameter(1.0)
    give_gradients(p)

    def step(settings, **entries):
        group = group_of("lion", [p], [[lamina.zeros_like(p.detach())]], settings=settings)
        _core.optimizer_step((group,), [entries], 1.0)

    with pytest.raises(ValueError, match=r"^lion_step: the parameter group has no entry 'lr'"):
        step(("lr",))
    with pytest.raises(TypeError, match=r"^lion_step: 'lr' of the parameter group must be a num"):
        step(("lr",), lr="0.1")
    with pytest.raises(ValueError, match=r"^lion_step: 'lr' of the parameter group has too many"):
        step((("lr", 99),), lr=[0.1] * 99)
    with pytest.raises(
        ValueError, match=r"'betas' of the parameter group must be 2 numbers, got 3"
    ):
        step((("betas", 2),), betas=3)
    with pytest.raises(ValueError, match=r"'betas' of the parameter group must be 2 num.*\(0.9,\)"):
        step((("betas", 2),), betas=(0.9,))
    with pytest.raises(RuntimeError, match="lr"):
        step(("lr",), lr=Unreadable())
    with pytest.raises(ValueError, match="there is no method 'lyon'"):
        group_of("lyon", [p], settings=())
    with pytest.raises(ValueError, match="at most 3 lists of state, but 'needs' has 4"):
        _core.optimizer_group(
            "lion", (), (None,) * 4, [p], None, None, None, lamina.zeros(1, 1, dtype=lamina.float64)
        )
    with pytest.raises(TypeError, match=r"^optimizer_step: parameter group 0 must be a dict, got"):
        _core.optimizer_step((group_of("lion", [p]),), [3], 1.0)
    for wrong in (3, (3,), [group_of("lion", [p])]):
        with pytest.raises(TypeError, match="must be a tuple of what optimizer_group made"):
            _core.optimizer_step(wrong, [{}], 1.0)
    with pytest.raises(TypeError, match="must be a list as long as 'groups'"):
        _core.optimizer_step((group_of("lion", [p]),), [], 1.0)
    assert p.item() == 1.0
    # Numbers of any kind, tensors, and whether an entry is a word.
    word = ("kind", "last")
    all_of_them = ("lr", ("betas", 2), word)
    step(all_of_them, lr=lamina.tensor(0.5), betas=[0, True], kind="other")
    assert p.item() == 0.5
    step(all_of_them, lr=lamina.tensor(0.5), betas=[0, True], kind="last")
    assert p.item() == -0.25  # the word is a weight decay of 1, of which lr takes half


class Unreadable:
    def __float__(self):
        raise RuntimeError("lr")


class Mischief:
    """Does something to the optimizer whenever it is read."""

    def __init__(self, deed):
        self.deed = deed

    def __float__(self):
        self.deed()
        return 0.1

    def __bool__(self):
        self.deed()
        return True


@pytest.mark.parametrize("entry", ["lr", "momentum", "nesterov"])
def test_a_setting_that_changes_the_groups_while_it_is_read(entry):
    for deed in ("clear", "replace", "shrink"):
        params = [parameter(float(i)) for i in range(4)]
        optimizer = optim.SGD([{"params": [p]} for p in params], lr=0.1, momentum=0.9)
        give_gradients(*params)
        optimizer.step()
        groups = optimizer.param_groups

        def do(deed=deed, groups=groups):
            if deed == "clear":
                groups.clear()
            elif deed == "shrink":
                del groups[1:]
            else:
                groups[:] = [{"params": []} for _ in groups]
            [{"a": i} for i in range(100)]  # what was freed is used anew

        groups[0][entry] = Mischief(do)
        with contextlib.suppress(TypeError, ValueError, KeyError):
            optimizer.step()


def test_whether_a_group_still_fits():
    p, q = parameter(1.0), parameter(2.0)
    group = group_of("lion", [p], [[lamina.zeros_like(p.detach())]])
    state = {p: {}}
    views = tuple(state.values())

    def fits(params=(p,), dicts=None, views=views, state=state):
        dicts = [{"params": [p]}] if dicts is None else dicts
        return _core.optimizer_fits((group,), (params,), dicts, views, state)

    assert fits()
    assert not fits(dicts=[{"params": [q]}])
    assert not fits(dicts=[{"params": [p, q]}])
    assert not fits(dicts=[{}])
    assert not fits(dicts=[])
    assert not fits(state={})
    assert not fits(state={p: {}})  # equal, but another
    with pytest.raises(TypeError, match="parameter group 0 must be a dict, got int"):
        fits(dicts=[3])
    with pytest.raises(TypeError, match="'params' must be a tuple as long as 'groups'"):
        _core.optimizer_fits((group,), (), [], (), {})


def test_a_refused_step_counts_nothing():
    p, q = parameter(1.0), parameter(1.0)
    give_gradients(p, q)
    counts = lamina.zeros(2, 1, dtype=lamina.float64)
    good, bad = lamina.zeros(1, dtype=lamina.float64), lamina.zeros(2, dtype=lamina.float64)
    group = _core.optimizer_group(
        "adagrad", (("a", 4),), (), [p, q], [good, bad], None, None, counts
    )
    with pytest.raises(ValueError, match="does not fit"):
        _core.optimizer_step((group,), [{"a": [0.5, 0.0, 0.0, 0.0]}], 1.0)
    assert counts.tolist() == [[0.0], [0.0]]
    assert p.item() == 1.0
