"""Rows of the layer table: recurrent layers and cells."""

from __future__ import annotations

import lamina
import numpy as np
from lamina import nn
from layer_table_row import Layer, Wrong, uniform
from op_table_row import spread, stream
from rnn_reference import GATES, stack, step

RNG = stream("recurrent layers")
# A result is a handful of products of up to ten terms, each step's errors carried to the next.
ULPS = 256


def shapes(kind, features, units, layers=1, biases=True, bidirectional=False):
    found = {}
    height = GATES[kind] * units
    for layer in range(layers):
        width = features if layer == 0 else (1 + bidirectional) * units
        for suffix in ("", "_reverse")[: 1 + bidirectional]:
            found[f"weight_ih_l{layer}{suffix}"] = (height, width)
            found[f"weight_hh_l{layer}{suffix}"] = (height, units)
            if biases:
                found[f"bias_ih_l{layer}{suffix}"] = (height,)
                found[f"bias_hh_l{layer}{suffix}"] = (height,)
    return found


def nested(result):
    """As the layers give it: output, h_n, or output, (h_n, c_n)."""
    y, *ends = result
    return (y, ends[0]) if len(ends) == 1 else (y, tuple(ends))


def row(name, kind, make, inputs, shown, features, units, batch_first=False, **form):
    def reference(state, x, h0=None):
        alone = x.ndim == 2
        x = x[:, None] if alone else x.swapaxes(0, 1) if batch_first else x
        h0 = h0 if h0 is None or not alone else h0[:, None]
        y, *ends = stack(kind, x, list(state.values()), h0, **form)
        if alone:
            return nested([v[:, 0] for v in (y, *ends)])
        return nested([y.swapaxes(0, 1) if batch_first else y, *ends])

    state = shapes(kind, features, units, **form)
    bound = 1 / np.sqrt(units)
    return Layer(
        name,
        make,
        inputs,
        reference,
        shown,
        state=state,
        laws={key: uniform(-bound, bound) for key in state},
        ulps=ULPS,
    )


X = spread(RNG, (3, 2, 4))
RNN = row("RNN", "tanh", lambda: nn.RNN(4, 3), [X, spread(RNG, (1, 2, 3))], "RNN(4, 3)", 4, 3)
RNN.more = [[X], [X[:, 0]], [X[:, 0], spread(RNG, (1, 3))], [X[:, :0]], [X[:1]]]
RNN.wrong = [
    Wrong(lambda: nn.RNN(4, 0), ValueError, r"^RNN: hidden_size must be positive, got 0$"),
    Wrong(lambda: nn.RNN(4, 2.0), TypeError, r"^RNN: hidden_size must be an int, got float$"),
    Wrong(lambda: nn.RNN(4, 2, 0), ValueError, r"^RNN: num_layers must be positive, got 0$"),
    Wrong(
        lambda: nn.RNN(4, 2, nonlinearity="gelu"),
        ValueError,
        r"^RNN: nonlinearity must be 'tanh' or 'relu', got 'gelu'$",
    ),
    Wrong(lambda: nn.RNN(4, 2, dropout=1.5), ValueError, r"^RNN: dropout must be in \[0, 1\]"),
    Wrong(
        lambda: nn.RNN(4, 2)(lamina.ones(3, 2, 5)),
        ValueError,
        r"^rnn_tanh: input has 5 features but weight_ih_l0 expects 4\n"
        r"  input  \[3, 2, 5\]\n  weight \[2, 4\]\n  in     RNN$",
    ),
    Wrong(
        lambda: nn.RNN(4, 2)(lamina.ones(3, 2, 4), lamina.ones(2, 2, 2)),
        ValueError,
        r"^rnn_tanh: h_0 must be \[layers \* directions, batch, hidden\] = \[1, 2, 2\]",
    ),
    Wrong(
        lambda: nn.RNN(4, 2)(lamina.ones(4)),
        ValueError,
        r"^rnn_tanh: the input must be \[steps, batch, features\]",
    ),
    Wrong(
        lambda: nn.RNN(4, 2)(lamina.ones(0, 2, 4)),
        ValueError,
        r"^rnn_tanh: the input must have at least one step",
    ),
    Wrong(
        lambda: nn.RNN(4, 2)(lamina.ones(3, 4), lamina.ones(1, 1, 2)),
        ValueError,
        r"^RNN: for one sequence \[steps, features\] the initial state must be",
    ),
]
RELU = row(
    "RNN:relu",
    "relu",
    lambda: nn.RNN(4, 2, 2, nonlinearity="relu", bidirectional=True),
    [X, spread(RNG, (4, 2, 2))],
    "RNN(4, 2, num_layers=2, bidirectional=True)",
    4,
    2,
    layers=2,
    bidirectional=True,
)
LSTM = row("LSTM", "lstm", lambda: nn.LSTM(4, 3), [X], "LSTM(4, 3)", 4, 3)
LSTM.more = [[X[:, 0]], [X[:, :0]], [X[:1]]]
LSTM.wrong = [
    Wrong(
        lambda: nn.LSTM(4, 3, proj_size=2),
        NotImplementedError,
        r"^LSTM: proj_size=2 is not supported; put a Linear behind the layer$",
    ),
    Wrong(
        lambda: nn.LSTM(4, 3)(lamina.ones(3, 2, 4), lamina.ones(1, 2, 3)),
        TypeError,
        r"^LSTM: hx must be a tuple \(h, c\) of two tensors",
    ),
    Wrong(
        lambda: nn.LSTM(4, 3)(lamina.ones(3, 2, 4), (lamina.ones(1, 2, 3), lamina.ones(1, 3, 3))),
        ValueError,
        r"^lstm: c_0 must be \[layers \* directions, batch, hidden\] = \[1, 2, 3\]",
    ),
    Wrong(
        lambda: nn.LSTM(4, 3)(lamina.ones(3, 2, 4, dtype=lamina.float64)),
        TypeError,
        r"^lstm: both operands must have one dtype, got float64 and float32",
    ),
]
DEEP_LSTM = row(
    "LSTM:deep",
    "lstm",
    lambda: nn.LSTM(4, 2, 2, bias=False, batch_first=True, dropout=0.5, bidirectional=True),
    [X],
    "LSTM(4, 2, num_layers=2, bias=False, batch_first=True, dropout=0.5, bidirectional=True)",
    4,
    2,
    batch_first=True,
    layers=2,
    biases=False,
    bidirectional=True,
)
DEEP_LSTM.training = False
GRU = row("GRU", "gru", lambda: nn.GRU(4, 3), [X, spread(RNG, (1, 2, 3))], "GRU(4, 3)", 4, 3)
GRU.more = [[X], [X[:, 0]], [X[:, :0]], [X[:1]]]
GRU.wrong = [
    Wrong(
        lambda: nn.GRU(4, 3)(lamina.ones(3, 2, 4), lamina.ones(1, 2, 3).double()),
        TypeError,
        r"^gru: both operands must have one dtype, got float32 and float64",
    ),
    Wrong(
        lambda: nn.GRU(4, 3)(lamina.ones(3, 2, 4).long()),
        TypeError,
        r"^gru: input must be float32 or float64, got int64",
    ),
]
DEEP_GRU = row(
    "GRU:deep",
    "gru",
    lambda: nn.GRU(4, 2, 2, bias=False, batch_first=True, bidirectional=True),
    [X, spread(RNG, (4, 3, 2))],
    "GRU(4, 2, num_layers=2, bias=False, batch_first=True, bidirectional=True)",
    4,
    2,
    batch_first=True,
    layers=2,
    biases=False,
    bidirectional=True,
)


def cell(name, kind, make, shown, biases=True, state=True):
    def reference(values, x, h=None):
        alone = x.ndim == 1
        x = np.atleast_2d(x)
        start = np.zeros((len(x), 3))
        h = start if h is None else np.atleast_2d(h)
        out = [v[0] if alone else v for v in step(kind, x, h, start, *values.values())]
        return tuple(out) if kind == "lstm" else out[0]

    height = 3 * GATES[kind]
    parts = {"weight_ih": (height, 4), "weight_hh": (height, 3)}
    if biases:
        parts |= {"bias_ih": (height,), "bias_hh": (height,)}
    bound = 1 / np.sqrt(3)
    x, h = X[0], spread(RNG, (2, 3))
    return Layer(
        name,
        make,
        [x, h] if state else [x],
        reference,
        shown,
        state=parts,
        laws={key: uniform(-bound, bound) for key in parts},
        more=[[x], [x[0]], [x[:0]], *([[x[0], h[0]]] if state else [])],
        ulps=ULPS,
    )


RNN_CELL = cell("RNNCell", "tanh", lambda: nn.RNNCell(4, 3), "RNNCell(4, 3)")
RNN_CELL.wrong = [
    Wrong(
        lambda: nn.RNNCell(4, 3, nonlinearity="elu"),
        ValueError,
        r"^RNNCell: nonlinearity must be 'tanh' or 'relu', got 'elu'$",
    ),
    Wrong(
        lambda: nn.RNNCell(4, 3)(lamina.ones(2, 5)),
        ValueError,
        r"^rnn_tanh_cell: input has 5 features but weight_ih expects 4",
    ),
    Wrong(
        lambda: nn.RNNCell(4, 3)(lamina.ones(2, 4), lamina.ones(3, 3)),
        ValueError,
        r"^rnn_tanh_cell: h_0 must be \[batch, hidden\] = \[2, 3\]",
    ),
    Wrong(
        lambda: nn.RNNCell(4, 3)(lamina.ones(4), lamina.ones(1, 3)),
        ValueError,
        r"^RNNCell: for one input \[features\] the state must be \[hidden\], got \[1, 3\]",
    ),
    Wrong(
        lambda: nn.RNNCell(4, 3)(lamina.ones(2, 2, 4)),
        ValueError,
        r"^rnn_tanh_cell: the input must be \[batch, features\]",
    ),
]
LSTM_CELL = cell("LSTMCell", "lstm", lambda: nn.LSTMCell(4, 3), "LSTMCell(4, 3)", state=False)
LSTM_CELL.wrong = [
    Wrong(
        lambda: nn.LSTMCell(4, 3)(lamina.ones(2, 4), lamina.ones(2, 3)),
        TypeError,
        r"^LSTMCell: hx must be a tuple \(h, c\) of two tensors",
    ),
]

ROWS = [
    RNN,
    RELU,
    LSTM,
    DEEP_LSTM,
    GRU,
    DEEP_GRU,
    RNN_CELL,
    cell(
        "RNNCell:relu",
        "relu",
        lambda: nn.RNNCell(4, 3, bias=False, nonlinearity="relu"),
        "RNNCell(4, 3, bias=False, nonlinearity=relu)",
        biases=False,
    ),
    LSTM_CELL,
    cell("GRUCell", "gru", lambda: nn.GRUCell(4, 3), "GRUCell(4, 3)"),
]
