"""A causal transformer, written once for every library that speaks PyTorch.

Tokens of a small vocabulary go through pre-norm blocks of attention and a GELU network to logits
for each position; the head is not tied to the embedding, positions are learned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from benchmarks import models
from benchmarks.cases import EPS, inputs
from benchmarks.models import LABELS, Parameters


@dataclass(frozen=True)
class Transformer:
    """`layers` blocks of `width` features and `heads` heads, over `length` tokens a sequence."""

    layers: int = 2
    width: int = 128
    heads: int = 4
    length: int = 64
    vocabulary: int = 96

    @property
    def name(self) -> str:
        return (
            f"causal transformer {self.layers}x{self.width}, {self.heads} heads, "
            f"T {self.length}, {self.vocabulary} tokens"
        )

    def parameters(self, rng: np.random.Generator) -> Parameters:
        """In the order of the model's, in float32: that of its attributes, a module's own first."""
        width = self.width

        def linear(fan_out: int, fan_in: int) -> Parameters:
            bound = 1 / math.sqrt(fan_in)
            return [
                rng.uniform(-bound, bound, shape).astype(np.float32)
                for shape in ((fan_out, fan_in), (fan_out,))
            ]

        def norm() -> Parameters:
            return [np.ones(width, np.float32), np.zeros(width, np.float32)]

        found = [0.1 * rng.standard_normal((self.length, width), np.float32)]
        found.append(0.1 * rng.standard_normal((self.vocabulary, width), np.float32))
        for _ in range(self.layers):
            found += norm() + linear(3 * width, width) + linear(width, width)
            found += norm() + linear(4 * width, width) + linear(width, 4 * width)
        return found + norm() + linear(self.vocabulary, width)

    def data(self, rng: np.random.Generator, batch: int) -> tuple[Any, list[Any]]:
        """Tokens [batch, length] and the sets of labels [batch * length], both int64."""
        tokens = rng.integers(0, self.vocabulary, (batch, self.length))
        count = batch * self.length
        return tokens, [rng.integers(0, self.vocabulary, count) for _ in range(LABELS)]

    def flops(self, batch: int) -> float:
        """Count a training step's, products only; masked scores count as if they were computed."""
        rows = batch * self.length
        linear = self.layers * 12 * self.width**2 + self.width * self.vocabulary
        attention = self.layers * 2 * self.width * self.length
        return 2.0 * rows * (3 * linear + 3.5 * attention)


def build(torch: Any, network: Transformer, parameters: Parameters, dtype: Any = None) -> Any:
    """The model in Lamina or PyTorch, whichever `torch` is, with these parameters."""
    nn, functional = torch.nn, torch.nn.functional
    width, heads = network.width, network.heads

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.norm1 = nn.LayerNorm(width)
            self.qkv = nn.Linear(width, 3 * width)
            self.out = nn.Linear(width, width)
            self.norm2 = nn.LayerNorm(width)
            self.mlp = nn.Sequential(
                nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
            )

        def forward(self, x: Any) -> Any:
            batch, length, _ = x.shape
            q, k, v = (
                part.view(batch, length, heads, width // heads).transpose(1, 2)
                for part in self.qkv(self.norm1(x)).split(width, dim=-1)
            )
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).reshape(batch, length, width))
            return x + self.mlp(self.norm2(x))

    class Model(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.positions = nn.Parameter(torch.zeros(network.length, width))
            self.tokens = nn.Embedding(network.vocabulary, width)
            self.blocks = nn.Sequential(*(Block() for _ in range(network.layers)))
            self.norm = nn.LayerNorm(width)
            self.head = nn.Linear(width, network.vocabulary)

        def forward(self, tokens: Any) -> Any:
            x = self.blocks(self.tokens(tokens) + self.positions)
            return self.head(self.norm(x)).flatten(0, 1)

    model = Model()
    if dtype is not None:
        model = model.to(dtype)
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), parameters, strict=True):
            parameter.copy_(torch.tensor(value))
    return model


@lru_cache(maxsize=2)
def reference(
    name: str, network: Transformer, batch: int, steps: int
) -> tuple[list[Any], list[float], float, Any, float]:
    """In float64: gradients, their scales, their largest relative error, losses, and theirs.

    Lamina runs it. A peer's results are held to the same bounds, so that it is no judge of itself.
    """
    import lamina

    rng = inputs(name)
    parameters = network.parameters(rng)
    tokens, labels = network.data(rng, batch)
    model = build(lamina, network, parameters, lamina.float64)
    trainer = models.trainer_of(lamina, model, tokens, labels)
    assert trainer.gradients is not None
    grads = trainer.gradients()
    losses = np.array([float(trainer.step().detach()) for _ in range(steps)])
    # As in the suite's other networks: a product of K terms errs by about sqrt(K) roundings, and
    # what one gets wrong the next ones carry on; eight for what the mean hides.
    width, head = network.width, network.width // network.heads
    products = [width, head, network.length, width, width, 4 * width]
    sizes = [*network.layers * products, width]
    relative = 8 * EPS * 2 * sum(math.sqrt(size) for size in sizes)
    norms = [float(np.linalg.norm(g)) for g in grads]
    # A key's bias shifts all scores of a query alike: a gradient of 0, from terms of this size.
    scales = [max(norm, 1e-2 * max(norms)) for norm in norms]
    count = sum(g.size for g in grads)
    drift = 2 * models.LR * steps * math.sqrt(count) * relative * math.hypot(*norms)
    return grads, scales, relative, losses, relative * (1 + float(losses.max())) + drift
