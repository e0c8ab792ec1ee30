"""`LRScheduler`: what every schedule shares."""

from __future__ import annotations

import warnings

from lamina._core import Tensor
from lamina.autograd.grad_mode import no_grad
from lamina.optim._watch import watch_step
from lamina.optim.optimizer import Optimizer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, ClassVar

__all__ = ["LRScheduler"]


def values_of(optimizer: Optimizer, key: str) -> list[Any]:
    """List a setting of every group; tensors as copies."""
    found = [group[key] for group in optimizer.param_groups]
    return [value.detach().clone() if isinstance(value, Tensor) else value for value in found]


def set_value(group: dict[str, Any], key: str, value: Any) -> None:
    """Change a setting; one that is a tensor is written into."""
    if isinstance(group[key], Tensor):
        with no_grad():
            group[key].fill_(float(value))
    else:
        group[key] = value


def for_groups(owner: str, name: str, optimizer: Optimizer, given: Any) -> list[Any]:
    """Spread one value over the groups, or take a list with one for each."""
    check_optimizer(owner, optimizer)
    n = len(optimizer.param_groups)
    if not isinstance(given, (list, tuple)):
        return [given] * n
    if len(given) != n:
        raise ValueError(
            f"{owner}: {name} has {len(given)} values but the optimizer has {n} groups"
        )
    return list(given)


def check_optimizer(owner: str, optimizer: object) -> None:
    """Raise TypeError unless it is an optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{owner}: needs an Optimizer, got {type(optimizer).__name__}")


class LRScheduler:
    """Base class of schedules.

    A subclass defines :meth:`get_lr`: the rates of all groups at epoch ``self.last_epoch``, from
    those they have or from ``self.base_lrs``. The first of them, at epoch 0, is set at once.

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups' "lr" is set. Their "initial_lr" remembers what it was at first.
    last_epoch : int, default -1
        The epoch to go on from, for groups that have an "initial_lr"; -1 starts.

    Attributes
    ----------
    last_epoch : int
    base_lrs : list of float
        The first rates.

    Raises
    ------
    TypeError
        If ``optimizer`` is none.
    KeyError
        If a schedule that goes on finds no "initial_lr".

    Warns
    -----
    UserWarning
        When :meth:`step` is called before the optimizer's: its first rate is then never used.

    Examples
    --------
    >>> import lamina
    >>> from lamina.optim import lr_scheduler
    >>> class Halved(lr_scheduler.LRScheduler):
    ...     def get_lr(self):
    ...         return [lr / 2**self.last_epoch for lr in self.base_lrs]
    >>> optimizer = lamina.optim.SGD([lamina.ones(1, requires_grad=True)], lr=1.0)
    >>> schedule = Halved(optimizer)
    >>> for epoch in range(3):
    ...     optimizer.step()
    ...     schedule.step()
    >>> schedule.get_last_lr()
    [0.125]
    """

    #: Attributes that are no state.
    _not_saved: ClassVar[tuple[str, ...]] = ("optimizer",)
    _get_lr_called_within_step = False
    _is_initial = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        name = type(self).__name__
        check_optimizer(name, optimizer)
        self.optimizer = optimizer
        for number, (group, lr) in enumerate(
            zip(optimizer.param_groups, values_of(optimizer, "lr"), strict=True)
        ):
            if last_epoch == -1:
                group.setdefault("initial_lr", lr)
            elif "initial_lr" not in group:
                raise KeyError(
                    f"{name}: group {number} has no 'initial_lr' to go on from at last_epoch "
                    f"{last_epoch}; load the optimizer's state first, or start with last_epoch=-1"
                )
        self.base_lrs: list[Any] = values_of(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        self._last_lr: list[Any] = []
        watch_step(optimizer)
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def get_last_lr(self) -> list[Any]:
        """Return the rates that were set last, one for each group."""
        return self._last_lr

    def get_lr(self) -> list[Any]:
        """Work out the rates at ``last_epoch``. Users want :meth:`get_last_lr`."""
        raise NotImplementedError(f"{type(self).__name__} does not define get_lr()")

    def step(self, epoch: int | None = None) -> None:
        """Go to the next epoch and set its rates; call it after the optimizer's ``step``.

        Parameters
        ----------
        epoch : int, optional
            Go to this one instead, for schedules that know its rates. PyTorch deprecates it.
        """
        if self._step_count == 1 and not self.optimizer._opt_called:
            warnings.warn(
                f"{type(self).__name__}: lr_scheduler.step() before optimizer.step(), or in place "
                "of it: the first rate of the schedule is not used. Step the optimizer first",
                UserWarning,
                stacklevel=2,
            )
        self._step_count += 1
        if epoch is not None:
            self._warn_of_epoch()
        self._update_lr(epoch)

    def _warn_of_epoch(self) -> None:
        warnings.warn(
            f"{type(self).__name__}: step(epoch) is deprecated in PyTorch; call step() without it",
            UserWarning,
            stacklevel=3,
        )

    def _update_lr(self, epoch: int | None = None) -> None:
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        closed = getattr(self, "_get_closed_form_lr", None) if epoch is not None else None
        self._get_lr_called_within_step = True
        try:
            rates = self.get_lr() if closed is None else closed()
        finally:
            self._get_lr_called_within_step = False
        self._set_lr(rates)

    def _set_lr(self, rates: Iterable[Any]) -> None:
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            set_value(group, "lr", lr)
        self._last_lr = values_of(self.optimizer, "lr")

    def _scaled(self, factor: float) -> list[Any]:
        """Multiply what the rates are."""
        return [group["lr"] * factor for group in self.optimizer.param_groups]

    def _kept(self) -> list[Any]:
        return values_of(self.optimizer, "lr")

    # -- saving -------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return all attributes but the optimizer, in PyTorch's names."""
        return {k: v for k, v in self.__dict__.items() if k not in self._not_saved}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave; the optimizer's rates are its own to load."""
        self.__dict__.update(state_dict)


def first_rates(make: Callable[[Optimizer], LRScheduler], epochs: int) -> list[float]:
    """List the rates that a schedule sets in its first epochs, for one that starts at 1.

    Parameters
    ----------
    make : callable
        Makes the schedule for the optimizer that it is given.
    epochs : int
        How many.

    Examples
    --------
    >>> from lamina.optim.lr_scheduler import ExponentialLR
    >>> first_rates(lambda optimizer: ExponentialLR(optimizer, 0.5), 3)
    [1.0, 0.5, 0.25]
    """
    from lamina import ones
    from lamina.optim.sgd import SGD

    optimizer = SGD([ones(1, requires_grad=True)], lr=1.0, momentum=0.9)
    schedule, rates = make(optimizer), []
    for _ in range(epochs):
        rates.append(round(float(optimizer.param_groups[0]["lr"]), 6))
        optimizer.step()
        schedule.step()
    return rates


def state_of_function(function: Any) -> dict[str, Any] | None:
    """Pick what can be saved of a callable: the attributes of an object, nothing of a function."""
    import types

    if function is None or isinstance(function, (types.FunctionType, types.BuiltinFunctionType)):
        return None
    return dict(getattr(function, "__dict__", {}))
