"""Whole training steps: forward, cross-entropy, backward, Adam."""

from __future__ import annotations

import math
from functools import lru_cache, partial
from typing import Any

import numpy as np

from benchmarks import convnets, models, recurrent, transformer
from benchmarks.cases import EPS, Bounds, Case, GroupTarget, Target, Work, inputs
from benchmarks.convnets import ConvNetwork
from benchmarks.models import Network, NumpyNetwork, Trainer
from benchmarks.peers import Peer
from benchmarks.transformer import Transformer

GROUPS: list[GroupTarget] = []

_STEPS = 3  # that are checked

AnyNetwork = Network | ConvNetwork | Transformer

_DEEP = Network((784, 512, 256, 10), "ReLU")
_NORMED = Network((784, 512, 512, 512, 10), "GELU", batch_norm=True)
# Network, batch, then floor and aim against PyTorch eager.
ROWS = (
    (Network((64, 32, 10), "ReLU"), 32, 20, 30),
    (Network((17, 64, 64, 6), "Tanh"), 1, 20, 30),
    (_DEEP, 32, 2.0, 2.5),
    (_DEEP, 128, 1.5, 1.8),
    (_DEEP, 1024, 1.2, 1.4),
    (_NORMED, 32, 2.0, 2.5),
    (_NORMED, 128, 1.6, 1.9),
    (_NORMED, 1024, 1.3, 1.5),
    (ConvNetwork("CNN", 1, 28), 64, 1.5, 2.2),
    (ConvNetwork("ResNet-8", 3, 32), 32, 2.0, 2.5),
    (Transformer(), 16, 1.6, 2),
    (Transformer(), 1, 3, 5),
)
_TINY = (
    (Network((5, 4, 3), "ReLU"), 6, 1, 1),
    (Network((5, 4, 4, 3), "Tanh"), 1, 1, 1),
    (Network((5, 4, 4, 3), "GELU", batch_norm=True), 6, 1, 1),
    (ConvNetwork("CNN", 1, 8, width=3, hidden=5), 3, 1, 1),
    (ConvNetwork("ResNet-8", 3, 8, width=3), 4, 1, 1),
    (Transformer(1, 8, 2, 5, 7), 2, 1, 1),
)


def cases(tiny: bool = False) -> list[Case]:
    """The networks of `ROWS`; the two small ones are held against JAX's jit as well."""
    found = []
    for network, batch, floor, aim in _TINY if tiny else ROWS:
        targets = [Target(floor=floor, aim=aim)]
        if isinstance(network, Network) and max(network.sizes) <= 64:
            targets.append(Target(floor=4, aim=None, peer="jax"))
        name = f"{network.name}, batch {batch}"
        found.append(
            Case(
                "step",
                name,
                make=partial(_make, name, network, batch),
                expected=partial(_expected, name, network, batch),
                flops=network.flops(batch),
                targets=targets,
            )
        )
    return found + recurrent.cases(tiny)


def _start(name: str, network: AnyNetwork, batch: int) -> tuple[Any, Any, Any]:
    rng = inputs(name)
    return network.parameters(rng), *network.data(rng, batch)


def _trainer(name: str, network: AnyNetwork, batch: int, peer: Peer) -> Trainer | None:
    start = _start(name, network, batch)
    if peer.torch_like:
        compiled = peer.name == "torch-compile"
        # With compiled kernels for the rest, the fused optimizer is what one would take.
        fused = compiled or peer.name == "torch-fused"
        build = transformer.build if isinstance(network, Transformer) else models.build
        model = build(peer.module, network, start[0])
        return models.trainer_of(peer.module, model, *start[1:], fused=fused, compiled=compiled)
    if not isinstance(network, Network):
        return None
    plain = network.activation in ("ReLU", "Tanh") and not network.batch_norm
    if peer.name == "jax":
        return models.jax_trainer(peer.module, network, *start)
    if peer.name == "numpy" and plain:
        return models.numpy_trainer(network, *start)
    if peer.name == "sklearn" and plain:
        return models.sklearn_trainer(network, *start)
    return None


def _make(name: str, network: AnyNetwork, batch: int, peer: Peer) -> Work | None:
    trainer = _trainer(name, network, batch, peer)
    if trainer is None:
        return None

    def results() -> list[Any]:
        exact, scales = _reference(name, network, batch)[:2]
        errors = np.zeros(len(exact))
        if trainer.gradients is not None:
            errors = np.array(
                [
                    np.linalg.norm(got - want) / scale
                    for got, want, scale in zip(trainer.gradients(), exact, scales, strict=True)
                ]
            )
        losses = [trainer.step() for _ in range(_STEPS)]
        return [errors, np.array([float(v.detach() if peer.torch_like else v) for v in losses])]

    return Work("step()", results, {"step": trainer.step})


@lru_cache(maxsize=2)
def _reference(
    name: str, network: AnyNetwork, batch: int
) -> tuple[list[Any], list[float], float, Any, float]:
    """In float64: gradients, their scales, their largest relative error, losses, and theirs."""
    parameters, x, labels = _start(name, network, batch)
    if isinstance(network, Transformer):
        return transformer.reference(name, network, batch, _STEPS)
    if isinstance(network, ConvNetwork):
        return _convolutional_reference(network, parameters, x, labels)
    model = NumpyNetwork(network, parameters, np.float64)
    x = x.astype(np.float64)
    # A product of K terms errs by about sqrt(K) roundings, relative to its size; what a layer gets
    # wrong the next ones carry on, forward and back again. Eight for what the mean hides.
    roundings = 8 * EPS * 2 * sum(math.sqrt(size) for size in network.sizes)
    # Where rounding decides on which side of ReLU's corner a unit is, its whole share may be off.
    grads = model.gradients(x, labels[0], corner=roundings)[1]
    relative = roundings + 4 * model.undecided
    norms = [float(np.linalg.norm(g)) for g in grads]
    # A bias before batch norm has gradient 0: what counts is the size of the terms that cancel.
    scales = [max(norm, model.bias_scales.get(i, 0.0)) for i, norm in enumerate(norms)]
    losses = np.array([model.step(x, labels[i]) for i in range(_STEPS)])
    return grads, scales, relative, losses, _loss_bound(grads, relative, roundings, losses)


def _convolutional_reference(
    network: ConvNetwork, parameters: Any, x: Any, labels: list[Any]
) -> tuple[list[Any], list[float], float, Any, float]:
    roundings = 8 * EPS * convnets.longest_sums(parameters, len(x), network.size)
    run = convnets.run_in_float64
    grads, found = run(network, parameters, x, labels, _STEPS)
    scales = [float(np.linalg.norm(g)) for g in grads]
    # Where rounding decides on which side of ReLU's corner a unit is, or which pixel of a window is
    # the largest, whole shares of a gradient may be off: as much as where parameters move that far.
    other, _ = run(network, convnets.moved(parameters, roundings), x, labels, 0)
    pairs = zip(grads, other, scales, strict=True)
    relative = roundings + 4 * max(float(np.linalg.norm(a - b)) / s for a, b, s in pairs)
    losses = np.array(found)
    return grads, scales, relative, losses, _loss_bound(grads, relative, roundings, losses)


def _loss_bound(grads: list[Any], relative: float, roundings: float, losses: Any) -> float:
    # Adam moves each parameter by up to lr whatever its gradient's size: an error of the gradient
    # costs at most 2 lr sum |error|, and sum |error| <= sqrt(count) |error|.
    count = sum(g.size for g in grads)
    norms = [float(np.linalg.norm(g)) for g in grads]
    drift = 2 * models.LR * _STEPS * math.sqrt(count) * relative * math.hypot(*norms)
    return roundings * (1 + float(losses.max())) + drift


def _expected(name: str, network: AnyNetwork, batch: int) -> Bounds:
    grads, _, relative, losses, bound = _reference(name, network, batch)
    return [(np.zeros(len(grads)), relative), (losses, bound)]
