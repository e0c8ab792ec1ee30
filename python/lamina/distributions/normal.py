"""The normal distribution."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lamina import _core
from lamina._core import Tensor
from lamina.distributions.distribution import Distribution, broadcast_all

if TYPE_CHECKING:
    from collections.abc import Iterable


class Normal(Distribution):
    """Normal (Gaussian) distributions.

    Parameters
    ----------
    loc, scale : Tensor or float
        Mean and standard deviation; they broadcast to the batch shape.
    validate_args : bool, optional
        Whether parameters and values are checked. Default: yes.

    Raises
    ------
    ValueError
        If a scale is not positive or a parameter is NaN.

    Examples
    --------
    >>> from lamina.distributions import Normal
    >>> import lamina
    >>> normal = Normal(lamina.zeros(2), 1.0)
    >>> normal.sample((3,)).shape
    lamina.Size([3, 2])
    >>> round(normal.log_prob(lamina.zeros(2)).sum().item(), 4)
    -1.8379
    """

    has_rsample = True
    _shown = ("loc", "scale")
    _possible = "real"

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all("Normal", loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def _check_parameters(self) -> None:
        self._check_parameter("loc", self.loc == self.loc, "real")
        self._check_parameter("scale", self.scale > 0, "positive")

    def _is_possible(self, value: Tensor) -> Tensor:
        return value == value

    def expand(self, batch_shape: Iterable[int]) -> Normal:
        """Return the same distributions, repeated to a larger batch without copies."""
        shape = tuple(batch_shape)
        made = type(self)(self.loc.expand(shape), self.scale.expand(shape), validate_args=False)
        return self._keep_validation(made)

    @property
    def mean(self) -> Tensor:
        """``loc``."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """``loc``."""
        return self.loc

    @property
    def stddev(self) -> Tensor:
        """``scale``."""
        return self.scale

    @property
    def variance(self) -> Tensor:
        """``scale ** 2``."""
        return self.scale.square()

    def rsample(self, sample_shape: Iterable[int] = ()) -> Tensor:
        """Draw ``loc + scale * noise``."""
        shape = self._extended(sample_shape)
        noise = _core.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + noise * self.scale

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density at ``value``."""
        self._check_value(value)
        scaled = (value - self.loc) / self.scale
        return -0.5 * scaled.square() - self.scale.log() - 0.5 * math.log(2 * math.pi)

    def cdf(self, value: Tensor) -> Tensor:
        """Probability of a draw of at most ``value``."""
        self._check_value(value)
        return 0.5 * (1 + _core.erf((value - self.loc) / (self.scale * math.sqrt(2))))

    def icdf(self, value: Tensor) -> Tensor:
        """Value below which a draw lies with probability ``value``."""
        return self.loc + self.scale * _core.erfinv(2 * value - 1) * math.sqrt(2)

    def entropy(self) -> Tensor:
        """``log(scale) + log(2 pi e) / 2``."""
        return 0.5 + 0.5 * math.log(2 * math.pi) + self.scale.log()
