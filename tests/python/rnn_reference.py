"""Recurrent layers in NumPy, one sequence step at a time, as their formulas say."""

from __future__ import annotations

import numpy as np

GATES = {"tanh": 1, "relu": 1, "lstm": 4, "gru": 3}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def step(kind, x, h, c, w_ih, w_hh, b_ih=0.0, b_hh=0.0):
    """The next h [N, H], and c for an LSTM."""
    from_x, from_h = x @ w_ih.T + b_ih, h @ w_hh.T + b_hh
    if kind == "tanh":
        return np.tanh(from_x + from_h), c
    if kind == "relu":
        return np.maximum(from_x + from_h, 0), c
    if kind == "lstm":
        i, f, g, o = np.split(from_x + from_h, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c
    (xr, xz, xn), (hr, hz, hn) = np.split(from_x, 3, axis=-1), np.split(from_h, 3, axis=-1)
    z = sigmoid(xz + hz)
    return (1 - z) * np.tanh(xn + sigmoid(xr + hr) * hn) + z * h, c


def stack(kind, x, weights, h0=None, c0=None, layers=1, biases=True, bidirectional=False):
    """Layers over x [T, N, I]: y, h_n and, for an LSTM, c_n; weights in the layers' order."""
    directions, per_direction = 1 + bidirectional, 4 if biases else 2
    h_n, c_n = [], []
    for layer in range(layers):
        outputs = []
        for d in range(directions):
            place = layer * directions + d
            w = weights[place * per_direction : (place + 1) * per_direction]
            start = np.zeros((x.shape[1], w[1].shape[1]))
            h = start if h0 is None else h0[place]
            c = start if c0 is None else c0[place]
            states = [None] * len(x)
            for t in reversed(range(len(x))) if d else range(len(x)):
                h, c = step(kind, x[t], h, c, *w)
                states[t] = h
            outputs.append(np.stack(states))
            h_n.append(h)
            c_n.append(c)
        x = np.concatenate(outputs, -1)
    ends = (np.stack(h_n), np.stack(c_n)) if kind == "lstm" else (np.stack(h_n),)
    return x, *ends
