"""Rows of the op table: the norms that look at one sample at a time."""

from __future__ import annotations

import lamina
import lamina.nn.functional as F
import numpy as np
from op_table_row import Row, Sample, Wrong, spread, stream, with_nonfinite

RNG = stream("norms")
X = spread(RNG, (2, 2, 4))
SCALE, SHIFT = spread(RNG, 4, (0.3, 2.0)), spread(RNG, 4)
SCALES, SHIFTS = spread(RNG, (2, 4), (0.3, 2.0)), spread(RNG, (2, 4))
FAR = 1e4 + 0.25 * np.arange(-65, 65.0).reshape(2, 65)[:, RNG.permutation(65)]
LONG = RNG.standard_normal((3, 4099))
T, ONES = lamina.ones(2, 4, 3), lamina.ones(3)


def normalized(x, axes, eps, centred=True):
    """What each element becomes, and what it was divided by."""
    x = x - x.mean(axes, keepdims=True) if centred and x.size else x
    scale = np.sqrt((x * x).sum(axes, keepdims=True) / max(axis_size(x, axes), 1) + eps)
    return x / scale, scale


def axis_size(x, axes):
    return int(np.prod([x.shape[a] for a in axes]))


def affine(normal, weight, bias):
    y = normal if weight is None else normal * weight
    return y if bias is None else y + bias


def norm_error(y, x, axes, eps, weight, bias, centred=True):
    """A sum of K terms is off by K roundings of their size, and 8 come from the rest.

    Deviations are taken from a rounded mean: one rounding of the input is in each.
    """
    normal, scale = normalized(x, axes, eps, centred)
    size = np.nanmax(np.abs(np.where(np.isfinite(x), x, 0.0)), initial=0.0)
    gain = 1.0 if weight is None else np.abs(weight)
    shift = 0.0 if bias is None else np.abs(bias)
    term = np.abs(normal) + 1 + (size * np.finfo(np.float32).eps / scale if centred else 0)
    return np.broadcast_to((axis_size(x, axes) + 8) * (gain * term + shift), np.shape(y))


def last(x, shape):
    return tuple(range(x.ndim - len(shape), x.ndim))


def layer_norm(x, shape, weight=None, bias=None, eps=1e-5):
    return affine(normalized(x, last(x, shape), eps)[0], weight, bias)


def layer_norm_error(y, x, shape, weight=None, bias=None, eps=1e-5):
    return norm_error(y, x, last(x, shape), eps, weight, bias)


LAYER_SAMPLES = [
    Sample(X, (4,)),
    Sample(X, (2, 4), SCALES, SHIFTS),
    Sample(X, (4,), SCALE, SHIFT, 1e-3),
    Sample(X, (4,), SCALE),
    Sample(X, (4,), None, SHIFT),
    Sample(X, (2, 2, 4)),
]
LAYER_NORM = Row(
    "layer_norm",
    LAYER_SAMPLES,
    layer_norm,
    wide=[Sample(LONG, (4099,)), Sample(FAR, (65,))],
    edges=[
        Sample(X[:0], (4,), SCALE, SHIFT),
        Sample(X[..., :0], (0,), SCALE[:0], SHIFT[:0]),
        Sample(X[0, 0], (4,), SCALE, SHIFT),
        Sample(X[..., :1], (1,), SCALE[:1], SHIFT[:1]),
    ],
    specials=lambda dtype: with_nonfinite(LAYER_SAMPLES)(dtype),
    zero_sign=False,
    error=layer_norm_error,
    dtypes="floating",
    wrong=[
        Wrong(
            lambda: F.layer_norm(T, (4,)),
            ValueError,
            r"^layer_norm: the input's last sizes must be normalized_shape \[4\]\n"
            r"  input  \[2, 4, 3\]",
        ),
        Wrong(lambda: F.layer_norm(ONES, (2, 3)), ValueError, r"normalized_shape \[2, 3\]"),
        Wrong(
            lambda: F.layer_norm(T, ()), ValueError, r"^layer_norm: normalized_shape must name one"
        ),
        Wrong(
            lambda: F.layer_norm(T, (3,), lamina.ones(4)),
            ValueError,
            r"^layer_norm: weight must have sizes \[3\]\n  input  \[2, 4, 3\]\n  weight \[4\]",
        ),
        Wrong(
            lambda: F.layer_norm(T, (3,), ONES, ONES.double()),
            TypeError,
            r"^layer_norm: bias must have the input's dtype float32, got float64",
        ),
    ],
)


def rms_norm(x, shape, weight=None, eps=None):
    # Without an epsilon of its own the dtype's counts, which these inputs do not notice.
    return affine(normalized(x, last(x, shape), eps or 0.0, False)[0], weight, None)


def rms_norm_error(y, x, shape, weight=None, eps=None):
    return norm_error(y, x, last(x, shape), eps or 0.0, weight, None, False)


RMS_SAMPLES = [
    Sample(X, (4,)),
    Sample(X, (2, 4), SCALES),
    Sample(X, (4,), SCALE, 1e-3),
    Sample(X, (4,), None, 0.5),
]
RMS_NORM = Row(
    "rms_norm",
    RMS_SAMPLES,
    rms_norm,
    wide=[Sample(LONG, (4099,)), Sample(FAR, (65,))],
    edges=[
        Sample(X[:0], (4,), SCALE),
        Sample(X[..., :0], (0,), SCALE[:0]),
        Sample(X[0, 0], (4,), SCALE),
    ],
    specials=lambda dtype: with_nonfinite(RMS_SAMPLES)(dtype),
    zero_sign=False,
    error=rms_norm_error,
    dtypes="floating",
    wrong=[
        Wrong(
            lambda: F.rms_norm(T, (4,)),
            ValueError,
            r"^rms_norm: the input's last sizes must be normalized_shape \[4\]",
        ),
        Wrong(
            lambda: F.rms_norm(T, (3,), lamina.ones(3, 1)),
            ValueError,
            r"^rms_norm: weight must have sizes \[3\]",
        ),
    ],
)


def per_channel(x, t):
    return None if t is None else t.reshape(1, -1, *[1] * (x.ndim - 2))


def in_groups(x, groups):
    return x.reshape(x.shape[0], groups, -1) if x.size else x.reshape(x.shape[0], groups, 0)


def group_norm(x, groups, weight=None, bias=None, eps=1e-5):
    normal = normalized(in_groups(x, groups), (2,), eps)[0].reshape(x.shape)
    return affine(normal, per_channel(x, weight), per_channel(x, bias))


def group_norm_error(y, x, groups, weight=None, bias=None, eps=1e-5):
    apart = in_groups(x, groups)
    plain = norm_error(apart, apart, (2,), eps, None, None).reshape(x.shape)
    return affine(
        plain, *(None if t is None else np.abs(per_channel(x, t)) for t in (weight, bias))
    )


GROUPED = spread(RNG, (2, 4, 2))
GROUP_SAMPLES = [
    Sample(GROUPED, 2),
    Sample(GROUPED, 2, SCALE, SHIFT),
    Sample(GROUPED, 4, SCALE, SHIFT, 1e-3),
    Sample(GROUPED, 1, SCALE),
    Sample(spread(RNG, (3, 4)), 2, SCALE, SHIFT),
    Sample(GROUPED, 2, None, SHIFT),
]
GROUP_NORM = Row(
    "group_norm",
    GROUP_SAMPLES,
    group_norm,
    wide=[
        Sample(LONG[:, :4098].reshape(3, 6, 683), 3),
        Sample(FAR[:, :64].reshape(2, 4, 4, 4), 2, SCALE, SHIFT),
    ],
    edges=[Sample(GROUPED[:0], 2, SCALE, SHIFT), Sample(GROUPED[..., :0], 2, SCALE, SHIFT)],
    specials=lambda dtype: with_nonfinite(GROUP_SAMPLES)(dtype),
    zero_sign=False,
    error=group_norm_error,
    dtypes="floating",
    wrong=[
        Wrong(
            lambda: F.group_norm(T, 3),
            ValueError,
            r"^group_norm: the 4 channels do not divide into 3 groups\n  input  \[2, 4, 3\]",
        ),
        Wrong(lambda: F.group_norm(T, 0), ValueError, r"^group_norm: num_groups must be positive"),
        Wrong(lambda: F.group_norm(ONES, 1), ValueError, r"^group_norm: the input must be \[N, C"),
        Wrong(
            lambda: F.group_norm(T, 2, ONES), ValueError, r"^group_norm: weight must have sizes \[4"
        ),
        Wrong(
            lambda: F.group_norm(lamina.ones(1, 2), 2),
            ValueError,
            r"^group_norm: expected more than 1 value per group",
        ),
    ],
)

MEAN, VAR = spread(RNG, 4), spread(RNG, 4, (0.5, 2.0))


def instance_norm(
    x, mean=None, var=None, weight=None, bias=None, use_input_stats=True, momentum=0.1, eps=1e-5
):
    if use_input_stats:
        return group_norm(x, x.shape[1], weight, bias, eps)
    m, v = per_channel(x, mean), per_channel(x, var)
    return affine((x - m) / np.sqrt(v + eps), per_channel(x, weight), per_channel(x, bias))


def instance_norm_error(y, x, mean=None, var=None, weight=None, bias=None, use=True, *rest):
    plain = group_norm_error(y, x, x.shape[1], weight, bias, 1e-5)
    return plain if use else 4 * plain + 8 * np.abs(y)


INSTANCE_SAMPLES = [
    Sample(GROUPED),
    Sample(GROUPED, None, None, SCALE, SHIFT, True, 0.1, 1e-3),
    Sample(GROUPED, None, None, SCALE),
    Sample(GROUPED, MEAN, VAR, SCALE, SHIFT),
    Sample(GROUPED, MEAN, VAR, SCALE, SHIFT, False),
]
INSTANCE_NORM = Row(
    "instance_norm",
    INSTANCE_SAMPLES,
    instance_norm,
    wide=[Sample(LONG[:, :4095].reshape(3, 5, 9, 91)), Sample(FAR[:, :64].reshape(2, 2, 32))],
    edges=[Sample(GROUPED[:0], MEAN, VAR, SCALE, SHIFT), Sample(GROUPED[..., :0])],
    specials=lambda dtype: with_nonfinite(INSTANCE_SAMPLES[:3])(dtype),
    zero_sign=False,
    error=instance_norm_error,
    constant=(1, 2),
    layouts=(0,),
    why="layouts: running statistics are refused unless contiguous",
    dtypes="floating",
    wrong=[
        Wrong(
            lambda: F.instance_norm(lamina.ones(2, 4, 1)),
            ValueError,
            r"^instance_norm: expected more than 1 element in each channel\n  input  \[2, 4, 1\]",
        ),
        Wrong(
            lambda: F.instance_norm(T, use_input_stats=False),
            ValueError,
            r"^instance_norm: without the input's statistics it needs running_mean",
        ),
        Wrong(
            lambda: F.instance_norm(T, lamina.ones(4)),
            ValueError,
            r"^instance_norm: running_mean and running_var come together",
        ),
        Wrong(
            lambda: F.instance_norm(T, weight=ONES),
            ValueError,
            r"^instance_norm: weight must have sizes \[4\]",
        ),
        Wrong(lambda: F.instance_norm(ONES), ValueError, r"^instance_norm: the input must be \[N"),
    ],
)


def response(x, size, alpha=1e-4, beta=0.75, k=1.0):
    padded = np.pad(
        x * x, [(0, 0), (size // 2, (size - 1) // 2), *[(0, 0)] * (x.ndim - 2)], "constant"
    )
    window = sum(padded[:, j : j + x.shape[1]] for j in range(size))
    return (k + alpha / size * window) ** beta


CHANNELS = spread(RNG, (1, 5, 3))
RESPONSE_SAMPLES = [
    Sample(CHANNELS, 3, 0.5),
    Sample(CHANNELS, 2, 0.5, 1.5, 2.0),
    Sample(CHANNELS, 1, 0.5, 0.5),
    Sample(CHANNELS, 100, 1.0),
    Sample(spread(RNG, (1, 4, 2, 2)), 4),
]
LOCAL_RESPONSE_NORM = Row(
    "local_response_norm",
    RESPONSE_SAMPLES,
    lambda x, *args: x / response(x, *args),
    wide=[Sample(RNG.standard_normal((3, 17, 9)), 5, 1.0)],
    edges=[Sample(CHANNELS[:0], 3), Sample(CHANNELS[..., :0], 3), Sample(CHANNELS[:, :0], 3)],
    specials=lambda dtype: with_nonfinite(RESPONSE_SAMPLES[:2])(dtype),
    # The sum and the power round the divisor; a power's error grows with its exponent's size.
    error=lambda y, x, size, *args: (min(size, x.shape[1]) + 16) * np.abs(y),
    dtypes="floating",
    wrong=[
        Wrong(
            lambda: F.local_response_norm(T, 0),
            ValueError,
            r"^local_response_norm: size must be positive, got 0",
        ),
        Wrong(
            lambda: F.local_response_norm(lamina.ones(2, 3), 2),
            ValueError,
            r"^local_response_norm: the input must be \[N, C, ...\]\n  input  \[2, 3\]",
        ),
    ],
)

ROWS = [LAYER_NORM, RMS_NORM, GROUP_NORM, INSTANCE_NORM, LOCAL_RESPONSE_NORM]
