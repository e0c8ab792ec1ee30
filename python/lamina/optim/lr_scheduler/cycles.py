"""Schedules that go up and down, and may move the momentum the other way."""

from __future__ import annotations

import math

from lamina.optim.lr_scheduler.scheduler import (
    LRScheduler,
    for_groups,
    set_value,
    state_of_function,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from lamina.optim.optimizer import Optimizer


class _WithMomentum(LRScheduler):
    """Schedules that may set "momentum", or the first of "betas"."""

    cycle_momentum: bool

    def _begin_momentum(
        self, optimizer: Optimizer, base: Any, most: Any, last_epoch: int
    ) -> tuple[list[Any], list[Any]]:
        """Note the range in the groups, which start at its upper end."""
        name = type(self).__name__
        if not {"momentum", "betas"} & set(optimizer.defaults):
            raise ValueError(
                f"{name}: {type(optimizer).__name__} has neither momentum nor betas to move; "
                "pass cycle_momentum=False"
            )
        self.use_beta1 = "betas" in optimizer.defaults
        lower = for_groups(name, "base_momentum", optimizer, base)
        upper = for_groups(name, "max_momentum", optimizer, most)
        if last_epoch == -1:
            for group, low, high in zip(optimizer.param_groups, lower, upper, strict=True):
                self._set_momentum(group, high)
                group["max_momentum"], group["base_momentum"] = high, low
        return lower, upper

    def _set_momentum(self, group: dict[str, Any], value: Any) -> None:
        if self.use_beta1:
            group["betas"] = (value, *group["betas"][1:])
        else:
            group["momentum"] = value


class CyclicLR(_WithMomentum):
    """Up from ``base_lr`` to ``max_lr`` and down again, in straight lines, after every batch.

    Smith, "Cyclical learning rates for training neural networks", WACV 2017.

    Parameters
    ----------
    optimizer, last_epoch
        As for :class:`LRScheduler`.
    base_lr, max_lr : float or list of float
        The range; one for all groups, or one for each.
    step_size_up, step_size_down : int, default 2000
        Steps of the two halves; the second defaults to the first.
    mode : {"triangular", "triangular2", "exp_range"}
        Whether cycles keep their height, halve it, or lose the share ``1 - gamma`` at each step.
    gamma : float, default 1
        See ``mode``.
    scale_fn : callable, optional
        Gives the height in place of ``mode``, from the number of the cycle, from 1, or of the
        step.
    scale_mode : {"cycle", "iterations"}
        Which of the two ``scale_fn`` takes.
    cycle_momentum : bool, default True
        Move the momentum (or beta1) down while the rate goes up.
    base_momentum, max_momentum : float or list of float, default 0.8 and 0.9
        Its range.

    Examples
    --------
    >>> from lamina.optim.lr_scheduler.scheduler import first_rates
    >>> first_rates(lambda optimizer: CyclicLR(optimizer, 0.0, 1.0, step_size_up=2), 5)
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        base_lrs = for_groups("CyclicLR", "base_lr", optimizer, base_lr)
        self.max_lrs = for_groups("CyclicLR", "max_lr", optimizer, max_lr)
        modes = ("triangular", "triangular2", "exp_range")
        if scale_fn is None and mode not in modes:
            raise ValueError(f"CyclicLR: mode must be one of {', '.join(modes)}, got {mode!r}")
        down = step_size_up if step_size_down is None else step_size_down
        if not step_size_up > 0 or not down >= 0:
            raise ValueError(
                f"CyclicLR: needs steps up and none below 0 down, got {step_size_up} and {down}"
            )
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, base_lrs, strict=True):
                set_value(group, "lr", lr)
        self.total_size = float(step_size_up) + float(down)
        self.step_ratio = float(step_size_up) / self.total_size
        self.mode = mode
        self.gamma = gamma
        self._scale_fn_custom = scale_fn
        if scale_fn is None:
            scale_mode = "iterations" if mode == "exp_range" else "cycle"
        self.scale_mode = scale_mode
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.base_momentums, self.max_momentums = self._begin_momentum(
                optimizer, base_momentum, max_momentum, last_epoch
            )
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> float:
        """Give the height of a cycle, or of a step, as a share of the range."""
        if self._scale_fn_custom is not None:
            return float(self._scale_fn_custom(x))
        if self.mode == "triangular2":
            return float(0.5 ** (x - 1))
        return float(self.gamma**x) if self.mode == "exp_range" else 1.0

    def get_lr(self) -> list[Any]:
        """Work out the rates at step ``last_epoch``, and set the momenta."""
        cycles = self.last_epoch / self.total_size
        cycle = math.floor(1 + cycles)
        way = 1.0 + cycles - cycle
        up = way <= self.step_ratio
        height = way / self.step_ratio if up else (way - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            ranges = zip(self.base_momentums, self.max_momentums, strict=True)
            for group, (low, high) in zip(self.optimizer.param_groups, ranges, strict=True):
                self._set_momentum(group, high - (high - low) * height * scale)
        return [
            low + (high - low) * height * scale
            for low, high in zip(self.base_lrs, self.max_lrs, strict=True)
        ]

    def state_dict(self) -> dict[str, Any]:
        """Return all attributes but the optimizer, and what can be saved of ``scale_fn``."""
        saved = state_of_function(self._scale_fn_custom)
        return {**super().state_dict(), "_scale_fn_custom": saved}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave."""
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "_scale_fn_custom"})
        saved = state_dict["_scale_fn_custom"]
        if saved is not None and self._scale_fn_custom is not None:
            self._scale_fn_custom.__dict__.update(saved)


class OneCycleLR(_WithMomentum):
    """One rise to ``max_lr`` and one fall far below where it began, after every batch.

    Smith and Topin, "Super-convergence: very fast training of neural networks using large learning
    rates", 2018.

    Parameters
    ----------
    optimizer, last_epoch
        As for :class:`LRScheduler`.
    max_lr : float or list of float
        The highest rate; one for all groups, or one for each.
    total_steps : int, optional
        Steps of the whole.
    epochs, steps_per_epoch : int, optional
        Their product, in its place.
    pct_start : float, default 0.3
        Share of the steps that go up.
    anneal_strategy : {"cos", "linear"}
        Along half a cosine, or in straight lines.
    cycle_momentum : bool, default True
        Move the momentum (or beta1) down while the rate goes up.
    base_momentum, max_momentum : float or list of float, default 0.85 and 0.95
        Its range.
    div_factor : float, default 25
        The first rate is ``max_lr / div_factor``,
    final_div_factor : float, default 1e4
        and the last is that divided by this.
    three_phase : bool, default False
        Fall to the first rate as slowly as it rose, and then below.

    Examples
    --------
    >>> import lamina
    >>> optimizer = lamina.optim.SGD([lamina.ones(1, requires_grad=True)], momentum=0.9)
    >>> schedule = OneCycleLR(optimizer, max_lr=1.0, total_steps=10, div_factor=10.0)
    >>> round(optimizer.param_groups[0]["lr"], 6), optimizer.param_groups[0]["momentum"]
    (0.1, 0.95)
    >>> for batch in range(2):
    ...     optimizer.step()
    ...     schedule.step()
    >>> optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]
    (1.0, 0.85)
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if total_steps is None and (epochs is None or steps_per_epoch is None):
            raise ValueError("OneCycleLR: needs total_steps, or epochs and steps_per_epoch")
        counts = {"total_steps": total_steps}
        if total_steps is None:
            counts = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
        for key, value in counts.items():
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"OneCycleLR: {key} must be an integer of at least 1, got {value!r}"
                )
        if not 0 <= pct_start <= 1:
            raise ValueError(f"OneCycleLR: pct_start must be in [0, 1], got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"OneCycleLR: anneal_strategy must be 'cos' or 'linear', got {anneal_strategy!r}"
            )
        peaks = for_groups("OneCycleLR", "max_lr", optimizer, max_lr)
        self.total_steps: int = math.prod(v for v in counts.values() if v is not None)
        self._schedule_phases = _phases(self.total_steps, float(pct_start), three_phase)
        self._anneal_func_type = anneal_strategy
        if last_epoch == -1:
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["initial_lr"] = peak / div_factor
                group["max_lr"] = peak
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._begin_momentum(optimizer, base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)

    def _between(self, start: Any, end: Any, way: float) -> Any:
        if self._anneal_func_type == "linear":
            return (end - start) * way + start
        return end + (start - end) / 2.0 * (math.cos(math.pi * way) + 1)

    def get_lr(self) -> list[Any]:
        """Work out the rates at step ``last_epoch``, and set the momenta."""
        step, phases = self.last_epoch, self._schedule_phases
        if step > self.total_steps:
            raise ValueError(
                f"OneCycleLR: this is step {step} of a schedule of {self.total_steps} steps"
            )
        number = next(
            (i for i, phase in enumerate(phases) if step <= phase["end_step"]), len(phases) - 1
        )
        phase = phases[number]
        begin = phases[number - 1]["end_step"] if number else 0.0
        length = phase["end_step"] - begin
        way = (step - begin) / length if length else 1.0
        rates = []
        for group in self.optimizer.param_groups:
            ends = group[phase["start_lr"]], group[phase["end_lr"]]
            rates.append(self._between(*ends, way))
            if self.cycle_momentum:
                ends = group[phase["start_momentum"]], group[phase["end_momentum"]]
                self._set_momentum(group, self._between(*ends, way))
        return rates


def _phases(steps: int, share: float, three: bool) -> list[dict[str, Any]]:
    """List where each part ends, and the groups' settings between which it goes."""
    up = share * steps - 1
    ends: list[tuple[float, str, str, str, str]] = [
        (up, "initial_lr", "max_lr", "max_momentum", "base_momentum")
    ]
    if three:
        down = 2 * share * steps - 2
        ends.append((down, "max_lr", "initial_lr", "base_momentum", "max_momentum"))
        ends.append((steps - 1, "initial_lr", "min_lr", "max_momentum", "max_momentum"))
    else:
        ends.append((steps - 1, "max_lr", "min_lr", "base_momentum", "max_momentum"))
    names = ("end_step", "start_lr", "end_lr", "start_momentum", "end_momentum")
    return [dict(zip(names, end, strict=True)) for end in ends]
