"""The training loop."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lamina import _core, nn, optim
from lamina.autograd import no_grad
from lamina.train.batches import as_loader, as_tensor, join_lone_last, pairs
from lamina.train.folder import RunFolder
from lamina.train.history import History
from lamina.train.measures import Best, Evaluating, Means, accuracy
from lamina.train.progress import make_progress

if TYPE_CHECKING:
    from lamina.train.progress import Silent

__all__ = ["OPTIMIZERS", "SCHEDULES", "Trainer"]

Metric = Callable[[_core.Tensor, _core.Tensor], float]

# Name -> class and the options that `Trainer` gives it; `lr` is the default learning rate.
OPTIMIZERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "sgd": (optim.SGD, {"lr": 0.05, "momentum": 0.9}),
    "rmsprop": (optim.RMSprop, {"lr": 1e-3}),
    "adam": (optim.Adam, {"lr": 3e-3}),
    "adamw": (optim.AdamW, {"lr": 3e-3, "weight_decay": 0.01}),
}

# Name -> factor on the learning rate where a share of the steps is done.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "linear": lambda done: 1.0 - done,
    "cosine": lambda done: 0.5 * (1.0 + math.cos(math.pi * done)),
}


class Trainer:
    """Trains a model on data, measures it, and applies it in batches.

    Parameters
    ----------
    model : nn.Module
        Called with a batch of inputs.
    loss : callable, optional
        ``loss(output, target)``, a mean over the batch. Default: cross entropy, with accuracy as
        a metric.
    optimizer : str or Optimizer, optional
        "sgd" (momentum 0.9), "rmsprop", "adam" (default), "adamw", or an optimizer over the
        model's parameters.
    lr : float, optional
        Learning rate for an optimizer given by name. Default: 0.05 for "sgd", 0.001 for
        "rmsprop", 0.003 for the others.
    weight_decay : float, optional
        For an optimizer given by name. Default: 0.01 for "adamw", otherwise 0.
    schedule : str, default "constant"
        How the learning rate goes over all steps of a `fit`: "constant", or down to 0 by a
        straight line ("linear") or half a cosine ("cosine"; Loshchilov and Hutter, 2017).
    metrics : mapping of str to callable, optional
        ``metric(output, target)``, each a mean over the batch. Default: accuracy where the loss
        is cross entropy.
    device : device, optional
        Where to train. Default: where the model is.
    callbacks : sequence of callable, optional
        Each is called after an epoch with the trainer and the epoch's record (see `History`);
        one that returns True ends the training.

    Raises
    ------
    ValueError
        When a name is unknown, or `lr` or `weight_decay` accompany an optimizer object.

    Examples
    --------
    >>> import lamina
    >>> from lamina.datasets import moons
    >>> from lamina.train import Trainer, build_mlp
    >>> data = moons(n=400)
    >>> trainer = Trainer(build_mlp(2, 2, layers=[32]))
    >>> history = trainer.fit(data.train, data.validation, epochs=20, seed=0, progress=None)
    >>> trainer.evaluate(data.test)["accuracy"] > 0.8
    True
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[Any, Any], Any] | None = None,
        optimizer: str | Any = None,
        *,
        lr: float | None = None,
        weight_decay: float | None = None,
        schedule: str = "constant",
        metrics: Mapping[str, Metric] | None = None,
        device: Any = None,
        callbacks: Sequence[Callable[[Trainer, dict[str, Any]], Any]] = (),
    ) -> None:
        if schedule not in SCHEDULES:
            raise ValueError(f"Trainer: schedule must be one of {', '.join(SCHEDULES)}, "
                             f"not {schedule!r}")  # fmt: skip
        self.model = model if device is None else model.to(device)
        self.loss = nn.CrossEntropyLoss() if loss is None else loss
        if metrics is None:
            metrics = {"accuracy": accuracy} if isinstance(self.loss, nn.CrossEntropyLoss) else {}
        self.metrics = dict(metrics)
        self.optimizer = self._make_optimizer(optimizer, lr, weight_decay)
        self.schedule = schedule
        self.device = device
        self.callbacks = list(callbacks)

    def _make_optimizer(self, optimizer: Any, lr: float | None, decay: float | None) -> Any:
        given = {k: v for k, v in {"lr": lr, "weight_decay": decay}.items() if v is not None}
        name = "adam" if optimizer is None else optimizer
        if not isinstance(name, str):
            if given:
                raise ValueError(
                    f"Trainer: {' and '.join(given)} cannot go with an optimizer that exists "
                    "already; set it there"
                )
            return optimizer
        if name not in OPTIMIZERS:
            raise ValueError(
                f"Trainer: optimizer must be one of {', '.join(OPTIMIZERS)}, not {name!r}"
            )
        make, options = OPTIMIZERS[name]
        return make(self.model.parameters(), **{**options, **given})

    # -----------------------------------------------------------------------------------------

    def fit(
        self,
        train: Any,
        validation: Any = None,
        epochs: int = 10,
        batch_size: int = 64,
        shuffle: bool = True,
        seed: int | None = None,
        out: str | os.PathLike[str] | RunFolder | None = None,
        keep_best: bool = False,
        progress: str | bool | None = "auto",
    ) -> History:
        """Train; the model is left in evaluation mode.

        A last batch of a single sample joins the batch before it, since batch normalization
        cannot train on one. Ctrl-C ends the training: what was learnt stays, the run folder is
        completed, and the history says ``interrupted``.

        Parameters
        ----------
        train : DataLoader, Dataset, or pair (x, y) of tensors or arrays
            What to learn. A loader's own batches and order are kept. Of a pair,
            floating-point values take the model's dtype.
        validation : like `train`, optional
            Measured after every epoch, in evaluation mode.
        epochs : int, default 10
            Passes over `train`.
        batch_size : int, default 64
            Samples in a step.
        shuffle : bool, default True
            A new order at each epoch.
        seed : int, optional
            Seeds the process-wide generator first: order, dropout and so the whole training
            repeat. Initial weights are the model's own.
        out : path, optional
            A folder for ``model.safetensors`` (the state dict), ``config.json``,
            ``metrics.jsonl`` and ``curves.png``; made if missing, refused if it holds a run.
        keep_best : bool, default False
            End with the weights of the epoch that did best on `validation`: the highest
            accuracy, then the lowest loss.
        progress : {"auto", "bar", "lines", None}, default "auto"
            A bar on a terminal, otherwise lines; or always one of them; or silence.

        Returns
        -------
        History
            One record an epoch.

        Raises
        ------
        ValueError
            When a number is out of range, the data is empty, or `keep_best` has no validation.
        FloatingPointError
            When the loss becomes NaN or infinite; the message says where and what to try.
        OSError
            When `out` cannot be written; this is found before training.
        """
        if epochs < 0:
            raise ValueError(f"fit: epochs must not be negative, got {epochs}")
        if keep_best and validation is None:
            raise ValueError("fit: keep_best needs validation data")
        history, reporter = History(), make_progress(progress)
        loader = as_loader(train, batch_size, shuffle, self._dtype(), "fit")
        if validation is not None:
            validation = as_loader(validation, 1024, False, self._dtype(), "fit: validation")
        folder = out if isinstance(out, RunFolder) or out is None else RunFolder.create(out)
        if folder is not None and not isinstance(out, RunFolder):
            folder.write_config(self._describe(epochs, batch_size, seed))
        if seed is not None:
            _core.manual_seed(seed)
        best = Best() if keep_best else None
        rates = [group["lr"] for group in self.optimizer.param_groups]
        reporter.start(epochs, _samples(loader))
        try:
            for epoch in range(1, epochs + 1):
                record = self._epoch(loader, epoch, epochs, rates, reporter)
                if validation is not None:
                    measured = self._measure(validation, "fit: validation")
                    record.update({f"validation_{k}": v for k, v in measured.items()})
                record["seconds"] = time.perf_counter() - record.pop("began")
                history.append(record)
                reporter.epoch(record)
                if best is not None:
                    best.offer(self.model, record)
                if folder is not None:
                    folder.checkpoint(history, self.model, best.state if best is not None else None)
                answers = [callback(self, record) for callback in self.callbacks]
                if True in answers:
                    break
        except KeyboardInterrupt:
            history.interrupted = True
        finally:
            reporter.close()
            for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
                group["lr"] = rate
            self.model.eval()
        if best is not None and best.state is not None:
            self.model.load_state_dict(best.state)
            history.best_epoch = best.epoch
        if folder is not None:
            folder.checkpoint(history, self.model, None, now=True)
            if not isinstance(out, RunFolder):
                folder.write_curves(history)
        return history

    def _epoch(
        self, loader: Any, epoch: int, epochs: int, rates: list[float], reporter: Silent
    ) -> dict[str, Any]:
        self.model.train()
        factor, steps = SCHEDULES[self.schedule], _length(loader)
        began = time.perf_counter()
        totals = Means()
        for number, (x, y) in enumerate(join_lone_last(pairs(loader, self.device, "fit"))):
            done = (epoch - 1 + (number / steps if steps else 0)) / epochs
            for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor(done)
            output = self.model(x)
            loss = self.loss(output, y)
            value = float(loss.item())
            if not math.isfinite(value):
                raise FloatingPointError(_diverged(value, x, epoch, number + 1, steps, self))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            seen = output.detach()
            totals.add(len(x), loss=value, **{k: m(seen, y) for k, m in self.metrics.items()})
            reporter.batch(epoch, totals.samples, totals.means())
        if not totals.samples:
            raise ValueError("fit: the data gave no batch")
        return {
            "epoch": epoch,
            **totals.means(),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "samples_per_second": totals.samples / (time.perf_counter() - began),
            "began": began,
        }

    def evaluate(self, data: Any, batch_size: int = 1024) -> dict[str, float]:
        """Measure the model in evaluation mode; its mode is then as before.

        Parameters
        ----------
        data : DataLoader, Dataset, or pair (x, y) of tensors or arrays
            What to measure on.
        batch_size : int, default 1024
            Samples at a time.

        Returns
        -------
        dict of str to float
            ``"loss"`` and the metrics, such as ``"accuracy"`` (0 to 1): means over the samples.
        """
        return self._measure(as_loader(data, batch_size, False, self._dtype(), "evaluate"))

    def predict(self, x: Any, batch_size: int = 1024) -> _core.Tensor:
        """Compute the model's outputs, in evaluation mode and without gradients.

        Parameters
        ----------
        x : Tensor or array_like, shape (n, ...)
            Inputs; floating-point values take the model's dtype.
        batch_size : int, default 1024
            Samples at a time.

        Returns
        -------
        Tensor of shape (n, ...)
            For a classifier the logits; ``predict(x).argmax(1)`` are the labels.
        """
        inputs = as_tensor(x, self._dtype())
        with Evaluating(self.model), no_grad():
            outputs = []
            for start in range(0, max(len(inputs), 1), batch_size):
                part = inputs[start : start + batch_size]
                outputs.append(self.model(part if self.device is None else part.to(self.device)))
        return outputs[0] if len(outputs) == 1 else _core.cat(outputs)

    def _measure(self, loader: Any, who: str = "evaluate") -> dict[str, float]:
        totals = Means()
        with Evaluating(self.model), no_grad():
            for x, y in pairs(loader, self.device, who):
                output = self.model(x)
                values = {k: m(output, y) for k, m in self.metrics.items()}
                totals.add(len(x), loss=float(self.loss(output, y).item()), **values)
        if not totals.samples:
            raise ValueError(f"{who}: the data gave no batch")
        return totals.means()

    def _dtype(self) -> Any:
        """Find the dtype of the model's parameters, None where it has none."""
        return next((p.dtype for p in self.model.parameters()), None)

    def _describe(self, epochs: int, batch_size: int, seed: int | None) -> dict[str, Any]:
        return {
            "model": {"class": type(self.model).__name__, "layers": repr(self.model).split("\n")},
            "training": {
                "loss": type(self.loss).__name__,
                "optimizer": type(self.optimizer).__name__,
                "learning_rate": self.optimizer.param_groups[0]["lr"],
                "schedule": self.schedule,
                "epochs": epochs,
                "batch_size": batch_size,
                "seed": seed,
            },
        }


def _samples(loader: Any) -> int | None:
    try:
        return len(loader.dataset)
    except TypeError:
        return None


def _length(loader: Any) -> int | None:
    try:
        return len(loader)
    except TypeError:
        return None


def _diverged(
    value: float, x: Any, epoch: int, batch: int, batches: int | None, trainer: Trainer
) -> str:
    where = f"epoch {epoch}, batch {batch}" + (f" of {batches}" if batches else "")
    if not math.isfinite(float(x.sum().item())):
        return f"fit: the loss became {value} in {where}: the inputs of this batch hold NaN or Inf"
    rate = trainer.optimizer.param_groups[0]["lr"]
    return (
        f"fit: the loss became {value} in {where}, with finite inputs; try a learning rate "
        f"of {rate / 10:.1g} instead of {rate:.1g}, batch normalization, or inputs scaled to "
        "about -1 … 1"
    )
