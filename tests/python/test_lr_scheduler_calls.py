"""Schedules: the order of calls that they warn of, and what they refuse."""

from __future__ import annotations

import copy
import math
import warnings

import lamina
import pytest
from lamina.optim import lr_scheduler as lrs
from lamina.optim.swa_utils import SWALR
from test_lr_scheduler import optimizer, rates

# -- order, and what is refused --------------------------------------------------------------------


def warnings_of(steps):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        steps()
    return [str(w.message) for w in caught]


def test_the_wrong_order_is_noticed():
    o = optimizer()
    schedule = lrs.StepLR(o, 3)
    said = warnings_of(lambda: (schedule.step(), schedule.step()))
    assert len(said) == 1
    assert said[0].startswith("StepLR: lr_scheduler.step() before optimizer.step()")
    o = optimizer()
    schedule = lrs.StepLR(o, 3)
    assert warnings_of(lambda: (o.step(), schedule.step(), schedule.step())) == []
    assert "step" not in vars(o)  # nothing stays in the step's way


def test_an_optimizer_with_a_schedule_is_copied():
    o = optimizer()
    schedule = lrs.StepLR(o, 1, 0.5)
    twin = copy.deepcopy(schedule)
    twin.optimizer.step()
    twin.step()
    assert rates(twin.optimizer) == [0.25, 0.01]
    assert rates(o) == [0.5, 0.02]


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda o: lrs.StepLR(3, 1), TypeError, "StepLR: needs an Optimizer, got int"),
        (lambda o: lrs.LambdaLR(3, 1), TypeError, "LambdaLR: needs an Optimizer, got int"),
        (lambda o: lrs.CyclicLR(3, 1, 1), TypeError, "CyclicLR: needs an Optimizer, got int"),
        (lambda o: lrs.ReduceLROnPlateau(3), TypeError, "ReduceLROnPlateau: needs an Optimizer"),
        (lambda o: lrs.StepLR(o, 0), ValueError, "StepLR: step_size must be at least 1, got 0"),
        (
            lambda o: lrs.LambdaLR(o, 3),
            TypeError,
            "lr_lambda must be a function, got int",
        ),
        (
            lambda o: lrs.LambdaLR(o, [math.sin]),
            ValueError,
            "LambdaLR: lr_lambda has 1 values but the optimizer has 2 groups",
        ),
        (lambda o: lrs.ConstantLR(o, 1.5), ValueError, r"factor must be in \[0, 1\], got 1.5"),
        (lambda o: lrs.LinearLR(o, 0.0), ValueError, r"start_factor must be in \(0, 1\], got 0"),
        (lambda o: lrs.LinearLR(o, 1, 2), ValueError, r"end_factor must be in \[0, 1\], got 2"),
        (lambda o: lrs.CosineAnnealingLR(o, 0), ValueError, "T_max must be at least 1, got 0"),
        (
            lambda o: lrs.CosineAnnealingWarmRestarts(o, 0),
            ValueError,
            "T_0 must be an integer of at least 1, got 0",
        ),
        (
            lambda o: lrs.CosineAnnealingWarmRestarts(o, 2, 1.5),
            ValueError,
            "T_mult must be an integer of at least 1, got 1.5",
        ),
        (
            lambda o: lrs.CosineAnnealingWarmRestarts(o, 2).step(-1),
            ValueError,
            "epoch must be at least 0, got -1",
        ),
        (lambda o: lrs.CyclicLR(o, 1, 2, mode="x"), ValueError, "mode must be one of triangular"),
        (lambda o: lrs.CyclicLR(o, 1, 2, 0), ValueError, "needs steps up and none below 0 down"),
        (lambda o: lrs.CyclicLR(o, [1, 2, 3], 2), ValueError, "base_lr has 3 values but the opt"),
        (lambda o: lrs.OneCycleLR(o, 1), ValueError, "needs total_steps, or epochs and steps_per"),
        (lambda o: lrs.OneCycleLR(o, 1, 0), ValueError, "total_steps must be an integer of at"),
        (lambda o: lrs.OneCycleLR(o, 1, 9, pct_start=2), ValueError, r"must be in \[0, 1\], got 2"),
        (lambda o: lrs.OneCycleLR(o, 1, 9, anneal_strategy="x"), ValueError, "'cos' or 'linear'"),
        (lambda o: lrs.ReduceLROnPlateau(o, "x"), ValueError, "mode must be 'min' or 'max', got"),
        (lambda o: lrs.ReduceLROnPlateau(o, factor=1), ValueError, "factor must be below 1, got 1"),
        (lambda o: lrs.ChainedScheduler([]), ValueError, "needs at least one scheduler"),
        (
            lambda o: lrs.ChainedScheduler([lrs.StepLR(o, 1), lrs.StepLR(optimizer(), 1)]),
            ValueError,
            "ChainedScheduler: scheduler 1, a StepLR, is of another optimizer",
        ),
        (
            lambda o: lrs.ChainedScheduler([lrs.ReduceLROnPlateau(o)]),
            ValueError,
            "scheduler 0 is a ReduceLROnPlateau, whose step needs a measurement",
        ),
        (
            lambda o: lrs.SequentialLR(o, [3], []),
            TypeError,
            "SequentialLR: scheduler 0 is a int, which has no optimizer",
        ),
        (
            lambda o: lrs.SequentialLR(o, [lrs.StepLR(o, 1)], [1]),
            ValueError,
            "SequentialLR: 1 schedulers need 0 milestones, got 1",
        ),
        (lambda o: SWALR(o, 1, anneal_epochs=-1), ValueError, "anneal_epochs must be an integer"),
        (lambda o: SWALR(o, 1, anneal_strategy="x"), ValueError, "'cos' or 'linear', got 'x'"),
    ],
)
def test_what_is_refused(make, error, text):
    o = optimizer()
    with pytest.raises(error, match=text):
        make(o)


def test_what_has_no_momentum_says_so():
    o = lamina.optim.Adagrad([lamina.ones(1, requires_grad=True)])
    with pytest.raises(ValueError, match="CyclicLR: Adagrad has neither momentum nor betas"):
        lrs.CyclicLR(o, 0.1, 1.0)
    with pytest.raises(ValueError, match="OneCycleLR: Adagrad has neither momentum nor betas"):
        lrs.OneCycleLR(o, 1.0, 10)


def test_a_cycle_that_is_over():
    o = optimizer()
    schedule = lrs.OneCycleLR(o, 1.0, 3, cycle_momentum=False)
    for _ in range(3):
        o.step()
        schedule.step()
    with pytest.raises(ValueError, match="this is step 4 of a schedule of 3 steps"):
        schedule.step()


def test_names():
    assert lamina.optim.lr_scheduler is lrs
    assert lrs._LRScheduler is lrs.LRScheduler
    with pytest.raises(AttributeError, match=r"has no 'StpLR'.*nearest: StepLR"):
        lrs.StpLR  # noqa: B018
    with pytest.raises(NotImplementedError, match="LRScheduler does not define get_lr"):
        lrs.LRScheduler(optimizer())
