"""Schedules that multiply the rate: by a function's value, at milestones, along a line or power."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter

from lamina.optim.lr_scheduler.scheduler import LRScheduler, for_groups, state_of_function

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from lamina.optim.optimizer import Optimizer

    Factor = Callable[[int], float]


class _WithFunctions(LRScheduler):
    """Schedules by functions of the epoch, one for each group or one for all.

    Of functions nothing is saved; of other callables their attributes are.
    """

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Factor | list[Factor], last_epoch: int = -1
    ) -> None:
        name = type(self).__name__
        self.lr_lambdas: list[Any] = for_groups(name, "lr_lambda", optimizer, lr_lambda)
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(
                    f"{name}: lr_lambda must be a function, got {type(function).__name__}"
                )
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return all attributes but the optimizer, and what can be saved of the functions."""
        saved = [state_of_function(function) for function in self.lr_lambdas]
        return {**super().state_dict(), "lr_lambdas": saved}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave."""
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "lr_lambdas"})
        for function, saved in zip(self.lr_lambdas, state_dict["lr_lambdas"], strict=True):
            if saved is not None:
                function.__dict__.update(saved)


class LambdaLR(_WithFunctions):
    """The first rate times ``lr_lambda(epoch)``.

    Parameters
    ----------
    optimizer, last_epoch
        As for :class:`LRScheduler`.
    lr_lambda : callable or list of callables
        Gives the factor; one for all groups, or one for each.

    Examples
    --------
    >>> from lamina.optim.lr_scheduler.scheduler import first_rates
    >>> first_rates(lambda optimizer: LambdaLR(optimizer, lambda epoch: 1 / (1 + epoch)), 3)
    [1.0, 0.5, 0.333333]
    """

    def get_lr(self) -> list[Any]:
        """Work out the rates at ``last_epoch``."""
        return [
            lr * function(self.last_epoch)
            for function, lr in zip(self.lr_lambdas, self.base_lrs, strict=True)
        ]


class MultiplicativeLR(_WithFunctions):
    """The rate times ``lr_lambda(epoch)``, at every epoch.

    Parameters
    ----------
    optimizer, last_epoch
        As for :class:`LRScheduler`.
    lr_lambda : callable or list of callables
        Gives the factor; one for all groups, or one for each.

    Examples
    --------
    >>> from lamina.optim.lr_scheduler.scheduler import first_rates
    >>> first_rates(lambda optimizer: MultiplicativeLR(optimizer, lambda epoch: 1 / epoch), 4)
    [1.0, 1.0, 0.5, 0.166667]
    """

    def get_lr(self) -> list[Any]:
        """Work out the rates at ``last_epoch``."""
        if self._is_initial:
            return self._kept()
        groups = self.optimizer.param_groups
        return [
            group["lr"] * function(self.last_epoch)
            for function, group in zip(self.lr_lambdas, groups, strict=True)
        ]


class StepLR(LRScheduler):
    """The rate times ``gamma`` every ``step_size`` epochs.

    Parameters
    ----------
    optimizer, last_epoch
        As for :class:`LRScheduler`.
    step_size : int
        Epochs between changes.
    gamma : float, default 0.1
        The factor.

    Examples
    --------
    >>> from lamina.optim.lr_scheduler.scheduler import first_rates
    >>> first_rates(lambda optimizer: StepLR(optimizer, step_size=2), 5)
    [1.0, 1.0, 0.1, 0.1, 0.01]
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        if not step_size >= 1:
            raise ValueError(f"StepLR: step_size must be at least 1, got {step_size}")
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """Work out the rates at ``last_epoch``."""
        if self.last_epoch == 0 or self.last_epoch % self.step_size:
            return self._kept()
        return self._scaled(self.gamma)

    def _get_closed_form_lr(self) -> list[Any]:
        return [lr * self.gamma ** (self.last_epoch // self.step_size) for lr in self.base_lrs]


class MultiStepLR(LRScheduler):
    """The rate times ``gamma`` at each of the ``milestones``.

    Parameters
    ----------
    optimizer, last_epoch
        As for :class:`LRScheduler`.
    milestones : iterable of int
        Epochs; one that is there twice counts twice.
    gamma : float, default 0.1
        The factor.

    Examples
    --------
    >>> from lamina.optim.lr_scheduler.scheduler import first_rates
    >>> first_rates(lambda optimizer: MultiStepLR(optimizer, [1, 3]), 4)
    [1.0, 0.1, 0.1, 0.01]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones = Counter(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """Work out the rates at ``last_epoch``."""
        times = self.milestones.get(self.last_epoch, 0)
        return self._scaled(self.gamma**times) if times else self._kept()

    def _get_closed_form_lr(self) -> list[Any]:
        passed = bisect_right(sorted(Counter(self.milestones).elements()), self.last_epoch)
        return [lr * self.gamma**passed for lr in self.base_lrs]


class ConstantLR(LRScheduler):
    """The rate times ``factor`` for the first ``total_iters`` epochs.

    Parameters
    ----------
    optimizer, last_epoch
        As for :class:`LRScheduler`.
    factor : float, default 1/3
        In [0, 1].
    total_iters : int, default 5
        How long.

    Examples
    --------
    >>> from lamina.optim.lr_scheduler.scheduler import first_rates
    >>> first_rates(lambda optimizer: ConstantLR(optimizer, 0.5, total_iters=2), 4)
    [0.5, 0.5, 1.0, 1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1.0 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 <= factor <= 1:
            raise ValueError(f"ConstantLR: factor must be in [0, 1], got {factor}")
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """Work out the rates at ``last_epoch``."""
        if self.last_epoch == 0:
            return self._scaled(self.factor)
        if self.last_epoch != self.total_iters:
            return self._kept()
        return self._scaled(1.0 / self.factor) if self.factor else self._get_closed_form_lr()

    def _get_closed_form_lr(self) -> list[Any]:
        factor = 1 if self.last_epoch >= self.total_iters else self.factor
        return [lr * factor for lr in self.base_lrs]


class LinearLR(LRScheduler):
    """The rate times a factor that goes from one number to another, evenly.

    Parameters
    ----------
    optimizer, last_epoch
        As for :class:`LRScheduler`.
    start_factor : float, default 1/3
        At epoch 0, in (0, 1].
    end_factor : float, default 1
        At epoch ``total_iters`` and after, in [0, 1].
    total_iters : int, default 5
        How long.

    Examples
    --------
    >>> from lamina.optim.lr_scheduler.scheduler import first_rates
    >>> first_rates(lambda optimizer: LinearLR(optimizer, 0.5, total_iters=2), 4)
    [0.5, 0.75, 1.0, 1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1:
            raise ValueError(f"LinearLR: start_factor must be in (0, 1], got {start_factor}")
        if not 0 <= end_factor <= 1:
            raise ValueError(f"LinearLR: end_factor must be in [0, 1], got {end_factor}")
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def _factor(self, epoch: int) -> float:
        way = self.end_factor - self.start_factor
        return self.start_factor * self.total_iters + way * epoch

    def get_lr(self) -> list[Any]:
        """Work out the rates at ``last_epoch``."""
        if self.last_epoch == 0:
            return self._scaled(self.start_factor)
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._kept()
        return self._scaled(self._factor(self.last_epoch) / self._factor(self.last_epoch - 1))

    def _get_closed_form_lr(self) -> list[Any]:
        factor = self._factor(min(self.last_epoch, self.total_iters)) / self.total_iters
        return [lr * factor for lr in self.base_lrs]


class ExponentialLR(LRScheduler):
    """The rate times ``gamma``, at every epoch.

    Parameters
    ----------
    optimizer, last_epoch
        As for :class:`LRScheduler`.
    gamma : float
        The factor.

    Examples
    --------
    >>> from lamina.optim.lr_scheduler.scheduler import first_rates
    >>> first_rates(lambda optimizer: ExponentialLR(optimizer, 0.5), 3)
    [1.0, 0.5, 0.25]
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """Work out the rates at ``last_epoch``."""
        return self._kept() if self._is_initial else self._scaled(self.gamma)

    def _get_closed_form_lr(self) -> list[Any]:
        return [lr * self.gamma**self.last_epoch for lr in self.base_lrs]


class PolynomialLR(LRScheduler):
    """The first rate times ``(1 - epoch / total_iters)^power``, and 0 after that.

    Parameters
    ----------
    optimizer, last_epoch
        As for :class:`LRScheduler`.
    total_iters : int, default 5
        How long.
    power : float, default 1
        The power.

    Examples
    --------
    >>> from lamina.optim.lr_scheduler.scheduler import first_rates
    >>> first_rates(lambda optimizer: PolynomialLR(optimizer, 2, power=2.0), 4)
    [1.0, 0.25, 0.0, 0.0]
    """

    def __init__(
        self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1
    ) -> None:
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """Work out the rates at ``last_epoch``."""
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._kept()
        left, before = (1.0 - (self.last_epoch - k) / self.total_iters for k in (0, 1))
        return self._scaled((left / before) ** self.power)

    def _get_closed_form_lr(self) -> list[Any]:
        left = 1.0 - min(self.total_iters, self.last_epoch) / self.total_iters
        return [lr * left**self.power for lr in self.base_lrs]
