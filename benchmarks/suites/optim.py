"""A step of every optimizer over all parameters at once, and clipping with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from benchmarks.cases import EPS, Bounds, Case, GroupTarget, Target, Work, inputs, normal
from benchmarks.peers import Peer

GROUPS: list[GroupTarget] = []

Shapes = tuple[tuple[int, ...], ...]
Update = Callable[[int, Any, Any, list[Any]], Any]
# The layers of 784-512-256-10; and ten of a thousand by a thousand.
HALF: Shapes = ((512, 784), (512,), (256, 512), (256,), (10, 256), (10,))
TEN: Shapes = ((1000, 1000), (1000,)) * 10
TINY: Shapes = ((3, 4), (5,))
_STEPS, _LR = 3, 1e-3


# -- the formulae: (step, parameter, gradient, memory that starts as zeros) to the parameter -------


def _sgd(t: int, p: Any, g: Any, s: list[Any]) -> Any:
    s[0] = 0.9 * s[0] + g
    return p - _LR * s[0]


def _adam(t: int, p: Any, g: Any, s: list[Any], decay: float = 0.0) -> Any:
    s[0], s[1] = 0.9 * s[0] + 0.1 * g, 0.999 * s[1] + 0.001 * g * g
    root = np.sqrt(s[1] / (1 - 0.999**t)) + 1e-8
    return p - _LR * decay * p - _LR * s[0] / (1 - 0.9**t) / root


def _rmsprop(t: int, p: Any, g: Any, s: list[Any]) -> Any:
    s[0] = 0.99 * s[0] + 0.01 * g * g
    return p - _LR * g / (np.sqrt(s[0]) + 1e-8)


def _adagrad(t: int, p: Any, g: Any, s: list[Any]) -> Any:
    s[0] = s[0] + g * g
    return p - _LR * g / (np.sqrt(s[0]) + 1e-10)


def _adadelta(t: int, p: Any, g: Any, s: list[Any]) -> Any:
    s[0] = 0.9 * s[0] + 0.1 * g * g
    step = np.sqrt(s[1] + 1e-6) / np.sqrt(s[0] + 1e-6) * g
    s[1] = 0.9 * s[1] + 0.1 * step * step
    return p - _LR * step


def _adamax(t: int, p: Any, g: Any, s: list[Any]) -> Any:
    s[0], s[1] = 0.9 * s[0] + 0.1 * g, np.maximum(0.999 * s[1], np.abs(g) + 1e-8)
    return p - _LR / (1 - 0.9**t) * s[0] / s[1]


def _nadam(t: int, p: Any, g: Any, s: list[Any]) -> Any:
    mu = [0.9 * (1 - 0.5 * 0.96 ** (i * 4e-3)) for i in range(1, t + 2)]
    s[0], s[1] = 0.9 * s[0] + 0.1 * g, 0.999 * s[1] + 0.001 * g * g
    look = (1 - mu[t - 1]) * g / (1 - np.prod(mu[:t])) + mu[t] * s[0] / (1 - np.prod(mu))
    return p - _LR * look / (np.sqrt(s[1] / (1 - 0.999**t)) + 1e-8)


def _radam(t: int, p: Any, g: Any, s: list[Any]) -> Any:
    s[0] = 0.9 * s[0] + 0.1 * g  # its first five steps are not rectified
    return p - _LR * s[0] / (1 - 0.9**t)


def _asgd(t: int, p: Any, g: Any, s: list[Any]) -> Any:
    eta = _LR / (1 + 1e-4 * _LR * (t - 1)) ** 0.75
    return (1 - 1e-4 * eta) * p - eta * g


def _rprop(t: int, p: Any, g: Any, s: list[Any]) -> Any:
    return p - np.sign(g) * _LR * 1.2 ** (t - 1)


def _lion(t: int, p: Any, g: Any, s: list[Any]) -> Any:
    return p - _LR * np.sign(g)


def _muon(t: int, p: Any, g: Any, s: list[Any]) -> Any:
    s[0] = 0.95 * s[0] + 0.05 * g
    u = 0.95 * s[0] + 0.05 * g
    u = u / np.linalg.norm(u)
    u = u.T if len(p) > len(p[0]) else u
    for _ in range(5):
        gram = u @ u.T
        u = 3.4445 * u + (-4.775 * gram + 2.0315 * gram @ gram) @ u
    u = u.T if len(p) > len(p[0]) else u
    return p - _LR * 0.1 * p - _LR * max(1, len(p) / len(p[0])) ** 0.5 * u


@dataclass(frozen=True)
class Method:
    """A row: the class, its options, the formula, and what a step moves and may err."""

    name: str
    update: Update
    bytes: float  # for each parameter
    fused: bool = False  # PyTorch has a fused form of it
    options: dict[str, Any] = field(default_factory=dict)
    largest: float = 1.0  # how far a step may go, in learning rates and gradients
    clip: float | None = None
    error: float = 0.0  # beside rounding, in learning rates

    @property
    def label(self) -> str:
        return self.name + (" clipped" if self.clip else "")


METHODS = [
    Method("SGD", _sgd, 20, True, {"momentum": 0.9}, 3),
    Method("Adam", _adam, 28, True),
    Method("Adam", _adam, 32, True, clip=1.0),
    Method("AdamW", partial(_adam, decay=0.01), 28, True),
    Method("RMSprop", _rmsprop, 20, largest=10),
    Method("Adagrad", _adagrad, 20, True),
    Method("Adadelta", _adadelta, 28),
    Method("Adamax", _adamax, 28),
    Method("NAdam", _nadam, 28, largest=2),
    Method("RAdam", _radam, 28),
    Method("ASGD", _asgd, 16),
    Method("Rprop", _rprop, 28, largest=2),
    Method("Lion", _lion, 20),
    # PyTorch evaluates its polynomial in bfloat16: the two do not do the same work.
    Method("Muon", _muon, 0, largest=2, error=0.2),
]


def cases(tiny: bool = False) -> list[Case]:
    """Half a million parameters, in cache; for Adam, ten million in memory too."""
    if tiny:
        return [_case(method, "tiny", TINY, None) for method in METHODS]
    rows = [_case(m, "0.5M parameters", HALF, 1.1 if m.fused else 1.0) for m in METHODS]
    adam = next(m for m in METHODS if m.name == "Adam")
    return [*rows, _case(adam, "10M parameters", TEN, 0.97)]


def _case(method: Method, size: str, shapes: Shapes, floor: float | None) -> Case:
    name = f"{method.label} {size}"
    if method.name == "Muon":  # takes matrices
        shapes = tuple(shape for shape in shapes if len(shape) == 2)
    targets = []
    if floor is not None and method.name not in ("Lion", "Muon"):  # PyTorch has no Lion
        peer = "torch-fused" if method.fused else "torch"
        targets.append(Target(floor=floor, aim=None, peer=peer))
    if method.name == "Adam" and not method.clip:
        targets.append(Target(floor=None, aim=85, peer="bytes", kind="percent"))
    return Case(
        "optim",
        name,
        make=partial(_make, method, name, shapes),
        expected=partial(_expected, method, name, shapes),
        bytes=method.bytes * sum(int(np.prod(shape)) for shape in shapes),
        targets=targets,
    )


def _operands(name: str, shapes: Shapes) -> tuple[list[Any], list[Any]]:
    rng = inputs(name)
    return [normal(rng, *s) for s in shapes], [normal(rng, *s) for s in shapes]


def _make(method: Method, name: str, shapes: Shapes, peer: Peer) -> Work | None:
    values, slopes = _operands(name, shapes)
    if not peer.torch_like or peer.name == "torch-compile":
        return None
    if peer.name == "torch-fused" and not method.fused:
        return None
    if peer.name != "lamina" and method.name == "Lion":
        return None
    params = [peer.tensor(value, requires_grad=True) for value in values]
    for param, slope in zip(params, slopes, strict=True):
        param.grad = peer.tensor(slope)
    options = {"lr": _LR, **method.options}
    if peer.name == "torch-fused":
        options["fused"] = True
    elif peer.name == "torch" and not method.fused and method.name != "Muon":
        options["foreach"] = True
    if peer.name == "lamina" and method.clip:
        options["max_grad_norm"] = method.clip
    optimizer = getattr(peer.module.optim, method.name)(params, **options)
    step = optimizer.step
    if peer.name != "lamina" and method.clip:
        clip = peer.module.nn.utils.clip_grad_norm_

        def step() -> None:
            clip(params, method.clip)
            optimizer.step()

    def results() -> list[Any]:
        for _ in range(_STEPS):
            step()
        return [peer.array(param) for param in params]

    return Work("step()", results, {"step": step})


def _expected(method: Method, name: str, shapes: Shapes) -> Bounds:
    """The formula; each step rounds the parameter, and a dozen times its change.

    1 - beta2 keeps only some of beta2's digits in float32: 0.001 errs by EPS / 0.004.
    """
    values, slopes = _operands(name, shapes)
    factor = 1.0
    if method.clip:
        norm = np.sqrt(sum((slope.astype(np.float64) ** 2).sum() for slope in slopes))
        factor = min(1.0, method.clip / norm)
    found = []
    for value, slope in zip(values, slopes, strict=True):
        p, g = value.astype(np.float64), factor * slope.astype(np.float64)
        memory: list[Any] = [np.zeros_like(p), np.zeros_like(p)]
        for step in range(1, _STEPS + 1):
            p = method.update(step, p, g, memory)
        change = _LR * method.largest * np.maximum(1, np.abs(g))
        bound = EPS * (np.abs(p) + _STEPS * change + change * (12 + 0.25 / (1 - 0.999)))
        found.append((p, _STEPS * (bound + _LR * method.error)))
    return found
