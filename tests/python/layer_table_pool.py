"""Rows of the layer table: pooling, padding, other sizes, windows as columns, dropout."""

from __future__ import annotations

import lamina
import lamina.nn.functional as F
import numpy as np
import op_table_dropout as drops
import op_table_pad as pads
import op_table_pool as pools
from lamina import nn
from layer_table_row import Layer, Wrong
from op_table_row import spread, stream

RNG = stream("pooling layers")
LINES = spread(RNG, (2, 2, 7))
PLANES = spread(RNG, (2, 2, 5, 6))
CHANNELS = spread(RNG, (1, 4, 2, 3))
T1, T2 = lamina.ones(1, 2, 7), lamina.ones(1, 2, 5, 6)


def layer(name, make, x, reference, shown, *more, **rest):
    """A layer without state; `reference` is a function of the inputs."""
    inputs = x if isinstance(x, list) else [x]
    return Layer(
        name, make, inputs, lambda state, *args: reference(*args), shown, more=list(more), **rest
    )


def refused(call, match, error=ValueError):
    return [Wrong(call, error, match)]


MAX = [
    layer(
        "MaxPool1d",
        lambda: nn.MaxPool1d(3, 2, 1),
        LINES,
        lambda x: pools.max_pool(1)(x, 3, 2, 1),
        "MaxPool1d(kernel_size=3, stride=2, padding=1, dilation=1, ceil_mode=False)",
        [LINES[0]],
        [LINES[:0]],
        wrong=refused(lambda: nn.MaxPool1d(8)(T1), r"max_pool1d: a kernel of 8 elements.*into 7"),
    ),
    layer(
        "MaxPool1d:dilated",
        lambda: nn.MaxPool1d(2, dilation=3, ceil_mode=True, return_indices=True),
        LINES,
        lambda x: pools.max_pool(1)(x, 2, None, 0, 3, True, True),
        "MaxPool1d(kernel_size=2, stride=2, padding=0, dilation=3, ceil_mode=True)",
    ),
    layer(
        "MaxPool2d",
        lambda: nn.MaxPool2d(2),
        PLANES,
        lambda x: pools.max_pool(2)(x, 2),
        "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)",
        [PLANES[0]],
        [PLANES[:0]],
        wrong=refused(
            lambda: nn.MaxPool2d(2, padding=2)(T2), r"max_pool2d: padding must be at most half"
        ),
    ),
    layer(
        "MaxPool2d:all",
        lambda: nn.MaxPool2d((3, 2), (2, 1), (1, 0), (1, 2), True, True),
        PLANES,
        lambda x: pools.max_pool(2)(x, (3, 2), (2, 1), (1, 0), (1, 2), True, True),
        "MaxPool2d(kernel_size=(3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), "
        "ceil_mode=True)",
    ),
    layer(
        "AdaptiveMaxPool1d",
        lambda: nn.AdaptiveMaxPool1d(3),
        LINES,
        lambda x: pools.adaptive_max(1)(x, 3),
        "AdaptiveMaxPool1d(output_size=3)",
        [LINES[0]],
        wrong=refused(lambda: nn.AdaptiveMaxPool1d(-1)(T1), r"adaptive_max_pool1d: output_size m"),
    ),
    layer(
        "AdaptiveMaxPool2d",
        lambda: nn.AdaptiveMaxPool2d((3, None), return_indices=True),
        PLANES,
        lambda x: pools.adaptive_max(2)(x, (3, None), True),
        "AdaptiveMaxPool2d(output_size=(3, None))",
        [PLANES[0]],
        wrong=refused(
            lambda: nn.AdaptiveMaxPool2d(2)(T1[0]), r"adaptive_max_pool2d: the input must be"
        ),
    ),
    layer(
        "MaxUnpool2d",
        lambda: nn.MaxUnpool2d(2, padding=0),
        [spread(RNG, (1, 1, 2, 2)), pools.PLACES],
        lambda x, places: pools.max_unpool2d(x, places, 2),
        "MaxUnpool2d(kernel_size=(2, 2), stride=(2, 2), padding=(0, 0))",
        [spread(RNG, (1, 2, 2)), pools.PLACES[0]],
        layouts=False,
        why="layouts: the indices are not to be repeated",
        wrong=refused(
            lambda: nn.MaxUnpool2d(2)(T2, T2.long()[0]), r"max_unpool2d: input and indices must"
        ),
    ),
]

AVERAGES = [
    layer(
        "AvgPool1d",
        lambda: nn.AvgPool1d(3, 2, 1),
        LINES,
        lambda x: pools.avg_pool(1)(x, 3, 2, 1),
        "AvgPool1d(kernel_size=(3,), stride=(2,), padding=(1,))",
        [LINES[0]],
        wrong=refused(lambda: nn.AvgPool1d(8)(T1), r"avg_pool1d: a kernel of 8 elements.*into 7"),
    ),
    layer(
        "AvgPool1d:padding left out",
        lambda: nn.AvgPool1d(3, 2, 1, True, False),
        LINES,
        lambda x: pools.avg_pool(1)(x, 3, 2, 1, True, False),
        "AvgPool1d(kernel_size=(3,), stride=(2,), padding=(1,))",
    ),
    layer(
        "AvgPool2d",
        lambda: nn.AvgPool2d(2),
        PLANES,
        lambda x: pools.avg_pool(2)(x, 2),
        "AvgPool2d(kernel_size=2, stride=2, padding=0)",
        [PLANES[0]],
        [PLANES[:0]],
        wrong=refused(lambda: nn.AvgPool2d(2)(T1[0]), r"avg_pool2d: the input must be \[C, H, W\]"),
    ),
    layer(
        "AvgPool2d:all",
        lambda: nn.AvgPool2d((3, 2), (2, 1), (1, 0), True, False, 5),
        PLANES,
        lambda x: pools.avg_pool(2)(x, (3, 2), (2, 1), (1, 0), True, False, 5),
        "AvgPool2d(kernel_size=(3, 2), stride=(2, 1), padding=(1, 0))",
    ),
    layer(
        "AdaptiveAvgPool1d",
        lambda: nn.AdaptiveAvgPool1d(3),
        LINES,
        lambda x: pools.adaptive_avg(1)(x, 3),
        "AdaptiveAvgPool1d(output_size=3)",
        [LINES[0]],
        wrong=refused(lambda: nn.AdaptiveAvgPool1d(-1)(T1), r"adaptive_avg_pool1d: output_size m"),
    ),
    layer(
        "AdaptiveAvgPool2d",
        lambda: nn.AdaptiveAvgPool2d((3, None)),
        PLANES,
        lambda x: pools.adaptive_avg(2)(x, (3, None)),
        "AdaptiveAvgPool2d(output_size=(3, None))",
        [PLANES[0]],
        wrong=refused(
            lambda: nn.AdaptiveAvgPool2d(2)(T2.long()),
            r"adaptive_avg_pool2d: input must",
            TypeError,
        ),
    ),
    layer(
        "AdaptiveAvgPool2d:one",
        lambda: nn.AdaptiveAvgPool2d(1),
        PLANES,
        lambda x: x.mean((-1, -2), keepdims=True),
        "AdaptiveAvgPool2d(output_size=1)",
        [PLANES[0]],
        [PLANES[:0]],
    ),
]


def padding(name, value, shown, x, ends, mode, constant=0.0):
    cls = getattr(nn, name)
    make = (lambda: cls(value, constant)) if name.startswith("Constant") else (lambda: cls(value))
    return layer(
        name,
        make,
        x,
        lambda x: pads.pad(x, ends, mode, constant),
        shown,
        [x[0]],
        wrong=[
            Wrong(
                lambda: cls((1, 2, 3), *[0.0] * name.startswith("Constant")),
                ValueError,
                rf"{name}: padding must be an int or {len(ends)} of them, got \(1, 2, 3\)",
            )
        ],
    )


ONE, TWO = (2, 1), (1, 2, 0, 1)
PADDING = [
    padding("ConstantPad1d", ONE, "ConstantPad1d(padding=(2, 1), value=1.5)", LINES, ONE,
            "constant", 1.5),
    padding("ConstantPad2d", 2, "ConstantPad2d(padding=(2, 2, 2, 2), value=-1)", PLANES, (2,) * 4,
            "constant", -1),
    padding("ZeroPad2d", (1, -2, 0, 1), "ZeroPad2d((1, -2, 0, 1))", PLANES, (1, -2, 0, 1),
            "constant"),
    padding("ReflectionPad1d", 2, "ReflectionPad1d((2, 2))", LINES, (2, 2), "reflect"),
    padding("ReflectionPad2d", TWO, "ReflectionPad2d((1, 2, 0, 1))", PLANES, TWO, "reflect"),
    padding("ReplicationPad1d", ONE, "ReplicationPad1d((2, 1))", LINES, ONE, "replicate"),
    padding("ReplicationPad2d", TWO, "ReplicationPad2d((1, 2, 0, 1))", PLANES, TWO, "replicate"),
]  # fmt: skip

SIZES = [
    layer(
        "Upsample",
        lambda: nn.Upsample(scale_factor=2),
        LINES,
        lambda x: np.repeat(x, 2, -1),
        "Upsample(scale_factor=2.0, mode='nearest')",
        [LINES[:0]],
        wrong=refused(lambda: nn.Upsample()(T1), r"interpolate: give either size or scale_factor"),
    ),
    layer(
        "Upsample:bilinear",
        lambda: nn.Upsample((7, 4), mode="bilinear", align_corners=True),
        PLANES,
        lambda x: pads.interpolate(x, (7, 4), None, "bilinear", True),
        "Upsample(size=(7, 4), mode='bilinear')",
        ulps=64,  # a place among 6 elements is off by 3 * 6 epsilons
    ),
    layer(
        "Upsample:linear",
        lambda: nn.Upsample(scale_factor=(1.6,), mode="linear"),
        LINES,
        lambda x: pads.interpolate(x, None, 1.6, "linear"),
        "Upsample(scale_factor=(1.6,), mode='linear')",
        ulps=96,  # of 7
    ),
    layer(
        "PixelShuffle",
        lambda: nn.PixelShuffle(2),
        CHANNELS,
        lambda x: pads.pixel_shuffle(x, 2),
        "PixelShuffle(upscale_factor=2)",
        [CHANNELS[0]],
        wrong=refused(lambda: nn.PixelShuffle(2)(T2), r"pixel_shuffle: 2 channels are no multiple"),
    ),
    layer(
        "PixelUnshuffle",
        lambda: nn.PixelUnshuffle(3),
        spread(RNG, (1, 2, 3, 6)),
        lambda x: pads.pixel_unshuffle(x, 3),
        "PixelUnshuffle(downscale_factor=3)",
        wrong=refused(lambda: nn.PixelUnshuffle(2)(T2), r"pixel_unshuffle: 5 x 6 is no multiple"),
    ),
    layer(
        "Unfold",
        lambda: nn.Unfold((2, 3), dilation=(2, 1), padding=1, stride=2),
        PLANES,
        lambda x: pads.im2col(x, (2, 3), (2, 1), 1, 2),
        "Unfold(kernel_size=(2, 3), dilation=(2, 1), padding=1, stride=2)",
        [PLANES[0]],
        wrong=refused(lambda: nn.Unfold(6)(T2), r"unfold: a kernel of 6 elements, .* into 5"),
    ),
    layer(
        "Fold",
        lambda: nn.Fold((3, 4), 2, padding=1, stride=2),
        spread(RNG, (2, 8, 6)),
        lambda y: pads.col2im(y, (3, 4), 2, 1, 1, 2),
        "Fold(output_size=(3, 4), kernel_size=2, dilation=1, padding=1, stride=2)",
        [spread(RNG, (4, 6))],
        wrong=refused(lambda: nn.Fold(3, 2)(T1), r"fold: 2 rows are no multiple of the 4 elements"),
    ),
]


# -- dropout ---------------------------------------------------------------------------------------


def drawn(reference):
    """What the layer's next call gives, if `reference` is told which elements that one keeps."""

    def next_call(x):
        state = lamina.get_rng_state()
        y = reference(x)
        lamina.set_rng_state(state)
        return y

    return next_call


def kept(function, sizes, *args):
    return (function(lamina.ones(sizes, dtype=lamina.float64), *args) != 0).numpy()


def channels(rank):
    """Each channel as a whole, [.., C, ...] with `rank` dimensions behind C."""

    def reference(x):
        mask = kept(F.dropout, x.shape[: x.ndim - rank], 0.4)
        return np.where(mask.reshape(mask.shape + (1,) * rank), x / 0.6, 0.0)

    return drawn(reference)


def alpha(x):
    scale, shift = drops.alpha_scale(0.4)
    ones = F.alpha_dropout(lamina.ones(x.shape, dtype=lamina.float64), 0.4, True).numpy()
    mask = np.abs(ones - (scale + shift)) < 1e-9
    assert 0 < mask.mean() < 1
    return np.where(mask, scale * x + shift, scale * drops.ALPHA + shift)


def dropout(name, x, reference, *more, **rest):
    cls = getattr(nn, name)
    return [
        layer(
            name,
            lambda: cls(0.4),
            x,
            reference,
            f"{name}(p=0.4, inplace=False)",
            *more,
            layouts=False,
            why="layouts: every call drops other elements",
            wrong=[Wrong(lambda: cls(1.5), ValueError, rf"{name}: p must be in \[0, 1\], got 1.5")],
            **rest,
        ),
        layer(
            f"{name}:evaluated",
            lambda: cls(),
            x,
            lambda x: x,
            f"{name}(p=0.5, inplace=False)",
            training=False,
        ),
        layer(
            f"{name}:all dropped",
            lambda: cls(1.0, inplace=True),
            x,
            lambda x: 0 * x,
            f"{name}(p=1.0, inplace=True)",
            differentiable=False,
            why="gradient: in place, a leaf must not require one; layouts: some show memory twice",
            layouts=False,
        ),
    ]


DROPOUT = [
    *dropout(
        "Dropout",
        LINES,
        drawn(lambda x: np.where(kept(F.dropout, x.shape, 0.4), x / 0.6, 0.0)),
        [LINES[0, 0]],
    ),
    *dropout("Dropout1d", LINES, channels(1), [LINES[0]]),
    *dropout("Dropout2d", PLANES, channels(2)),
    *dropout("AlphaDropout", LINES, drawn(alpha)),
]

ROWS = [*MAX, *AVERAGES, *PADDING, *SIZES, *DROPOUT]
