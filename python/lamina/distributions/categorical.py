"""The categorical distribution."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING

from lamina import _core
from lamina._core import Tensor
from lamina._dtype_info import finfo
from lamina.autograd.grad_mode import no_grad
from lamina.distributions.distribution import Distribution, either, log_of_probs

if TYPE_CHECKING:
    from collections.abc import Iterable


class Categorical(Distribution):
    """Distributions over ``0 … K-1``.

    Parameters
    ----------
    probs : Tensor, [..., K], optional
        Probabilities, which need not add up to 1.
    logits : Tensor, [..., K], optional
        Their logarithms, up to a constant; one of the two is given.
    validate_args : bool, optional
        Whether parameters and values are checked. Default: yes.

    Raises
    ------
    ValueError
        If both or neither are given, there is no last dimension, or a probability is negative.

    Examples
    --------
    >>> import lamina
    >>> from lamina.distributions import Categorical
    >>> die = Categorical(lamina.ones(6))
    >>> round(die.entropy().item(), 4), die.sample((3,)).dtype
    (1.7918, lamina.int64)
    >>> Categorical(lamina.tensor([1.0, 3.0])).probs.tolist()
    [0.25, 0.75]
    """

    _shown = ("probs", "logits")

    def __init__(
        self,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        either("Categorical", probs, logits)
        given = logits if probs is None else probs
        name = "logits" if probs is None else "probs"
        if not isinstance(given, Tensor):
            raise ValueError(f"Categorical: {name} must be a Tensor, got {type(given).__name__}")
        if given.ndim < 1:
            raise ValueError(f"Categorical: {name} must have a dimension of categories, got []")
        if probs is not None:
            self.probs = probs / probs.sum(-1, keepdim=True)
        else:
            self.logits = given - given.logsumexp(-1, keepdim=True)
        self._param = self.logits if probs is None else self.probs
        self._categories = given.shape[-1]
        self._possible = f"an integer from 0 to {self._categories - 1}"
        super().__init__(given.shape[:-1], validate_args=validate_args)

    def _check_parameters(self) -> None:
        if "probs" in self.__dict__:
            rule = "non-negative, with a positive and finite sum"
            self._check_parameter("probs", self.probs >= 0, rule)
        else:
            self._check_parameter("logits", self.logits == self.logits, "real")

    def _is_possible(self, value: Tensor) -> Tensor:
        return (value >= 0) & (value < self._categories) & (value == value.trunc())

    @cached_property
    def probs(self) -> Tensor:
        """Probabilities, adding up to 1."""
        return self.logits.softmax(-1)

    @cached_property
    def logits(self) -> Tensor:
        """Their logarithms, of probabilities kept away from 0 and 1."""
        return log_of_probs(self.probs)

    @property
    def param_shape(self) -> _core.Size:
        """Shape of the parameter, categories included."""
        return self._param.shape

    def expand(self, batch_shape: Iterable[int]) -> Categorical:
        """Return the same distributions, repeated to a larger batch without copies."""
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        shape = (*batch_shape, self._categories)
        for name in ("probs", "logits"):
            if name in self.__dict__:
                setattr(made, name, getattr(self, name).expand(shape))
        made._param = self._param.expand(shape)
        made.batch_shape = _core.Size(shape[:-1])
        return made

    @property
    def mean(self) -> Tensor:
        """NaN: categories are no numbers."""
        return _core.full(
            tuple(self.batch_shape), math.nan, dtype=self._param.dtype, device=self._param.device
        )

    @property
    def mode(self) -> Tensor:
        """The most probable category."""
        return self.probs.argmax(-1)

    @property
    def variance(self) -> Tensor:
        """NaN: categories are no numbers."""
        return self.mean

    def sample(self, sample_shape: Iterable[int] = ()) -> Tensor:
        """Draw categories, int64."""
        shape = self._extended(sample_shape)
        count = math.prod(shape[: len(shape) - len(self.batch_shape)])
        if 0 in shape:
            return _core.empty(shape, dtype=_core.int64, device=self._param.device)
        with no_grad():
            rows = self.probs.reshape(-1, self._categories)
            return _core.multinomial(rows, count, replacement=True).t().reshape(shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the probability of ``value``."""
        self._check_value(value)
        index, logits = _core.broadcast_tensors(value.long().unsqueeze(-1), self.logits)
        return logits.gather(-1, index[..., :1]).squeeze(-1)

    def entropy(self) -> Tensor:
        """``-sum p log p``."""
        logits = self.logits.clamp_min(finfo(self.logits.dtype).min)  # 0 log 0 is 0
        return -(logits * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Return every category along a new first dimension: ``[K, *batch]`` or ``[K, 1, ...]``."""
        values = _core.arange(self._categories, device=self._param.device)
        values = values.view([-1] + [1] * len(self.batch_shape))
        return values.expand((self._categories, *self.batch_shape)) if expand else values
