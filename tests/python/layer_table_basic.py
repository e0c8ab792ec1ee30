"""Rows of the layer table: linear layers and what only moves numbers."""

from __future__ import annotations

import lamina
import numpy as np
from lamina import nn
from layer_table_row import Layer, Wrong, uniform
from op_table_row import spread, stream

RNG = stream("layers")

ROWS = [
    Layer(
        "Linear",
        lambda: nn.Linear(4, 3),
        [spread(RNG, (2, 5, 4))],
        lambda state, x: x @ state["weight"].T + state["bias"],
        "Linear(in_features=4, out_features=3, bias=True)",
        state={"weight": (3, 4), "bias": (3,)},
        laws={"weight": uniform(-0.5, 0.5), "bias": uniform(-0.5, 0.5)},  # 1 / sqrt(4)
        more=[[spread(RNG, 4)], [np.zeros((0, 4))]],
        wrong=[
            Wrong(
                lambda: nn.Linear(4, 3)(lamina.ones(2, 5)),
                ValueError,
                r"linear: input has 5 features but weight expects 4",
            )
        ],
    ),
    Layer(
        "Linear:no bias",
        lambda: nn.Linear(4, 3, bias=False),
        [spread(RNG, (2, 4))],
        lambda state, x: x @ state["weight"].T,
        "Linear(in_features=4, out_features=3, bias=False)",
        state={"weight": (3, 4)},
        laws={"weight": uniform(-0.5, 0.5)},
    ),
    Layer(
        "Identity", lambda: nn.Identity(), [spread(RNG, (2, 3))], lambda state, x: x, "Identity()"
    ),
    Layer(
        "Flatten",
        lambda: nn.Flatten(),
        [spread(RNG, (2, 3, 2))],
        lambda state, x: x.reshape(2, 6),
        "Flatten(start_dim=1, end_dim=-1)",
    ),
]
