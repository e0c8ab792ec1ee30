"""The uniform distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina import _core
from lamina._core import Tensor
from lamina.distributions.distribution import Distribution, broadcast_all

if TYPE_CHECKING:
    from collections.abc import Iterable


class Uniform(Distribution):
    """Uniform distributions on ``[low, high)``.

    Parameters
    ----------
    low, high : Tensor or float
        The bounds; they broadcast to the batch shape.
    validate_args : bool, optional
        Whether parameters and values are checked. Default: yes.

    Raises
    ------
    ValueError
        If a ``low`` is not below its ``high``.

    Examples
    --------
    >>> import lamina
    >>> from lamina.distributions import Uniform
    >>> uniform = Uniform(0.0, 4.0)
    >>> uniform.mean.item(), round(uniform.entropy().item(), 4)
    (2.0, 1.3863)
    """

    has_rsample = True
    _shown = ("low", "high")
    _possible = "between low and high"

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None) -> None:
        self.low, self.high = broadcast_all("Uniform", low, high)
        super().__init__(self.low.shape, validate_args=validate_args)

    def _check_parameters(self) -> None:
        self._check_parameter("low", self.low < self.high, "less than high")

    def _is_possible(self, value: Tensor) -> Tensor:
        return (value >= self.low) & (value <= self.high)

    def expand(self, batch_shape: Iterable[int]) -> Uniform:
        """Return the same distributions, repeated to a larger batch without copies."""
        shape = tuple(batch_shape)
        made = type(self)(self.low.expand(shape), self.high.expand(shape), validate_args=False)
        return self._keep_validation(made)

    @property
    def mean(self) -> Tensor:
        """The middle."""
        return (self.high + self.low) / 2

    @property
    def mode(self) -> Tensor:
        """NaN: every value is as probable."""
        return _core.full_like(self.low, float("nan"))

    @property
    def variance(self) -> Tensor:
        """``(high - low) ** 2 / 12``."""
        return (self.high - self.low).square() / 12

    def rsample(self, sample_shape: Iterable[int] = ()) -> Tensor:
        """Draw ``low + noise * (high - low)``."""
        shape = self._extended(sample_shape)
        noise = _core.rand(shape, dtype=self.low.dtype, device=self.low.device)
        return self.low + noise * (self.high - self.low)

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density at ``value``: -inf outside, and at ``high``."""
        self._check_value(value)
        inside = ((value >= self.low) & (value < self.high)).to(self.low.dtype)
        return inside.log() - (self.high - self.low).log()

    def cdf(self, value: Tensor) -> Tensor:
        """Probability of a draw of at most ``value``."""
        self._check_value(value)
        return ((value - self.low) / (self.high - self.low)).clamp(0, 1)

    def icdf(self, value: Tensor) -> Tensor:
        """Value below which a draw lies with probability ``value``."""
        return value * (self.high - self.low) + self.low

    def entropy(self) -> Tensor:
        """``log(high - low)``."""
        return (self.high - self.low).log()
