"""Rows of the layer table: embeddings."""

from __future__ import annotations

import lamina
import numpy as np
from lamina import nn
from layer_table_row import Layer, Wrong, normal
from op_table_attention import FLAT, NUMBERS, OFFSETS, bags

ROWS = [
    Layer(
        "Embedding",
        lambda: nn.Embedding(5, 3),
        [NUMBERS],
        lambda state, index: state["weight"][index],
        "Embedding(5, 3)",
        state={"weight": (5, 3)},
        laws={"weight": normal(1)},
        more=[[np.array(3)], [NUMBERS[:0]]],
        ulps=0,
        wrong=[
            Wrong(
                lambda: nn.Embedding(5, 3, padding_idx=5),
                ValueError,
                r"Embedding: padding_idx 5 is out of range for 5 rows",
            ),
            Wrong(
                lambda: nn.Embedding(5, 3, _weight=lamina.ones(5, 2)),
                ValueError,
                r"Embedding: the weight given has sizes \[5, 2\], not \[5, 3\]",
            ),
            Wrong(
                lambda: nn.Embedding.from_pretrained(lamina.ones(5)),
                ValueError,
                r"from_pretrained: the table must have 2 dimensions, got \[5\]",
            ),
            Wrong(
                lambda: nn.Embedding(5, 3)(lamina.tensor([5])),
                IndexError,
                r"embedding: 5 is out of range for 5 rows",
            ),
        ],
    ),
    Layer(
        "EmbeddingBag",
        lambda: nn.EmbeddingBag(5, 3),
        [FLAT, OFFSETS],
        lambda state, index, offsets=None: bags(index, state["weight"], offsets),
        "EmbeddingBag(5, 3, mode='mean')",
        state={"weight": (5, 3)},
        laws={"weight": normal(1)},
        more=[[NUMBERS]],
        wrong=[
            Wrong(
                lambda: nn.EmbeddingBag(5, 3, mode="min"),
                ValueError,
                r"EmbeddingBag: mode must be 'mean', 'sum' or 'max', got 'min'",
            )
        ],
    ),
    Layer(
        "EmbeddingBag:sum",
        lambda: nn.EmbeddingBag(5, 3, mode="sum", include_last_offset=True),
        [FLAT, np.array([0, 2, 2, 5])],
        lambda state, index, offsets: bags(index, state["weight"], offsets[:-1], mode="sum"),
        "EmbeddingBag(5, 3, mode='sum')",
        state={"weight": (5, 3)},
        laws={"weight": normal(1)},
    ),
    Layer(
        "EmbeddingBag:max",
        lambda: nn.EmbeddingBag(5, 3, mode="max"),
        [FLAT, OFFSETS],
        lambda state, index, offsets: bags(index, state["weight"], offsets, mode="max"),
        "EmbeddingBag(5, 3, mode='max')",
        state={"weight": (5, 3)},
        laws={"weight": normal(1)},
        ulps=0,
    ),
]
