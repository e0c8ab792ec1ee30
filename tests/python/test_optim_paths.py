"""Where every optimizer goes, in a hundred steps, against its paper's formulae in NumPy."""

from __future__ import annotations

import lamina
import numpy as np
import pytest
from lamina import optim

START = np.array([1.5, -2.0, 0.25])
SCALE = np.array([1.0, 10.0, 0.1])  # the gradient of sum(SCALE * p^2) / 2 is SCALE * p
STEPS = 100


def trajectory(make, steps=STEPS, dtype=lamina.float64):
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


def reference(update, steps=STEPS, *, maximize=False, weight_decay=0.0):
    """The same with ``update(t, p, g, memory)`` in NumPy; ``memory`` starts as zeros."""
    p, memory, path = START.copy(), [np.zeros(3) for _ in range(3)], []
    for t in range(1, steps + 1):
        g = (-1 if maximize else 1) * SCALE * p + weight_decay * p
        p = update(t, p, g, memory)
        path.append(p)
    return np.array(path)


# -- the formulae ----------------------------------------------------------------------------------


def sgd(lr, momentum=0.0, dampening=0.0, nesterov=False):
    def update(t, p, g, memory):
        memory[0] = g if t == 1 else momentum * memory[0] + (1 - dampening) * g
        return p - lr * (g + momentum * memory[0] if nesterov else memory[0])

    return update


def moments(betas, g, memory):
    memory[0] = betas[0] * memory[0] + (1 - betas[0]) * g
    memory[1] = betas[1] * memory[1] + (1 - betas[1]) * g * g
    return memory[0], memory[1]


def adam(lr, betas=(0.9, 0.999), eps=1e-8, amsgrad=False, decay=0.0):
    def update(t, p, g, memory):
        m, v = moments(betas, g, memory)
        memory[2] = np.maximum(memory[2], v) if amsgrad else v
        m, v = m / (1 - betas[0] ** t), memory[2] / (1 - betas[1] ** t)
        return p - lr * decay * p - lr * m / (np.sqrt(v) + eps)

    return update


def rmsprop(lr, alpha=0.99, eps=1e-8, momentum=0.0, centered=False):
    def update(t, p, g, memory):
        memory[0] = alpha * memory[0] + (1 - alpha) * g * g
        memory[1] = alpha * memory[1] + (1 - alpha) * g
        v = memory[0] - memory[1] ** 2 if centered else memory[0]
        memory[2] = momentum * memory[2] + g / (np.sqrt(v) + eps)
        return p - lr * memory[2]

    return update


def adagrad(lr, lr_decay=0.0, eps=1e-10, start=0.0):
    """Duchi et al., figure 1, with the diagonal only."""

    def update(t, p, g, memory):
        memory[0] = memory[0] + g * g
        return p - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(memory[0] + start) + eps)

    return update


def adadelta(lr=1.0, rho=0.9, eps=1e-6):
    """Zeiler, algorithm 1."""

    def update(t, p, g, memory):
        memory[0] = rho * memory[0] + (1 - rho) * g * g
        step = np.sqrt(memory[1] + eps) / np.sqrt(memory[0] + eps) * g
        memory[1] = rho * memory[1] + (1 - rho) * step * step
        return p - lr * step

    return update


def adamax(lr, betas=(0.9, 0.999), eps=1e-8):
    """Kingma and Ba, algorithm 2."""

    def update(t, p, g, memory):
        memory[0] = betas[0] * memory[0] + (1 - betas[0]) * g
        memory[1] = np.maximum(betas[1] * memory[1], np.abs(g) + eps)
        return p - lr / (1 - betas[0] ** t) * memory[0] / memory[1]

    return update


def nadam(lr, betas=(0.9, 0.999), eps=1e-8, momentum_decay=4e-3, decay=0.0):
    """Dozat, algorithm 2, with the schedule of its section 3."""

    def mu(t):
        return betas[0] * (1 - 0.5 * 0.96 ** (t * momentum_decay))

    def update(t, p, g, memory):
        m, v = moments(betas, g, memory)
        product = np.prod([mu(i) for i in range(1, t + 1)])
        look = (1 - mu(t)) * g / (1 - product) + mu(t + 1) * m / (1 - product * mu(t + 1))
        return p - lr * decay * p - lr * look / (np.sqrt(v / (1 - betas[1] ** t)) + eps)

    return update


def radam(lr, betas=(0.9, 0.999), eps=1e-8, decay=0.0):
    """Liu et al., algorithm 2; eps beside the uncorrected root, as PyTorch has it."""

    def update(t, p, g, memory):
        m, v = moments(betas, g, memory)
        most = 2 / (1 - betas[1]) - 1
        length = most - 2 * t * betas[1] ** t / (1 - betas[1] ** t)
        step = lr * m / (1 - betas[0] ** t)
        if length > 5:
            r = (length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length)
            step = step * np.sqrt(r) * np.sqrt(1 - betas[1] ** t) / (np.sqrt(v) + eps)
        return p - lr * decay * p - step

    return update


def asgd(lr, lambd=1e-4, alpha=0.75):
    """Bottou, "Stochastic gradient tricks", 2012, section 5.2; the average is looked at below."""

    def update(t, p, g, memory):
        eta = lr / (1 + lambd * lr * (t - 1)) ** alpha
        return (1 - lambd * eta) * p - eta * g

    return update


def rprop(lr, etas=(0.5, 1.2), sizes=(1e-6, 50)):
    """Riedmiller and Braun; where the sign turns there is no step, and none is remembered."""

    def update(t, p, g, memory):
        turn = g * memory[0]
        size = memory[1] if t > 1 else np.full(3, lr)
        size = size * np.select([turn > 0, turn < 0], [etas[1], etas[0]], 1.0)
        memory[1] = np.clip(size, *sizes)
        memory[0] = np.where(turn < 0, 0.0, g)
        return p - np.sign(memory[0]) * memory[1]

    return update


def lion(lr, betas=(0.9, 0.99), decay=0.0):
    """Chen et al., program 1."""

    def update(t, p, g, memory):
        direction = np.sign(betas[0] * memory[0] + (1 - betas[0]) * g)
        memory[0] = betas[1] * memory[0] + (1 - betas[1]) * g
        return p - lr * (direction + decay * p)

    return update


UP, DECAY = {"maximize": True}, {"weight_decay": 0.3}
BOTH = {**UP, **DECAY}
LOW = {"betas": (0.8, 0.95), "eps": 1e-3}
# Method, options, and the formula with the same; then what else goes to the optimizer as an
# option, and to the gradient here.
CASES = [
    (optim.SGD, {}, sgd(1e-3), {}),
    (optim.SGD, {"lr": 0.05}, sgd(0.05), {}),
    (optim.SGD, {"lr": 0.02, "momentum": 0.9}, sgd(0.02, 0.9), {}),
    (optim.SGD, {"lr": 0.02, "momentum": 0.9, "dampening": 0.5}, sgd(0.02, 0.9, 0.5), {}),
    (
        optim.SGD,
        {"lr": 0.02, "momentum": 0.9, "nesterov": True},
        sgd(0.02, 0.9, nesterov=True),
        {},
    ),
    (optim.SGD, {"lr": 0.05}, sgd(0.05), DECAY),
    (optim.SGD, {"lr": 1e-3}, sgd(1e-3), UP),
    (optim.SGD, {"lr": 1e-3, "momentum": 0.5}, sgd(1e-3, 0.5), BOTH),
    (optim.Adam, {}, adam(1e-3), {}),
    (optim.Adam, {"lr": 0.1, **LOW}, adam(0.1, *LOW.values()), {}),
    (
        optim.Adam,
        {"lr": 0.3, "betas": (0.5, 0.5), "amsgrad": True},
        adam(0.3, (0.5, 0.5), amsgrad=True),
        {},
    ),
    (optim.Adam, {"lr": 0.1}, adam(0.1), DECAY),
    (optim.Adam, {"lr": 0.1}, adam(0.1), UP),
    (
        optim.Adam,
        {"lr": 0.05, "weight_decay": 0.2, "decoupled_weight_decay": True},
        adam(0.05, decay=0.2),
        {},
    ),
    (optim.AdamW, {}, adam(1e-3, decay=0.01), {}),
    (
        optim.AdamW,
        {"lr": 0.1, "weight_decay": 0.3, "amsgrad": True, "betas": (0.5, 0.5)},
        adam(0.1, (0.5, 0.5), amsgrad=True, decay=0.3),
        {},
    ),
    (optim.AdamW, {"lr": 0.1, **DECAY}, adam(0.1, decay=0.3), UP),
    (optim.RMSprop, {}, rmsprop(1e-2), {}),
    (optim.RMSprop, {"lr": 0.05, "alpha": 0.9, "eps": 1e-3}, rmsprop(0.05, 0.9, 1e-3), {}),
    (optim.RMSprop, {"lr": 0.01, "momentum": 0.8}, rmsprop(0.01, momentum=0.8), {}),
    (
        optim.RMSprop,
        {"lr": 0.005, "centered": True, "momentum": 0.5},
        rmsprop(0.005, momentum=0.5, centered=True),
        {},
    ),
    (optim.RMSprop, {"lr": 0.01}, rmsprop(0.01), BOTH),
    (optim.Adagrad, {}, adagrad(1e-2), {}),
    (
        optim.Adagrad,
        {"lr": 0.2, "lr_decay": 0.1, "eps": 1e-3, "initial_accumulator_value": 0.5},
        adagrad(0.2, 0.1, 1e-3, 0.5),
        {},
    ),
    (optim.Adagrad, {"lr": 0.1}, adagrad(0.1), BOTH),
    (optim.Adadelta, {}, adadelta(), {}),
    (optim.Adadelta, {"lr": 0.5, "rho": 0.7, "eps": 1e-3}, adadelta(0.5, 0.7, 1e-3), {}),
    (optim.Adadelta, {"eps": 1e-3}, adadelta(eps=1e-3), BOTH),
    (optim.Adamax, {}, adamax(2e-3), {}),
    (optim.Adamax, {"lr": 0.05, **LOW}, adamax(0.05, *LOW.values()), {}),
    (optim.Adamax, {"lr": 0.05}, adamax(0.05), BOTH),
    (optim.NAdam, {}, nadam(2e-3), {}),
    (
        optim.NAdam,
        {"lr": 0.05, **LOW, "momentum_decay": 0.1},
        nadam(0.05, *LOW.values(), 0.1),
        {},
    ),
    (optim.NAdam, {"lr": 0.05}, nadam(0.05), BOTH),
    (
        optim.NAdam,
        {"lr": 0.05, "decoupled_weight_decay": True, **DECAY},
        nadam(0.05, decay=0.3),
        {},
    ),
    (optim.RAdam, {}, radam(1e-3), {}),
    (optim.RAdam, {"lr": 0.05, **LOW}, radam(0.05, *LOW.values()), {}),
    (optim.RAdam, {"lr": 1e-3}, radam(1e-3), BOTH),
    (
        optim.RAdam,
        {"lr": 0.05, "decoupled_weight_decay": True, **DECAY},
        radam(0.05, decay=0.3),
        {},
    ),
    (optim.ASGD, {}, asgd(1e-2), {}),
    (optim.ASGD, {"lr": 0.05, "lambd": 0.1, "alpha": 0.5}, asgd(0.05, 0.1, 0.5), {}),
    (optim.ASGD, {"lr": 1e-3}, asgd(1e-3), BOTH),
    (optim.Rprop, {}, rprop(1e-2), {}),
    (
        optim.Rprop,
        {"lr": 0.1, "etas": (0.3, 1.5), "step_sizes": (1e-3, 0.2)},
        rprop(0.1, (0.3, 1.5), (1e-3, 0.2)),
        {},
    ),
    (optim.Rprop, {"lr": 1e-3, "step_sizes": (1e-6, 0.1)}, rprop(1e-3, sizes=(1e-6, 0.1)), UP),
    (optim.Lion, {}, lion(1e-4), {}),
    (optim.Lion, {"lr": 0.01, "betas": (0.5, 0.8), **DECAY}, lion(0.01, (0.5, 0.8), 0.3), {}),
    (optim.Lion, {"lr": 0.01}, lion(0.01), UP),
]
# These decide by a sign, which float32's rounding may turn; their kernels are compared in both
# dtypes by the native tests.
BY_SIGN = (optim.Rprop, optim.Lion)


def name(case):
    return " ".join([case[0].__name__, *case[1], *case[3]])


@pytest.mark.parametrize(("method", "options", "update", "gradient"), CASES, ids=map(name, CASES))
def test_trajectories(method, options, update, gradient):
    expected = reference(update, **gradient)
    path = trajectory(lambda params: method(params, **options, **gradient))
    # A few roundings of 1e-16 a step, over 100 steps, carried on by an update that contracts or
    # grows by at most the size of the parameters.
    np.testing.assert_allclose(path, expected, rtol=0, atol=1e-12 * (1 + np.abs(expected).max()))
    if method in BY_SIGN:
        return
    single = trajectory(lambda params: method(params, **options, **gradient), dtype=lamina.float32)
    np.testing.assert_allclose(single, expected, rtol=0, atol=4e-5 * (1 + np.abs(expected).max()))


def test_every_fused_method_has_a_path():
    assert {case[0].__name__ for case in CASES} | {"LBFGS", "Muon", "Optimizer", "SparseAdam"} == {
        found for found in optim.__all__ if found not in ("lr_scheduler", "swa_utils")
    }


def test_cases_differ():
    """Every option changes the path, so a step that ignores it would be noticed."""
    ends = [reference(update, **gradient)[-1] for _, _, update, gradient in CASES]
    for i, end in enumerate(ends):
        for other in ends[:i]:
            assert np.abs(end - other).max() > 1e-7


def test_first_step_of_adam_has_length_lr():
    """Kingma and Ba, section 2.1: the step is bounded by lr, and is lr at t = 1 (eps aside)."""
    path = trajectory(lambda params: optim.Adam(params, lr=0.125), steps=1)
    np.testing.assert_allclose(START - path[0], 0.125 * np.sign(START), atol=1e-7)


@pytest.mark.parametrize("t0", [0, 10, 1e6])
def test_asgd_averages_what_comes_after_t0(t0):
    p = lamina.tensor(START.tolist(), dtype=lamina.float64, requires_grad=True)
    optimizer = optim.ASGD([p], lr=0.05, t0=t0)
    path = []
    for _ in range(30):
        optimizer.zero_grad()
        (p * p).sum().backward()
        optimizer.step()
        path.append(p.tolist())
    # The first step after t0 has a share of 1, the next of 1/2, and so on: a mean from there on.
    averaged = path[int(t0) + 1 :] if 0 < t0 < 30 else path[1:] if t0 == 0 else path[-1:]
    np.testing.assert_allclose(optimizer.state[p]["ax"].tolist(), np.mean(averaged, 0), rtol=1e-13)


# -- several groups, shapes and layouts ------------------------------------------------------------


def test_groups_and_layouts_take_the_same_path():
    """What is strided, empty or of another group moves as it would alone."""
    rng = np.random.default_rng(5)
    values = [rng.normal(size=shape) for shape in ((3, 4), (5,), (0, 2), ())]

    def run(params, optimizer):
        for _ in range(10):
            optimizer.zero_grad()
            sum((p**4).sum() for p in params).backward()
            optimizer.step()
        return [np.array(p.tolist()) for p in params]

    def made(i, strided=False):
        t = lamina.tensor(values[i].tolist(), dtype=lamina.float64).reshape(values[i].shape)
        return (t.t().contiguous().t() if strided and t.ndim == 2 else t).requires_grad_()

    for method in (optim.Adam, optim.Adagrad, optim.NAdam, optim.Rprop):
        alone = [run([p], method([p], lr=0.1))[0] for p in map(made, range(4))]
        params = [made(i, strided=True) for i in range(4)]
        assert not params[0].is_contiguous()
        groups = [{"params": params[:2], "lr": 0.1}, {"params": params[2:], "lr": 0.1}]
        for found, expected in zip(run(params, method(groups, lr=7.0)), alone, strict=True):
            assert np.array_equal(found, expected)


# -- Muon ----------------------------------------------------------------------------------------


def muon(shape, steps, momentum, nesterov, adjust, decay, ns_steps, lr):
    """Jordan's algorithm, from a gradient of p itself."""
    a, b, c = 3.4445, -4.7750, 2.0315
    p = np.random.default_rng(1).normal(size=shape)
    buffer, path = np.zeros(shape), []
    for _ in range(steps):
        g = p.copy()
        buffer = momentum * buffer + (1 - momentum) * g
        u = momentum * buffer + (1 - momentum) * g if nesterov else buffer
        u = u / max(np.linalg.norm(u), 1e-7)
        for _ in range(ns_steps):
            gram = u @ u.T
            u = a * u + (b * gram + c * gram @ gram) @ u
        rows, columns = shape
        original = max(1.0, rows / columns) ** 0.5
        ratio = 0.2 * max(rows, columns) ** 0.5 if adjust == "match_rms_adamw" else original
        p = p - lr * decay * p - lr * ratio * u
        path.append(p)
    return np.array(path)


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4), (1, 6)])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"nesterov": False, "momentum": 0.5, "ns_steps": 3},
        {"adjust_lr_fn": "match_rms_adamw", "weight_decay": 0.3},
        {"adjust_lr_fn": "original"},
    ],
)
def test_muon(shape, options):
    settings = {"momentum": 0.95, "nesterov": True, "ns_steps": 5, "weight_decay": 0.1, **options}
    expected = muon(
        shape, 20, settings["momentum"], settings["nesterov"], options.get("adjust_lr_fn"),
        settings["weight_decay"], settings["ns_steps"], 0.05,
    )  # fmt: skip
    start = np.random.default_rng(1).normal(size=shape)
    p = lamina.tensor(start.tolist(), dtype=lamina.float64, requires_grad=True)
    optimizer = optim.Muon([p], lr=0.05, **options)
    for want in expected:
        optimizer.zero_grad()
        ((p * p).sum() / 2).backward()
        optimizer.step()
        # Some hundred roundings a step; the polynomial multiplies what is small by up to 3.4^5.
        np.testing.assert_allclose(p.tolist(), want, rtol=0, atol=1e-10)


def test_muons_step_is_nearly_orthogonal():
    """With a polynomial that converges, U is; Jordan's own stays within [0.65, 1.25] or so."""
    g = np.random.default_rng(2).normal(size=(6, 4))
    for coefficients, steps, low, high in (
        ((1.5, -0.5, 0.0), 40, 1 - 1e-10, 1 + 1e-10),
        ((3.4445, -4.775, 2.0315), 5, 0.6, 1.3),
    ):
        p = lamina.zeros(6, 4, dtype=lamina.float64, requires_grad=True)
        p.grad = lamina.tensor(g.tolist(), dtype=lamina.float64)
        optimizer = optim.Muon(
            [p], lr=1.0, weight_decay=0.0, ns_coefficients=coefficients, ns_steps=steps
        )
        optimizer.step()
        sizes = np.linalg.svd(np.array(p.tolist()), compute_uv=False) / (6 / 4) ** 0.5
        assert low <= sizes.min() <= sizes.max() <= high


def test_muon_of_an_empty_or_zero_gradient_stands_still():
    p, q = lamina.ones(2, 2, requires_grad=True), lamina.ones(0, 3, requires_grad=True)
    p.grad, q.grad = lamina.zeros(2, 2), lamina.zeros(0, 3)
    optim.Muon([p, q], lr=0.5, weight_decay=0.0).step()
    assert p.tolist() == [[1.0, 1.0], [1.0, 1.0]]
