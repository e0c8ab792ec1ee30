"""L-BFGS: what its steps must be like, by the theory of them."""

from __future__ import annotations

import copy

import lamina
import numpy as np
import pytest
from lamina import optim

START = np.array([-1.2, 1.0])


def rosenbrock(x):
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def problem(function, start, **options):
    """A parameter, its optimizer, the closure, and all points at which that was called."""
    p = lamina.tensor(np.asarray(start).tolist(), dtype=lamina.float64, requires_grad=True)
    optimizer = optim.LBFGS([p], **options)
    calls = []

    def closure():
        optimizer.zero_grad()
        loss = function(p)
        loss.backward()
        calls.append((p.tolist(), loss.item(), p.grad.tolist()))
        return loss

    return p, optimizer, closure, calls


def test_rosenbrock_is_solved():
    p, optimizer, closure, calls = problem(
        rosenbrock, START, max_iter=100, line_search_fn="strong_wolfe", tolerance_change=1e-14
    )
    assert optimizer.step(closure).item() == pytest.approx(24.2)  # the loss before
    np.testing.assert_allclose(p.tolist(), [1, 1], atol=1e-6)
    assert len(calls) <= 60  # Nocedal and Wright's takes some forty


def inverse_hessian(pairs, n):
    """The matrix that the two loops stand for: BFGS updates from a multiple of the identity."""
    s, y = pairs[-1]
    h = np.eye(n) * (s @ y) / (y @ y)
    for s, y in pairs:
        rho = 1 / (y @ s)
        left = np.eye(n) - rho * np.outer(s, y)
        h = left @ h @ left.T + rho * np.outer(s, s)
    return h


@pytest.mark.parametrize("history", [1, 3, 100])
def test_directions_are_bfgs(history):
    """Nocedal and Wright, algorithm 7.4, against equation 7.19 written out as a matrix."""
    rng = np.random.default_rng(3)
    root = rng.normal(size=(5, 5))
    matrix = root @ root.T + np.eye(5)
    tensor = lamina.tensor(matrix.tolist(), dtype=lamina.float64)
    start, lr, steps = rng.normal(size=5), 0.05, 8
    p, optimizer, closure, _ = problem(
        lambda x: x @ (tensor @ x) / 2, start, lr=lr, max_iter=1, history_size=history
    )
    x, g, pairs = start, matrix @ start, []
    for number in range(steps):
        optimizer.step(closure)
        if number == 0:
            change = -min(1, 1 / np.abs(g).sum()) * lr * g
        else:
            change = -lr * inverse_hessian(pairs[-history:], 5) @ g
        x, before = x + change, g
        np.testing.assert_allclose(p.tolist(), x, rtol=1e-9, atol=1e-12)
        g = matrix @ x
        pairs.append((change, g - before))
    assert len(optimizer.state[p]["old_dirs"]) == min(history, steps - 1)


def test_the_line_search_ends_where_wolfes_conditions_hold():
    for start in (START, np.array([3.0, -4.0]), np.array([0.1, 8.0])):
        p, optimizer, closure, calls = problem(
            rosenbrock, start, max_iter=1, max_eval=50, line_search_fn="strong_wolfe"
        )
        for _ in range(12):
            calls.clear()
            before = np.array(p.tolist())
            optimizer.step(closure)
            at, loss, g = (np.array(v) for v in calls[0])
            np.testing.assert_array_equal(at, before)
            step = np.array(p.tolist()) - before
            end = [c for c in calls if np.allclose(c[0], p.tolist(), rtol=0, atol=1e-14)]
            _, new_loss, new_g = (np.array(v) for v in end[-1])
            slope = g @ step
            assert slope < 0
            assert new_loss <= loss + 1e-4 * slope + 1e-12
            assert abs(new_g @ step) <= 0.9 * abs(slope) + 1e-12


def test_limits_are_kept():
    _, optimizer, closure, calls = problem(rosenbrock, START, max_iter=7, max_eval=5, lr=1e-3)
    optimizer.step(closure)
    assert len(calls) == 5
    _, optimizer, closure, calls = problem(rosenbrock, START, max_iter=4, lr=1e-3)
    optimizer.step(closure)
    assert len(calls) == 4  # nobody would use the gradient after the last one
    assert optimizer.state[optimizer.param_groups[0]["params"][0]]["n_iter"] == 4
    # At a minimum there is nothing to do.
    p, optimizer, closure, calls = problem(rosenbrock, [1.0, 1.0])
    optimizer.step(closure)
    assert len(calls) == 1
    assert p.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("line_search", [None, "strong_wolfe"])
def test_state_travels(line_search):
    options = {"max_iter": 3, "line_search_fn": line_search, "lr": 0.01}
    p, optimizer, closure, _ = problem(rosenbrock, START, **options)
    for _ in range(4):
        optimizer.step(closure)
    saved = copy.deepcopy(optimizer.state_dict())
    assert {"d", "t", "old_dirs", "old_stps", "ro", "H_diag", "prev_flat_grad", "prev_loss",
            "func_evals", "n_iter"} == set(saved["state"][0])  # fmt: skip
    q, other, other_closure, _ = problem(rosenbrock, p.tolist(), **options)
    other.load_state_dict(saved)
    for _ in range(4):
        optimizer.step(closure)
        other.step(other_closure)
    assert q.tolist() == p.tolist()


def test_several_parameters_are_one_vector():
    """What has no gradient counts as zero."""
    a = lamina.tensor([[-1.2]], dtype=lamina.float64, requires_grad=True)
    b = lamina.tensor(1.0, dtype=lamina.float64, requires_grad=True)
    idle = lamina.ones(2, dtype=lamina.float64, requires_grad=True)
    optimizer = optim.LBFGS([a, idle, b], max_iter=8, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = rosenbrock([a.sum(), b])
        loss.backward()
        return loss

    p, alone, alone_closure, _ = problem(
        rosenbrock, START, max_iter=8, line_search_fn="strong_wolfe"
    )
    optimizer.step(closure)
    alone.step(alone_closure)
    np.testing.assert_allclose([a.item(), b.item()], p.tolist(), rtol=1e-12)
    assert idle.tolist() == [1.0, 1.0]


def test_what_it_refuses():
    p = lamina.ones(1, requires_grad=True)
    with pytest.raises(TypeError, match="LBFGS: step needs a closure"):
        optim.LBFGS([p]).step()
    with pytest.raises(ValueError, match="LBFGS: takes one group of parameters"):
        optim.LBFGS([{"params": [p]}, {"params": [lamina.ones(1, requires_grad=True)]}])
