"""Rows of recurrent layers, their single steps, and sequences of several lengths."""

from __future__ import annotations

import lamina
import numpy as np
from lamina import _core
from op_table_row import Row, Sample, Wrong, exact, spread, stream, with_nan
from rnn_reference import GATES, stack, step

RNG = stream("recurrence")
NAMES = {"lstm": "lstm", "gru": "gru", "rnn_tanh": "tanh", "rnn_relu": "relu"}


def weights_of(kind, features, units, layers=1, biases=True, directions=1, size=0.6):
    rows, found = GATES[kind] * units, []
    for layer in range(layers):
        width = features if layer == 0 else directions * units
        for _ in range(directions):
            found += [spread(RNG, (rows, width), (-size, size))]
            found += [spread(RNG, (rows, units), (-size, size))]
            if biases:
                found += [spread(RNG, rows, (-size, size)), spread(RNG, rows, (-size, size))]
    return found


def growth(steps, weights):
    """What an error of one step may become by the last: the gates' slopes are at most 1."""
    widest = max(np.abs(w).sum(-1).max(initial=0.0) for w in weights if w.ndim == 2)
    return sum(min(1 + widest, 3.0) ** t for t in range(steps))


def step_error(x, weights):
    """Of the sums before the gates, and eight roundings of what follows: in epsilons."""
    terms = sum(w.shape[-1] for w in weights if w.ndim == 2) + 12
    largest = max(np.abs(x).max(initial=1.0), 1.0)
    return terms * (8 + largest * sum(np.abs(w).max(initial=0.0) for w in weights))


def error(y, x, *rest, **form):
    weights = [np.nan_to_num(a) for a in rest if isinstance(a, np.ndarray)]
    bound = step_error(np.nan_to_num(x), weights) * growth(len(x), weights)
    return tuple(np.full_like(v, bound) for v in y)


def split_states(kind, has_state, rest):
    count = 0 if not has_state else 2 if kind == "lstm" else 1
    return list(rest[:count]), list(rest[count:])


def layers_row(name):
    kind = NAMES[name]

    def call(x, *rest, state=False, layers=1, biases=True, bidirectional=False):
        hx, weights = split_states(kind, state, rest)
        given = hx if kind == "lstm" else hx[0] if hx else None
        function = getattr(_core, name)
        return function(x, given, weights, biases, layers, 0.0, True, bidirectional, False)

    def reference(x, *rest, state=False, layers=1, biases=True, bidirectional=False):
        hx, weights = split_states(kind, state, rest)
        form = {"layers": layers, "biases": biases, "bidirectional": bidirectional}
        return stack(kind, x, weights, *hx, **form)

    states = 2 if kind == "lstm" else 1
    x = spread(RNG, (2, 2, 3))
    plain = weights_of(kind, 3, 2)
    both = weights_of(kind, 3, 2, 2, False, 2)
    hx = [spread(RNG, (1, 2, 2)) for _ in range(states)]
    deep_hx = [spread(RNG, (4, 2, 2)) for _ in range(states)]
    long = spread(RNG, (9, 5, 7))
    wide = weights_of(kind, 7, 35, biases=True, directions=2, size=0.2)
    function = getattr(_core, name)
    ones = [lamina.tensor(w) for w in plain]
    z = lamina.tensor(x)
    no = [] if kind == "lstm" else None

    def refused(match, error, data=z, h=no, w=ones, layers=1, dropout=0.0):
        return Wrong(
            lambda: function(data, h, w, True, layers, dropout, True, False, False), error, match
        )

    def packed(sizes, data=z[0], dtype=lamina.int64):
        return lambda: function(
            data, lamina.tensor(sizes, dtype=dtype), no, ones, True, 1, 0.0, True, False
        )

    return Row(
        name,
        [
            Sample(x, *plain),
            Sample(x, *hx, *plain, state=True),
            Sample(x, *both, layers=2, biases=False, bidirectional=True),
            Sample(x, *deep_hx, *both, state=True, layers=2, biases=False, bidirectional=True),
        ],
        reference,
        call=call,
        wide=[Sample(long, *wide, bidirectional=True)],
        edges=[
            Sample(x[:, :0], *plain),
            Sample(x[:1], *plain),
            Sample(x[:, :, :0], plain[0][:, :0], *plain[1:]),
        ],
        specials=lambda dtype: [
            Sample(with_nan(x), *plain),
            Sample(x, with_nan(plain[0]), *plain[1:]),
        ],
        error=error,
        dtypes="floating",
        wrong=[
            refused(rf"^{name}: the input must be \[steps, batch, features\]", ValueError, z[0]),
            refused(
                rf"^{name}: expected 4 weights for each of 1 layers, got 3", ValueError, w=ones[:3]
            ),
            refused(rf"^{name}: num_layers must be positive, got 0", ValueError, layers=0),
            refused(rf"^{name}: dropout must lie in \[0, 1\], got 2", ValueError, dropout=2.0),
            refused(
                rf"^{name}: input has 4 features but weight_ih_l0 expects 3",
                ValueError,
                lamina.ones(2, 2, 4).double(),
            ),
            refused(
                rf"^{name}: bias_hh_l0 must be \[{2 * GATES[kind]}\] in a layer of 2 units",
                ValueError,
                w=[*ones[:3], lamina.ones(1).double()],
            ),
            refused(rf"^{name}: .* one dtype, got float32 and float64", TypeError, z.float()),
            Wrong(
                packed([3, 1], lamina.ones(2, 3).double()),
                ValueError,
                rf"^{name}: batch_sizes must be positive, never grow, and add up to the 2 rows",
            ),
            Wrong(packed([1]), ValueError, rf"^{name}: batch_sizes must add up to the 2 rows"),
            Wrong(packed([]), ValueError, rf"^{name}: batch_sizes must add up to the 2 rows"),
            Wrong(
                packed([1, 1], dtype=lamina.int32),
                TypeError,
                rf"^{name}: batch_sizes must be int64, got int32",
            ),
            Wrong(packed([1, 1], z), ValueError, rf"^{name}: packed data must be"),
        ],
    )


def cell_row(name):
    kind = NAMES[name.removesuffix("_cell")]
    function = getattr(_core, name)

    def call(x, *rest, state=True):
        hx, weights = split_states(kind, state, rest)
        given = hx if kind == "lstm" else hx[0] if hx else None
        return function(x, given, *weights)

    def reference(x, *rest, state=True):
        hx, weights = split_states(kind, state, rest)
        start = np.zeros((len(x), weights[1].shape[1]))
        h, c = step(kind, x, *(hx if len(hx) == 2 else [hx[0] if hx else start, start]), *weights)
        return (h, c) if kind == "lstm" else h

    def cell_error(y, x, *rest, **form):
        bound = step_error(np.nan_to_num(x), [a for a in rest if isinstance(a, np.ndarray)])
        return tuple(np.full_like(v, bound) for v in y) if kind == "lstm" else bound + 0 * np.abs(y)

    states = 2 if kind == "lstm" else 1
    x, hx = spread(RNG, (2, 3)), [spread(RNG, (2, 2)) for _ in range(states)]
    plain = weights_of(kind, 3, 2)
    ones = [lamina.tensor(w) for w in plain]
    z, no = lamina.tensor(x), [] if kind == "lstm" else None
    h = lamina.ones(3, 2).double()
    return Row(
        name,
        [Sample(x, *hx, *plain), Sample(x, *plain[:2], state=False)],
        reference,
        call=call,
        wide=[Sample(spread(RNG, (33, 19)), *weights_of(kind, 19, 37, size=0.2), state=False)],
        edges=[Sample(x[:0], *[a[:0] for a in hx], *plain)],
        specials=lambda dtype: [Sample(with_nan(x), *hx, *plain)],
        error=cell_error,
        dtypes="floating",
        wrong=[
            Wrong(
                lambda: function(z[0], no, *ones),
                ValueError,
                rf"^{name}: the input must be \[batch, features\]",
            ),
            Wrong(
                lambda: function(z, [h, h] if kind == "lstm" else h, *ones),
                ValueError,
                rf"^{name}: h_0 must be \[batch, hidden\] = \[2, 2\]",
            ),
            Wrong(
                lambda: function(z, no, *ones[:3]),
                ValueError,
                rf"^{name}: b_ih and b_hh must be given together",
            ),
            Wrong(
                lambda: function(z, no, ones[0], ones[0]),
                ValueError,
                rf"^{name}: weight_ih must be \[",
            ),
            Wrong(
                lambda: function(z, no, ones[0], lamina.ones(4)),
                ValueError,
                rf"^{name}: weight_hh must be a matrix",
            ),
            Wrong(
                lambda: function(z, no, ones[0], lamina.ones(4, 0).double()),
                ValueError,
                rf"^{name}: the hidden size must be positive",
            ),
        ],
    )


# -- sequences of several lengths ------------------------------------------------------------------

LENGTHS = np.array([3, 2, 2, 1])
PADDED = spread(RNG, (3, 4, 2))
SIZES = np.array([4, 3, 1])


def pack(x, lengths, batch_first):
    x = x.swapaxes(0, 1) if batch_first else x
    steps = range(lengths[0])
    rows = [x[t, i] for t in steps for i in range(len(lengths)) if t < lengths[i]]
    return np.stack(rows), np.array([(lengths > t).sum() for t in steps])


def unpack(data, sizes, batch_first, padding, total):
    out = np.full((max(total, len(sizes)), sizes[0], *data.shape[1:]), padding, data.dtype)
    at = 0
    for t, n in enumerate(sizes):
        out[t, :n] = data[at : at + n]
        at += n
    lengths = np.array([(sizes > i).sum() for i in range(sizes[0])])
    return out.swapaxes(0, 1) if batch_first else out, lengths


def pad(*sequences, batch_first=False, padding=0.0, left=False):
    longest = max(map(len, sequences))
    out = np.full((longest, len(sequences), *sequences[0].shape[1:]), padding)
    for i, s in enumerate(sequences):
        start = longest - len(s) if left else 0
        out[start : start + len(s), i] = s
    return out.swapaxes(0, 1) if batch_first else out


T = lamina.ones(3, 2)
PACKS = [
    Row(
        "_pack_padded_sequence",
        [
            Sample(PADDED, LENGTHS, False),
            Sample(PADDED.swapaxes(0, 1).copy(), LENGTHS, True),
            Sample(PADDED[:, :, 0].copy(), LENGTHS, False),
        ],
        pack,
        edges=[Sample(PADDED[:, :, :0], LENGTHS, False)],
        error=exact,
        layouts=(0,),
        dtypes="keep",
        wrong=[
            Wrong(
                lambda: _core._pack_padded_sequence(T, lamina.tensor([3]), False),
                ValueError,
                r"^pack_padded_sequence: got 1 lengths for a batch of 2",
            ),
            Wrong(
                lambda: _core._pack_padded_sequence(T, lamina.tensor([4, 1]), False),
                ValueError,
                r"^pack_padded_sequence: length 4 of sequence 0 is not in \[1, 3\]",
            ),
            Wrong(
                lambda: _core._pack_padded_sequence(T, lamina.tensor([3, 0]), False),
                ValueError,
                r"^pack_padded_sequence: length 0 of sequence 1 is not in \[1, 3\]",
            ),
            Wrong(
                lambda: _core._pack_padded_sequence(T, lamina.tensor([1, 2]), False),
                ValueError,
                r"^pack_padded_sequence: lengths must be in decreasing order; got \[1, 2\]",
            ),
            Wrong(
                lambda: _core._pack_padded_sequence(T, lamina.ones(2), False),
                TypeError,
                r"^pack_padded_sequence: lengths must be int64, got float32",
            ),
            Wrong(
                lambda: _core._pack_padded_sequence(T[0], lamina.tensor([1]), False),
                ValueError,
                r"^pack_padded_sequence: the input must be \[steps, batch, \.\.\.\]",
            ),
            Wrong(
                lambda: _core._pack_padded_sequence(T[:, :0], lamina.tensor([]).long(), True),
                ValueError,
                r"^pack_padded_sequence: got 0 lengths for a batch of 3",
            ),
        ],
    ),
    Row(
        "_pad_packed_sequence",
        [
            Sample(spread(RNG, (8, 2)), SIZES, False, 0.0, 0),
            Sample(spread(RNG, (8, 2)), SIZES, True, -1.5, 5),
            Sample(spread(RNG, 8), SIZES, False, 2.0, 3),
        ],
        unpack,
        edges=[Sample(spread(RNG, (8, 0)), SIZES, False, 0.0, 0)],
        error=exact,
        layouts=(0,),
        dtypes="keep",
        wrong=[
            Wrong(
                lambda: _core._pad_packed_sequence(T, lamina.tensor([1, 2]), False, 0, 0),
                ValueError,
                r"^pad_packed_sequence: batch_sizes must be positive, never grow",
            ),
            Wrong(
                lambda: _core._pad_packed_sequence(T, lamina.tensor([2]), False, 0, 0),
                ValueError,
                r"^pad_packed_sequence: batch_sizes must add up to the 3 rows of data; got \[2\]",
            ),
            Wrong(
                lambda: _core._pad_packed_sequence(T, lamina.tensor([2, 1]), False, 0, 1),
                ValueError,
                r"^pad_packed_sequence: total_length 1 is less than the longest sequence, of 2",
            ),
        ],
    ),
    Row(
        "_pad_sequence",
        [
            Sample(spread(RNG, (3, 2)), spread(RNG, (1, 2)), spread(RNG, (2, 2))),
            Sample(spread(RNG, 2), spread(RNG, 3), batch_first=True, padding=2.5, left=True),
        ],
        pad,
        call=lambda *sequences, batch_first=False, padding=0.0, left=False: _core._pad_sequence(
            list(sequences), batch_first, padding, left
        ),
        edges=[Sample(spread(RNG, 2), spread(RNG, 0)), Sample(spread(RNG, 0))],
        error=exact,
        dtypes="keep",
        wrong=[
            Wrong(
                lambda: _core._pad_sequence([], False, 0, False),
                ValueError,
                r"^pad_sequence: needs at least one sequence",
            ),
            Wrong(
                lambda: _core._pad_sequence([T, T[:, :1]], False, 0, False),
                ValueError,
                r"^pad_sequence: sequences may differ in length only\n  first  \[3, 2\]",
            ),
            Wrong(
                lambda: _core._pad_sequence([T[0, 0]], False, 0, False),
                ValueError,
                r"^pad_sequence: sequence 0 has no dimension",
            ),
        ],
    ),
]

ROWS = [
    *[layers_row(name) for name in NAMES],
    *[cell_row(f"{name}_cell") for name in NAMES],
    *PACKS,
]
