"""The networks that are trained, written once for every library that speaks PyTorch.

`build` takes the library's namespace, so that Lamina and PyTorch run the same lines. The other
libraries cannot; `NumpyNetwork` (which in float64 is the reference too), `jax_trainer` and
`sklearn_trainer` say the same network in their terms, from the same weights.
"""

from __future__ import annotations

import importlib
import itertools
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

LR, BETA1, BETA2, ADAM_EPS, NORM_EPS = 1e-3, 0.9, 0.999, 1e-8, 1e-5
# Sets of labels that one batch of inputs is trained on in turn. They contradict each other, so that
# gradients stay what they are in training, however long the clock runs.
LABELS = 8

Parameters = list["np.ndarray[Any, Any]"]


@dataclass(frozen=True)
class Network:
    """Layers of `sizes`, `activation` after all but the last, batch norm before it where asked."""

    sizes: tuple[int, ...]
    activation: str  # "ReLU", "Tanh" or "GELU": the layer's class
    batch_norm: bool = False

    @property
    def name(self) -> str:
        norm = "batch norm + " if self.batch_norm else ""
        return f"{'-'.join(map(str, self.sizes))} {norm}{self.activation}"

    @property
    def layers(self) -> int:
        return len(self.sizes) - 1

    def parameters(self, rng: np.random.Generator) -> Parameters:
        """Weight, bias, and scale and shift of batch norm, layer by layer, in float32."""
        found: Parameters = []
        for index, (fan_in, fan_out) in enumerate(itertools.pairwise(self.sizes)):
            bound = 1 / math.sqrt(fan_in)
            found.append(rng.uniform(-bound, bound, (fan_out, fan_in)).astype(np.float32))
            found.append(rng.uniform(-bound, bound, fan_out).astype(np.float32))
            if self.batch_norm and index < self.layers - 1:
                found += [np.ones(fan_out, np.float32), np.zeros(fan_out, np.float32)]
        return found

    def data(self, rng: np.random.Generator, batch: int) -> tuple[Any, list[Any]]:
        """Inputs [batch, in] and the sets of labels [batch] in int64."""
        x = rng.standard_normal((batch, self.sizes[0]), np.float32)
        return x, [rng.integers(0, self.sizes[-1], batch) for _ in range(LABELS)]

    def model(self, torch: Any) -> Any:
        """The network in Lamina or PyTorch, whichever `torch` is."""
        layers = []
        for index, (fan_in, fan_out) in enumerate(itertools.pairwise(self.sizes)):
            layers.append(torch.nn.Linear(fan_in, fan_out))
            if index < self.layers - 1:
                if self.batch_norm:
                    layers.append(torch.nn.BatchNorm1d(fan_out))
                layers.append(getattr(torch.nn, self.activation)())
        return torch.nn.Sequential(*layers)

    def flops(self, batch: int) -> float:
        """Count a training step's, products only: forward, and both backward but for the inputs."""
        pairs = [a * b for a, b in itertools.pairwise(self.sizes)]
        return 2.0 * batch * (3 * sum(pairs) - pairs[0])


def build(torch: Any, network: Any, parameters: Parameters) -> Any:
    """The network in Lamina or PyTorch, whichever `torch` is, with these parameters."""
    model = network.model(torch).to(torch.tensor(parameters[0]).dtype)
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), parameters, strict=True):
            parameter.copy_(torch.tensor(value))
    return model


@dataclass(frozen=True)
class Trainer:
    """One library's training of a network.

    `step` does a whole step on the next set of labels and returns the loss before the update;
    `gradients` gives those of the first set of labels without an update, or None where the library
    keeps them to itself.
    """

    step: Callable[[], Any]
    gradients: Callable[[], Parameters] | None


def torch_trainer(
    torch: Any,
    network: Any,
    parameters: Parameters,
    x: Any,
    labels: list[Any],
    *,
    fused: bool = False,
    compiled: bool = False,
) -> Trainer:
    """Train in Lamina or PyTorch.

    `compiled` compiles forward, loss and, by that, backward.
    """
    if compiled:
        torch.compiler.reset()  # or earlier networks count against the limit of recompilations
    return trainer_of(
        torch, build(torch, network, parameters), x, labels, fused=fused, compiled=compiled
    )


def trainer_of(
    torch: Any,
    model: Any,
    x: Any,
    labels: list[Any],
    *,
    fused: bool = False,
    compiled: bool = False,
) -> Trainer:
    """Train a model of Lamina or PyTorch that gives logits [count, classes]."""
    options = {"fused": True} if fused else {}
    optimizer = torch.optim.Adam(model.parameters(), lr=LR, **options)
    cross_entropy = torch.nn.functional.cross_entropy
    inputs, targets = torch.tensor(x), [torch.tensor(y) for y in labels]
    turn = itertools.cycle(targets)

    def forward(target: Any) -> Any:
        return cross_entropy(model(inputs), target)

    loss_of = torch.compile(forward) if compiled else forward

    def step() -> Any:
        optimizer.zero_grad()
        loss = loss_of(next(turn))
        loss.backward()
        optimizer.step()
        return loss

    def gradients() -> Parameters:
        optimizer.zero_grad()
        loss_of(targets[0]).backward()
        return [p.grad.numpy().copy() for p in model.parameters()]

    return Trainer(step, gradients)


class NumpyNetwork:
    """The network in NumPy, in the dtype of its parameters."""

    def __init__(self, network: Network, parameters: Parameters, dtype: Any) -> None:
        self.network = network
        self.parameters = [p.astype(dtype) for p in parameters]
        self.averages = [(np.zeros_like(p), np.zeros_like(p)) for p in self.parameters]
        self.steps = 0
        # For the reference's error bounds: sum |dy| for each bias, and how much of each layer's
        # gradient hangs on units that are so near ReLU's corner that rounding decides.
        self.bias_scales: dict[int, float] = {}
        self.undecided = 0.0

    def gradients(self, x: Any, y: Any, corner: float = 0.0) -> tuple[float, Parameters]:
        """Mean cross-entropy and its gradient, in the order of the parameters."""
        turn = iter(range(len(self.parameters)))
        tape: list[Callable[[Any], Any]] = []
        grads: Parameters = [np.empty(0)] * len(self.parameters)
        self.undecided = 0.0
        h = x
        for index in range(self.network.layers):
            h = self._linear(h, turn, tape, grads)
            if index < self.network.layers - 1:
                if self.network.batch_norm:
                    h = self._batch_norm(h, turn, tape, grads)
                h = self._activation(h, tape, corner)
        rows = np.arange(len(y))
        shifted = h - h.max(1, keepdims=True)
        total = np.exp(shifted).sum(1, keepdims=True)
        loss = float((np.log(total[:, 0]) - shifted[rows, y]).mean())
        slope = np.exp(shifted) / total
        slope[rows, y] -= 1
        slope /= len(y)
        for back in reversed(tape):
            slope = back(slope)
        return loss, grads

    def step(self, x: Any, y: Any) -> float:
        """One step of Adam."""
        loss, grads = self.gradients(x, y)
        self.steps += 1
        rate = LR / (1 - BETA1**self.steps)
        correction = 1 / math.sqrt(1 - BETA2**self.steps)
        for p, g, (m, v) in zip(self.parameters, grads, self.averages, strict=True):
            m += (1 - BETA1) * (g - m)
            v += (1 - BETA2) * (g * g - v)
            p -= rate * m / (np.sqrt(v) * correction + ADAM_EPS)
        return loss

    def _linear(self, h: Any, turn: Iterator[int], tape: list[Any], grads: Parameters) -> Any:
        at, first = next(turn), not tape
        next(turn)
        weight, bias = self.parameters[at], self.parameters[at + 1]

        def back(slope: Any) -> Any:
            grads[at], grads[at + 1] = slope.T @ h, slope.sum(0)
            self.bias_scales[at + 1] = float(np.linalg.norm(np.abs(slope).sum(0)))
            return None if first else slope @ weight

        tape.append(back)
        return h @ weight.T + bias

    def _batch_norm(self, h: Any, turn: Iterator[int], tape: list[Any], grads: Parameters) -> Any:
        at = next(turn)
        next(turn)
        weight, bias = self.parameters[at], self.parameters[at + 1]
        centred = h - h.mean(0)
        scale = 1 / np.sqrt((centred * centred).mean(0) + NORM_EPS)
        normed = centred * scale

        def back(slope: Any) -> Any:
            grads[at], grads[at + 1] = (slope * normed).sum(0), slope.sum(0)
            count = len(slope)
            return weight * scale * (slope - grads[at + 1] / count - normed * grads[at] / count)

        tape.append(back)
        return normed * weight + bias

    def _activation(self, z: Any, tape: list[Any], corner: float) -> Any:
        kind = self.network.activation
        if kind == "Tanh":
            out = np.tanh(z)
            tape.append(lambda slope: slope * (1 - out * out))
        elif kind == "ReLU":
            out = np.maximum(z, 0)

            def back(slope: Any) -> Any:
                if corner:
                    near = np.linalg.norm(slope[np.abs(z) <= corner])
                    self.undecided += float(near / np.linalg.norm(slope))
                return slope * (z > 0)

            tape.append(back)
        else:
            # NumPy has no error function: good for a reference, not for a contest.
            share = np.vectorize(math.erfc, otypes=[float])(-z / math.sqrt(2)) / 2
            out = z * share
            bell = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
            tape.append(lambda slope: slope * (share + z * bell))
        return out


def numpy_trainer(network: Network, parameters: Parameters, x: Any, labels: list[Any]) -> Trainer:
    """Train in NumPy, in float32."""
    model = NumpyNetwork(network, parameters, np.float32)
    turn = itertools.cycle(labels)
    return Trainer(
        lambda: model.step(x, next(turn)),
        lambda: model.gradients(x, labels[0])[1],
    )


def jax_trainer(
    jax: Any, network: Network, parameters: Parameters, x: Any, labels: list[Any]
) -> Trainer:
    """Train in JAX, the whole step jitted, its buffers donated; each step waits for its loss."""
    jnp, nn = jax.numpy, importlib.import_module("jax.nn")
    act = {"ReLU": nn.relu, "Tanh": jnp.tanh, "GELU": lambda z: nn.gelu(z, approximate=False)}
    activation = act[network.activation]

    def loss_of(params: Any, x: Any, y: Any) -> Any:
        turn, h = iter(params), x
        for index in range(network.layers):
            h = h @ next(turn).T + next(turn)
            if index < network.layers - 1:
                if network.batch_norm:
                    centred = h - h.mean(0)
                    scale = jax.lax.rsqrt((centred * centred).mean(0) + NORM_EPS)
                    h = centred * scale * next(turn) + next(turn)
                h = activation(h)
        picked = jnp.take_along_axis(nn.log_softmax(h), y[:, None], 1)
        return -picked.mean()

    def update(params: Any, means: Any, squares: Any, count: Any, x: Any, y: Any) -> Any:
        loss, grads = jax.value_and_grad(loss_of)(params, x, y)
        count = count + 1
        means = [BETA1 * m + (1 - BETA1) * g for m, g in zip(means, grads, strict=True)]
        squares = [BETA2 * v + (1 - BETA2) * g * g for v, g in zip(squares, grads, strict=True)]
        rate, correction = LR / (1 - BETA1**count), 1 / jnp.sqrt(1 - BETA2**count)
        params = [
            p - rate * m / (jnp.sqrt(v) * correction + ADAM_EPS)
            for p, m, v in zip(params, means, squares, strict=True)
        ]
        return (params, means, squares, count), loss

    compiled = jax.jit(update, donate_argnums=(0, 1, 2))
    params = [jnp.asarray(p) for p in parameters]
    state: Any = (
        params,
        [jnp.zeros_like(p) for p in params],
        [jnp.zeros_like(p) for p in params],
        jnp.float32(0),
    )
    inputs, targets = jnp.asarray(x), [jnp.asarray(y.astype(np.int32)) for y in labels]
    turn = itertools.cycle(targets)

    def step() -> Any:
        nonlocal state
        state, loss = compiled(*state, inputs, next(turn))
        return loss.block_until_ready()

    def gradients() -> Parameters:
        return [np.array(g) for g in jax.grad(loss_of)(state[0], inputs, targets[0])]

    return Trainer(step, gradients)


def sklearn_trainer(network: Network, parameters: Parameters, x: Any, labels: list[Any]) -> Trainer:
    """Train scikit-learn's classifier with ``partial_fit``, one batch a call."""
    neural = importlib.import_module("sklearn.neural_network")
    model = neural.MLPClassifier(
        network.sizes[1:-1],
        activation=network.activation.lower(),
        alpha=0.0,
        batch_size=len(x),
        learning_rate_init=LR,
        shuffle=False,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.partial_fit(x, labels[0], classes=np.arange(network.sizes[-1]))
    # That made the arrays, and took a step: back to the weights that all start from.
    del model._optimizer
    model.coefs_ = [np.ascontiguousarray(p.T) for p in parameters[0::2]]
    model.intercepts_ = [p.copy() for p in parameters[1::2]]
    turn = itertools.cycle(labels)

    def step() -> Any:
        return model.partial_fit(x, next(turn)).loss_

    return Trainer(step, None)
