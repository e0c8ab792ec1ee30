"""`autograd.detect_anomaly`: the op that makes the first NaN or infinity, and where it stands."""

from __future__ import annotations

import math
import re
import threading

import lamina
import pytest
from lamina import autograd, nn, optim
from lamina.nn import functional as F

NAN, INF = math.nan, math.inf


def t(values, grad=False):
    return lamina.tensor(values, requires_grad=grad)


def failure(call):
    with autograd.detect_anomaly(), pytest.raises(RuntimeError) as caught:
        call()
    return str(caught.value).split("\n")


class Log(nn.Module):
    def forward(self, x):
        return (x - 1).log()  # the line of the forward error


class Root(nn.Module):
    def forward(self, x):
        return (x - 1).sqrt()  # the line of the backward error


def network(last):
    net = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.Identity(), last))
    with lamina.no_grad():
        net[0].weight.zero_()
        net[0].bias.fill_(1.0)
    return net


TWO = ["first", "second"]


def test_forward_names_op_input_line_and_module():
    lines = failure(lambda: network(Log())(lamina.ones(4, 2)))
    assert lines[:3] == [
        "log: makes the first Inf: its inputs are finite, its result is not",
        "  input  [4, 3] finite, all 0",
        "  result [4, 3] with 12 Inf, the first at [0, 0]",
    ]
    assert lines[3].startswith("  line   ")
    assert "test_anomaly.py" in lines[3]
    assert lines[3].endswith("in forward: return (x - 1).log()  # the line of the forward error")
    assert lines[4:] == ["  in     model.1.1 (Log)"]


def test_layers_that_run_natively_have_their_path():
    net = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.Tanh()))
    with lamina.no_grad():
        net[0].weight.fill_(1e30)
        net[1][0].weight.fill_(1e30)
    lines = failure(lambda: net(lamina.ones(1, 2)))
    assert lines[0] == "linear: makes the first Inf: its inputs are finite, its result is not"
    labels = [line.split()[0] for line in lines[1:]]
    assert labels == ["input", "weight", "bias", "result", "line", "in"]
    assert lines[2] == "  weight [2, 2] finite, all 1.0000000150474662e+30"
    assert lines[-1] == "  in     model.1.0 (Linear)"


def test_backward_names_op_inputs_line_and_module():
    def step():
        network(Root())(lamina.ones(4, 2)).sum().backward()

    lines = failure(step)
    assert lines[:4] == [
        (
            "sqrt: its backward makes the first Inf: the gradient that arrives is finite, the one "
            "for input 0 is not"
        ),
        "  gradient [4, 3] finite, all 1",
        "  input 0  [4, 3] finite, all 0",
        "  result   [4, 3] with 12 Inf, the first at [0, 0]",
    ]
    assert lines[4].endswith("in forward: return (x - 1).sqrt()  # the line of the backward error")
    assert lines[5:] == ["  in       model.1.1 (Root)"]


@pytest.mark.parametrize(
    ("call", "head", "inputs"),
    [
        (lambda: t([0.0]) / t([0.0]), "div: makes the first NaN: its inputs are", TWO),
        (lambda: t([1.0]) / 0, "div: makes the first Inf: its inputs are finite", TWO),
        (lambda: lamina.div(t([1.0]), 0), "div: makes the first Inf", ["input", "other"]),
        (lambda: t([-1.0]).sqrt(), "sqrt: makes the first NaN", ["input"]),
        (lambda: lamina.sqrt(t([-1.0])), "sqrt: makes the first NaN", ["input"]),
        (lambda: t([1.0]).div_(0.0), "div_: makes the first Inf", ["self", "other"]),
        (lambda: t([100.0]).exp(), "exp: makes the first Inf", ["input"]),
        (lambda: t([[1e30]]) @ t([[1e30]]), "matmul: makes the first Inf", TWO),
        (lambda: t([3e38, 3e38]).sum(), "sum: makes the first Inf", ["input"]),
        (lambda: t([3.0]).var(0), "var: makes the first NaN", ["input"]),
        (lambda: t([INF]) - t([INF]), "sub: makes the first NaN, out of an infinity", TWO),
        (lambda: t([INF]) * 0, "mul: makes the first NaN, out of an infinity", TWO),
        (lambda: t([-INF, -INF]).softmax(0), "softmax: makes the first NaN, out of an", ["input"]),
        (lambda: t([INF]).sin(), "sin: makes the first NaN, out of an infinity", ["input"]),
    ],
)  # fmt: skip
def test_producers(call, head, inputs):
    lines = failure(call)
    assert lines[0].startswith(head)
    labels = [line.split()[0] for line in lines[1:]]
    assert labels == [*inputs, "result", "line"]


def test_a_nan_from_outside_is_told_from_one_that_was_made():
    w = t([1.0, 1.0], grad=True)
    lines = failure(lambda: w * t([1.0, NAN]))
    assert lines[0] == "mul: passes on a NaN that was there before: no op that was watched made it"
    assert lines[1:3] == [
        "  first  [2] finite, all 1",
        "  second [2] with 1 NaN, the first at [1]",
    ]
    with autograd.detect_anomaly():  # no graph is reached: missing data may be repaired
        data = t([1.0, NAN]) * 2
        assert lamina.where(data.isnan(), 0.0, data).tolist() == [2.0, 0.0]


def test_infinities_that_were_meant_may_be_passed_on():
    scores = t([[1.0, 2.0], [3.0, 4.0]], grad=True)
    mask = lamina.tensor([[False, True], [False, False]])
    with autograd.detect_anomaly():
        p = scores.masked_fill(mask, -INF).softmax(-1)
        p[1].sum().backward()
        lamina.full_like(scores, INF)
        assert lamina.maximum(scores, t(-INF)).isfinite().all()
        assert t([1.0]).clone().fill_(INF).item() == INF
        assert (t([INF]) + 1).item() == INF
        lamina.empty_like(scores)
    assert p.isfinite().all()


def test_in_place_writes_are_judged_by_what_was_there_before():
    x = t([1.0, 2.0])
    with autograd.detect_anomaly():
        x.fill_(INF)
        x.mul_(2)
        with pytest.raises(RuntimeError, match=r"^sub_: makes the first NaN, out of an infinity"):
            x.sub_(x)


def test_optimizer_steps_are_watched():
    w = nn.Parameter(t([1.0, 2.0]))
    step = optim.SGD([w], lr=1e38)
    w.grad = t([1e38, 0.0])
    with autograd.detect_anomaly(), pytest.raises(RuntimeError, match=r"^sgd_step: makes .* Inf"):
        step.step()


def test_gradients_that_come_from_outside():
    x = t([1.0, 2.0], grad=True)
    with autograd.detect_anomaly():
        y = x * 2
        with pytest.raises(RuntimeError, match=r"^mul: the gradient that arrives here is not fini"):
            y.backward(t([NAN, 1.0]))
        y = x * 2
        y.register_hook(lambda g: g / 0)
        with pytest.raises(RuntimeError, match=r"^div: makes the first Inf"):
            y.sum().backward()  # the hook's own op


def test_the_trap_of_where():
    """The gradient of the branch that was not taken is 0 * inf."""
    x = t([4.0, 0.0], grad=True)
    y = lamina.where(x > 0, x.sqrt(), 0.0)
    assert y.isfinite().all()

    def step():
        lamina.where(x > 0, x.sqrt(), 0.0).sum().backward()

    lines = failure(step)
    assert lines[0].startswith("sqrt: its backward makes the first NaN")
    assert "  input 0  [2] finite, from 0 to 4" in lines


def test_second_derivatives_are_watched():
    def step():
        x = t([0.0], grad=True)
        (g,) = autograd.grad(x.abs().pow(1.5).sum(), x, create_graph=True)
        g.sum().backward()

    assert re.match(r"(pow|power|sqrt): its backward makes the first", failure(step)[0])


def test_other_errors_of_backward_get_their_place():
    for check_nan in (True, False):
        with autograd.detect_anomaly(check_nan=check_nan):
            x = t([1.0], grad=True) * 1
            y = x.exp()  # saved
            y.add_(1)
            with pytest.raises(RuntimeError) as caught:
                y.sum().backward()
        text = str(caught.value)
        assert text.startswith("exp: backward needs its output as it was")
        assert "in test_other_errors_of_backward_get_their_place: y = x.exp()  # saved" in text


def test_without_check_nan_values_go_unwatched():
    with autograd.detect_anomaly(check_nan=False):
        x = t([0.0], grad=True)
        y = x.log()
        y.backward()
    assert y.item() == -INF
    assert x.grad.item() == INF


def test_a_whole_training_step_passes_and_changes_nothing():
    def run():
        lamina.manual_seed(0)
        net = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3)
        )
        step = optim.Adam(net.parameters(), lr=0.1)
        for _ in range(3):
            loss = F.cross_entropy(net(lamina.randn(6, 4)), lamina.tensor([0, 1, 2, 0, 1, 2]))
            step.zero_grad()
            loss.backward()
            step.step()
        return [p.tolist() for p in net.parameters()]

    plain = run()
    with autograd.detect_anomaly():
        assert run() == plain


def test_modes_nest_and_hold_for_all_threads():
    assert not lamina.is_anomaly_enabled()
    seen = []
    with autograd.detect_anomaly():
        thread = threading.Thread(target=lambda: seen.append(lamina.is_anomaly_enabled()))
        thread.start()
        thread.join()
        with autograd.set_detect_anomaly(False):
            assert not lamina.is_anomaly_enabled()
        with autograd.set_detect_anomaly(True, check_nan=False):
            assert not lamina.is_anomaly_check_nan_enabled()
        assert lamina.is_anomaly_check_nan_enabled()
    assert seen == [True]
    autograd.set_detect_anomaly(True)
    assert lamina.is_anomaly_enabled()
    autograd.set_detect_anomaly(False)
    assert not lamina.is_anomaly_enabled()
    with pytest.raises(TypeError, match="set_detect_anomaly: mode must be a bool, got 1"):
        autograd.set_detect_anomaly(1)


def test_a_graph_of_before_can_be_run_within():
    x = t([0.0], grad=True)
    y = x.sqrt()
    lines = failure(y.backward)
    assert lines[0].startswith("sqrt: its backward makes the first Inf")
    assert len(lines) == 3  # where it was made is not known
