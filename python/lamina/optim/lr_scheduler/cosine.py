"""Schedules along a cosine."""

from __future__ import annotations

import math

from lamina.optim.lr_scheduler.scheduler import LRScheduler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lamina.optim.optimizer import Optimizer


class CosineAnnealingLR(LRScheduler):
    """From the first rate down to ``eta_min`` along half a cosine in ``T_max`` epochs, and back up.

    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017, but
    for the restarts. Written so that it chains: each epoch multiplies the distance to ``eta_min``.

    Parameters
    ----------
    optimizer, last_epoch
        As for :class:`LRScheduler`.
    T_max : int
        Epochs of half a cosine.
    eta_min : float, default 0
        The least rate.

    Examples
    --------
    >>> from lamina.optim.lr_scheduler.scheduler import first_rates
    >>> first_rates(lambda optimizer: CosineAnnealingLR(optimizer, T_max=2), 4)
    [1.0, 0.5, 0.0, 0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_max: int,  # noqa: N803 PyTorch's
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        if not T_max > 0:
            raise ValueError(f"CosineAnnealingLR: T_max must be at least 1, got {T_max}")
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def _height(self, epoch: int) -> float:
        return (1 + math.cos(math.pi * epoch / self.T_max)) / 2

    def get_lr(self) -> list[Any]:
        """Work out the rates at ``last_epoch``."""
        if self._is_initial:
            return self._kept()
        if self._step_count == 1 and self.last_epoch > 0:
            return self._get_closed_form_lr()
        groups = self.optimizer.param_groups
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:
            # Up from the bottom, where there is no distance to multiply.
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            return [
                group["lr"] + (lr - self.eta_min) * rise
                for lr, group in zip(self.base_lrs, groups, strict=True)
            ]
        ratio = self._height(self.last_epoch) / self._height(self.last_epoch - 1)
        return [ratio * (group["lr"] - self.eta_min) + self.eta_min for group in groups]

    def _get_closed_form_lr(self) -> list[Any]:
        height = self._height(self.last_epoch)
        return [self.eta_min + (lr - self.eta_min) * height for lr in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """From the first rate down to ``eta_min`` along half a cosine, again and again.

    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017.

    Parameters
    ----------
    optimizer, last_epoch
        As for :class:`LRScheduler`.
    T_0 : int
        Epochs of the first cosine.
    T_mult : int, default 1
        How many times longer each next one is.
    eta_min : float, default 0
        The least rate.

    Examples
    --------
    >>> from lamina.optim.lr_scheduler.scheduler import first_rates
    >>> first_rates(lambda optimizer: CosineAnnealingWarmRestarts(optimizer, 2), 5)
    [1.0, 0.5, 1.0, 0.5, 1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,  # noqa: N803 PyTorch's
        T_mult: int = 1,  # noqa: N803
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        name = "CosineAnnealingWarmRestarts"
        counts: tuple[tuple[str, Any], ...] = (("T_0", T_0), ("T_mult", T_mult))
        for key, value in counts:
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}: {key} must be an integer of at least 1, got {value!r}")
        self.T_0 = T_0
        self.T_i = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """Work out the rates at ``T_cur`` epochs into a cosine of ``T_i``."""
        height = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (lr - self.eta_min) * height for lr in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Go on by an epoch, or to any, which may be a fraction: after each batch, say.

        Parameters
        ----------
        epoch : float, optional
            Epochs from the start, at least 0.
        """
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        elif not epoch >= 0:
            raise ValueError(f"CosineAnnealingWarmRestarts: epoch must be at least 0, got {epoch}")
        elif epoch < self.T_0 or self.T_mult == 1:
            self.T_i = self.T_0
            self.T_cur = epoch % self.T_0
        else:
            cycle = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
            start = self.T_0 * (self.T_mult**cycle - 1) / (self.T_mult - 1)
            self.T_i = self.T_0 * self.T_mult**cycle
            self.T_cur = epoch - start
        self.last_epoch = math.floor(epoch)
        self._set_lr(self.get_lr())
