"""The divergence of one distribution from another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lamina import _core
from lamina._core import Tensor
from lamina.distributions.bernoulli import Bernoulli
from lamina.distributions.categorical import Categorical
from lamina.distributions.independent import Independent, sum_last
from lamina.distributions.normal import Normal
from lamina.distributions.uniform import Uniform

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.distributions.distribution import Distribution

_INF = float("inf")


def _normal_normal(p: Normal, q: Normal) -> Tensor:
    ratio = (p.scale / q.scale).square()
    shift = ((p.loc - q.loc) / q.scale).square()
    return 0.5 * (ratio + shift - 1 - ratio.log())


def _normal_uniform(p: Normal, q: Uniform) -> Tensor:
    """Infinite: a normal draw may lie anywhere."""
    return _core.full_like(_core.broadcast_tensors(p.loc, q.low)[0], _INF)


def _uniform_normal(p: Uniform, q: Normal) -> Tensor:
    width = p.high - p.low
    spread = width.square() / 12 + ((p.high + p.low) / 2 - q.loc).square()
    return (math.sqrt(2 * math.pi) * q.scale / width).log() + 0.5 * spread / q.scale.square()


def _uniform_uniform(p: Uniform, q: Uniform) -> Tensor:
    outside = (q.low > p.low) | (q.high < p.high)
    return ((q.high - q.low) / (p.high - p.low)).log().masked_fill(outside, _INF)


def _bernoulli_bernoulli(p: Bernoulli, q: Bernoulli) -> Tensor:
    softplus = _core.softplus

    def term(sign: int, own: Tensor, other: Tensor) -> Tensor:
        value = own * (softplus(sign * q.logits) - softplus(sign * p.logits))
        own, other = _core.broadcast_tensors(own, other)
        return value.masked_fill(other == 0, _INF).masked_fill(own == 0, 0.0)

    return term(-1, p.probs, q.probs) + term(1, 1 - p.probs, 1 - q.probs)


def _categorical_categorical(p: Categorical, q: Categorical) -> Tensor:
    value = p.probs * (p.logits - q.logits)
    own, other = _core.broadcast_tensors(p.probs, q.probs)
    return value.masked_fill(other == 0, _INF).masked_fill(own == 0, 0.0).sum(-1)


def _independent_independent(p: Independent, q: Independent) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError(
            "kl_divergence: two Independent must reinterpret as many dimensions, got "
            f"{p.reinterpreted_batch_ndims} and {q.reinterpreted_batch_ndims}"
        )
    return sum_last(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


_PAIRS: dict[tuple[type, type], Callable[[Any, Any], Tensor]] = {
    (Normal, Normal): _normal_normal,
    (Normal, Uniform): _normal_uniform,
    (Uniform, Normal): _uniform_normal,
    (Uniform, Uniform): _uniform_uniform,
    (Bernoulli, Bernoulli): _bernoulli_bernoulli,
    (Categorical, Categorical): _categorical_categorical,
    (Independent, Independent): _independent_independent,
}


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """Kullback-Leibler divergence of ``p`` from ``q``: the mean under p of ``log p - log q``.

    Parameters
    ----------
    p, q : Distribution
        Of one kind, or a Normal and a Uniform; their batches broadcast.

    Returns
    -------
    Tensor
        In nats; infinite where ``p`` gives a draw that ``q`` never gives.

    Raises
    ------
    NotImplementedError
        If there is no formula for the pair.

    Examples
    --------
    >>> from lamina.distributions import Normal, kl_divergence
    >>> kl_divergence(Normal(1.0, 1.0), Normal(0.0, 1.0)).item()
    0.5
    """
    for (left, right), formula in _PAIRS.items():
        if isinstance(p, left) and isinstance(q, right):
            return formula(p, q)
    pairs = ", ".join(f"{left.__name__}-{right.__name__}" for left, right in _PAIRS)
    raise NotImplementedError(
        f"kl_divergence: no formula for {type(p).__name__} and {type(q).__name__}; there is one "
        f"for {pairs}"
    )
