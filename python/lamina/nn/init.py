"""Initial values of parameters. Every function fills its tensor in place and returns it.

Those that draw take a ``generator``; without one the process-wide generator draws.

For a weight ``[out, in, *kernel]`` the fan-in is ``in * prod(kernel)`` and the fan-out
``out * prod(kernel)``: how many products are summed forward, and backward.
"""

from __future__ import annotations

import math

from lamina import _core
from lamina._core import Generator, Tensor
from lamina.autograd.grad_mode import no_grad
from lamina.nn._init_structure import dirac_, eye_, orthogonal_, sparse_

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

_GAINS = {
    **dict.fromkeys(["linear", "conv1d", "conv2d", "conv3d"], 1.0),
    **dict.fromkeys(["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"], 1.0),
    "sigmoid": 1.0,
    "tanh": 5.0 / 3.0,
    "relu": math.sqrt(2.0),
    "selu": 3.0 / 4.0,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return the factor on the standard deviation that makes up for an activation.

    Parameters
    ----------
    nonlinearity : str
        "linear", "conv1d" (2d, 3d, conv_transpose1d ...) and "sigmoid": 1; "tanh": 5/3;
        "relu": sqrt(2); "leaky_relu": sqrt(2 / (1 + slope^2)); "selu": 3/4.
    param : float, optional
        The slope of "leaky_relu", 0.01 by default.

    Raises
    ------
    ValueError
        If the name is unknown or the slope is no number.

    Examples
    --------
    >>> from lamina.nn import init
    >>> init.calculate_gain("leaky_relu", 1.0)
    1.0
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"calculate_gain: the slope must be a number, got {slope!r}")
        return math.sqrt(2.0 / (1.0 + slope**2))
    if nonlinearity not in _GAINS:
        known = ", ".join(sorted([*_GAINS, "leaky_relu"]))
        raise ValueError(f"calculate_gain: unknown nonlinearity {nonlinearity!r}\n  known  {known}")
    return _GAINS[nonlinearity]


def _fans(name: str, tensor: Tensor) -> tuple[int, int]:
    """Fan-in and fan-out of a weight."""
    shape = tensor.shape
    if len(shape) < 2:
        raise ValueError(
            f"{name}: fan-in and fan-out need a tensor of at least 2 dimensions\n"
            f"  tensor {list(shape)}"
        )
    kernel = math.prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Fill with draws from the uniform distribution on [a, b).

    Examples
    --------
    >>> import lamina
    >>> from lamina.nn import init
    >>> bool((init.uniform_(lamina.empty(9), 2.0, 3.0) >= 2).all())
    True
    """
    with no_grad():
        return tensor.uniform_(a, b, generator=generator)


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Fill with draws from the normal distribution.

    Examples
    --------
    >>> import lamina
    >>> from lamina.nn import init
    >>> init.normal_(lamina.empty(2), mean=5.0, std=0.0).tolist()
    [5.0, 5.0]
    """
    with no_grad():
        return tensor.normal_(mean, std, generator=generator)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with ``val``.

    Examples
    --------
    >>> import lamina
    >>> from lamina.nn import init
    >>> init.constant_(lamina.empty(2), 0.5).tolist()
    [0.5, 0.5]
    """
    with no_grad():
        return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with 1.

    Examples
    --------
    >>> import lamina
    >>> from lamina.nn import init
    >>> init.ones_(lamina.empty(2)).tolist()
    [1.0, 1.0]
    """
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with 0.

    Examples
    --------
    >>> import lamina
    >>> from lamina.nn import init
    >>> init.zeros_(lamina.empty(2)).tolist()
    [0.0, 0.0]
    """
    return constant_(tensor, 0.0)


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Fill uniformly from (-a, a) with ``a = gain * sqrt(6 / (fan_in + fan_out))``.

    Keeps the variance of activations and of gradients on a par through linear layers. Glorot and
    Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010.

    Raises
    ------
    ValueError
        If the tensor has fewer than 2 dimensions.

    Examples
    --------
    >>> import lamina
    >>> from lamina.nn import init
    >>> bool(init.xavier_uniform_(lamina.empty(3, 3)).abs().max() <= 1)
    True
    """
    fan_in, fan_out = _fans("xavier_uniform_", tensor)
    bound = gain * math.sqrt(6.0 / max(1, fan_in + fan_out))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill normally, with mean 0 and ``std = gain * sqrt(2 / (fan_in + fan_out))``.

    See :func:`xavier_uniform_`.

    Raises
    ------
    ValueError
        If the tensor has fewer than 2 dimensions.

    Examples
    --------
    >>> import lamina
    >>> from lamina.nn import init
    >>> init.xavier_normal_(lamina.empty(3, 5), gain=0.0).abs().max().item()
    0.0
    """
    fan_in, fan_out = _fans("xavier_normal_", tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / max(1, fan_in + fan_out)), generator)


def _kaiming_std(name: str, tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"{name}: mode must be 'fan_in' or 'fan_out', got {mode!r}")
    fan = _fans(name, tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(max(1, fan))


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Fill uniformly from (-b, b) with ``b = gain * sqrt(3 / fan)``.

    Keeps the variance through layers that end in a rectifier. He et al., "Delving deep into
    rectifiers", 2015.

    Parameters
    ----------
    tensor : Tensor
        A weight of at least 2 dimensions.
    a : float, default 0
        The slope for negative input, if the nonlinearity is "leaky_relu".
    mode : {"fan_in", "fan_out"}, default "fan_in"
        Keep the variance of the activations, or of the gradients.
    nonlinearity : str, default "leaky_relu"
        As for :func:`calculate_gain`.

    Raises
    ------
    ValueError
        If the tensor has fewer than 2 dimensions or a name is unknown.

    Examples
    --------
    >>> import lamina
    >>> from lamina.nn import init
    >>> weight = lamina.empty(10, 6)
    >>> bool(init.kaiming_uniform_(weight, nonlinearity="relu").abs().max() <= 1)
    True
    """
    bound = math.sqrt(3.0) * _kaiming_std("kaiming_uniform_", tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Fill normally, with mean 0 and ``std = gain / sqrt(fan)``; see :func:`kaiming_uniform_`.

    Examples
    --------
    >>> import lamina
    >>> from lamina.nn import init
    >>> init.kaiming_normal_(lamina.empty(10, 6), mode="fan_out").shape
    lamina.Size([10, 6])
    """
    std = _kaiming_std("kaiming_normal_", tensor, a, mode, nonlinearity)
    return normal_(tensor, 0.0, std, generator)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Fill with draws from the normal distribution, given that they are in [a, b].

    Parameters
    ----------
    tensor : Tensor
        What is filled.
    mean, std : float, default 0 and 1
        Of the normal distribution before it is cut.
    a, b : float, default -2 and 2
        The ends of the interval, in the units of the values (not of ``std``).

    Raises
    ------
    ValueError
        If ``a >= b`` or ``std`` is not positive.

    Examples
    --------
    >>> import lamina
    >>> from lamina.nn import init
    >>> bool(init.trunc_normal_(lamina.empty(100), std=5.0).abs().max() <= 2)
    True
    """
    if not a < b:
        raise ValueError(f"trunc_normal_: a must be less than b, got a={a} and b={b}")
    if not std > 0:
        raise ValueError(f"trunc_normal_: std must be positive, got {std}")
    low, high = (a - mean) / std, (b - mean) / std
    mass = 0.5 * (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2)))
    with no_grad():
        # A normal draw that rarely falls inside would take forever: then propose uniformly.
        propose = _propose_normal if mass > 0.25 else _propose_uniform
        drawn = _core.empty_like(tensor)
        accepted = propose(drawn, low, high, generator)
        while not bool(accepted.all()):
            fresh = _core.empty_like(tensor)
            better = propose(fresh, low, high, generator)
            drawn = _core.where(accepted, drawn, fresh)
            accepted = _core.logical_or(accepted, better)
        drawn.mul_(std).add_(mean)
        return tensor.copy_(_core.clamp(drawn, a, b))  # rounding may step over the ends


def _propose_normal(out: Tensor, low: float, high: float, generator: Generator | None) -> Tensor:
    """Fill ``out`` with normal draws and say which lie in [low, high]."""
    out.normal_(0.0, 1.0, generator=generator)
    return _core.logical_and(out >= low, out <= high)


def _propose_uniform(out: Tensor, low: float, high: float, generator: Generator | None) -> Tensor:
    """Fill ``out`` uniformly from [low, high] and accept each by its relative density."""
    peak = min(max(low, 0.0), high)  # where the density is largest
    reach = math.sqrt(peak * peak + 80.0)  # beyond, it is below exp(-40) of that
    out.uniform_(max(low, -reach), min(high, reach), generator=generator)
    chance = ((out * out - peak * peak) * -0.5).exp()
    return _core.empty_like(out).uniform_(0.0, 1.0, generator=generator) < chance


def __getattr__(name: str) -> object:
    from lamina._errors import absent

    raise absent(__name__, name, __all__)
