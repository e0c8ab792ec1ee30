"""The Bernoulli distribution."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from lamina import _core
from lamina._core import Tensor
from lamina.autograd.grad_mode import no_grad
from lamina.distributions.distribution import Distribution, broadcast_all, clamped, either

if TYPE_CHECKING:
    from collections.abc import Iterable


class Bernoulli(Distribution):
    """Bernoulli distributions: 1 with probability ``probs``, else 0.

    Parameters
    ----------
    probs : Tensor or float, optional
        Probability of 1.
    logits : Tensor or float, optional
        Its log-odds; one of the two is given.
    validate_args : bool, optional
        Whether parameters and values are checked. Default: yes.

    Raises
    ------
    ValueError
        If both or neither are given, or a probability lies outside 0 and 1.

    Examples
    --------
    >>> import lamina
    >>> from lamina.distributions import Bernoulli
    >>> coin = Bernoulli(0.25)
    >>> coin.mean.item(), coin.variance.item()
    (0.25, 0.1875)
    >>> Bernoulli(logits=0.0).log_prob(lamina.tensor(1.0)).exp().item()
    0.5
    """

    _shown = ("probs", "logits")
    _possible = "0 or 1"

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        either("Bernoulli", probs, logits)
        if probs is not None:
            (self.probs,) = broadcast_all("Bernoulli", probs)
        else:
            (self.logits,) = broadcast_all("Bernoulli", logits)
        self._param = self.logits if probs is None else self.probs
        super().__init__(self._param.shape, validate_args=validate_args)

    def _check_parameters(self) -> None:
        if "probs" in self.__dict__:
            valid = (self.probs >= 0) & (self.probs <= 1)
            self._check_parameter("probs", valid, "between 0 and 1")
        else:
            self._check_parameter("logits", self.logits == self.logits, "real")

    def _is_possible(self, value: Tensor) -> Tensor:
        return (value == 0) | (value == 1)

    @cached_property
    def probs(self) -> Tensor:
        """Probability of 1."""
        return self.logits.sigmoid()

    @cached_property
    def logits(self) -> Tensor:
        """Log-odds of 1, of probabilities kept away from 0 and 1."""
        probs = clamped(self.probs)
        return probs.log() - (-probs).log1p()

    @property
    def param_shape(self) -> _core.Size:
        """Shape of the parameter."""
        return self._param.shape

    def expand(self, batch_shape: Iterable[int]) -> Bernoulli:
        """Return the same distributions, repeated to a larger batch without copies."""
        param = self._param.expand(tuple(batch_shape))
        given = {"probs" if self._param is self.__dict__.get("probs") else "logits": param}
        return self._keep_validation(type(self)(**given, validate_args=False))

    @property
    def mean(self) -> Tensor:
        """``probs``."""
        return self.probs

    @property
    def mode(self) -> Tensor:
        """0 or 1, and NaN where they are as probable."""
        likely = (self.probs >= 0.5).to(self.probs.dtype)
        return likely.masked_fill(self.probs == 0.5, float("nan"))

    @property
    def variance(self) -> Tensor:
        """``probs * (1 - probs)``."""
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Iterable[int] = ()) -> Tensor:
        """Draw zeros and ones, in the dtype of the parameter."""
        shape = self._extended(sample_shape)
        with no_grad():
            return _core.bernoulli(self.probs.expand(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the probability of ``value``."""
        self._check_value(value)
        logits, value = _core.broadcast_tensors(self.logits, value.to(self.logits.dtype))
        return -_core.binary_cross_entropy_with_logits(logits, value, reduction="none")

    def entropy(self) -> Tensor:
        """``-p log p - (1 - p) log(1 - p)``."""
        return _core.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Return 0 and 1 along a new first dimension: ``[2, *batch_shape]``, or ``[2, 1, ...]``."""
        values = _core.arange(2, dtype=self._param.dtype, device=self._param.device)
        values = values.view([2] + [1] * len(self.batch_shape))
        return values.expand((2, *self.batch_shape)) if expand else values
