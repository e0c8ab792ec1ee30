"""L-BFGS, with or without a line search."""

from __future__ import annotations

import math

from lamina import _core
from lamina._core import Tensor
from lamina.autograd.grad_mode import enable_grad, no_grad
from lamina.optim.optimizer import Optimizer, settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from lamina.optim.optimizer import Params


class LBFGS(Optimizer):
    """L-BFGS: steps by the curvature that the last gradients have shown.

    A step is up to ``max_iter`` iterations, each along minus the product of the gradient with an
    approximate inverse Hessian, made of the last ``history_size`` changes of parameters and
    gradient (Nocedal and Wright, "Numerical Optimization", algorithm 7.4). It goes ``lr`` along,
    or with ``"strong_wolfe"`` as far as a line search finds good (algorithms 3.5 and 3.6; Moré
    and Thuente, ACM Transactions on Mathematical Software 20, 1994). For functions without noise:
    whole batches. It keeps ``2 * history_size`` vectors as long as all parameters.

    Parameters
    ----------
    params : iterable of Tensor
        What to optimize; a single group.
    lr : float or Tensor, default 1
        Length of a step, or where the line search starts.
    max_iter : int, default 20
        Most iterations in a step.
    max_eval : int, optional
        Most evaluations of the closure in a step. Default: 1.25 times ``max_iter``.
    tolerance_grad : float, default 1e-7
        The step ends when no element of the gradient is larger.
    tolerance_change : float, default 1e-9
        The step ends when parameters or loss change by less.
    history_size : int, default 100
        How many changes are remembered.
    line_search_fn : {None, "strong_wolfe"}
        How the length of a step is found.

    Raises
    ------
    ValueError
        If a setting is out of range, or there are several groups.

    Examples
    --------
    >>> import lamina
    >>> p = lamina.tensor([-1.2, 1.0], dtype=lamina.float64, requires_grad=True)
    >>> optimizer = lamina.optim.LBFGS([p], max_iter=100, line_search_fn="strong_wolfe")
    >>> def rosenbrock():
    ...     optimizer.zero_grad()
    ...     loss = (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2
    ...     loss.backward()
    ...     return loss
    >>> first = optimizer.step(rosenbrock)
    >>> [round(x, 3) for x in p.tolist()]
    [1.0, 1.0]
    """

    _flat = ("d", "prev_flat_grad", "old_dirs", "old_stps")

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        if max_eval is None:
            max_eval = max_iter * 5 // 4
        super().__init__(params, settings(locals()))

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take the only group; a second one is refused."""
        if self.param_groups:
            raise ValueError("LBFGS: takes one group of parameters, got a second one")
        super().add_param_group(param_group)

    def _validate(self, group: dict[str, Any]) -> None:
        self._require(group, ("lr",))
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise ValueError(
                "LBFGS: line_search_fn must be None or 'strong_wolfe', "
                f"got {group['line_search_fn']!r}"
            )

    @no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Iterate until a limit or a tolerance is reached.

        Parameters
        ----------
        closure : callable
            Clears the gradients, evaluates the model, calls ``backward`` and returns the loss. It
            is called several times.

        Returns
        -------
        Tensor or float
            The loss before the step, as the closure gave it.
        """
        if closure is None:
            raise TypeError("LBFGS: step needs a closure that evaluates the model")
        function = _Function(self.param_groups[0]["params"], closure)
        group = self.param_groups[0]
        params = group["params"]
        memory: dict[str, Any] = self.state[params[0]]  # type: ignore[assignment]
        rate = float(group["lr"])
        calls_left = group["max_eval"] - 1
        first_loss = function.call()
        loss, gradient = float(first_loss), function.gradient()
        memory["func_evals"] = memory.get("func_evals", 0) + 1
        memory.setdefault("n_iter", 0)
        if _largest(gradient) <= group["tolerance_grad"]:
            return first_loss
        for iteration in range(1, group["max_iter"] + 1):
            memory["n_iter"] += 1
            if memory["n_iter"] == 1:
                direction = _begin(memory, gradient)
                length = min(1.0, 1.0 / float(gradient.abs().sum())) * rate
            else:
                direction = _next_direction(memory, gradient, group["history_size"])
                length = rate
            memory.update(d=direction, prev_flat_grad=gradient, prev_loss=loss, t=length)
            slope = float(gradient.dot(direction))
            if slope > -group["tolerance_change"]:
                break
            before, calls = loss, 0
            if group["line_search_fn"] is not None:
                start = _Point(0.0, loss, gradient, slope)
                found, calls = _strong_wolfe(
                    function.along(direction),
                    start,
                    length,
                    _largest(direction),
                    max(calls_left, 0),
                )
                memory["t"] = length = found.length
                loss, gradient = found.loss, found.gradient
                function.move(length, direction)
            else:
                function.move(length, direction)
                if iteration < group["max_iter"]:  # nobody would use it after the last one
                    loss, gradient, calls = float(function.call()), function.gradient(), 1
            calls_left -= calls
            memory["func_evals"] += calls
            if (
                calls_left <= 0
                or _largest(gradient) <= group["tolerance_grad"]
                or _largest(direction) * abs(length) <= group["tolerance_change"]
                or abs(loss - before) < group["tolerance_change"]
            ):
                break
        return first_loss


def _largest(x: Tensor) -> float:
    return float(x.abs().max()) if x.numel() else 0.0


def _begin(memory: dict[str, Any], gradient: Tensor) -> Tensor:
    memory.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
    return gradient.neg()


def _next_direction(memory: dict[str, Any], gradient: Tensor, history: int) -> Tensor:
    """Take the last change into the history, and apply the inverse Hessian it stands for."""
    changes, steps, weights = memory["old_dirs"], memory["old_stps"], memory["ro"]
    change = gradient - memory["prev_flat_grad"]
    step = memory["d"] * float(memory["t"])
    curvature = float(change.dot(step))
    if curvature > 1e-10:
        if len(changes) == history:
            for kept in (changes, steps, weights):
                kept.pop(0)
        changes.append(change)
        steps.append(step)
        weights.append(1.0 / curvature)
        memory["H_diag"] = curvature / float(change.dot(change))
    direction = gradient.neg()
    shares = []
    for y, s, w in zip(reversed(changes), reversed(steps), reversed(weights), strict=True):
        shares.append(float(s.dot(direction)) * float(w))
        direction.add_(y, alpha=-shares[-1])
    direction.mul_(float(memory["H_diag"]))
    for y, s, w, share in zip(changes, steps, weights, reversed(shares), strict=True):
        direction.add_(s, alpha=share - float(y.dot(direction)) * float(w))
    return direction


class _Function:
    """The closure as a function of one long vector."""

    def __init__(self, params: list[Tensor], closure: Callable[[], Any]) -> None:
        self.params = params
        self._closure = closure

    def call(self) -> Any:
        with enable_grad():
            return self._closure()

    def gradient(self) -> Tensor:
        parts = [_core.zeros_like(p) if p.grad is None else p.grad for p in self.params]
        return _core.cat([part.detach().reshape(-1) for part in parts])

    def move(self, length: float, direction: Tensor) -> None:
        parts = direction.split([p.numel() for p in self.params])
        for param, part in zip(self.params, parts, strict=True):
            param.add_(part.view(param.shape), alpha=length)

    def along(self, direction: Tensor) -> Callable[[float], _Point]:
        """Make the function of the length of a step from here."""
        here = [p.clone() for p in self.params]

        def evaluate(length: float) -> _Point:
            self.move(length, direction)
            loss = float(self.call())
            gradient = self.gradient()
            for param, value in zip(self.params, here, strict=True):
                param.copy_(value)
            return _Point(length, loss, gradient, float(gradient.dot(direction)))

        return evaluate


class _Point:
    """A point of the line search."""

    __slots__ = ("gradient", "length", "loss", "slope")

    def __init__(self, length: float, loss: float, gradient: Tensor, slope: float) -> None:
        self.length, self.loss, self.gradient, self.slope = length, loss, gradient, slope


_DECREASE, _CURVATURE = 1e-4, 0.9  # c1 and c2 of the Wolfe conditions
_TOO_SHORT = 1e-9


def _strong_wolfe(
    evaluate: Callable[[float], _Point], start: _Point, length: float, size: float, limit: int
) -> tuple[_Point, int]:
    """Find a point that meets the strong Wolfe conditions, in ``limit`` trials after the first."""

    def too_high(point: _Point) -> bool:
        return point.loss > start.loss + _DECREASE * point.length * start.slope

    def flat(point: _Point) -> bool:
        return abs(point.slope) <= -_CURVATURE * start.slope

    # Go on until two points have a minimum between them.
    before, point = start, evaluate(length)
    trials, calls = 0, 1
    while trials < limit:
        rises = too_high(point) or (trials > 1 and point.loss >= before.loss)
        if not rises and flat(point):
            return point, calls
        if rises or point.slope >= 0:
            break
        step = point.length - before.length
        nearest, farthest = point.length + 0.01 * step, point.length * 10
        length = _lowest(before, point, nearest, farthest)
        before, point = point, evaluate(length)
        trials, calls = trials + 1, calls + 1
    else:
        before = start
    # Narrow it down. `low` is the better end.
    ends = [before, point]
    low = 0 if ends[0].loss <= ends[1].loss else 1
    stuck = False
    while trials < limit:
        if abs(ends[1].length - ends[0].length) * size < _TOO_SHORT:
            break
        left, right = sorted(end.length for end in ends)
        length = _lowest(ends[0], ends[1], left, right)
        margin = 0.1 * (right - left)
        if min(right - length, length - left) < margin:
            # Twice that near to an end does not narrow it much.
            if stuck or length >= right or length <= left:
                nearer_right = abs(length - right) < abs(length - left)
                length = right - margin if nearer_right else left + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        point = evaluate(length)
        trials, calls = trials + 1, calls + 1
        if too_high(point) or point.loss >= ends[low].loss:
            ends[1 - low] = point
            low = 0 if ends[0].loss <= ends[1].loss else 1
            continue
        if flat(point):
            return point, calls
        if point.slope * (ends[1 - low].length - ends[low].length) >= 0:
            ends[1 - low] = ends[low]
        ends[low] = point
    return ends[low], calls


def _lowest(a: _Point, b: _Point, least: float, most: float) -> float:
    """Where the cubic through two points and slopes is lowest, within bounds."""
    if a.length > b.length:
        a, b = b, a
    width = b.length - a.length
    if width != 0:
        bend = a.slope + b.slope - 3 * (b.loss - a.loss) / width
        square = bend * bend - a.slope * b.slope
        if square >= 0:
            root = math.sqrt(square)
            divisor = b.slope - a.slope + 2 * root
            if divisor != 0:
                at = b.length - width * ((b.slope + root - bend) / divisor)
                return min(max(at, least), most)
    return (least + most) / 2
