"""Multiply-adds of one call of a layer, by class: what `lamina.summary` counts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lamina._core import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lamina.nn import Module

    Formula = Callable[[Any, Sequence[Any], Mapping[str, Any], Any], int]


def _linear(m: Any, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> int:
    return int(out.numel()) * int(m.in_features)


def _bilinear(m: Any, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> int:
    # x1 W_k, then its product with x2, for each output k
    return int(out.numel()) * (int(m.in1_features) + 1) * int(m.in2_features)


def _conv(m: Any, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> int:
    taps = math.prod(m.weight.shape[1:])  # in_channels / groups and the kernel
    return int(out.numel() * taps)


def _conv_transpose(m: Any, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> int:
    taps = math.prod(m.weight.shape[1:])  # out_channels / groups and the kernel
    return int(_input(args, kwargs).numel() * taps)


_GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}


def _gates(m: Any) -> int:
    names = [cls.__name__.removesuffix("Cell") for cls in type(m).__mro__]
    return next(_GATES[name] for name in names if name in _GATES)


def _recurrent(m: Any, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> int:
    x = _input(args, kwargs)
    data = x if isinstance(x, Tensor) else x.data  # a packed sequence holds its steps alone
    steps = data.numel() // max(data.shape[-1], 1)
    hidden = m.hidden_size
    state = getattr(m, "proj_size", 0) or hidden
    directions = 2 if m.bidirectional else 1
    total = 0
    for layer in range(m.num_layers):
        inputs = m.input_size if layer == 0 else state * directions
        step = _gates(m) * hidden * (inputs + state) + (hidden * state if state != hidden else 0)
        total += directions * step
    return int(steps * total)


def _cell(m: Any, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> int:
    batch = _input(args, kwargs).numel() // max(m.input_size, 1)
    return int(batch * _gates(m) * m.hidden_size * (m.input_size + m.hidden_size))


def _attention(m: Any, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> int:
    given = dict(zip(("query", "key", "value"), args, strict=False)) | dict(kwargs)
    q, k, v = given["query"], given["key"], given["value"]
    width = m.embed_dim
    sequence = 0 if q.ndim == 2 else 1 if m.batch_first else 0
    batch = 1 if q.ndim == 2 else q.shape[1 - sequence]
    queries, keys = q.shape[sequence], k.shape[sequence]
    projections = queries * width * 2 + keys * (k.shape[-1] + v.shape[-1])
    scores = 2 * queries * keys
    return int(batch * width * (projections + scores))


# By the name of the class that defines it, so that asking imports nothing. What is not here counts
# nothing itself; what is here counts for all that is in it.
FORMULAS: dict[str, Formula] = {
    "Linear": _linear,
    "Bilinear": _bilinear,
    "Conv1d": _conv,
    "Conv2d": _conv,
    "Conv3d": _conv,
    "ConvTranspose1d": _conv_transpose,
    "ConvTranspose2d": _conv_transpose,
    "RNN": _recurrent,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "RNNCell": _cell,
    "LSTMCell": _cell,
    "GRUCell": _cell,
    "MultiheadAttention": _attention,
}


def formula_of(module: Module) -> Formula | None:
    """Find the formula of a layer's class, or of the class of ours that it extends."""
    for cls in type(module).__mro__:
        if cls.__module__.startswith("lamina.nn") and cls.__name__ in FORMULAS:
            return FORMULAS[cls.__name__]
    return None


def _input(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    return args[0] if args else next(iter(kwargs.values()))
