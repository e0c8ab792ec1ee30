"""Rows of dropout of channels, and of the dropout for SELU."""

from __future__ import annotations

import lamina
import lamina.nn.functional as F
import numpy as np
from lamina import _core
from op_table_pool import BATCH, IMAGE, LINES, PLANES, RNG, T1, T2, wrong
from op_table_row import Row, Sample


def seeded(function):
    """The same elements every time, so that differences can be taken."""

    def call(x, *args, **kwargs):
        lamina.manual_seed(3)
        return function(x, *args, **kwargs)

    return call


def channel_mask(x, channel, p):
    """Which channels are kept is the library's choice; that there is one for each is not."""
    ones = lamina.ones(x.shape[: channel + 1], dtype=lamina.float64)
    lamina.manual_seed(3)
    kept = (F.dropout(ones, p) != 0).numpy()
    return kept.reshape(kept.shape + (1,) * (x.ndim - channel - 1))


def channels_dropped(find_channel):
    def reference(x, p=0.5, training=True):
        if not training or p == 0:
            return x
        kept = channel_mask(x, find_channel(x), p) if p < 1 else np.zeros(x.shape, bool)
        return np.where(kept, x / (1 - p) if p < 1 else 0.0, 0.0)

    return reference


ALPHA = -1.0507009873554805 * 1.6732632423543772  # SELU's limit for minus infinity


def alpha_scale(p):
    """So that mean 0 and variance 1 stay: of the kept, q = 1 - p, and of the rest, ALPHA."""
    scale = (1 - p + p * (1 - p) * ALPHA**2) ** -0.5
    return scale, -scale * p * ALPHA


def alpha_dropout(x, p=0.5, training=False):
    if not training or p == 0:
        return x
    if p == 1:
        return 0 * x
    lamina.manual_seed(3)
    scale, shift = alpha_scale(p)
    ones = F.alpha_dropout(lamina.ones(x.shape, dtype=lamina.float64), p, True).numpy()
    kept = np.abs(ones - (scale + shift)) < 1e-9
    return np.where(kept, scale * x + shift, scale * ALPHA + shift)


def dropout_refused(name, *more):
    function = getattr(_core, name)
    return [
        wrong(lambda: function(T1, 1.5), rf"^{name}: p must lie in \[0, 1\], got 1.5"),
        wrong(lambda: function(T1, float("nan")), rf"^{name}: p must lie in"),
        wrong(lambda: function(T1.long()), rf"^{name}: input must be float32", TypeError),
        wrong(
            lambda: function(lamina.ones(1, 2, 3, requires_grad=True), 0.5, True, True),
            rf"^{name}: a leaf that requires grad can't be written",
            RuntimeError,
        ),
        *more,
    ]


DROPOUTS = [
    Row(
        "dropout1d",
        [Sample(LINES), Sample(LINES, 0.3), Sample(LINES[0], 0.6), Sample(LINES, 0.5, False),
         Sample(LINES, 1.0), Sample(LINES, 0.0)],
        channels_dropped(lambda x: x.ndim - 2),
        call=seeded(F.dropout1d),
        wide=[Sample(RNG.uniform(1, 2, (9, 31, 5)), 0.2)],
        edges=[Sample(LINES[:0]), Sample(LINES[:, :0])],
        dtypes="floating",
        wrong=dropout_refused(
            "dropout1d",
            wrong(lambda: F.dropout1d(T2), r"^dropout1d: .* \[C, L\] or \[N, C, L\]"),
        ),
    ),
    Row(
        "dropout2d",
        [Sample(PLANES), Sample(IMAGE, 0.3), Sample(BATCH, 0.4), Sample(PLANES, 0.5, False)],
        channels_dropped(lambda x: 1),
        call=seeded(F.dropout2d),
        wide=[Sample(RNG.uniform(1, 2, (9, 31, 3, 2)), 0.2)],
        edges=[Sample(PLANES[:0]), Sample(IMAGE[:, :0])],
        dtypes="floating",
        wrong=dropout_refused(
            "dropout2d",
            wrong(lambda: F.dropout2d(lamina.ones(2, 3)), r"^dropout2d: the input must"),
        ),
    ),
    Row(
        "alpha_dropout",
        [Sample(LINES, 0.5, True), Sample(LINES, 0.2, True), Sample(LINES, 0.5),
         Sample(LINES, 1.0, True), Sample(LINES, 0.0, True)],
        alpha_dropout,
        call=seeded(F.alpha_dropout),
        wide=[Sample(RNG.standard_normal((9, 31)), 0.2, True)],
        edges=[Sample(LINES[:0], 0.5, True), Sample(LINES[0, 0], 0.5, True)],
        error=lambda y, x, p=0.5, *_: 0 * y + 8 * (np.abs(x).max(initial=0.0) + 2) / (1 - p or 1),
        dtypes="floating",
        wrong=dropout_refused("alpha_dropout"),
    ),
]  # fmt: skip

ROWS = DROPOUTS
