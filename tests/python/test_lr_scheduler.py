"""`lamina.optim.lr_scheduler`: every schedule against its closed form, alone and combined."""

from __future__ import annotations

import copy
import math
import warnings

import lamina
import numpy as np
import pytest
from lamina.optim import SGD, Adam
from lamina.optim import lr_scheduler as lrs
from lamina.optim.swa_utils import SWALR

EPOCHS = 100
BASE = (0.5, 0.02)


def optimizer(method=SGD, **options):
    """Two groups, at rates of 0.5 and 0.02."""
    groups = [{"params": [lamina.ones(2, requires_grad=True)]} for _ in BASE]
    groups[1]["lr"] = BASE[1]
    return method(groups, lr=BASE[0], **options)


def rates(o):
    return [float(group["lr"]) for group in o.param_groups]


def run(o, schedule, epochs):
    """The rates before each step of the optimizer."""
    path = []
    for _ in range(epochs):
        path.append(rates(o))
        assert [float(lr) for lr in schedule.get_last_lr()] == path[-1]
        o.step()
        schedule.step()
    return np.array(path)


class Slower:
    """A callable whose state can be saved."""

    def __init__(self, by):
        self.by = by

    def __call__(self, epoch):
        return 1 / (1 + self.by * epoch)


def cosine(low, base, epoch, length):
    return low + (base - low) * (1 + math.cos(math.pi * epoch / length)) / 2


def restarts(base, epoch, first, times, low):
    length = first
    while epoch >= length:
        epoch, length = epoch - length, length * times
    return cosine(low, base, epoch, length)


def triangle(epoch, up, down):
    """Number of the cycle from 1, and the height in it."""
    cycle, at = divmod(epoch, up + down)
    return cycle + 1, at / up if at <= up else (up + down - at) / down


def one_cycle(epoch, peak, steps, share, strategy, three=False, div=25.0, final=1e4):
    marks = [0, share * steps - 1, steps - 1]
    levels = [peak / div, peak, peak / div / final]
    if three:
        marks.insert(2, 2 * share * steps - 2)
        levels.insert(2, peak / div)
    part = next(i for i in range(1, len(marks)) if epoch <= marks[i])
    way = (epoch - marks[part - 1]) / (marks[part] - marks[part - 1])
    way = way if strategy == "linear" else (1 - math.cos(math.pi * way)) / 2
    return levels[part - 1] + (levels[part] - levels[part - 1]) * way


# How it is made, and the rate of a group with first rate b at epoch t.
CASES = {
    "lambda": (
        lambda o: lrs.LambdaLR(o, [lambda t: 0.9**t, Slower(0.1)]),
        lambda b, t: b * (0.9**t if b == BASE[0] else 1 / (1 + 0.1 * t)),
    ),
    "multiplicative": (
        lambda o: lrs.MultiplicativeLR(o, lambda t: 0.9 if t % 2 else 1.05),
        lambda b, t: b * 0.9 ** ((t + 1) // 2) * 1.05 ** (t // 2),
    ),
    "step": (lambda o: lrs.StepLR(o, 7, 0.5), lambda b, t: b * 0.5 ** (t // 7)),
    "multistep": (
        lambda o: lrs.MultiStepLR(o, [30, 3, 10, 10], 0.3),
        lambda b, t: b * 0.3 ** ((t >= 3) + 2 * (t >= 10) + (t >= 30)),
    ),
    "constant": (lambda o: lrs.ConstantLR(o, 0.4, 6), lambda b, t: b * (0.4 if t < 6 else 1)),
    "constant zero": (lambda o: lrs.ConstantLR(o, 0.0, 6), lambda b, t: b * (0 if t < 6 else 1)),
    "linear": (
        lambda o: lrs.LinearLR(o, 0.2, 0.8, 9),
        lambda b, t: b * (0.2 + 0.6 * min(t, 9) / 9),
    ),
    "linear to zero": (
        lambda o: lrs.LinearLR(o, 1.0, 0.0, 9),
        lambda b, t: b * (1 - min(t, 9) / 9),
    ),
    "exponential": (lambda o: lrs.ExponentialLR(o, 0.95), lambda b, t: b * 0.95**t),
    "polynomial": (
        lambda o: lrs.PolynomialLR(o, 30, 2.0),
        lambda b, t: b * (1 - min(t, 30) / 30) ** 2,
    ),
    "cosine": (
        lambda o: lrs.CosineAnnealingLR(o, 13, 1e-3),
        lambda b, t: cosine(1e-3, b, t, 13),
    ),
    "restarts": (
        lambda o: lrs.CosineAnnealingWarmRestarts(o, 5, 2, 1e-3),
        lambda b, t: restarts(b, t, 5, 2, 1e-3),
    ),
    "equal restarts": (
        lambda o: lrs.CosineAnnealingWarmRestarts(o, 7),
        lambda b, t: restarts(b, t, 7, 1, 0.0),
    ),
    "cyclic": (
        lambda o: lrs.CyclicLR(o, list(BASE), 0.9, 7, 11, cycle_momentum=False),
        lambda b, t: b + (0.9 - b) * triangle(t, 7, 11)[1],
    ),
    "cyclic halving": (
        lambda o: lrs.CyclicLR(o, list(BASE), 0.9, 7, mode="triangular2", cycle_momentum=False),
        lambda b, t: b + (0.9 - b) * triangle(t, 7, 7)[1] / 2 ** (triangle(t, 7, 7)[0] - 1),
    ),
    "cyclic fading": (
        lambda o: lrs.CyclicLR(
            o, list(BASE), 0.9, 7, mode="exp_range", gamma=0.97, cycle_momentum=False
        ),
        lambda b, t: b + (0.9 - b) * triangle(t, 7, 7)[1] * 0.97**t,
    ),
    "cyclic by a function": (
        lambda o: lrs.CyclicLR(
            o, list(BASE), 0.9, 7, scale_fn=Slower(0.2), scale_mode="iterations",
            cycle_momentum=False,
        ),
        lambda b, t: b + (0.9 - b) * triangle(t, 7, 7)[1] / (1 + 0.2 * t),
    ),
    "one cycle": (
        lambda o: lrs.OneCycleLR(o, list(BASE), total_steps=100, cycle_momentum=False),
        lambda b, t: one_cycle(t, b, 100, 0.3, "cos"),
    ),
    "one cycle, three parts": (
        lambda o: lrs.OneCycleLR(
            o, list(BASE), epochs=10, steps_per_epoch=10, pct_start=0.4, three_phase=True,
            anneal_strategy="linear", div_factor=10.0, final_div_factor=100.0,
            cycle_momentum=False,
        ),
        lambda b, t: one_cycle(t, b, 100, 0.4, "linear", True, 10.0, 100.0),
    ),
    "chained": (
        lambda o: lrs.ChainedScheduler([
            lrs.ConstantLR(o, 0.1, 20), lrs.ExponentialLR(o, 0.9), lrs.StepLR(o, 9, 0.5),
        ]),
        lambda b, t: b * (0.1 if t < 20 else 1) * 0.9**t * 0.5 ** (t // 9),
    ),
    "sequential": (
        lambda o: lrs.SequentialLR(
            o,
            [lrs.LinearLR(o, 0.1, 1.0, 5), lrs.CosineAnnealingLR(o, 30), lrs.StepLR(o, 4, 0.5)],
            [5, 35],
        ),
        lambda b, t: (
            b * (0.1 + 0.9 * t / 5) if t < 5
            else cosine(0, b, t - 5, 30) if t < 35
            else b * 0.5 ** ((t - 35) // 4)
        ),
    ),
    "chained in sequence": (
        lambda o: lrs.ChainedScheduler([
            lrs.SequentialLR(o, [lrs.ConstantLR(o, 0.5, 99), lrs.StepLR(o, 3, 0.9)], [9]),
            lrs.ExponentialLR(o, 0.99),
        ]),
        None,
    ),
    "averaging": (
        lambda o: SWALR(o, [0.05, 0.01], 10),
        lambda b, t: cosine(0.05 if b == BASE[0] else 0.01, b, min(t, 10), 10),
    ),
    "averaging, straight": (
        lambda o: SWALR(o, 0.05, 5, "linear"),
        lambda b, t: b + (0.05 - b) * min(t, 5) / 5,
    ),
}  # fmt: skip
WITH_FORM = [name for name, (_, form) in CASES.items() if form is not None]


@pytest.mark.parametrize("name", WITH_FORM)
def test_closed_forms(name):
    make, form = CASES[name]
    o = optimizer()
    path = run(o, make(o), EPOCHS)
    expected = [[form(b, t) for b in BASE] for t in range(EPOCHS)]
    # A few roundings an epoch, of numbers up to 1; back up from the bottom of a cosine a small
    # rate is the sum of what is left.
    np.testing.assert_allclose(path, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("method", [SGD, Adam])
def test_going_on_from_a_state(name, method):
    make, _ = CASES[name]
    o = optimizer(method)
    schedule = make(o)
    run(o, schedule, 41)
    states = copy.deepcopy((o.state_dict(), schedule.state_dict()))
    assert "optimizer" not in states[1]
    rest = run(o, schedule, 59)
    other = optimizer(method)
    again = make(other)
    other.load_state_dict(states[0])
    again.load_state_dict(states[1])
    assert np.array_equal(run(other, again, 59), rest)


@pytest.mark.parametrize("name", CASES)
def test_rates_that_are_tensors_are_written_into(name):
    make, _ = CASES[name]
    o = optimizer()
    expected = run(o, make(o), 20)
    o = optimizer()
    for group, base in zip(o.param_groups, BASE, strict=True):
        group["lr"] = lamina.tensor(base, dtype=lamina.float64)
    tensors = [group["lr"] for group in o.param_groups]
    schedule = make(o)
    found = run(o, schedule, 20)
    np.testing.assert_allclose(found, expected, rtol=1e-13)
    assert all(g["lr"] is t for g, t in zip(o.param_groups, tensors, strict=True))
    assert all(lr is not t for lr, t in zip(schedule.get_last_lr(), tensors, strict=True))


@pytest.mark.parametrize(
    "make",
    [
        lambda o, last: lrs.StepLR(o, 7, 0.5, last_epoch=last),
        lambda o, last: lrs.CosineAnnealingLR(o, 13, 1e-3, last_epoch=last),
        lambda o, last: lrs.ExponentialLR(o, 0.9, last_epoch=last),
        lambda o, last: lrs.LambdaLR(o, lambda t: 0.9**t, last_epoch=last),
        lambda o, last: lrs.OneCycleLR(o, 0.5, 100, cycle_momentum=False, last_epoch=last),
    ],
)
def test_going_on_from_a_last_epoch(make):
    o = optimizer()
    expected = run(o, make(o, -1), 30)
    o = optimizer()
    run(o, make(o, -1), 9)
    for group, lr in zip(o.param_groups, expected[10], strict=True):
        group["lr"] = lr  # most take it from there
    schedule = make(o, 9)  # is at epoch 10
    np.testing.assert_allclose(run(o, schedule, 19), expected[10:29], rtol=1e-12)
    with pytest.raises(KeyError, match="group 0 has no 'initial_lr' to go on from"):
        make(optimizer(), 9)


def test_a_given_epoch():
    """Known by those that have a closed form; PyTorch warns, and so does this."""
    for name in ("step", "multistep", "linear", "exponential", "polynomial", "cosine", "restarts"):
        make, form = CASES[name]
        o = optimizer()
        schedule = make(o)
        o.step()
        for epoch in (3, 0, 29, 12):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                schedule.step(epoch)
            assert name == "restarts" or "deprecated" in str(caught[0].message)
            expected = [form(b, epoch) for b in BASE]
            np.testing.assert_allclose(rates(o), expected, rtol=1e-12, atol=1e-15)
    restarting = lrs.CosineAnnealingWarmRestarts(optimizer(), 4)
    restarting.step(5.5)  # a fraction of an epoch
    assert restarting.get_last_lr()[0] == pytest.approx(cosine(0, BASE[0], 1.5, 4))


# -- momentum --------------------------------------------------------------------------------------


def momenta(o):
    return [
        group["betas"][0] if "betas" in group else group["momentum"] for group in o.param_groups
    ]


@pytest.mark.parametrize(("method", "options"), [(SGD, {"momentum": 0.9}), (Adam, {})])
def test_momentum_goes_the_other_way(method, options):
    o = optimizer(method, **options)
    schedule = lrs.CyclicLR(o, 0.01, 0.3, 7, base_momentum=[0.7, 0.6], max_momentum=0.99)
    for t in range(30):
        height = triangle(t, 7, 7)[1]
        expected = [0.99 - (0.99 - low) * height for low in (0.7, 0.6)]
        np.testing.assert_allclose(momenta(o), expected, rtol=1e-13)
        o.step()
        schedule.step()
    o = optimizer(method, **options)
    schedule = lrs.OneCycleLR(o, 0.3, total_steps=50)
    for t in range(50):
        up = one_cycle(t, 1.0, 50, 0.3, "cos", div=1e300, final=1.0)
        np.testing.assert_allclose(momenta(o), 2 * [0.95 - 0.1 * up], rtol=1e-12)
        o.step()
        schedule.step()
    assert method is SGD or o.param_groups[0]["betas"][1] == 0.999


def test_the_momentum_that_is_set_is_used():
    p = lamina.tensor([0.0], requires_grad=True)
    o = SGD([p], lr=1.0, momentum=0.9)
    lrs.CyclicLR(o, 1.0, 1.0, 1, base_momentum=0.5, max_momentum=0.25)
    p.grad = lamina.ones(1)
    o.step()
    o.step()
    assert p.item() == -1 - 1.25


# -- plateaus --------------------------------------------------------------------------------------


def test_plateau():
    o = optimizer()
    schedule = lrs.ReduceLROnPlateau(o, factor=0.5, patience=2, cooldown=1, min_lr=[0.1, 0.0])
    seen = []
    #        best      no  no  no=change, cooldown, no  no  no=change
    for loss in (3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 2.0, 2.0):
        schedule.step(lamina.tensor(loss))
        seen.append(rates(o)[0])
    assert seen == [0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.125, 0.125, 0.125]
    for _ in range(8):
        schedule.step(9.0)
    assert rates(o)[0] == 0.1
    assert rates(o)[1] == pytest.approx(0.02 / 2**4)


@pytest.mark.parametrize(
    ("mode", "threshold_mode", "best", "just", "not_quite"),
    [
        ("min", "rel", 10.0, 8.9, 9.1),
        ("min", "abs", 10.0, 9.8, 9.95),
        ("max", "rel", 10.0, 11.1, 10.9),
        ("max", "abs", 10.0, 10.2, 10.05),
    ],
)
def test_what_counts_as_better(mode, threshold_mode, best, just, not_quite):
    for value, better in ((just, True), (not_quite, False), (math.nan, False)):
        schedule = lrs.ReduceLROnPlateau(
            optimizer(), mode, threshold=0.1, threshold_mode=threshold_mode
        )
        schedule.step(best)
        schedule.step(value)
        assert schedule.num_bad_epochs == (0 if better else 1)
    state = copy.deepcopy(schedule.state_dict())
    other = lrs.ReduceLROnPlateau(optimizer())
    other.load_state_dict(state)
    assert (other.mode, other.best, other.num_bad_epochs) == (mode, best, 1)


def test_a_new_group_has_the_least_rate_of_all():
    o = optimizer()
    schedule = lrs.ReduceLROnPlateau(o, patience=0, min_lr=0.01)
    o.add_param_group({"params": [lamina.ones(1, requires_grad=True)], "lr": 1.0})
    schedule.step(1.0)
    schedule.step(1.0)
    assert rates(o) == pytest.approx([0.05, 0.01, 0.1])
    o = optimizer()
    schedule = lrs.ReduceLROnPlateau(o, patience=0, min_lr=[0.01, 0.01])
    o.add_param_group({"params": [lamina.ones(1, requires_grad=True)]})
    schedule.step(1.0)
    with pytest.raises(RuntimeError, match="min_lr has 2 values but the optimizer now has 3"):
        schedule.step(1.0)
