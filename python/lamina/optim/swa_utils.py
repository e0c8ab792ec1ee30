"""Averages of a model over its training: SWA and EMA."""

from __future__ import annotations

import math
from copy import deepcopy
from itertools import chain

from lamina import _core
from lamina._core import Tensor
from lamina.autograd.grad_mode import no_grad
from lamina.nn.module import Module
from lamina.optim.lr_scheduler.scheduler import LRScheduler, for_groups

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from lamina.optim.optimizer import Optimizer

    Average = Callable[[Tensor, Tensor, Tensor | int], Tensor]
    AverageMany = Callable[[list[Tensor], list[Tensor], Tensor | int], None]

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]


def _check_decay(decay: float) -> None:
    if not 0 <= decay <= 1:
        raise ValueError(f"the decay of an average must be in [0, 1], got {decay}")


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """Make the function for :class:`AveragedModel` that forgets.

    It gives ``decay * average + (1 - decay) * new``.

    Parameters
    ----------
    decay : float, default 0.999
        In [0, 1].

    Examples
    --------
    >>> import lamina
    >>> get_ema_avg_fn(0.75)(lamina.tensor(1.0), lamina.tensor(3.0), 9).item()
    1.5
    """
    _check_decay(decay)

    @no_grad()
    def ema_update(average: Tensor, new: Tensor, num_averaged: Tensor | int) -> Tensor:
        return decay * average + (1 - decay) * new

    return ema_update


def get_swa_avg_fn() -> Average:
    """Make the function for :class:`AveragedModel` that weighs all alike.

    Examples
    --------
    >>> import lamina
    >>> get_swa_avg_fn()(lamina.tensor(1.0), lamina.tensor(3.0), 1).item()
    2.0
    """

    @no_grad()
    def swa_update(average: Tensor, new: Tensor, num_averaged: Tensor | int) -> Tensor:
        return average + (new - average) / (num_averaged + 1)

    return swa_update


def _move(
    averages: list[Tensor], news: list[Tensor], weight: float, one: Average, count: Tensor | int
) -> None:
    """Go a part of the way, all floating tensors in one native call, others one by one."""
    pairs = list(zip(averages, news, strict=True))
    floating = [(a, n) for a, n in pairs if a.is_floating_point()]
    _core.lerp_many([a for a, _ in floating], [n.to(a.dtype) for a, n in floating], weight)
    for average, new in pairs:
        if not average.is_floating_point():
            average.copy_(one(average, new, count))


def get_ema_multi_avg_fn(decay: float = 0.999) -> AverageMany:
    """Make the function of :func:`get_ema_avg_fn` for all tensors at once.

    Parameters
    ----------
    decay : float, default 0.999
        In [0, 1].

    Examples
    --------
    >>> import lamina
    >>> average = lamina.tensor([1.0])
    >>> get_ema_multi_avg_fn(0.75)([average], [lamina.tensor([3.0])], 9)
    >>> average.tolist()
    [1.5]
    """
    _check_decay(decay)

    @no_grad()
    def ema_update(averages: list[Tensor], news: list[Tensor], num_averaged: Tensor | int) -> None:
        _move(averages, news, 1 - decay, get_ema_avg_fn(decay), num_averaged)

    return ema_update


def get_swa_multi_avg_fn() -> AverageMany:
    """Make the function of :func:`get_swa_avg_fn` for all tensors at once.

    Examples
    --------
    >>> import lamina
    >>> average = lamina.tensor([1.0])
    >>> get_swa_multi_avg_fn()([average], [lamina.tensor([3.0])], 1)
    >>> average.tolist()
    [2.0]
    """

    @no_grad()
    def swa_update(averages: list[Tensor], news: list[Tensor], num_averaged: Tensor | int) -> None:
        _move(averages, news, 1 / (int(num_averaged) + 1), get_swa_avg_fn(), num_averaged)

    return swa_update


class AveragedModel(Module):
    """A copy of a model whose parameters are an average over those that the model had.

    SWA: Izmailov et al., "Averaging weights leads to wider optima and better generalization", UAI
    2018. With :func:`get_ema_multi_avg_fn`, an exponential moving average. Statistics of batch
    norm are not averaged well: see :func:`update_bn`.

    Parameters
    ----------
    model : Module
        Is copied.
    device : device, optional
        Where the copy lives.
    avg_fn : callable, optional
        ``avg_fn(average, new, number averaged)`` gives the next average of one tensor. Default:
        all count alike.
    multi_avg_fn : callable, optional
        Writes those of many tensors in place; one of the two.
    use_buffers : bool, default False
        Average the buffers too, instead of copying the last.

    Attributes
    ----------
    module : Module
        The copy.
    n_averaged : Tensor
        How many times :meth:`update_parameters` was called.

    Examples
    --------
    >>> import lamina
    >>> model = lamina.nn.Linear(1, 1, bias=False)
    >>> average = AveragedModel(model)
    >>> for value in (1.0, 2.0, 6.0):
    ...     _ = lamina.nn.init.constant_(model.weight, value)
    ...     average.update_parameters(model)
    >>> average(lamina.ones(1)).item()
    3.0
    """

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: AverageMany | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise ValueError("AveragedModel: give avg_fn or multi_avg_fn, not both")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.n_averaged: Tensor
        self.register_buffer("n_averaged", _core.tensor(0, device=device))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the copy."""
        return self.module(*args, **kwargs)

    @no_grad()
    def update_parameters(self, model: Module) -> None:
        """Take the parameters of ``model`` into the average; the first time they are it."""
        copied: list[tuple[Tensor, Tensor]]
        copied = list(zip(self.module.buffers(), model.buffers(), strict=True))
        taken: list[tuple[Tensor, Tensor]]
        taken = list(zip(self.module.parameters(), model.parameters(), strict=True))
        if self.use_buffers:
            taken, copied = list(chain(taken, copied)), []
        count = int(self.n_averaged)
        averages = [average.detach() for average, _ in taken]
        news = [new.detach().to(average.device) for average, new in taken]
        if count == 0:
            copied = list(chain(copied, taken))
        elif self.avg_fn is not None:
            for average, new in zip(averages, news, strict=True):
                average.copy_(self.avg_fn(average, new, self.n_averaged.to(average.device)))
        elif averages:
            many = self.multi_avg_fn or get_swa_multi_avg_fn()
            for kind in dict.fromkeys((a.device, a.dtype) for a in averages):
                here = [i for i, a in enumerate(averages) if (a.device, a.dtype) == kind]
                many([averages[i] for i in here], [news[i] for i in here], count)
        for kept, new in copied:
            kept.detach().copy_(new.detach())
        self.n_averaged += 1


@no_grad()
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Work out the running statistics of batch norm anew, in one pass over the data.

    Parameters
    ----------
    loader : iterable
        Of batches, or of tuples and lists whose first element is one.
    model : Module
        Is run on all of them in training mode; all batches count alike.
    device : device, optional
        Where the batches are moved.

    Examples
    --------
    >>> import lamina
    >>> model = lamina.nn.Sequential(lamina.nn.BatchNorm1d(1))
    >>> update_bn([lamina.tensor([[1.0], [3.0]]), lamina.tensor([[5.0], [7.0]])], model)
    >>> model[0].running_mean.tolist()
    [4.0]
    """
    norms: list[Any] = [m for m in model.modules() if hasattr(m, "reset_running_stats")]
    tracking = [m for m in norms if getattr(m, "track_running_stats", True)]
    if not norms:
        return
    was_training = model.training
    momenta = [m.momentum for m in norms]
    for norm in tracking:
        norm.reset_running_stats()
    model.train()
    try:
        for norm in norms:
            norm.momentum = None  # the mean over all batches
        for batch in loader:
            x = batch[0] if isinstance(batch, (list, tuple)) else batch
            model(x if device is None else x.to(device))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.train(was_training)


class SWALR(LRScheduler):
    """From the rate that is there to ``swa_lr``, and then on at that.

    Parameters
    ----------
    optimizer, last_epoch
        As for :class:`~lamina.optim.lr_scheduler.LRScheduler`.
    swa_lr : float or list of float
        The rate at which models are averaged; one for all groups, or one for each.
    anneal_epochs : int, default 10
        How long it takes.
    anneal_strategy : {"cos", "linear"}
        Along half a cosine, or in a straight line.

    Examples
    --------
    >>> from lamina.optim.lr_scheduler.scheduler import first_rates
    >>> first_rates(lambda optimizer: SWALR(optimizer, 0.5, 2, "linear"), 4)
    [1.0, 0.75, 0.5, 0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        rates = for_groups("SWALR", "swa_lr", optimizer, swa_lr)
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"SWALR: anneal_strategy must be 'cos' or 'linear', got {anneal_strategy!r}"
            )
        if type(anneal_epochs) is not int or anneal_epochs < 0:
            raise ValueError(
                f"SWALR: anneal_epochs must be an integer of at least 0, got {anneal_epochs!r}"
            )
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["swa_lr"] = rate
        self._anneal_strategy = anneal_strategy
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _share(self, step: int) -> float:
        """How far it has come."""
        way = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return way if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * way)) / 2

    def get_lr(self) -> list[Any]:
        """Work out the rates from those there are: the first rate may have been changed since."""
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        rates = []
        for group in self.optimizer.param_groups:
            end = group["swa_lr"]
            start = end if before == 1 else (group["lr"] - before * end) / (1 - before)
            rates.append(end * now + start * (1 - now))
        return rates
