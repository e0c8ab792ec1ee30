"""`lamina.optim`: parameters, groups, state, hooks, errors. The paths: test_optim_paths.py."""

from __future__ import annotations

import copy
import math

import lamina
import pytest
from lamina import optim

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


def test_repr_lists_the_settings():
    text = repr(optim.SGD([parameter(1.0)], lr=0.5))
    assert text.split("\n")[:3] == ["SGD (", "Parameter Group 0", "    dampening: 0"]
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
        (optim.Adagrad, {"lr_decay": -0.1}, "Adagrad: lr_decay must be at least 0"),
        (
            optim.Adagrad,
            {"initial_accumulator_value": -1},
            "Adagrad: initial_accumulator_value must be at least 0, got -1",
        ),
        (optim.Adadelta, {"rho": 1.5}, r"Adadelta: rho must be in \[0, 1\], got 1.5"),
        (optim.Adamax, {"betas": (0.9, 1.0)}, r"Adamax: betas must be two numbers in \[0, 1\)"),
        (optim.NAdam, {"momentum_decay": -1}, "NAdam: momentum_decay must be at least 0"),
        (optim.RAdam, {"eps": -1}, "RAdam: eps must be at least 0"),
        (optim.ASGD, {"weight_decay": -1}, "ASGD: weight_decay must be at least 0"),
        (optim.Rprop, {"etas": (0.5, 0.9)}, r"Rprop: etas must be a number in \(0, 1\) and one"),
        (optim.Rprop, {"etas": (0.5,)}, r"Rprop: etas must be a number in \(0, 1\) and one"),
        (optim.Lion, {"betas": (0.9, 2)}, r"Lion: betas must be two numbers in \[0, 1\)"),
        (optim.LBFGS, {"lr": -1}, "LBFGS: lr must be at least 0"),
        (optim.LBFGS, {"line_search_fn": "wolf"}, "line_search_fn must be None or 'strong_wolfe'"),
        (
            optim.SGD,
            {"lr": lamina.ones(2)},
            r"SGD: lr as a tensor must have one element, got \[2\]",
        ),
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
        (lambda: 3, TypeError, "SGD: params must be an iterable of tensors or dicts, got int$"),
        (
            lambda: lamina.nn.Linear(2, 1),
            TypeError,
            r"tensors or dicts, got Linear; pass model.parameters\(\)$",
        ),
        (
            lambda: lamina.nn.Sequential(lamina.nn.Linear(2, 1)),
            TypeError,
            r"tensors or dicts, got Sequential; pass model.parameters\(\)$",
        ),
        (lambda: [1.0], TypeError, "parameter 0 of the group must be a Tensor, got float"),
        (lambda: [{"lr": 0.1}], ValueError, "a parameter group needs an entry 'params'"),
        (lambda: [{"params": []}, 3], TypeError, "a parameter group must be a dict, got int"),
        (lambda: [parameter(1.0) * 2], ValueError, "is the result of an operation, not a leaf"),
        (lambda: [parameter(1.0)] * 2, ValueError, "parameter 1 of the group was given before"),
        (
            lambda: [{"params": {parameter(1.0)}}],
            TypeError,
            "SGD: parameters must come in an order, got a set",
        ),
        (
            lambda: [("w", parameter(1.0)), parameter(2.0)],
            ValueError,
            "SGD: only 1 of 2 parameters are named",
        ),
        (
            lambda: [{"params": [("w", parameter(1.0))]}, {"params": [parameter(2.0)]}],
            ValueError,
            "SGD: parameters must be named in all groups or in none",
        ),
    ],
)
def test_bad_parameters(params, error, text):
    with pytest.raises(error, match=text):
        optim.SGD(params())


def test_a_parameter_in_two_groups():
    p = parameter(1.0)
    with pytest.raises(ValueError, match="parameter 0 of the group was given before"):
        optim.SGD([{"params": [p]}, {"params": [p]}])


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"capturable": True}, NotImplementedError, "Adam: capturable=True is not supported"),
        ({"differentiable": True}, NotImplementedError, "differentiable=True is not supported"),
        ({"fused": True, "foreach": True}, RuntimeError, "Adam: set foreach or fused, not both"),
        ({"max_grad_norm": -1.0}, ValueError, "Adam: max_grad_norm must be at least 0, got -1.0"),
    ],
)
def test_options_that_are_refused(options, error, text):
    with pytest.raises(error, match=text):
        optim.Adam([parameter(1.0)], **options)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"adjust_lr_fn": "other"}, "adjust_lr_fn must be None, 'original' or 'match_rms_adamw'"),
        ({"ns_coefficients": (1, 2)}, "ns_coefficients must be three numbers"),
        ({"ns_steps": 100}, r"ns_steps must be a whole number in \[0, 100\), got 100"),
        ({"momentum": -0.1}, "momentum must be at least 0"),
    ],
)
def test_settings_of_muon_out_of_range(options, text):
    with pytest.raises(ValueError, match=f"^Muon: {text}"):
        optim.Muon([lamina.ones(2, 2, requires_grad=True)], **options)


def test_muon_takes_matrices():
    with pytest.raises(ValueError, match=r"Muon: parameter 1 .* must be a matrix, got \[1"):
        optim.Muon([lamina.ones(2, 2, requires_grad=True), parameter(1.0)])


# -- hooks, names, rates -------------------------------------------------------------------------


def test_hooks_run_around_the_step():
    p = parameter(0.0)
    optimizer = optim.SGD([p], lr=1.0)
    seen = []
    before = optimizer.register_step_pre_hook(lambda o, a, k: seen.append(("before", o, p.item())))
    with optimizer.register_step_post_hook(lambda o, a, k: seen.append(("after", o, p.item()))):
        give_gradients(p)
        optimizer.step()
        assert seen == [("before", optimizer, 0.0), ("after", optimizer, -1.0)]
    before.remove()
    before.remove()
    optimizer.step()
    assert len(seen) == 2
    assert "step" not in vars(optimizer)  # nothing is left in its way


def test_a_pre_hook_may_change_the_arguments():
    p = parameter(1.0)
    optimizer = optim.SGD([p])
    optimizer.register_step_pre_hook(lambda o, args, kwargs: ((lambda: 7,), kwargs))
    assert optimizer.step() == 7
    optimizer.register_step_pre_hook(lambda o, args, kwargs: 3)
    with pytest.raises(RuntimeError, match=r"must return None or a pair \(args, kwargs\), got int"):
        optimizer.step()


def test_copies_have_no_hooks():
    p = parameter(1.0)
    optimizer = optim.SGD([p])
    optimizer.register_step_post_hook(lambda *_: pytest.fail("the copy called it"))
    q, other = copy.deepcopy((p, optimizer))
    give_gradients(q)
    other.step()


def test_named_parameters():
    model = lamina.nn.Linear(2, 1)
    optimizer = optim.SGD(model.named_parameters(), lr=0.1)
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]
    assert optimizer.param_groups[0]["params"] == [model.weight, model.bias]
    saved = optimizer.state_dict()
    assert saved["param_groups"][0]["param_names"] == ["weight", "bias"]
    del saved["param_groups"][0]["param_names"]
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]


def test_a_rate_may_be_a_tensor():
    p = parameter(1.0)
    rate = lamina.tensor(0.5)
    optimizer = optim.SGD([p], lr=rate)
    give_gradients(p)
    optimizer.step()
    assert p.item() == 0.5
    rate.fill_(0.25)
    optimizer.step()
    assert p.item() == 0.25


def test_groups_have_pytorchs_settings():
    group = optim.Adam([parameter(1.0)]).param_groups[0]
    assert {k: v for k, v in group.items() if k != "params"} == {
        "lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0, "amsgrad": False,
        "maximize": False, "foreach": None, "capturable": False, "differentiable": False,
        "fused": None, "decoupled_weight_decay": False,
    }  # fmt: skip
    assert optim.AdamW([parameter(1.0)]).param_groups[0]["decoupled_weight_decay"]
