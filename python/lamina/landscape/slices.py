"""The loss on a line, on a plane, and between two solutions."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lamina import _core
from lamina._as_it_was import as_it_was
from lamina._core import Tensor
from lamina.autograd.grad_mode import no_grad
from lamina.landscape._checks import fitting, is_module, shown, takes_model, trainable, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lamina.nn import Module

    Loss = Callable[[Any], Tensor | float]

__all__ = ["Interpolation", "Line", "Plane", "interpolate", "line", "plane"]


@dataclass(frozen=True)
class Line:
    """The loss on a line, as :func:`line` gives it.

    Attributes
    ----------
    coordinates : Tensor
        Where: multiples of the direction, float64 of shape ``(n,)``.
    losses : Tensor
        The loss there, float64 of shape ``(n,)``.

    Examples
    --------
    >>> import lamina
    >>> Line(lamina.tensor([-1.0, 0.0, 1.0]), lamina.tensor([2.0, 0.5, 2.0])).losses.min().item()
    0.5
    """

    coordinates: Tensor
    losses: Tensor


@dataclass(frozen=True)
class Interpolation(Line):
    """The loss between two solutions, as :func:`interpolate` gives it.

    Attributes
    ----------
    coordinates, losses : Tensor
        As in :class:`Line`; 0 is the first solution, 1 the second.

    Examples
    --------
    >>> import lamina
    >>> way = Interpolation(lamina.tensor([0.0, 0.5, 1.0]), lamina.tensor([0.1, 2.0, 0.3]))
    >>> round(way.barrier, 4)  # 2.0 over the 0.2 halfway between 0.1 and 0.3
    1.8
    """

    @property
    def barrier(self) -> float:
        """How far the loss rises above the straight line between its two ends, at least 0."""
        ends = self.losses[0] + self.coordinates * (self.losses[-1] - self.losses[0])
        return float((self.losses - ends).max().item())


@dataclass(frozen=True)
class Plane:
    """The loss on a plane, as :func:`plane` gives it.

    Attributes
    ----------
    first, second : Tensor
        Where: multiples of the two directions, float64 of shape ``(n,)``.
    losses : Tensor
        The loss there, float64 of shape ``(n, n)``; ``losses[i, j]`` belongs to ``second[i]``
        and ``first[j]``, as matplotlib has it.

    Examples
    --------
    >>> import lamina
    >>> t = lamina.tensor([-1.0, 0.0, 1.0])
    >>> bowl = Plane(t, t, t.unsqueeze(1) ** 2 + 3 * t**2)
    >>> bowl.losses[1].tolist()
    [3.0, 0.0, 3.0]
    """

    first: Tensor
    second: Tensor
    losses: Tensor


def line(
    model: Module,
    loss: Loss,
    direction: Mapping[str, Tensor],
    *,
    span: tuple[float, float] = (-1.0, 1.0),
    points: int = 51,
    training: bool = False,
) -> Line:
    """Measure the loss along a direction through the model's parameters.

    Parameters
    ----------
    model : Module
        Afterwards what it was; but its parameters were written to, so that a graph recorded
        before the call is refused by ``backward``.
    loss : callable
        Takes the model and returns one number, as a Tensor or a float. It runs without
        gradients.
    direction : dict of str to Tensor
        By parameter names, such as :func:`random_direction` makes; names left out stay.
    span : (float, float), default (-1, 1)
        The first and the last multiple of the direction.
    points : int, default 51
        How many, evenly spaced. An odd number has the middle of the span among them.
    training : bool, default False
        Call the model in training mode instead of evaluation mode.

    Returns
    -------
    Line
        Coordinates and losses.

    Raises
    ------
    TypeError
        If ``model`` is no Module, or the loss gives no number.
    ValueError
        If a direction does not fit the parameters, or there are fewer than two points.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> model = nn.Linear(2, 1, bias=False)
    >>> found = lamina.landscape.line(
    ...     model, lambda m: (m.weight**2).sum(), {"weight": -model.weight}, span=(0, 1), points=3
    ... )
    >>> start = (model.weight**2).sum().item()
    >>> [round(value / start, 4) for value in found.losses.tolist()]
    [1.0, 0.25, 0.0]
    """
    parameters = trainable("line", model)
    takes_model("line", loss)
    step = fitting("line", "direction", direction, parameters)
    where = _coordinates("line", span, points)
    with no_grad(), _borrowed(parameters) as start:
        found = []
        for t in where:
            _write(parameters, _shifted(start, t, step))
            found.append(_measured("line", model, loss, training))
    return Line(_float64(where), _float64(found))


def plane(
    model: Module,
    loss: Loss,
    first: Mapping[str, Tensor],
    second: Mapping[str, Tensor],
    *,
    span: tuple[float, float] = (-1.0, 1.0),
    points: int = 25,
    training: bool = False,
) -> Plane:
    """Measure the loss on the plane that two directions span around the model's parameters.

    Two random directions in many dimensions are all but at right angles; they are taken as they
    are.

    Parameters
    ----------
    model, loss, training
        As in :func:`line`.
    first, second : dict of str to Tensor
        The directions, by parameter names; names left out stay.
    span : (float, float), default (-1, 1)
        The first and the last multiple, of both directions.
    points : int, default 25
        How many on each axis; the loss is called ``points**2`` times.

    Returns
    -------
    Plane
        Coordinates on both axes and losses.

    Raises
    ------
    TypeError, ValueError
        As in :func:`line`; and if one direction is a multiple of the other.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> from lamina.landscape import plane, random_direction
    >>> model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    >>> x = lamina.ones(3, 2)
    >>> first, second = random_direction(model, 0), random_direction(model, 1)
    >>> found = plane(model, lambda m: m(x).square().mean(), first, second, points=5)
    >>> found.losses.shape
    lamina.Size([5, 5])
    >>> found.losses[2, 2].item() == model(x).square().mean().item()
    True
    """
    parameters = trainable("plane", model)
    takes_model("plane", loss)
    across = fitting("plane", "first", first, parameters)
    up = fitting("plane", "second", second, parameters)
    if _dot(across, up) ** 2 >= (1 - 1e-12) * _dot(across, across) * _dot(up, up):
        raise ValueError(
            "plane: first and second must be no multiples of each other; "
            "line measures along one direction"
        )
    where = _coordinates("plane", span, points)
    with no_grad(), _borrowed(parameters) as start:
        found = []
        for y in where:
            row = _shifted(start, y, up)
            for x in where:
                _write(parameters, _shifted(row, x, across))
                found.append(_measured("plane", model, loss, training))
    losses = _float64(found).view(len(where), len(where))
    return Plane(_float64(where), _float64(where), losses)


def interpolate(
    model: Module,
    loss: Loss,
    state_a: Mapping[str, Any],
    state_b: Mapping[str, Any],
    *,
    points: int = 25,
    training: bool = False,
) -> Interpolation:
    """Measure the loss on the straight way between two solutions.

    The model gets ``(1 - t) a + t b`` for t from 0 to 1, parameters and floating point buffers
    alike; whole numbers are those of the nearer end. At 0 and 1 it is the one and the other
    solution to the bit. Running statistics between two models are not those of the model
    between: a barrier of a net with batch norm is partly theirs, and ``training=True`` measures
    without them.

    Parameters
    ----------
    model : Module
        Any model that both states fit. Afterwards what it was; see :func:`line`.
    loss, training
        As in :func:`line`.
    state_a, state_b : dict of str to Tensor
        Two ``state_dict()`` of such models.
    points : int, default 25
        How many, both ends included.

    Returns
    -------
    Interpolation
        Coordinates, losses, and the height of the barrier.

    Raises
    ------
    TypeError
        If ``model`` is no Module, or the loss gives no number.
    ValueError
        If a state does not fit the model, or there are fewer than two points.

    References
    ----------
    I. Goodfellow, O. Vinyals, A. Saxe, "Qualitatively characterizing neural network optimization
    problems", ICLR 2015. The barrier: J. Frankle, G. Dziugaite, D. Roy, M. Carbin, "Linear Mode
    Connectivity and the Lottery Ticket Hypothesis", ICML 2020.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> model = nn.Linear(1, 1, bias=False)
    >>> a, b = {"weight": lamina.tensor([[-1.0]])}, {"weight": lamina.tensor([[1.0]])}
    >>> two_valleys = lambda m: ((m.weight**2 - 1) ** 2).sum()
    >>> found = lamina.landscape.interpolate(model, two_valleys, a, b, points=5)
    >>> found.losses.tolist(), found.barrier
    ([0.0, 0.5625, 1.0, 0.5625, 0.0], 1.0)
    """
    is_module("interpolate", model)
    takes_model("interpolate", loss)
    state: dict[str, Any] = dict(model.state_dict())
    targets = {name: part for name, part in state.items() if isinstance(part, Tensor)}
    a = _solution("state_a", state_a, targets)
    b = _solution("state_b", state_b, targets)
    where = _coordinates("interpolate", (0.0, 1.0), points)
    with no_grad(), _borrowed(targets):
        found = []
        for t in where:
            _write(targets, {name: _between(a[name], b[name], t) for name in targets})
            found.append(_measured("interpolate", model, loss, training))
    return Interpolation(_float64(where), _float64(found))


def _measured(op: str, model: Module, loss: Loss, training: bool) -> float:
    """Return the loss as a float, and the model and the random state as they were."""
    with as_it_was(model):
        model.train(training)
        value: Any = loss(model)
    if isinstance(value, Tensor) and value.numel() == 1:
        return float(value.item())
    if isinstance(value, (int, float)):
        return float(value)
    raise TypeError(f"{op}: the loss must return one number, got {shown(value)}")


@contextlib.contextmanager
def _borrowed(tensors: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Yield copies, and give the tensors their bits back in the end."""
    start = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    try:
        yield start
    finally:
        _write(tensors, start)


def _write(targets: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for name, target in targets.items():
        target.copy_(values[name])


def _shifted(start: dict[str, Tensor], t: float, step: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**start, **{name: start[name] + t * part for name, part in step.items()}}


def _dot(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
    return sum(float((a[name].double() * b[name].double()).sum()) for name in a.keys() & b.keys())


def _between(a: Tensor, b: Tensor, t: float) -> Tensor:
    if t in (0, 1) or not a.is_floating_point():
        return a if t < 0.5 else b
    return (1 - t) * a + t * b


def _solution(what: str, state: Any, targets: dict[str, Tensor]) -> dict[str, Tensor]:
    if not hasattr(state, "items"):
        raise TypeError(
            f"interpolate: {what} must be a state_dict() of the model, got {type(state).__name__}"
        )
    for name, target in targets.items():
        found = state.get(name)
        if not isinstance(found, Tensor) or found.shape != target.shape:
            got = list(found.shape) if isinstance(found, Tensor) else "nothing of that name"
            raise ValueError(
                f"interpolate: {what} does not fit the model at {name!r}\n"
                f"  model   {list(target.shape)}\n"
                f"  {what} {got}"
            )
    # Copies: a state may be the very tensors that are written to.
    return {name: state[name].detach().clone() for name in targets}


def _coordinates(op: str, span: tuple[float, float], points: int) -> list[float]:
    whole(op, "points", points, 2)
    try:
        low, high = (float(end) for end in span)
    except (TypeError, ValueError):
        raise ValueError(f"{op}: span must be two numbers, got {span!r}") from None
    if not low < high:
        raise ValueError(f"{op}: span must be two growing numbers, got {span!r}")
    return [low + (high - low) * i / (points - 1) for i in range(points)]


def _float64(values: list[float]) -> Tensor:
    return _core.tensor(values, dtype=_core.float64)
