"""Optimizers and schedules beside PyTorch itself, where it is installed: paths and states."""

from __future__ import annotations

import copy

import lamina
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed; NumPy's paths are tested")

from test_lr_scheduler import CASES as SCHEDULES  # noqa: E402
from test_optim_paths import CASES  # noqa: E402

SHAPES = [(5, 3), (7,), (2, 3, 2), ()]


@pytest.fixture(autouse=True)
def float64():
    """PyTorch keeps NAdam's and ASGD's numbers in the default dtype; here they are float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def start(library, method, options, grouped, seed=0):
    """Parameters, their optimizer, and the function that makes gradients.

    Those of a bowl, and noise, without which a step divides by next to nothing in the end and
    shows only roundings.
    """
    rng = np.random.default_rng(seed)
    values = [rng.normal(size=shape) for shape in SHAPES]
    scales = [rng.uniform(0.2, 2, size=shape) for shape in SHAPES]
    params = [library.tensor(v, dtype=library.float64).requires_grad_() for v in values]
    scales = [library.tensor(s, dtype=library.float64) for s in scales]
    groups = [{"params": params[:2]}, {"params": params[2:], "lr": 3e-3}] if grouped else params
    optimizer = getattr(library.optim, method)(groups, **options)

    def gradients():
        optimizer.zero_grad()
        loss = 0
        for p, s in zip(params, scales, strict=True):
            noise = library.tensor(rng.normal(size=tuple(p.shape)), dtype=library.float64)
            loss = loss + (p * p * s / 2 + (p * s).sin() + p * noise).sum()
        loss.backward()

    return params, optimizer, gradients


def numbers(params):
    return np.concatenate([p.detach().numpy().ravel() for p in params])


def to_torch(state):
    def convert(value):
        if isinstance(value, lamina.Tensor):
            return torch.from_numpy(value.detach().numpy().copy())
        if isinstance(value, dict):
            return {k: convert(v) for k, v in value.items()}
        return [convert(v) for v in value] if isinstance(value, list) else copy.copy(value)

    return convert(state)


PATHS = [(case[0].__name__, {**case[1], **case[3]}) for case in CASES if case[0].__name__ != "Lion"]


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize(("method", "options"), PATHS, ids=lambda v: str(v).replace(" ", ""))
def test_paths_and_states(method, options, grouped):
    ours, own, step_ours = start(lamina, method, options, grouped)
    theirs, other, step_theirs = start(torch, method, options, grouped)
    for _ in range(100):
        step_ours()
        own.step()
        step_theirs()
        other.step()
        found, expected = numbers(ours), numbers(theirs)
        np.testing.assert_allclose(
            found, expected, rtol=0, atol=1e-9 * (1 + np.abs(expected).max())
        )
    mine, its = own.state_dict(), other.state_dict()
    assert {k: set(v) for k, v in mine["state"].items()} == {
        k: set(v) for k, v in its["state"].items()
    }
    assert mine["param_groups"] == its["param_groups"]
    # And on from the other's state: each way.
    params, again, _ = start(torch, method, options, grouped, seed=1)
    again.load_state_dict(to_torch(mine))
    with torch.no_grad():
        for p, q in zip(params, ours, strict=True):
            p.copy_(torch.from_numpy(q.detach().numpy().copy()))
    step_ours()
    own.step()
    for p, q in zip(params, ours, strict=True):
        p.grad = torch.from_numpy(q.grad.numpy().copy())
    again.step()
    np.testing.assert_allclose(numbers(params), numbers(ours), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("line_search", [None, "strong_wolfe"])
@pytest.mark.parametrize("history", [2, 100])
def test_lbfgs(line_search, history):
    def run(library):
        values = np.random.default_rng(6).normal(size=6)
        p = library.tensor(values, dtype=library.float64).requires_grad_()
        lr = 1.0 if line_search else 2e-3
        optimizer = library.optim.LBFGS(
            [p], lr=lr, max_iter=5, history_size=history, line_search_fn=line_search
        )
        path = []

        def closure():
            optimizer.zero_grad()
            loss = ((1 - p[:-1]) ** 2 + 100 * (p[1:] - p[:-1] ** 2) ** 2).sum()
            loss.backward()
            return loss

        for _ in range(8):  # forty iterations; each carries on the roundings of those before
            loss = optimizer.step(closure)
            path.append([loss.item(), *p.detach().numpy()])
        return np.array(path), optimizer.state_dict()["state"][0]["func_evals"]

    (found, calls), (expected, its_calls) = run(lamina), run(torch)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    assert calls == its_calls


def rates(optimizer):
    return [(float(g["lr"]), g.get("momentum"), g.get("betas")) for g in optimizer.param_groups]


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(name, monkeypatch):
    """The same makers, with PyTorch's classes in the names that they look up."""
    import test_lr_scheduler as ours

    paths = []
    for library in (lamina, torch):
        if library is torch:
            monkeypatch.setattr(ours, "lrs", torch.optim.lr_scheduler)
            monkeypatch.setattr(ours, "SWALR", torch.optim.swa_utils.SWALR)
        groups = [{"params": [library.ones(2).requires_grad_()]} for _ in ours.BASE]
        groups[1]["lr"] = ours.BASE[1]
        optimizer = library.optim.SGD(groups, lr=ours.BASE[0], momentum=0.9)
        try:
            schedule = SCHEDULES[name][0](optimizer)
        except ZeroDivisionError:
            pytest.skip("PyTorch divides by a factor of zero")
        path = [rates(optimizer)]
        try:
            for _ in range(100):
                optimizer.step()
                schedule.step()
                path.append(rates(optimizer))
        except ZeroDivisionError:
            pytest.skip("PyTorch divides by a factor of zero")
        paths.append(path)
    for found, expected in zip(*paths, strict=True):
        for mine, its in zip(found, expected, strict=True):
            assert mine[0] == pytest.approx(its[0], rel=1e-12, abs=1e-15)
            assert mine[1] == pytest.approx(its[1], rel=1e-12)
