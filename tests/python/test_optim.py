"""`lamina.optim`: trajectories against NumPy written out here, groups, state, errors."""

from __future__ import annotations

import copy
import math
import pickle

import lamina
import numpy as np
import pytest
from lamina import optim

START = np.array([1.5, -2.0, 0.25])
SCALE = np.array([1.0, 10.0, 0.1])  # the gradient of sum(SCALE * p^2) / 2 is SCALE * p


def trajectory(make, steps=50, dtype=lamina.float64):
    """Where an optimizer takes a quadratic bowl's parameters; shape [steps, 3]."""
    p = lamina.tensor(START.tolist(), dtype=dtype, requires_grad=True)
    scale = lamina.tensor(SCALE.tolist(), dtype=dtype)
    optimizer = make([p])
    path = []
    for _ in range(steps):
        optimizer.zero_grad()
        ((scale * p * p).sum() / 2).backward()
        optimizer.step()
        path.append(p.tolist())
    return np.array(path)


def reference(update, steps=50, *, maximize=False, weight_decay=0.0):
    """The same with ``update(t, p, g, memory)`` in NumPy; ``memory`` starts as zeros."""
    p, memory, path = START.copy(), [np.zeros(3) for _ in range(3)], []
    for t in range(1, steps + 1):
        g = (-1 if maximize else 1) * SCALE * p + weight_decay * p
        p = update(t, p, g, memory)
        path.append(p)
    return np.array(path)


def sgd(lr, momentum=0.0, dampening=0.0, nesterov=False):
    def update(t, p, g, memory):
        memory[0] = g if t == 1 else momentum * memory[0] + (1 - dampening) * g
        return p - lr * (g + momentum * memory[0] if nesterov else memory[0])

    return update


def adam(lr, betas=(0.9, 0.999), eps=1e-8, amsgrad=False, decay=0.0):
    def update(t, p, g, memory):
        p = p - lr * decay * p
        memory[0] = betas[0] * memory[0] + (1 - betas[0]) * g
        memory[1] = betas[1] * memory[1] + (1 - betas[1]) * g * g
        memory[2] = np.maximum(memory[2], memory[1]) if amsgrad else memory[1]
        m, v = memory[0] / (1 - betas[0] ** t), memory[2] / (1 - betas[1] ** t)
        return p - lr * m / (np.sqrt(v) + eps)

    return update


def rmsprop(lr, alpha=0.99, eps=1e-8, momentum=0.0, centered=False):
    def update(t, p, g, memory):
        memory[0] = alpha * memory[0] + (1 - alpha) * g * g
        memory[1] = alpha * memory[1] + (1 - alpha) * g
        v = memory[0] - memory[1] ** 2 if centered else memory[0]
        memory[2] = momentum * memory[2] + g / (np.sqrt(v) + eps)
        return p - lr * memory[2]

    return update


CASES = [
    ("sgd default lr", optim.SGD, {}, sgd(1e-3), {}),
    ("sgd", optim.SGD, {"lr": 0.05}, sgd(0.05), {}),
    ("sgd momentum", optim.SGD, {"lr": 0.02, "momentum": 0.9}, sgd(0.02, 0.9), {}),
    (
        "sgd dampening",
        optim.SGD,
        {"lr": 0.02, "momentum": 0.9, "dampening": 0.5},
        sgd(0.02, 0.9, 0.5),
        {},
    ),
    (
        "sgd nesterov",
        optim.SGD,
        {"lr": 0.02, "momentum": 0.9, "nesterov": True},
        sgd(0.02, 0.9, nesterov=True),
        {},
    ),
    ("sgd decay", optim.SGD, {"lr": 0.05, "weight_decay": 0.3}, sgd(0.05), {"weight_decay": 0.3}),
    ("sgd maximize", optim.SGD, {"lr": 1e-3, "maximize": True}, sgd(1e-3), {"maximize": True}),
    (
        "sgd maximize with decay",
        optim.SGD,
        {"lr": 1e-3, "maximize": True, "weight_decay": 0.3, "momentum": 0.5},
        sgd(1e-3, 0.5),
        {"maximize": True, "weight_decay": 0.3},
    ),
    ("adam default lr", optim.Adam, {}, adam(1e-3), {}),
    (
        "adam",
        optim.Adam,
        {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3},
        adam(0.1, (0.8, 0.95), 1e-3),
        {},
    ),
    (
        "adam amsgrad",
        optim.Adam,
        {"lr": 0.3, "betas": (0.5, 0.5), "amsgrad": True},
        adam(0.3, (0.5, 0.5), amsgrad=True),
        {},
    ),
    ("adam decay", optim.Adam, {"lr": 0.1, "weight_decay": 0.3}, adam(0.1), {"weight_decay": 0.3}),
    ("adam maximize", optim.Adam, {"lr": 0.1, "maximize": True}, adam(0.1), {"maximize": True}),
    ("adamw default decay", optim.AdamW, {}, adam(1e-3, decay=0.01), {}),
    (
        "adamw",
        optim.AdamW,
        {"lr": 0.1, "weight_decay": 0.3, "amsgrad": True, "betas": (0.5, 0.5)},
        adam(0.1, (0.5, 0.5), amsgrad=True, decay=0.3),
        {},
    ),
    (
        "adamw maximize",
        optim.AdamW,
        {"lr": 0.1, "weight_decay": 0.3, "maximize": True},
        adam(0.1, decay=0.3),
        {"maximize": True},
    ),
    ("rmsprop default lr", optim.RMSprop, {}, rmsprop(1e-2), {}),
    (
        "rmsprop",
        optim.RMSprop,
        {"lr": 0.05, "alpha": 0.9, "eps": 1e-3},
        rmsprop(0.05, 0.9, 1e-3),
        {},
    ),
    (
        "rmsprop momentum",
        optim.RMSprop,
        {"lr": 0.01, "momentum": 0.8},
        rmsprop(0.01, momentum=0.8),
        {},
    ),
    (
        "rmsprop centered",
        optim.RMSprop,
        {"lr": 0.005, "centered": True, "momentum": 0.5},
        rmsprop(0.005, momentum=0.5, centered=True),
        {},
    ),
    (
        "rmsprop decay, maximize",
        optim.RMSprop,
        {"lr": 0.01, "weight_decay": 0.3, "maximize": True},
        rmsprop(0.01),
        {"weight_decay": 0.3, "maximize": True},
    ),
]


@pytest.mark.parametrize(
    ("method", "options", "update", "gradient"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_trajectories(method, options, update, gradient):
    expected = reference(update, **gradient)
    path = trajectory(lambda params: method(params, **options))
    # A few roundings of 1e-16 a step, over 50 steps, carried on by an update that contracts or
    # grows by at most the size of the parameters.
    np.testing.assert_allclose(path, expected, rtol=0, atol=1e-12 * (1 + np.abs(expected).max()))
    single = trajectory(lambda params: method(params, **options), dtype=lamina.float32)
    np.testing.assert_allclose(single, expected, rtol=0, atol=2e-5 * (1 + np.abs(expected).max()))


def test_cases_differ():
    """Every option changes the path, so a step that ignores it would be noticed."""
    ends = [reference(update, **gradient)[-1] for _, _, _, update, gradient in CASES]
    for i, end in enumerate(ends):
        for other in ends[:i]:
            assert np.abs(end - other).max() > 1e-6


def test_first_step_of_adam_has_length_lr():
    """Kingma and Ba, section 2.1: the step is bounded by lr, and is lr at t = 1 (eps aside)."""
    path = trajectory(lambda params: optim.Adam(params, lr=0.125), steps=1)
    np.testing.assert_allclose(START - path[0], 0.125 * np.sign(START), atol=1e-7)


# -- parameters and groups ----------------------------------------------------------------------


def parameter(*values):
    return lamina.tensor(list(values), dtype=lamina.float64, requires_grad=True)


def give_gradients(*params):
    for p in params:
        p.grad = lamina.ones_like(p.detach())


def test_parameters_without_gradient_are_skipped():
    moved, still = parameter(1.0), parameter(2.0)
    optimizer = optim.Adam([moved, still], lr=0.5, weight_decay=0.1)
    give_gradients(moved)
    optimizer.step()
    assert still.tolist() == [2.0]
    assert moved.tolist() != [1.0]
    assert int(optimizer.state[moved]["step"]) == 1
    assert list(optimizer.state_dict()["state"]) == [0]
    # Its own count starts when its first gradient comes: a full step of lr, not a corrected one.
    optimizer.zero_grad()
    give_gradients(still)
    still.grad -= 0.1 * still.detach()
    optimizer.step()
    assert still.item() == pytest.approx(1.5, abs=1e-7)
    assert int(optimizer.state[moved]["step"]) == 1


def test_groups_have_settings_of_their_own():
    a, b, c = parameter(0.0), parameter(0.0), parameter(0.0)
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 1.0}], lr=0.5)
    optimizer.add_param_group({"params": (c,), "lr": 0.25})
    give_gradients(a, b, c)
    optimizer.step()
    assert [a.item(), b.item(), c.item()] == [-0.5, -1.0, -0.25]
    optimizer.param_groups[0]["lr"] = 2.0  # as a schedule does
    optimizer.step()
    assert [a.item(), b.item(), c.item()] == [-2.5, -2.0, -0.5]


def test_changes_of_parameters_and_state_are_seen():
    a, b, c = parameter(0.0), parameter(0.0), parameter(0.0)
    optimizer = optim.SGD([a, b], lr=1.0, momentum=0.5)
    give_gradients(a, b, c)
    optimizer.step()
    optimizer.param_groups[0]["params"][1] = c
    optimizer.step()
    assert [a.item(), b.item(), c.item()] == [-2.5, -1.0, -1.0]
    optimizer.state[a] = {"momentum_buffer": lamina.tensor([10.0], dtype=lamina.float64)}
    optimizer.step()
    assert [a.item(), c.item()] == [-2.5 - 6.0, -1.0 - 1.5]
    optimizer.state.clear()
    optimizer.step()
    assert [a.item(), c.item()] == [-8.5 - 1.0, -2.5 - 1.0]
    optimizer.state[a]["momentum_buffer"].fill_(4.0)
    optimizer.step()
    assert a.item() == -9.5 - 3.0
    with pytest.raises(TypeError):
        optimizer.state[a]["momentum_buffer"] = None  # silently ignored if it were allowed
    optimizer.param_groups[0]["momentum"] = 0.0
    optimizer.step()
    assert a.item() == -12.5 - 1.0


def test_zero_grad():
    a, b = parameter(1.0), parameter(2.0)
    optimizer = optim.SGD([{"params": a}, {"params": b}])
    give_gradients(a)
    optimizer.zero_grad(set_to_none=False)
    assert a.grad.tolist() == [0.0]
    assert b.grad is None
    optimizer.zero_grad()
    assert a.grad is None


def test_closure_runs_with_gradients_and_its_loss_is_returned():
    p = parameter(3.0)
    optimizer = optim.SGD([p], lr=0.5)

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with lamina.no_grad():
        assert optimizer.step(closure).item() == 9.0
    assert p.item() == 0.0
    assert optimizer.step() is None


def test_the_update_keeps_identity_and_graph_state():
    p = lamina.nn.Parameter(lamina.ones(2))
    optimizer = optim.AdamW([p])
    (p * p).sum().backward()
    before = p.grad
    optimizer.step()
    assert p.is_leaf
    assert p.requires_grad
    assert p.grad is before
    (p * p).sum().backward()  # and is still usable


# -- state -------------------------------------------------------------------------------------


STATES = [
    (optim.SGD, {"momentum": 0.9}, {"step", "momentum_buffer"}),
    (optim.Adam, {}, {"step", "exp_avg", "exp_avg_sq"}),
    (optim.AdamW, {"amsgrad": True}, {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"}),
    (optim.RMSprop, {}, {"step", "square_avg"}),
    (
        optim.RMSprop,
        {"momentum": 0.9, "centered": True},
        {"step", "square_avg", "momentum_buffer", "grad_avg"},
    ),
]


@pytest.mark.parametrize(("method", "options", "names"), STATES)
def test_state(method, options, names):
    p = parameter(1.0, 2.0)
    optimizer = method([p], lr=0.1, **options)
    assert not optimizer.state
    assert optimizer.state_dict()["state"] == {}
    for count in (1, 2):
        give_gradients(p)
        optimizer.step()
        assert set(optimizer.state[p]) == names
        assert int(optimizer.state[p]["step"]) == count
        assert all(v.shape == p.shape for k, v in optimizer.state[p].items() if k != "step")


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
        p = lamina.nn.Parameter(lamina.tensor([1.0, -2.0]))
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
    assert int(other.state[r]["step"]) == 10


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


def test_repr_lists_the_settings():
    text = repr(optim.SGD([parameter(1.0)], lr=0.5))
    assert text.split("\n")[:3] == ["SGD (", "Parameter Group 0", "    dampening: 0.0"]
    assert "    lr: 0.5" in text.split("\n")


def test_ones_own_optimizer():
    class SignDescent(optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        def step(self, closure=None):
            with lamina.no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        self.state[p]["seen"] = self.state[p].get("seen", 0) + 1
                        p -= group["lr"] * p.grad.sign()

    p = parameter(1.0, -3.0)
    optimizer = SignDescent([p], lr=0.5)
    (p * p).sum().backward()
    optimizer.step()
    assert p.tolist() == [0.5, -2.5]
    assert optimizer.state_dict()["state"] == {0: {"seen": 1}}
    with pytest.raises(NotImplementedError, match="Optimizer does not define step"):
        optim.Optimizer([p], {}).step()


# -- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "options", "text"),
    [
        (optim.SGD, {"lr": -1.0}, "SGD: lr must be at least 0, got -1.0"),
        (optim.SGD, {"lr": math.nan}, "SGD: lr must be at least 0, got nan"),
        (optim.SGD, {"momentum": -0.1}, "SGD: momentum must be at least 0"),
        (optim.SGD, {"weight_decay": -0.1}, "SGD: weight_decay must be at least 0"),
        (optim.SGD, {"nesterov": True}, "SGD: nesterov needs a momentum above 0"),
        (optim.SGD, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "and dampening 0"),
        (optim.Adam, {"eps": -1e-8}, "Adam: eps must be at least 0"),
        (optim.Adam, {"betas": (0.9, 1.0)}, r"Adam: betas must be two numbers in \[0, 1\)"),
        (optim.AdamW, {"betas": (-0.1, 0.9)}, r"AdamW: betas must be two numbers in \[0, 1\)"),
        (optim.AdamW, {"betas": (0.9,)}, r"AdamW: betas must be two numbers in \[0, 1\)"),
        (optim.RMSprop, {"alpha": -0.1}, "RMSprop: alpha must be at least 0"),
        (optim.RMSprop, {"momentum": -0.1}, "RMSprop: momentum must be at least 0"),
    ],
)
def test_settings_out_of_range(method, options, text):
    with pytest.raises(ValueError, match=text):
        method([parameter(1.0)], **options)
    with pytest.raises(ValueError, match=text):
        method([{"params": [parameter(1.0)], **options}])


@pytest.mark.parametrize(
    ("params", "error", "text"),
    [
        (list, ValueError, "SGD: the list of parameters is empty"),
        (
            lambda: parameter(1.0),
            TypeError,
            "must be an iterable of tensors or dicts, got a Tensor",
        ),
        (lambda: [1.0], TypeError, "parameter 0 of the group must be a Tensor, got float"),
        (lambda: [{"lr": 0.1}], ValueError, "a parameter group needs an entry 'params'"),
        (lambda: [{"params": []}, 3], TypeError, "a parameter group must be a dict, got int"),
        (lambda: [parameter(1.0) * 2], ValueError, "is the result of an operation, not a leaf"),
        (lambda: [parameter(1.0)] * 2, ValueError, "parameter 1 of the group was given before"),
    ],
)
def test_bad_parameters(params, error, text):
    with pytest.raises(error, match=text):
        optim.SGD(params())


def test_a_parameter_in_two_groups():
    p = parameter(1.0)
    with pytest.raises(ValueError, match="parameter 0 of the group was given before"):
        optim.SGD([{"params": [p]}, {"params": [p]}])
