"""What the training loop keeps count of."""

from __future__ import annotations

import math
from typing import Any

from lamina import _core, nn

__all__ = ["Best", "Evaluating", "Means", "accuracy"]


def accuracy(output: _core.Tensor, target: _core.Tensor) -> float:
    """Compute the share of samples whose largest output (over dimension 1) is the target's.

    Examples
    --------
    >>> import lamina
    >>> accuracy(lamina.tensor([[0.1, 0.9], [0.8, 0.2]]), lamina.tensor([1, 1]))
    0.5
    """
    right = (output.argmax(1) == target).sum().item()
    return float(right) / int(target.numel())


class Evaluating:
    """Evaluation mode for the length of a block; each module then has its own mode again."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._modes = [(module, module.training) for module in model.modules()]

    def __enter__(self) -> None:
        self._model.eval()

    def __exit__(self, *error: object) -> None:
        for module, mode in self._modes:
            module.training = mode


class Means:
    """Means over samples, from means over batches."""

    def __init__(self) -> None:
        self.samples = 0
        self._sums: dict[str, float] = {}

    def add(self, samples: int, **values: float) -> None:
        """Count a batch of `samples` with its means."""
        self.samples += samples
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + samples * value

    def means(self) -> dict[str, float]:
        """Give the means so far."""
        return {name: total / self.samples for name, total in self._sums.items()}


class Best:
    """The weights of the best epoch so far."""

    def __init__(self) -> None:
        self.state: dict[str, Any] | None = None
        self.epoch: int | None = None
        self._score = (-math.inf, -math.inf)

    def offer(self, model: nn.Module, record: dict[str, Any]) -> None:
        """Keep the model's weights if its record beats the best so far."""
        score = (record.get("validation_accuracy", 0.0), -record["validation_loss"])
        if score > self._score:  # false for a NaN, which never is the best
            self._score, self.epoch = score, record["epoch"]
            self.state = {k: v.detach().clone() for k, v in model.state_dict().items()}
