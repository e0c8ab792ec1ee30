"""Rows of the layer table: norms."""

from __future__ import annotations

import lamina
import numpy as np
from lamina import nn
from layer_table_row import Layer, Wrong, constant
from op_table_norm import response
from op_table_row import spread, stream

RNG = stream("norm layers")
FLAT, LINES, IMAGES = spread(RNG, (4, 3)), spread(RNG, (2, 3, 4)), spread(RNG, (2, 3, 2, 2))


def batch_axes(x):
    return (0, *range(2, x.ndim))


def standard(x, axes, eps=1e-5):
    """With the biased variance."""
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


def per_channel(state, key, x, otherwise):
    value = state.get(key, np.full(x.shape[1], otherwise))
    return value.reshape(1, -1, *[1] * (x.ndim - 2))


def affine(state, x, normal):
    return normal * per_channel(state, "weight", x, 1.0) + per_channel(state, "bias", x, 0.0)


def by_batch(state, x):
    return affine(state, x, standard(x, batch_axes(x)))


def by_running(state, x):
    mean, var = (per_channel(state, f"running_{k}", x, 0.0) for k in ("mean", "var"))
    return affine(state, x, (x - mean) / np.sqrt(var + 1e-5))


def by_instance(state, x):
    return affine(state, x, standard(x, tuple(range(2, x.ndim))))


def in_groups(state, x, groups):
    return affine(state, x, standard(x.reshape(len(x), groups, -1), (2,)).reshape(x.shape))


def of_last(state, x, rank):
    normal = standard(x, tuple(range(x.ndim - rank, x.ndim)))
    return normal * state.get("weight", 1.0) + state.get("bias", 0.0)


def root_mean_square(state, x, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * state.get("weight", 1.0)


AFFINE = {"weight": (3,), "bias": (3,)}
AFFINE_LAWS = {"weight": constant(1), "bias": constant(0)}
RUNNING = {"running_mean": (3,), "running_var": (3,), "num_batches_tracked": ()}
RUNNING_LAWS = {
    "running_mean": constant(0),
    "running_var": constant(1),
    "num_batches_tracked": constant(0),
}
SHOWN = "3, eps=1e-05, momentum=0.1, affine={}, bias={}, track_running_stats={})"


def tracking(name, inputs, reference, affine=True, tracked=True, ranks="", **more):
    """A row for a layer that may keep running statistics."""
    cls = getattr(nn, name.split(":")[0])
    return Layer(
        name,
        lambda: cls(3, affine=affine, track_running_stats=tracked),
        inputs,
        reference,
        f"{cls.__name__}(" + SHOWN.format(affine, affine, tracked),
        state={**(AFFINE if affine else {}), **(RUNNING if tracked else {})},
        laws={**(AFFINE_LAWS if affine else {}), **(RUNNING_LAWS if tracked else {})},
        ulps=64,  # a mean of 8 numbers, twice, and of what they are made of
        wrong=[Wrong(lambda: cls(3)(lamina.ones(2, 3, 2, 2, 2)), ValueError, ranks)]
        if ranks
        else [],
        **more,
    )


BATCH = [
    tracking(
        "BatchNorm1d",
        [FLAT],
        by_batch,
        more=[[LINES]],
        ranks=r"batch_norm: expected 2D or 3D input, got 5D\n  input  \[2, 3, 2, 2, 2\]",
    ),
    tracking("BatchNorm1d:eval", [LINES], by_running, training=False, more=[[FLAT[:0]]]),
    tracking("BatchNorm1d:plain", [FLAT], by_batch, affine=False, tracked=False, training=False),
    tracking("BatchNorm2d", [IMAGES], by_batch, ranks=r"batch_norm: expected 4D input, got 5D"),
    tracking("BatchNorm2d:eval", [IMAGES], by_running, training=False),
    tracking("BatchNorm2d:plain", [IMAGES], by_batch, affine=False, tracked=False, training=False),
    Layer(
        "BatchNorm2d:scale",
        lambda: nn.BatchNorm2d(3, bias=False),
        [IMAGES],
        by_batch,
        "BatchNorm2d(" + SHOWN.format(True, False, True),
        state={"weight": (3,), **RUNNING},
        laws={"weight": constant(1), **RUNNING_LAWS},
        ulps=64,
    ),
]

INSTANCE = [
    tracking(
        "InstanceNorm1d",
        [LINES],
        by_instance,
        affine=False,
        tracked=False,
        ranks=r"instance_norm: expected 2D or 3D input, got 5D",
    ),
    tracking("InstanceNorm1d:tracked", [LINES], by_instance),
    tracking("InstanceNorm1d:eval", [LINES], by_running, training=False),
    tracking(
        "InstanceNorm1d:unbatched",
        [LINES[0]],
        lambda state, x: by_instance(state, x[None])[0],
        tracked=False,
    ),
    tracking("InstanceNorm2d", [IMAGES], by_instance, tracked=False, training=False),
    tracking(
        "InstanceNorm2d:unbatched",
        [IMAGES[0]],
        lambda state, x: by_running(state, x[None])[0],
        training=False,
        ranks=r"instance_norm: expected 3D or 4D input, got 5D",
    ),
]
INSTANCE[0].wrong.append(
    Wrong(
        lambda: nn.InstanceNorm1d(4, affine=True)(lamina.ones(2, 3, 4)),
        ValueError,
        r"instance_norm: expected 4 channels, got 3\n  input  \[2, 3, 4\]",
    )
)

SAMPLE = [
    Layer(
        "LayerNorm",
        lambda: nn.LayerNorm(4),
        [LINES],
        lambda state, x: of_last(state, x, 1),
        "LayerNorm((4,), eps=1e-05, elementwise_affine=True, bias=True)",
        state={"weight": (4,), "bias": (4,)},
        laws=AFFINE_LAWS,
        more=[[LINES[0, 0]], [LINES[:0]]],
        ulps=64,
        wrong=[
            Wrong(
                lambda: nn.LayerNorm(3)(lamina.ones(2, 4)),
                ValueError,
                r"layer_norm: the input's last sizes must be normalized_shape \[3\]",
            )
        ],
    ),
    Layer(
        "LayerNorm:scale",
        lambda: nn.LayerNorm([3, 4], bias=False),
        [LINES],
        lambda state, x: of_last(state, x, 2),
        "LayerNorm((3, 4), eps=1e-05, elementwise_affine=True, bias=False)",
        state={"weight": (3, 4)},
        laws={"weight": constant(1)},
        ulps=64,
    ),
    Layer(
        "LayerNorm:plain",
        lambda: nn.LayerNorm(4, elementwise_affine=False),
        [LINES],
        lambda state, x: of_last(state, x, 1),
        "LayerNorm((4,), eps=1e-05, elementwise_affine=False, bias=False)",
        ulps=64,
    ),
    Layer(
        "RMSNorm",
        lambda: nn.RMSNorm(4),
        [LINES],
        lambda state, x: root_mean_square(state, x, 0.0),  # an epsilon of the dtype is not seen
        "RMSNorm((4,), eps=None, elementwise_affine=True)",
        state={"weight": (4,)},
        laws={"weight": constant(1)},
        more=[[LINES[0, 0]], [LINES[:0]]],
        wrong=[
            Wrong(
                lambda: nn.RMSNorm(3)(lamina.ones(2, 4)),
                ValueError,
                r"rms_norm: the input's last sizes must be normalized_shape \[3\]",
            )
        ],
    ),
    Layer(
        "RMSNorm:plain",
        lambda: nn.RMSNorm((4,), 0.5, False),
        [LINES],
        lambda state, x: root_mean_square(state, x, 0.5),
        "RMSNorm((4,), eps=0.5, elementwise_affine=False)",
    ),
    Layer(
        "GroupNorm",
        lambda: nn.GroupNorm(2, 4),
        [spread(RNG, (2, 4, 3))],
        lambda state, x: in_groups(state, x, 2),
        "GroupNorm(2, 4, eps=1e-05, affine=True, bias=True)",
        state={"weight": (4,), "bias": (4,)},
        laws=AFFINE_LAWS,
        more=[[spread(RNG, (3, 4))], [spread(RNG, (2, 4, 2, 3))]],
        ulps=64,
        wrong=[
            Wrong(
                lambda: nn.GroupNorm(3, 4),
                ValueError,
                r"GroupNorm: num_channels must be divisible by num_groups, got 4 and 3",
            ),
            Wrong(
                lambda: nn.GroupNorm(2, 4)(lamina.ones(2, 6, 2)),
                ValueError,
                r"group_norm: weight must have sizes \[6\]",
            ),
        ],
    ),
    Layer(
        "GroupNorm:plain",
        lambda: nn.GroupNorm(3, 3, eps=1e-5, affine=False),
        [LINES],
        by_instance,
        "GroupNorm(3, 3, eps=1e-05, affine=False, bias=False)",
        ulps=64,
    ),
    Layer(
        "LocalResponseNorm",
        lambda: nn.LocalResponseNorm(2, 0.5, 1.5, 2.0),
        [spread(RNG, (2, 4, 2))],
        lambda state, x: x / response(x, 2, 0.5, 1.5, 2.0),
        "LocalResponseNorm(2, alpha=0.5, beta=1.5, k=2.0)",
        wrong=[
            Wrong(
                lambda: nn.LocalResponseNorm(2)(lamina.ones(2, 3)),
                ValueError,
                r"local_response_norm: the input must be \[N, C, ...\]",
            )
        ],
    ),
]

ROWS = [*BATCH, *INSTANCE, *SAMPLE]
