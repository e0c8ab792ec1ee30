"""A recurrent network, its last state read by a linear layer: a whole training step.

`build` takes the library's namespace, as that of `benchmarks.models` does; `NumpyRecurrent` in
float64 is what every library is held to.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np

from benchmarks import models
from benchmarks.cases import EPS, Bounds, Case, Target, Work, inputs
from benchmarks.models import LABELS, NumpyNetwork, Parameters
from benchmarks.peers import Peer

_STEPS = 3  # of training, that are checked


@dataclass(frozen=True)
class Recurrent:
    """One layer of `cell` ("LSTM" or "GRU") over `steps` steps, then a linear one."""

    cell: str
    features: int
    units: int
    steps: int
    classes: int

    @property
    def name(self) -> str:
        return f"{self.cell} {self.features}-{self.units}-{self.classes}, {self.steps} steps"

    @property
    def gates(self) -> int:
        return 4 if self.cell == "LSTM" else 3

    def parameters(self, rng: np.random.Generator) -> Parameters:
        """Input and state weights and biases, weight and bias of the linear layer, in float32."""
        height, bound = self.gates * self.units, 1 / math.sqrt(self.units)
        shapes: list[tuple[int, ...]] = [
            (height, self.features),
            (height, self.units),
            (height,),
            (height,),
            (self.classes, self.units),
            (self.classes,),
        ]
        return [rng.uniform(-bound, bound, shape).astype(np.float32) for shape in shapes]

    def data(self, rng: np.random.Generator, batch: int) -> tuple[Any, list[Any]]:
        """Inputs [steps, batch, features] and the sets of labels [batch] in int64."""
        x = rng.standard_normal((self.steps, batch, self.features), np.float32)
        return x, [rng.integers(0, self.classes, batch) for _ in range(LABELS)]

    def flops(self, batch: int) -> float:
        """Count a training step's products: forward, and both backward but for the inputs'."""
        layer = self.gates * self.units * (2 * self.features + 3 * self.units)
        return 2.0 * batch * (self.steps * layer + 3 * self.units * self.classes)


def build(torch: Any, network: Recurrent, parameters: Parameters) -> Any:
    """The network in Lamina or PyTorch, whichever `torch` is, with these parameters."""

    class LastState(torch.nn.Module):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.recurrent = getattr(torch.nn, network.cell)(network.features, network.units)
            self.head = torch.nn.Linear(network.units, network.classes)

        def forward(self, x: Any) -> Any:
            output, _ = self.recurrent(x)
            return self.head(output[-1])

    model = LastState()
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), parameters, strict=True):
            parameter.copy_(torch.tensor(value))
    return model


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


class NumpyRecurrent(NumpyNetwork):
    """The network in NumPy, step by step, in the dtype of its parameters."""

    network: Recurrent  # type: ignore[assignment]

    def gradients(self, x: Any, y: Any, corner: float = 0.0) -> tuple[float, Parameters]:
        """Mean cross-entropy and its gradient, in the order of the parameters."""
        w_ih, w_hh, b_ih, b_hh, weight, bias = self.parameters
        step = self._lstm if self.network.cell == "LSTM" else self._gru
        state = (np.zeros((x.shape[1], self.network.units)),) * 2
        tape: list[tuple[Any, Any, Callable[..., Any]]] = []
        for x_t in x:
            before = state[0]
            state, back = step(x_t @ w_ih.T + b_ih, before @ w_hh.T + b_hh, state)
            tape.append((x_t, before, back))
        logits = state[0] @ weight.T + bias
        rows = np.arange(len(y))
        shifted = logits - logits.max(1, keepdims=True)
        total = np.exp(shifted).sum(1, keepdims=True)
        loss = float((np.log(total[:, 0]) - shifted[rows, y]).mean())
        slope = np.exp(shifted) / total
        slope[rows, y] -= 1
        slope /= len(y)
        grads = [np.zeros_like(p) for p in self.parameters]
        grads[4], grads[5] = slope.T @ state[0], slope.sum(0)
        d_state = (slope @ weight, np.zeros_like(state[1]))
        for x_t, before, back in reversed(tape):
            from_x, from_h, d_state = back(*d_state)
            grads[0] += from_x.T @ x_t
            grads[1] += from_h.T @ before
            grads[2] += from_x.sum(0)
            grads[3] += from_h.sum(0)
            d_state = (d_state[0] + from_h @ w_hh, d_state[1])
        return loss, grads

    @staticmethod
    def _lstm(from_x: Any, from_h: Any, state: Any) -> Any:
        a = np.split(from_x + from_h, 4, axis=1)
        i, f, g, o = _sigmoid(a[0]), _sigmoid(a[1]), np.tanh(a[2]), _sigmoid(a[3])
        c = f * state[1] + i * g
        t = np.tanh(c)

        def back(dh: Any, dc: Any) -> Any:
            dc = dc + dh * o * (1 - t * t)
            parts = [
                dc * g * i * (1 - i),
                dc * state[1] * f * (1 - f),
                dc * i * (1 - g * g),
                dh * t * o * (1 - o),
            ]
            joined = np.concatenate(parts, 1)
            return joined, joined, (np.zeros_like(dh), dc * f)

        return (o * t, c), back

    @staticmethod
    def _gru(from_x: Any, from_h: Any, state: Any) -> Any:
        x, h = np.split(from_x, 3, axis=1), np.split(from_h, 3, axis=1)
        r, z = _sigmoid(x[0] + h[0]), _sigmoid(x[1] + h[1])
        n = np.tanh(x[2] + r * h[2])

        def back(dh: Any, dc: Any) -> Any:
            dn = dh * (1 - z) * (1 - n * n)
            dr, dz = dn * h[2] * r * (1 - r), dh * (state[0] - n) * z * (1 - z)
            joined = np.concatenate([dr, dz, dn], 1)
            return joined, np.concatenate([dr, dz, dn * r], 1), (dh * z, dc)

        return ((1 - z) * n + z * state[0], state[1]), back


# Network, batch, then floor and aim against PyTorch eager.
ROWS = (
    (Recurrent("LSTM", 16, 64, 32, 10), 16, 3, 5),
    (Recurrent("GRU", 16, 64, 32, 10), 16, 3, 5),
)
_TINY = (
    (Recurrent("LSTM", 3, 5, 4, 3), 6, 1, 1),
    (Recurrent("GRU", 3, 5, 4, 3), 6, 1, 1),
)


def cases(tiny: bool = False) -> list[Case]:
    """The networks of `ROWS`, as cases of the suite of whole training steps."""
    return [
        Case(
            "step",
            f"{network.name}, batch {batch}",
            make=partial(_make, network, batch),
            expected=partial(_expected, network, batch),
            flops=network.flops(batch),
            targets=[Target(floor=floor, aim=aim)],
        )
        for network, batch, floor, aim in (_TINY if tiny else ROWS)
    ]


def _start(network: Recurrent, batch: int) -> tuple[Any, Any, Any]:
    rng = inputs(f"{network.name}, batch {batch}")
    return network.parameters(rng), *network.data(rng, batch)


def _make(network: Recurrent, batch: int, peer: Peer) -> Work | None:
    if not peer.torch_like:
        return None
    parameters, x, labels = _start(network, batch)
    compiled = peer.name == "torch-compile"
    trainer = models.trainer_of(
        peer.module,
        build(peer.module, network, parameters),
        x,
        labels,
        fused=compiled or peer.name == "torch-fused",
        compiled=compiled,
    )

    def results() -> list[Any]:
        exact = _reference(network, batch)[0]
        assert trainer.gradients is not None
        errors = [
            np.linalg.norm(got - want) / np.linalg.norm(want)
            for got, want in zip(trainer.gradients(), exact, strict=True)
        ]
        losses = [float(trainer.step().detach()) for _ in range(_STEPS)]
        return [np.array(errors), np.array(losses)]

    return Work("step()", results, {"step": trainer.step})


@lru_cache(maxsize=2)
def _reference(network: Recurrent, batch: int) -> tuple[Parameters, float, Any, float]:
    """In float64: gradients, their largest relative error, losses, and theirs."""
    parameters, x, labels = _start(network, batch)
    model = NumpyRecurrent(network, parameters, np.float64)  # type: ignore[arg-type]
    x = x.astype(np.float64)
    grads = model.gradients(x, labels[0])[1]
    # A product of K terms errs by about sqrt(K) roundings, relative to its size; what a step gets
    # wrong the next ones carry on, forward and back again. Eight for what the mean hides.
    of_step = math.sqrt(network.features + network.units)
    relative = 8 * EPS * 2 * (network.steps * of_step + math.sqrt(network.units))
    losses = np.array([model.step(x, labels[i]) for i in range(_STEPS)])
    # As in suites/step.py: Adam turns an error of the gradient into one of the parameters.
    count = sum(g.size for g in grads)
    norm = math.hypot(*[float(np.linalg.norm(g)) for g in grads])
    drift = 2 * models.LR * _STEPS * math.sqrt(count) * relative * norm
    return grads, relative, losses, relative * (1 + float(losses.max())) + drift


def _expected(network: Recurrent, batch: int) -> Bounds:
    grads, relative, losses, bound = _reference(network, batch)
    return [(np.zeros(len(grads)), relative), (losses, bound)]
