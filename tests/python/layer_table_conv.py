"""Rows of the layer table: convolutions."""

from __future__ import annotations

import lamina
from lamina import nn
from layer_table_row import Layer, Wrong, uniform
from op_table_conv import conv1d, conv2d, conv_transpose1d, conv_transpose2d
from op_table_row import spread, stream

RNG = stream("convolutions")


def wrong(call, match, kind=ValueError):
    return Wrong(call, kind, match)


def row(name, make, shape, reference, shown, weight, filters, *settings, bias=True, **more):
    """`weight` is its shape, `filters` how many results have a bias, and the law's bound is theirs:
    1 / sqrt(fan-in)."""
    fan_in = 1
    for size in weight[1:]:
        fan_in *= size
    law = uniform(-(fan_in**-0.5), fan_in**-0.5)
    names = {"weight": weight, **({"bias": (filters,)} if bias else {})}
    return Layer(
        name,
        make,
        [spread(RNG, shape)],
        lambda state, x: reference(x, state["weight"], state.get("bias"), *settings),
        shown,
        state=names,
        laws=dict.fromkeys(names, law),
        # A sum of at most 60 products of numbers about as large as the result.
        ulps=64,
        **more,
    )


ROWS = [
    row(
        "Conv2d",
        lambda: nn.Conv2d(2, 3, 3, padding=1),
        (2, 2, 4, 5),
        conv2d,
        "Conv2d(2, 3, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))",
        (3, 2, 3, 3),
        3,
        1,
        1,
        more=[[spread(RNG, (2, 3, 3))], [spread(RNG, (0, 2, 3, 3))]],
        wrong=[
            wrong(
                lambda: nn.Conv2d(2, 3, 3)(lamina.ones(1, 4, 5, 5)),
                r"conv2d: input has 4 channels but weight expects 2",
            ),
            wrong(lambda: nn.Conv2d(4, 6, 3, groups=3), r"Conv2d: groups = 3 must divide in_chann"),
            wrong(lambda: nn.Conv2d(3, 4, 3, groups=3), r"Conv2d: groups = 3 must divide out_chan"),
            wrong(lambda: nn.Conv2d(3, 4, 3, groups=0), r"Conv2d: groups must be at least 1"),
            wrong(
                lambda: nn.Conv2d(3, 4, (3, 3, 3)), r"Conv2d: kernel_size must be one number or 2"
            ),
            wrong(
                lambda: nn.Conv2d(3, 4, 3, stride=2, padding="same"),
                r"Conv2d: padding 'same' needs a stride of 1",
            ),
            wrong(
                lambda: nn.Conv2d(3, 4, 3, padding="full"),
                r"Conv2d: padding must be numbers, 'valid' or 'same', got 'full'",
            ),
            wrong(
                lambda: nn.Conv2d(3, 4, 3, padding_mode="mirror"),
                r"Conv2d: padding_mode must be 'zeros', 'reflect', 'replicate', 'circular', got",
            ),
        ],
    ),
    row(
        "Conv2d:settings",
        lambda: nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 2), (1, 2), 2, False),
        (2, 4, 5, 4),
        conv2d,
        "Conv2d(4, 6, kernel_size=(3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), "
        "groups=2, bias=False)",
        (6, 2, 3, 2),
        6,
        (2, 1),
        (1, 2),
        (1, 2),
        2,
        bias=False,
    ),
    row(
        "Conv2d:same",
        lambda: nn.Conv2d(2, 2, (2, 3), padding="same", dilation=2),
        (1, 2, 4, 4),
        conv2d,
        "Conv2d(2, 2, kernel_size=(2, 3), stride=(1, 1), padding=same, dilation=(2, 2))",
        (2, 2, 2, 3),
        2,
        1,
        "same",
        2,
    ),
    row(
        "Conv1d",
        lambda: nn.Conv1d(2, 3, 3, stride=2, padding=1),
        (2, 2, 7),
        conv1d,
        "Conv1d(2, 3, kernel_size=(3,), stride=(2,), padding=(1,))",
        (3, 2, 3),
        3,
        2,
        1,
        more=[[spread(RNG, (2, 5))], [spread(RNG, (0, 2, 5))]],
        wrong=[
            wrong(
                lambda: nn.Conv1d(2, 3, 3)(lamina.ones(1, 4, 5)),
                r"conv1d: input has 4 channels but weight expects 2",
            ),
        ],
    ),
    row(
        "ConvTranspose2d",
        lambda: nn.ConvTranspose2d(4, 6, 3, (2, 1), 1, (1, 0), 2),
        (2, 4, 3, 3),
        conv_transpose2d,
        "ConvTranspose2d(4, 6, kernel_size=(3, 3), stride=(2, 1), padding=(1, 1), "
        "output_padding=(1, 0), groups=2)",
        (4, 3, 3, 3),
        6,
        (2, 1),
        1,
        (1, 0),
        2,
        more=[[spread(RNG, (4, 3, 3))], [spread(RNG, (0, 4, 3, 3))]],
        wrong=[
            wrong(
                lambda: nn.ConvTranspose2d(2, 3, 3)(lamina.ones(1, 4, 5, 5)),
                r"conv_transpose2d: input has 4 channels but weight expects 2",
            ),
            wrong(
                lambda: nn.ConvTranspose2d(2, 3, 3, padding_mode="reflect"),
                r"ConvTranspose2d: padding_mode must be 'zeros', got 'reflect'",
            ),
            wrong(
                lambda: nn.ConvTranspose2d(2, 3, 3, padding="same"),
                r"ConvTranspose2d: padding must be numbers, got 'same'",
                TypeError,
            ),
            wrong(
                lambda: nn.ConvTranspose2d(2, 3, 3, 2)(lamina.ones(1, 2, 5, 5), [10, 13]),
                r"ConvTranspose2d: output_size \[10, 13\] is not reached: dimension -2 may be from "
                r"11 to 12",
            ),
            wrong(
                lambda: nn.ConvTranspose2d(2, 3, 3, 2)(lamina.ones(1, 2, 5, 5), [10]),
                r"ConvTranspose2d: output_size must have 2 or 4 numbers, got \[10\]",
            ),
        ],
    ),
    row(
        "ConvTranspose1d",
        lambda: nn.ConvTranspose1d(2, 3, 3, 2, dilation=2, bias=False),
        (2, 2, 4),
        conv_transpose1d,
        "ConvTranspose1d(2, 3, kernel_size=(3,), stride=(2,), dilation=(2,), bias=False)",
        (2, 3, 3),
        3,
        2,
        0,
        0,
        1,
        2,
        bias=False,
    ),
    row(
        "ConvTranspose2d:output size",
        lambda: nn.ConvTranspose2d(2, 3, 3, 2, 1),
        (1, 2, 3, 3),
        lambda x, weight, bias: conv_transpose2d(x, weight, bias, 2, 1, (1, 0)),
        "ConvTranspose2d(2, 3, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1))",
        (2, 3, 3, 3),
        3,
    ),
]
# The size that a call asks for.
ROWS[-1].inputs.append((6, 5))
ROWS[-1].reference = lambda state, x, size: conv_transpose2d(
    x, state["weight"], state["bias"], 2, 1, (1, 0)
)
