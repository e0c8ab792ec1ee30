"""Slices of the loss are what it is there, leave no trace, and curvature is the Hessian's."""

from __future__ import annotations

import math
import subprocess
import sys
from copy import deepcopy

import lamina
import numpy as np
import pytest
from lamina import landscape, nn
from lamina.landscape import (
    Interpolation,
    Plane,
    hessian_vector_product,
    interpolate,
    line,
    plane,
    plot_contour,
    plot_surface,
    random_direction,
    top_eigenvalue,
    trace,
)
from lamina.nn import functional as F

F64 = lamina.float64


class Point(nn.Module):
    """A vector of parameters: losses of it have Hessians that are known."""

    def __init__(self, values):
        super().__init__()
        self.w = nn.Parameter(lamina.tensor(values, dtype=F64))


def bowl(curvatures):
    """Sum of c w^2 / 2, with Hessian diag(c)."""
    c = lamina.tensor(curvatures, dtype=F64)
    return lambda model: (c * model.w * model.w).sum() / 2


def everything(model):
    """All that a call must give back, as bytes."""
    state = {name: part.numpy().tobytes() for name, part in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    return state, modes, lamina.get_rng_state().tolist()


def noisy_net():
    """Batch norm, dropout, and parts in different modes."""
    lamina.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 2)
    )
    model(lamina.randn(16, 4))  # running statistics of its own
    model[3].eval()
    return model


def noisy_loss(model):
    return F.cross_entropy(model(X), Y)


X = lamina.linspace(-1, 1, 32).view(8, 4)
Y = lamina.tensor([0, 1, 1, 0, 1, 0, 0, 1])


def test_it_is_loaded_when_asked_for():
    code = (
        "import sys, lamina; print('lamina.landscape' in sys.modules, 'landscape' in dir(lamina));"
        "print(lamina.landscape.line.__name__, 'matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["False", "True", "line", "False"], done.stderr


# Directions


def norms(tensor, start):
    return np.sqrt((tensor.detach().numpy() ** 2).sum(axis=tuple(range(start, tensor.ndim))))


@pytest.mark.parametrize("make", [lambda: nn.Conv2d(3, 5, 2), lambda: nn.Linear(7, 4).double()])
def test_every_filter_moves_by_its_own_length(make):
    model = make()
    direction = random_direction(model, seed=3)
    assert direction["weight"].dtype == model.weight.dtype
    np.testing.assert_allclose(norms(direction["weight"], 1), norms(model.weight, 1), rtol=1e-5)
    assert not direction["bias"].any()


def test_a_layer_moves_by_its_length_or_by_nothing_of_the_sort():
    model = nn.Linear(200, 50)
    layer = random_direction(model, seed=3, normalize="layer")
    assert norms(layer["weight"], 0) == pytest.approx(norms(model.weight, 0), rel=1e-5)
    assert not np.allclose(norms(layer["weight"], 1), norms(model.weight, 1), rtol=1e-2)
    assert not layer["bias"].any()
    free = random_direction(model, seed=3, normalize=None)
    assert free["weight"].std().item() == pytest.approx(1, abs=0.03)
    assert free["bias"].abs().min().item() > 0


def test_norms_and_frozen_parameters_stay():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    model[2].requires_grad_(False)
    direction = random_direction(model, seed=0)
    assert list(direction) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert [name for name, part in direction.items() if part.any()] == ["0.weight"]


def test_a_seed_decides_and_leaves_the_random_state_alone():
    model = nn.Linear(3, 2)
    lamina.manual_seed(5)
    before = lamina.get_rng_state().tolist()
    first = random_direction(model, seed=1)["weight"].tolist()
    assert lamina.get_rng_state().tolist() == before
    assert random_direction(model, seed=1)["weight"].tolist() == first
    assert random_direction(model, seed=2)["weight"].tolist() != first
    drawn = random_direction(model)["weight"].tolist()
    assert random_direction(model)["weight"].tolist() != drawn
    lamina.manual_seed(5)
    assert random_direction(model)["weight"].tolist() == drawn


def test_a_direction_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="random_direction: normalize must be 'filter', 'layer'"):
        random_direction(nn.Linear(2, 2), normalize="row")
    with pytest.raises(TypeError, match="random_direction: model must be a Module, got Tensor"):
        random_direction(lamina.ones(2))
    with pytest.raises(ValueError, match="no parameter of the ReLU requires a gradient"):
        random_direction(nn.ReLU())
    with pytest.raises(TypeError, match="random_direction: the seed must be an int, got 'layer'"):
        random_direction(nn.Linear(2, 2), "layer")


# Lines, planes, ways


def test_a_line_and_a_plane_through_a_bowl():
    model = Point([1.0, -2.0])
    first, second = {"w": lamina.tensor([1.0, 0.0])}, {"w": lamina.tensor([0.0, 1.0])}
    found = line(model, bowl([3.0, 5.0]), first, span=(-1, 3), points=5)
    assert found.coordinates.tolist() == [-1, 0, 1, 2, 3]
    expected = [1.5 * (1 + t) ** 2 + 10 for t in found.coordinates.tolist()]
    assert found.losses.tolist() == pytest.approx(expected, rel=1e-15)
    assert found.losses.dtype == F64
    grid = plane(model, bowl([3.0, 5.0]), first, second, span=(-2, 2), points=3)
    for i, y in enumerate(grid.second.tolist()):
        for j, x in enumerate(grid.first.tolist()):
            expected = 1.5 * (1 + x) ** 2 + 2.5 * (-2 + y) ** 2
            assert grid.losses[i, j].item() == pytest.approx(expected, rel=1e-15)


def test_the_middle_is_the_model_to_the_bit():
    model = noisy_net()
    model.eval()
    first, second = random_direction(model, 0), random_direction(model, 1)
    here = noisy_loss(model).item()
    assert line(model, noisy_loss, first).losses[25].item() == here
    assert plane(model, noisy_loss, first, second, points=3).losses[1, 1].item() == here


CALLS = {
    "line": lambda m, loss, **how: line(m, loss, random_direction(m, 0), points=3, **how),
    "plane": lambda m, loss, **how: plane(
        m, loss, random_direction(m, 0), random_direction(m, 1), points=3, **how
    ),
    "interpolate": lambda m, loss, **how: interpolate(
        m, loss, m.state_dict(), deepcopy(noisy_net().state_dict()), points=3, **how
    ),
    "hessian_vector_product": lambda m, loss, **how: hessian_vector_product(
        m, loss, random_direction(m, 0), **how
    ),
    "top_eigenvalue": lambda m, loss, **how: top_eigenvalue(m, loss, iterations=3, **how),
    "trace": lambda m, loss, **how: trace(m, loss, samples=2, **how),
}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", CALLS)
def test_no_trace_is_left(name, training):
    model = noisy_net()
    before = everything(model)
    seen = set()

    def loss(model):
        seen.update(module.training for module in model.modules())
        return noisy_loss(model)

    CALLS[name](model, loss, training=training)
    assert seen == {training}
    assert everything(model) == before
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("name", CALLS)
def test_nor_when_the_loss_raises(name):
    model = noisy_net()
    before = everything(model)
    calls = []

    def loss(model):
        calls.append(model.training)
        noisy_loss(model)
        if len(calls) == 2 or name in ("hessian_vector_product", "top_eigenvalue", "trace"):
            raise KeyError("no luck")
        return 1.0

    with pytest.raises(KeyError):
        CALLS[name](model, loss, training=True)
    assert everything(model) == before


def test_what_is_random_is_the_same_at_every_point():
    """Else dropout would draw mountains into a plain."""
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(50, 1))
    still = {"1.bias": lamina.zeros(1)}
    found = line(model, lambda m: m(lamina.ones(4, 50)).sum(), still, points=5, training=True)
    assert len(set(found.losses.tolist())) == 1
    assert found.losses[0].item() != model.eval()(lamina.ones(4, 50)).sum().item()


def test_infinite_losses_are_told():
    found = line(Point([1.0]), lambda m: -m.w.log().sum(), {"w": lamina.ones(1)}, points=3)
    assert found.losses.tolist() == [math.inf, 0, pytest.approx(-math.log(2))]


def test_a_way_ends_in_both_solutions():
    """Buffers belong to a solution, also the whole numbers among them."""
    a, b = noisy_net(), noisy_net()
    with lamina.no_grad():
        for part in b.state_dict().values():
            part.add_(1)
    here = noisy_net()
    found = interpolate(here, noisy_loss, a.state_dict(), b.state_dict(), points=5)
    ends = [noisy_loss(model.eval()).item() for model in (a, b)]
    assert found.losses[[0, -1]].tolist() == ends

    seen = []
    interpolate(
        here, lambda m: seen.append(deepcopy(m.state_dict())) or 0.0, a.state_dict(),
        b.state_dict(), points=5,
    )  # fmt: skip
    for name, start in a.state_dict().items():
        whole = not start.is_floating_point()
        steps = [0, 0, 1, 1, 1] if whole else [0, 0.25, 0.5, 0.75, 1]
        for t, state in zip(steps, seen, strict=True):
            assert lamina.allclose(state[name].double(), start.double() + t, atol=1e-6), name


def test_a_state_may_be_the_models_own():
    model = Point([1.0])
    found = interpolate(model, bowl([2.0]), model.state_dict(), {"w": -model.w}, points=3)
    assert found.losses.tolist() == [1, 0, 1]
    assert model.w.item() == 1


def test_a_way_needs_no_gradients():
    model = Point([1.0]).requires_grad_(False)
    found = interpolate(model, bowl([2.0]), {"w": model.w}, {"w": -model.w}, points=3)
    assert found.losses.tolist() == [1, 0, 1]
    with pytest.raises(TypeError, match="interpolate: model must be a Module, got dict"):
        interpolate({}, bowl([2.0]), {}, {})


def test_a_barrier_is_over_the_line_between_the_ends():
    way = Interpolation(lamina.linspace(0, 1, 5), lamina.tensor([1.0, 4.0, 5.0, 2.0, 3.0]))
    assert way.barrier == 3.0
    down = Interpolation(lamina.linspace(0, 1, 3), lamina.tensor([1.0, 0.0, 3.0]))
    assert down.barrier == 0


def test_wrong_slices_say_what_is_wrong():
    model = nn.Linear(2, 1)
    step = {"weight": lamina.ones(1, 2)}

    def loss(model):
        return model.weight.sum()

    with pytest.raises(TypeError, match="line: direction must be a dict of tensors by parameter"):
        line(model, loss, lamina.ones(2))
    with pytest.raises(ValueError, match=r"line: direction moves 'wait'.*\n.*weight, bias"):
        line(model, loss, {"wait": lamina.ones(1)})
    with pytest.raises(ValueError, match=r"plane: second.*\n  weight +\[1, 2\]\n.*\[2, 1\]"):
        plane(model, loss, step, {"weight": lamina.ones(2, 1)})
    for factor in (1, -0.3, 0):
        with pytest.raises(ValueError, match="plane: first and second must be no multiples"):
            plane(model, loss, step, {"weight": factor * step["weight"]})
    nearly = {"weight": lamina.tensor([[1.0, 1.001]])}
    assert plane(model, loss, step, nearly, points=2).losses.shape == (2, 2)
    for criterion in (nn.MSELoss(), 3):
        with pytest.raises(TypeError, match=r"plane: loss takes the model, such as lambda model:"):
            plane(model, criterion, step, step)
        with pytest.raises(TypeError, match=r"interpolate: loss takes the model.*got (MSE|int)"):
            interpolate(model, criterion, {}, {})
    with pytest.raises(ValueError, match="line: points must be a whole number from 2 on, got 1"):
        line(model, loss, step, points=1)
    for span in ((1, -1), 3, (1, 2, 3), ("a", "b")):
        with pytest.raises(ValueError, match="line: span must be two"):
            line(model, loss, step, span=span)
    with pytest.raises(TypeError, match=r"line: the loss must return one number, got a tensor \[2"):
        line(model, lambda m: lamina.ones(2), step)
    with pytest.raises(TypeError, match="line: the loss must return one number, got NoneType"):
        line(model, lambda m: None, step)
    good = model.state_dict()
    with pytest.raises(ValueError, match=r"state_b does not fit.*'bias'\n.*\n.*nothing of that"):
        interpolate(model, loss, good, {"weight": good["weight"]})
    with pytest.raises(TypeError, match=r"interpolate: state_a must be a state_dict\(\)"):
        interpolate(model, loss, model, good)


# Curvature


def mlp():
    lamina.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)).double()


def mlp_loss(model):
    return F.cross_entropy(model(X.double()), Y)


def full_hessian(model, loss):
    """The matrix, by lamina.autograd.functional, with the parameters as one vector."""
    sizes = [p.shape for p in model.parameters()]

    def of(vector):
        parts = vector.split([math.prod(size) for size in sizes])
        w1, b1, w2, b2 = (part.view(size) for part, size in zip(parts, sizes, strict=True))
        return F.cross_entropy(F.linear(F.linear(X.double(), w1, b1).tanh(), w2, b2), Y)

    vector = nn.utils.parameters_to_vector(model.parameters()).detach()
    return lamina.autograd.functional.hessian(of, vector).numpy()


def test_curvature_of_a_network_is_its_hessians():
    model = mlp()
    matrix = full_hessian(model, mlp_loss)
    direction = random_direction(model, seed=0, normalize=None)
    product = hessian_vector_product(model, mlp_loss, direction)
    flat = np.concatenate([part.numpy().ravel() for part in direction.values()])
    found = np.concatenate([part.numpy().ravel() for part in product.values()])
    np.testing.assert_allclose(found, matrix @ flat, rtol=1e-10, atol=1e-12)

    values, vectors = np.linalg.eigh(matrix)
    top = top_eigenvalue(model, mlp_loss, tol=1e-6, iterations=1000)
    assert top.converged
    assert top.value == pytest.approx(values[-1], rel=1e-9)
    vector = np.concatenate([part.numpy().ravel() for part in top.vector.values()])
    assert abs(vector @ vectors[:, -1]) == pytest.approx(1, abs=1e-6)
    assert top.residual <= 1e-6 * top.value

    estimate = trace(model, mlp_loss, samples=400)
    assert abs(estimate.value - np.trace(matrix)) < 4 * estimate.standard_error
    assert estimate.standard_error < 0.1 * np.trace(matrix)


def test_curvature_along_the_eigenvector_is_the_eigenvalue():
    """The two halves of the module agree: second differences of a line against the Hessian."""
    model = mlp()
    top = top_eigenvalue(model, mlp_loss, tol=1e-6, iterations=1000)
    z = line(model, mlp_loss, top.vector, span=(-1e-3, 1e-3), points=3).losses
    assert ((z[0] - 2 * z[1] + z[2]) / 1e-6).item() == pytest.approx(top.value, rel=1e-4)


def test_linear_regression_has_the_hessian_of_the_book():
    lamina.manual_seed(0)
    x = lamina.randn(30, 6, dtype=F64)
    model = nn.Linear(6, 1, bias=False).double()
    matrix = 2 / 30 * x.numpy().T @ x.numpy()

    def loss(model):
        return model(x).square().mean()

    top = top_eigenvalue(model, loss, tol=1e-8, iterations=2000)
    assert top.value == pytest.approx(np.linalg.eigvalsh(matrix)[-1], rel=1e-12)
    row = hessian_vector_product(model, loss, {"weight": lamina.eye(6, dtype=F64)[:1]})
    np.testing.assert_allclose(row["weight"].numpy()[0], matrix[0], rtol=1e-12)


@pytest.mark.parametrize(
    ("curvatures", "largest"),
    [
        ([1.0, 7.0, 3.0], 7.0),
        ([1.0, -9.0, 4.0], 4.0),  # the dominant one is negative
        ([5.0, -5.0, 1.0], 5.0),  # and here there is none
        ([-2.0, -3.0, -8.0], -2.0),
        ([4.0, 4.0, 4.0], 4.0),
        ([-4.0, -4.0, -4.0], -4.0),
        ([0.0, 0.0, 0.0], 0.0),
        ([0.0, -1.0, 0.0], 0.0),
    ],
)
def test_the_largest_eigenvalue_whatever_the_signs(curvatures, largest):
    found = top_eigenvalue(Point([0.3, 0.2, 0.1]), bowl(curvatures), tol=1e-6)
    assert found.converged
    assert found.value == pytest.approx(largest, abs=1e-5)
    assert found.vector["w"].square().sum().item() == pytest.approx(1, rel=1e-12)


def test_a_loss_without_curvature():
    model = nn.Linear(3, 2)
    for loss in (lambda m: m.weight.sum(), lambda m: m.weight.sum() + (0 * m.weight**2).sum()):
        found = top_eigenvalue(model, loss)
        assert (found.value, found.residual, found.converged) == (0, 0, True)
        assert trace(model, loss).value == 0
        product = hessian_vector_product(model, loss, {"bias": lamina.ones(2)})
        assert [part.abs().sum().item() for part in product.values()] == [0, 0]


def test_it_says_when_it_has_not_converged():
    curvatures = [1.0, 0.99, 0.5]
    few = top_eigenvalue(Point([1.0, 1.0, 1.0]), bowl(curvatures), iterations=2, tol=1e-6)
    assert not few.converged
    assert few.residual > 1e-6
    assert few.iterations == 4
    assert 0.5 <= few.value <= 1
    many = top_eigenvalue(Point([1.0, 1.0, 1.0]), bowl(curvatures), iterations=5000, tol=1e-6)
    assert many.converged
    assert many.value == pytest.approx(1, abs=1e-9)


def test_it_does_not_depend_on_the_random_state():
    model = mlp()
    lamina.manual_seed(1)
    first = top_eigenvalue(model, mlp_loss, iterations=2)
    lamina.manual_seed(2)
    assert top_eigenvalue(model, mlp_loss, iterations=2).value == first.value
    assert top_eigenvalue(model, mlp_loss, iterations=2, seed=1).value != first.value


@pytest.mark.parametrize("training", [False, True])
def test_batch_norm_has_curvature_too(training):
    """Its buffers are given back between the forward pass and the products."""
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 2)).double()
    step = 1e-5

    def gradient():
        kept = deepcopy(model.state_dict())
        model.train(training)
        found = lamina.autograd.grad(mlp_loss(model), list(model.parameters()))
        model.load_state_dict(kept)
        return np.concatenate([part.numpy().ravel() for part in found])

    direction = random_direction(model, seed=0)
    product = hessian_vector_product(model, mlp_loss, direction, training=training)
    ends = []
    with lamina.no_grad():
        start = {name: p.clone() for name, p in model.named_parameters()}
    for sign in (-1, 1):
        with lamina.no_grad():
            for name, p in model.named_parameters():
                p.copy_(start[name] + sign * step * direction[name])
        ends.append(gradient())
    expected = (ends[1] - ends[0]) / (2 * step)
    found = np.concatenate([product[name].numpy().ravel() for name in start])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_a_graph_may_use_buffers_that_training_changes():
    """Spectral norm's vectors are in the graph, and given back before it is walked again."""
    model = nn.Sequential(nn.utils.spectral_norm(nn.Linear(4, 5)), nn.Tanh(), nn.Linear(5, 2))
    before = everything(model)
    assert trace(model, noisy_loss, samples=2, training=True).value != 0
    assert everything(model) == before


def test_wrong_curvature_calls_say_what_is_wrong():
    model = nn.Linear(2, 1)
    x = lamina.ones(3, 2)
    with pytest.raises(TypeError, match=r"top_eigenvalue: the loss must.*got float; do not call"):
        top_eigenvalue(model, lambda m: m(x).sum().item())
    with pytest.raises(TypeError, match=r"trace: loss takes the model, .*, got MSELoss"):
        trace(model, nn.MSELoss())
    for find in (top_eigenvalue, trace):
        with pytest.raises(TypeError, match=f"{find.__name__}: the seed must be an int, got '1'"):
            find(model, lambda m: m(x).square().sum(), seed="1")
    with pytest.raises(TypeError, match=r"trace: the loss must.*got a tensor \[3, 1\]"):
        trace(model, lambda m: m(x))
    with pytest.raises(ValueError, match="top_eigenvalue: the loss is nan"):
        top_eigenvalue(model, lambda m: m(x).sum() * math.nan)
    with pytest.raises(ValueError, match="the loss does not depend on the model's parameters"):
        top_eigenvalue(model, lambda m: m(x).detach().sum())
    with pytest.raises(ValueError, match="iterations must be a whole number from 1 on, got 0"):
        top_eigenvalue(model, lambda m: m(x).sum(), iterations=0)
    with pytest.raises(ValueError, match="top_eigenvalue: tol must be 0 or more, got -1"):
        top_eigenvalue(model, lambda m: m(x).sum(), tol=-1)
    with pytest.raises(ValueError, match="trace: samples must be a whole number from 2 on, got 1"):
        trace(model, lambda m: m(x).sum(), samples=1)
    with pytest.raises(ValueError, match="hessian_vector_product: vector moves 'w'"):
        hessian_vector_product(model, lambda m: m(x).sum(), {"w": x})


def test_an_eigenvalue_is_shown_without_its_vector():
    shown = repr(top_eigenvalue(Point([1.0] * 1000), bowl([2.0] * 1000)))
    assert shown.startswith("Eigenvalue(value=2.0")
    assert len(shown) < 120


# Pictures


def valley(lowest=0.0, highest=None):
    t = lamina.linspace(-1, 1, 9, dtype=F64)
    z = t.unsqueeze(1) ** 2 + 3 * t**2 + lowest
    if highest is not None:
        z[0, 0] = highest
    return Plane(t, t, z)


def flat_axes():
    figure = pytest.importorskip("matplotlib.figure").Figure()
    return figure.add_subplot()


def deep_axes():
    figure = pytest.importorskip("matplotlib.figure").Figure()
    return figure.add_subplot(projection="3d")


def test_contours_know_their_scale():
    axes = flat_axes()
    plain = plot_contour(valley(1.0), axes, levels=10)
    steps = np.diff(plain.levels)
    assert steps == pytest.approx(steps[0])
    assert plain.levels[0] <= 1
    assert plain.levels[-1] >= 5
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("first direction", "second direction")

    growing = plot_contour(valley(0.01), flat_axes(), levels=10)
    factors = growing.levels[1:] / growing.levels[:-1]
    assert factors == pytest.approx(factors[0])
    assert any(level == pytest.approx(0.1) for level in growing.levels)
    assert growing.levels[0] <= 0.01
    assert growing.levels[-1] >= 4.01
    own = plot_contour(valley(), flat_axes(), levels=[0, 1, 2])
    assert own.levels.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0.3, 11.4, "0.5 1 2 5 10"),
        (0.05, 5, "0.05 0.1 0.2 0.5 1 2 5"),
        (0.1, 30, "0.1 0.2 0.5 1 2 5 10 20"),
        (0.01, 100, "0.01 0.1 1 10 100"),
        (1e-20, 1e10, "1e-20 1e-17 1e-14 1e-11 1e-08 1e-05 0.01 10 10000 1e+07 1e+10"),
        (0, 4, "0 0.8 1.6 2.4 3.2 4"),
    ],
)
def test_the_scale_of_the_colours_has_round_numbers(low, high, labels):
    t = lamina.linspace(-1, 1, 9, dtype=F64)
    axes = flat_axes()
    z = (t.unsqueeze(1).abs() + t.abs()) / 2
    plot_contour(Plane(t, t, low + (high - low) * z), axes, colorbar=True)
    (_, bar) = axes.figure.axes
    axes.figure.draw_without_rendering()
    assert [text.get_text() for text in bar.get_yticklabels()] == labels.split()
    assert bar.get_ylabel() == "loss"


def test_pictures_of_odd_planes():
    for z in (valley(1.0, math.nan), valley(1.0, math.inf)):
        plot_contour(z, flat_axes())
        plot_surface(z, deep_axes())
    level = Plane(*[lamina.linspace(-1, 1, 3)] * 2, lamina.full((3, 3), 2.0))
    plot_contour(level, flat_axes())
    plot_surface(level, deep_axes(), log=True)


def test_a_surface_says_what_its_height_is():
    axes = deep_axes()
    plot_surface(valley(1.0), axes)
    assert axes.get_zlabel() == "loss"
    axes = deep_axes()
    plot_surface(valley(0.01), axes)
    assert axes.get_zlabel() == "log10 of the loss"
    assert axes.get_zlim()[0] < -1.5


def test_without_axes_there_is_a_new_figure():
    pytest.importorskip("matplotlib").use("Agg")
    import matplotlib.pyplot as plt

    for draw in (plot_contour, plot_surface):
        draw(valley())
        (number,) = plt.get_fignums()
        assert plt.figure(number).axes[0].get_xlabel() == "first direction"
        plt.close(number)


def test_wrong_pictures_say_what_is_wrong():
    nothing = Plane(*[lamina.linspace(-1, 1, 3)] * 2, lamina.full((3, 3), math.nan))
    with pytest.raises(ValueError, match="plot_contour: no loss of the plane is finite"):
        plot_contour(nothing, flat_axes())
    with pytest.raises(ValueError, match="log=True needs positive losses, but the smallest is 0"):
        plot_contour(valley(), flat_axes(), log=True)
    with pytest.raises(ValueError, match="plot_surface: axes must have three dimensions"):
        plot_surface(valley(), flat_axes())
    for levels in (-3, 0, 2.5, True, "12", [1], [2, 1], [0, math.nan], [0, math.inf], [[1], [2]]):
        with pytest.raises(ValueError, match="plot_contour: levels must be a positive int or two"):
            plot_contour(valley(), flat_axes(), levels=levels)
    with pytest.raises(ValueError, match="log=True needs positive levels, but the first is 0"):
        plot_contour(valley(1.0), flat_axes(), log=True, levels=[0, 1])
    with pytest.raises(TypeError, match=r"plot_contour: axes must be matplotlib's.*got Figure"):
        plot_contour(valley(), flat_axes().figure)
    way = landscape.Line(lamina.ones(2), lamina.ones(2))
    for draw in (plot_contour, plot_surface):
        with pytest.raises(TypeError, match=f"{draw.__name__}: plane must be a Plane.*got Line"):
            draw(way)


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for draw in (plot_contour, plot_surface):
        with pytest.raises(ModuleNotFoundError, match=r"pip install 'lamina\[plot\]'"):
            draw(valley())


def test_the_names():
    assert all(hasattr(landscape, name) for name in landscape.__all__)
