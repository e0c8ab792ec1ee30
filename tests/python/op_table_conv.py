"""Rows of convolutions. The references say their definitions pixel by pixel."""

from __future__ import annotations

import lamina
import lamina.nn.functional as F
import numpy as np
from lamina import _core
from op_table_nn import ACTIVATIONS, after_activation, unknown_activation
from op_table_row import Row, Sample, Wrong, spread, stream, with_nan

RNG = stream("convolutions")


def pair(value):
    """Of settings that stand for height and width, or length alone."""
    value = (value,) if isinstance(value, int) else tuple(value)
    return value if len(value) == 2 else value * 2


def pads(padding, kernel, dilation):
    """Before and behind, for height and width."""
    if padding == "valid":
        return [(0, 0), (0, 0)]
    if padding == "same":
        reach = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return [(r // 2, r - r // 2) for r in reach]
    return [(p, p) for p in pair(padding)]


def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    if x.ndim == 3:
        return conv2d(x[None], weight, bias, stride, padding, dilation, groups)[0]
    (sh, sw), (dh, dw), kernel = pair(stride), pair(dilation), weight.shape[2:]
    padded = np.pad(x, [(0, 0), (0, 0), *pads(padding, kernel, (dh, dw))])
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, (dh, dw), strict=True)]
    height, width = (padded.shape[2] - reach[0]) // sh + 1, (padded.shape[3] - reach[1]) // sw + 1
    filters, seen = weight.shape[:2]
    y = np.zeros((len(x), filters, height, width))
    for k in range(filters):
        first = k // (filters // groups) * seen
        for i in range(height):
            for j in range(width):
                rows, columns = (
                    slice(i * sh, i * sh + reach[0], dh),
                    slice(j * sw, j * sw + reach[1], dw),
                )
                patch = padded[:, first : first + seen, rows, columns]
                y[:, k, i, j] = (patch * weight[k]).sum((1, 2, 3))
    return y if bias is None else y + bias[:, None, None]


def conv_transpose2d(
    x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    if x.ndim == 3:
        more = (bias, stride, padding, output_padding, groups, dilation)
        return conv_transpose2d(x[None], weight, *more)[0]
    (sh, sw), (dh, dw), (ph, pw) = pair(stride), pair(dilation), pair(padding)
    more = pair(output_padding)
    reach = [d * (k - 1) + 1 for k, d in zip(weight.shape[2:], (dh, dw), strict=True)]
    height, width = (x.shape[2] - 1) * sh + reach[0], (x.shape[3] - 1) * sw + reach[1]
    channels, made = weight.shape[0], weight.shape[1]
    y = np.zeros((len(x), made * groups, height + more[0], width + more[1]))
    for c in range(channels):
        first = c // (channels // groups) * made
        for i in range(x.shape[2]):
            for j in range(x.shape[3]):
                rows, columns = (
                    slice(i * sh, i * sh + reach[0], dh),
                    slice(j * sw, j * sw + reach[1], dw),
                )
                y[:, first : first + made, rows, columns] += (
                    x[:, c, i, j][:, None, None, None] * weight[c]
                )
    y = y[:, :, ph : y.shape[2] - ph, pw : y.shape[3] - pw]
    return y if bias is None else y + bias[:, None, None]


def flat(reference):
    """The reference for one dimension: images of one row."""

    def row(x, weight, bias=None, stride=1, padding=0, *rest, **named):
        def one(value, other):
            return (
                value
                if isinstance(value, str)
                else (other, *([value] if isinstance(value, int) else value))
            )

        if reference is conv2d:
            names = dict(zip(("dilation", "groups"), rest, strict=False)) | named
        else:
            names = dict(zip(("output_padding", "groups", "dilation"), rest, strict=False)) | named
            names["output_padding"] = one(names.get("output_padding", 0), 0)
        names["dilation"] = one(names.get("dilation", 1), 1)
        y = reference(
            x[..., None, :], weight[:, :, None, :], bias, one(stride, 1), one(padding, 0), **names
        )
        return y[..., 0, :]

    return row


conv1d, conv_transpose1d = flat(conv2d), flat(conv_transpose2d)


def error(reference, transposed=False):
    """K products and as many additions, the padding's zeros among them: (K + 2) sum |x| |w|."""

    def bound(y, x, weight, bias=None, *rest, **named):
        terms = weight.size // max(weight.shape[1 if transposed else 0], 1)
        size = None if bias is None else np.abs(bias)
        return (terms + 2) * reference(np.abs(x), np.abs(weight), size, *rest, **named)

    return bound


def images(*shape):
    return spread(RNG, shape)


def wrong(function, match, *args, kind=ValueError, **named):
    return Wrong(lambda: function(*args, **named), kind, match)


X, ONE = lamina.ones(2, 4, 6, 5), lamina.ones(2, 4, 6)
W, V = lamina.ones(8, 4, 3, 3), lamina.ones(8, 4, 3)

CONV2D = Row(
    "conv2d",
    [
        Sample(images(1, 2, 3, 3), images(2, 2, 2, 2), images(2)),
        Sample(images(1, 1, 4, 4), images(2, 1, 3, 3), images(2), 1, 1),
        Sample(images(1, 1, 4, 4), images(1, 1, 2, 2), None, 2, 1),
        Sample(images(1, 2, 3, 3), images(2, 1, 3, 3), None, 1, 1, 1, 2),
        Sample(images(1, 4, 4), images(1, 1, 2, 3), None, (2, 1), (0, 2), (1, 2)),
        Sample(images(2, 2, 2, 2), images(3, 2, 1, 1), images(3)),
        Sample(images(2, 2, 5, 4), images(4, 2, 2, 3), images(4), padding="same", dilation=2),
        Sample(images(2, 2, 5, 4), images(4, 2, 2, 3), images(4), padding="valid"),
        Sample(images(2, 4, 5, 7), images(6, 2, 3, 2), images(6), (2, 3), (2, 1), 2, 2),
        Sample(images(1, 1, 2, 2), images(1, 1, 3, 3), images(1), 3, 4, 2),
    ],
    conv2d,
    wide=[
        Sample(
            RNG.standard_normal((3, 5, 9, 17)),
            RNG.standard_normal((37, 5, 3, 3)),
            np.ones(37),
            1,
            1,
        ),
        Sample(RNG.standard_normal((2, 18, 7, 9)), RNG.standard_normal((20, 18, 3, 3)), None, 2, 1),
        Sample(
            RNG.standard_normal((2, 19, 7, 9)),
            RNG.standard_normal((19, 1, 3, 3)),
            None,
            2,
            1,
            1,
            19,
        ),
        Sample(RNG.standard_normal((17, 3, 4, 3)), RNG.standard_normal((5, 3, 3, 3)), None, 1, 1),
    ],
    edges=[
        Sample(images(0, 2, 3, 3), images(2, 2, 2, 2), images(2)),
        Sample(images(1, 2, 3, 3), images(0, 2, 2, 2), images(0)),
        Sample(images(2, 0, 3, 3), images(2, 0, 2, 2), images(2)),
    ],
    specials=lambda dtype: [Sample(with_nan(images(1, 2, 4, 4)), images(2, 2, 2, 2), images(2))],
    error=error(conv2d),
    dtypes="floating",
    wrong=[
        wrong(
            F.conv2d,
            r"^conv2d: input has 4 channels but weight expects 8\n  input  \[2, 4, 6, 5\]\n"
            r"  weight \[8, 4, 3, 3\]\n  groups 2$",
            X,
            W,
            groups=2,
        ),
        wrong(F.conv2d, r"^conv2d: groups = 3 must divide the first dimension", X, W, groups=3),
        wrong(F.conv2d, r"^conv2d: groups must be at least 1, got 0", X, W, groups=0),
        wrong(F.conv2d, r"^conv2d: the weight must have 4 dimensions\n.*\[8, 4, 3\]", X, V),
        wrong(F.conv2d, r"^conv2d: the input must be \[N, C, H, W\] or \[C, H, W\]", X[0, 0], W),
        wrong(
            F.conv2d,
            r"^conv2d: the kernel reaches over 9 positions, but the padded input has 6",
            X,
            W,
            dilation=4,
        ),
        wrong(
            F.conv2d, r"^conv2d: weight gives 8 channels but bias has sizes \[3\]", X, W, W[0, 0, 0]
        ),
        wrong(F.conv2d, r"^conv2d: stride must be at least 1 .*, got \[0\]", X, W, stride=0),
        wrong(
            F.conv2d,
            r"^conv2d: padding must be at least 0 .*, got \[1, -1\]",
            X,
            W,
            padding=(1, -1),
        ),
        wrong(
            F.conv2d,
            r"^conv2d: stride must be one number or two, got \[1, 1, 1\]",
            X,
            W,
            stride=(1, 1, 1),
        ),
        wrong(
            F.conv2d,
            r"^conv2d: padding must be numbers, 'valid' or 'same', got 'full'",
            X,
            W,
            padding="full",
        ),
        wrong(
            F.conv2d,
            r"^conv2d: padding 'same' needs a stride of 1, got \[2\]",
            X,
            W,
            None,
            2,
            "same",
        ),
        wrong(F.conv2d, r"^conv2d: the kernel must not be empty", X, W[:, :, :0]),
        wrong(
            F.conv2d,
            r"^conv2d: .* one dtype, got float32 and float64",
            X,
            W.double(),
            kind=TypeError,
        ),
        wrong(
            F.conv2d,
            r"^conv2d: takes .*\n.*\n  got   \(lamina.Tensor, lamina.Tensor, float\)",
            X,
            W,
            1.5,
            kind=TypeError,
        ),
    ],
)

CONV1D = Row(
    "conv1d",
    [
        Sample(images(1, 2, 5), images(3, 2, 2), images(3)),
        Sample(images(2, 6), images(2, 1, 3), None, 2, 1, 1, 2),
        Sample(images(2, 2, 4), images(2, 2, 2), images(2), padding="same", dilation=2),
        Sample(images(2, 4, 7), images(4, 2, 3), images(4), (2,), (3,), (2,), 2),
    ],
    conv1d,
    wide=[
        Sample(RNG.standard_normal((2, 3, 1100)), RNG.standard_normal((4, 3, 5)), np.ones(4), 2, 2)
    ],
    edges=[Sample(images(0, 2, 5), images(3, 2, 2), images(3))],
    specials=lambda dtype: [Sample(with_nan(images(1, 2, 5)), images(3, 2, 2), images(3))],
    error=error(conv1d),
    dtypes="floating",
    wrong=[
        wrong(F.conv1d, r"^conv1d: input has 4 channels but weight expects 8", ONE, V, groups=2),
        wrong(F.conv1d, r"^conv1d: stride must be one number, got \[1, 2\]", ONE, V, stride=(1, 2)),
        wrong(F.conv1d, r"^conv1d: the input must be \[N, C, L\] or \[C, L\]", X, V),
        wrong(F.conv1d, r"^conv1d: the kernel reaches over 7 positions", ONE, V, dilation=3),
    ],
)

CONV_TRANSPOSE2D = Row(
    "conv_transpose2d",
    [
        Sample(images(1, 2, 2, 2), images(2, 2, 2, 2), images(2)),
        Sample(images(1, 2, 3, 3), images(2, 1, 3, 3), images(1), 2, 1, 1),
        Sample(images(1, 2, 2, 2), images(2, 1, 2, 3), images(2), (2, 3), (1, 0), (0, 2), 2),
        Sample(images(2, 2, 2), images(2, 1, 2, 2), None, 1, 1, 1, 1, 2),
        Sample(images(2, 4, 3, 4), images(4, 3, 3, 2), images(6), (3, 2), 2, (2, 0), 2, (2, 1)),
    ],
    conv_transpose2d,
    wide=[
        Sample(
            RNG.standard_normal((3, 18, 5, 9)),
            RNG.standard_normal((18, 33, 3, 3)),
            np.ones(33),
            2,
            1,
            1,
        ),
    ],
    edges=[Sample(images(0, 2, 3, 3), images(2, 2, 2, 2), images(2))],
    specials=lambda dtype: [Sample(with_nan(images(1, 2, 2, 2)), images(2, 2, 2, 2), images(2))],
    error=error(conv_transpose2d, transposed=True),
    dtypes="floating",
    wrong=[
        wrong(
            F.conv_transpose2d,
            r"^conv_transpose2d: input has 4 channels but weight expects 8\n  input  \[2, 4, ",
            X,
            W,
        ),
        wrong(
            F.conv_transpose2d,
            r"^conv_transpose2d: output_padding must be smaller than stride or dilation, got \[2\]",
            X,
            W[:4],
            None,
            2,
            output_padding=2,
        ),
        wrong(
            F.conv_transpose2d,
            r"^conv_transpose2d: padding leaves nothing of the result: its size would be -2",
            X,
            W[:4],
            padding=5,
        ),
        wrong(
            F.conv_transpose2d,
            r"^conv_transpose2d: weight gives 4 channels but bias",
            X,
            W[:4],
            W[0, 0, 0],
        ),
        wrong(
            F.conv_transpose2d,
            r"^conv_transpose2d: the input must not be empty",
            X[:, :, :0],
            W[:4],
        ),
        wrong(F.conv_transpose2d, r"^conv_transpose2d: groups = 3 must divide", X, W[:4], groups=3),
    ],
)

CONV_TRANSPOSE1D = Row(
    "conv_transpose1d",
    [
        Sample(images(1, 2, 3), images(2, 2, 2), images(2)),
        Sample(images(2, 2, 4), images(2, 1, 3), images(2), 2, 1, 1, 2),
        Sample(images(2, 3), images(2, 1, 3), None, 1, 0, 0, 1, 2),
    ],
    conv_transpose1d,
    edges=[Sample(images(0, 2, 3), images(2, 2, 2), images(2))],
    error=error(conv_transpose1d, transposed=True),
    dtypes="floating",
    wrong=[
        wrong(F.conv_transpose1d, r"^conv_transpose1d: input has 4 channels but", ONE, V),
        wrong(
            F.conv_transpose1d,
            r"^conv_transpose1d: padding must be one number, got \[1, 2\]",
            ONE,
            V[:4],
            padding=(1, 2),
        ),
    ],
)


def conv_act(x, weight, bias, *settings):
    return (conv2d if weight.ndim == 4 else conv1d)(x, weight, bias, *settings[:-1])


CONV_ACT = Row(
    "conv_act",
    [
        *[
            Sample(images(1, 2, 3, 3), images(2, 2, 2, 2), images(2), 1, 1, 1, 1, name)
            for name in ACTIVATIONS
        ],
        Sample(images(1, 2, 5), images(3, 2, 2), None, 2, 1, 1, 1, "gelu"),
        Sample(images(1, 2, 3, 3), images(2, 1, 2, 2), images(2), 1, "same", 1, 2, "relu"),
    ],
    lambda *args: ACTIVATIONS[args[-1]](conv_act(*args)),
    wide=[
        Sample(
            RNG.standard_normal((3, 5, 9, 17)),
            RNG.standard_normal((37, 5, 3, 3)),
            np.ones(37),
            1,
            1,
            1,
            1,
            name,
        )
        for name in ACTIVATIONS
    ],
    edges=[Sample(images(0, 2, 3, 3), images(2, 2, 2, 2), images(2), 1, 0, 1, 1, "gelu")],
    error=lambda y, *args: after_activation(
        error(conv2d if args[1].ndim == 4 else conv1d)(y, *args[:-1]), conv_act(*args)
    ),
    dtypes="floating",
    wrong=[
        unknown_activation("conv_act", lambda act: _core.conv_act(X, W, None, 1, 0, 1, 1, act)),
        wrong(
            _core.conv_act,
            r"^conv2d: input has 4 channels but weight expects 8",
            X,
            W,
            None,
            1,
            0,
            1,
            2,
            "relu",
        ),
    ],
)

ROWS = [CONV1D, CONV2D, CONV_TRANSPOSE1D, CONV_TRANSPOSE2D, CONV_ACT]
