"""Several schedules as one: all at once, or one after another."""

from __future__ import annotations

from bisect import bisect_right

from lamina.optim.lr_scheduler.plateau import ReduceLROnPlateau
from lamina.optim.lr_scheduler.scheduler import LRScheduler, set_value, values_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from lamina.optim.optimizer import Optimizer


class _Combined(LRScheduler):
    """Schedules of one optimizer."""

    _not_saved = ("optimizer", "_schedulers")

    def _take(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None) -> None:
        name = type(self).__name__
        if not schedulers:
            raise ValueError(f"{name}: needs at least one scheduler")
        for place, scheduler in enumerate(schedulers):
            what = type(scheduler).__name__
            if not hasattr(scheduler, "optimizer"):
                raise TypeError(f"{name}: scheduler {place} is a {what}, which has no optimizer")
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(
                    f"{name}: scheduler {place} is a ReduceLROnPlateau, whose step needs a "
                    "measurement; step it by itself"
                )
            optimizer = scheduler.optimizer if optimizer is None else optimizer
            if scheduler.optimizer is not optimizer:
                raise ValueError(f"{name}: scheduler {place}, a {what}, is of another optimizer")
        assert optimizer is not None
        self.optimizer = optimizer
        self._schedulers = list(schedulers)

    def state_dict(self) -> dict[str, Any]:
        """Return all attributes but the optimizer, and the state of each schedule."""
        states = [scheduler.state_dict() for scheduler in self._schedulers]
        return {**super().state_dict(), "_schedulers": states}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave."""
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "_schedulers"})
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)


class ChainedScheduler(_Combined):
    """Step several schedules together; their factors multiply.

    Parameters
    ----------
    schedulers : sequence of LRScheduler
        All of one optimizer.
    optimizer : Optimizer, optional
        That one.

    Examples
    --------
    >>> from lamina.optim.lr_scheduler.scheduler import first_rates
    >>> from lamina.optim.lr_scheduler import ConstantLR, ExponentialLR
    >>> def both(optimizer):
    ...     warm = ConstantLR(optimizer, 0.5, total_iters=2)
    ...     return ChainedScheduler([warm, ExponentialLR(optimizer, 0.5)])
    >>> first_rates(both, 3)
    [0.5, 0.25, 0.25]
    """

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        self._take(schedulers, optimizer)
        self._last_lr = values_of(self.optimizer, "lr")

    def step(self) -> None:  # type: ignore[override]
        """Step each of them."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = values_of(self.optimizer, "lr")


class SequentialLR(_Combined):
    """Step one schedule up to an epoch, then another from its beginning.

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups' "lr" is set.
    schedulers : list of LRScheduler
        All of this optimizer.
    milestones : list of int
        The epochs at which the second, third, ... take over; one fewer than schedulers.
    last_epoch : int, default -1
        The epoch to go on from.

    Examples
    --------
    >>> from lamina.optim.lr_scheduler.scheduler import first_rates
    >>> from lamina.optim.lr_scheduler import ConstantLR, ExponentialLR
    >>> def in_turn(optimizer):
    ...     warm = ConstantLR(optimizer, 0.25, total_iters=9)
    ...     return SequentialLR(optimizer, [warm, ExponentialLR(optimizer, 0.5)], [2])
    >>> first_rates(in_turn, 4)
    [0.25, 0.25, 1.0, 0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: list[LRScheduler],
        milestones: list[int],
        last_epoch: int = -1,
    ) -> None:
        self._take(schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"SequentialLR: {len(schedulers)} schedulers need {len(schedulers) - 1} "
                f"milestones, got {len(milestones)}"
            )
        self._milestones = list(milestones)
        self.last_epoch = last_epoch + 1
        # All have set their first rate by now: only the one whose turn it is shall have.
        for group in optimizer.param_groups:
            set_value(group, "lr", group["initial_lr"])
        self._undo(self)
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def _undo(self, scheduler: LRScheduler) -> None:
        inner = getattr(scheduler, "_schedulers", None)
        if inner is None:
            scheduler.last_epoch -= 1
            return
        for one in inner:
            self._undo(one)

    def step(self) -> None:  # type: ignore[override]
        """Step the schedule whose turn it is."""
        self.last_epoch += 1
        turn = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[turn]
        if turn and self._milestones[turn - 1] == self.last_epoch:
            scheduler._update_lr(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()
