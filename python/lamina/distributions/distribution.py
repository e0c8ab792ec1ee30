"""What all distributions share: shapes, checks, and the methods that follow from others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina import _core
from lamina._core import Size, Tensor
from lamina.autograd.grad_mode import no_grad

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Self


class Distribution:
    """Base class of the distributions.

    Attributes
    ----------
    batch_shape, event_shape : Size
        Shape of the batch of distributions, and of one draw from one of them.
    has_rsample : bool
        Whether gradients pass through draws (``rsample``).

    Examples
    --------
    >>> from lamina.distributions import Distribution, Normal
    >>> isinstance(Normal(0.0, 1.0), Distribution)
    True
    """

    has_rsample = False
    #: The attributes that the repr shows, in order.
    _shown: tuple[str, ...] = ()
    _default_validate_args = True

    def __init__(
        self,
        batch_shape: Iterable[int] = (),
        event_shape: Iterable[int] = (),
        validate_args: bool | None = None,
    ) -> None:
        self.batch_shape = Size(tuple(batch_shape))
        self.event_shape = Size(tuple(event_shape))
        self._validate_args = (
            Distribution._default_validate_args if validate_args is None else validate_args
        )
        if self._validate_args:
            self._check_parameters()

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Say whether distributions check parameters and values where they are not told."""
        if not isinstance(value, bool):
            raise ValueError(f"set_default_validate_args: needs a bool, got {value!r}")
        Distribution._default_validate_args = value

    # -- what a distribution defines ----------------------------------------------------------

    def expand(self, batch_shape: Iterable[int]) -> Self:
        """Return the same distributions, repeated to a larger batch without copies."""
        raise NotImplementedError(f"{type(self).__name__} does not define expand()")

    @property
    def mean(self) -> Tensor:
        """The mean, ``batch_shape + event_shape``."""
        raise NotImplementedError(f"{type(self).__name__} has no mean")

    @property
    def mode(self) -> Tensor:
        """The most probable value, ``batch_shape + event_shape``."""
        raise NotImplementedError(f"{type(self).__name__} has no mode")

    @property
    def variance(self) -> Tensor:
        """The variance, ``batch_shape + event_shape``."""
        raise NotImplementedError(f"{type(self).__name__} has no variance")

    def rsample(self, sample_shape: Iterable[int] = ()) -> Tensor:
        """Draw so that gradients reach the parameters: ``sample_shape + batch + event``."""
        raise NotImplementedError(
            f"{type(self).__name__}: no gradient passes through its draws; use sample()"
        )

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the probability, or of its density, at ``value``; batch shape."""
        raise NotImplementedError(f"{type(self).__name__} does not define log_prob()")

    def entropy(self) -> Tensor:
        """Entropy in nats; batch shape."""
        raise NotImplementedError(f"{type(self).__name__} does not define entropy()")

    def _check_parameters(self) -> None:
        """Raise unless every parameter is one."""

    def _is_possible(self, value: Tensor) -> Tensor:
        """Say of each element of ``value`` whether it can be drawn."""
        raise NotImplementedError

    _possible = ""

    # -- what follows -------------------------------------------------------------------------

    @property
    def stddev(self) -> Tensor:
        """The standard deviation, ``batch_shape + event_shape``."""
        return self.variance.sqrt()

    def sample(self, sample_shape: Iterable[int] = ()) -> Tensor:
        """Draw ``sample_shape + batch_shape + event_shape`` values, without gradients."""
        with no_grad():
            return self.rsample(sample_shape)

    def perplexity(self) -> Tensor:
        """``exp`` of the entropy; batch shape."""
        return self.entropy().exp()

    def _extended(self, sample_shape: Iterable[int] = ()) -> tuple[int, ...]:
        if isinstance(sample_shape, int):
            raise TypeError(
                f"{type(self).__name__}: sample_shape must be a tuple of integers, "
                f"got {sample_shape!r}; ({sample_shape},) draws that many"
            )
        return (*sample_shape, *self.batch_shape, *self.event_shape)

    def _keep_validation(self, made: Self) -> Self:
        made._validate_args = self._validate_args
        return made

    def _check_parameter(self, name: str, valid: Tensor, rule: str) -> None:
        if not valid.all():
            value = getattr(self, name)
            raise ValueError(f"{type(self).__name__}: {name} must be {rule}, got {_text(value)}")

    def _check_value(self, value: Tensor) -> None:
        who = type(self).__name__
        if not isinstance(value, Tensor):
            raise ValueError(f"{who}: the value must be a Tensor, got {type(value).__name__}")
        if not self._validate_args:
            return
        expected = (*self.batch_shape, *self.event_shape)
        events = len(self.event_shape)
        fits = value.ndim >= events and tuple(value.shape[value.ndim - events :]) == tuple(
            self.event_shape
        )
        pairs = zip(reversed(value.shape), reversed(expected), strict=False)
        if not fits or any(1 not in (i, j) and i != j for i, j in pairs):
            raise ValueError(
                f"{who}: the value does not fit\n  value  {list(value.shape)}\n"
                f"  batch  {list(self.batch_shape)}\n  event  {list(self.event_shape)}"
            )
        if not self._is_possible(value).all():
            raise ValueError(f"{who}: the value must be {self._possible}, got {_text(value)}")

    def __repr__(self) -> str:
        given = [name for name in self._shown if name in self.__dict__]
        return (
            f"{type(self).__name__}({', '.join(f'{n}: {_text(getattr(self, n))}' for n in given)})"
        )


def _text(value: Tensor) -> str:
    return str(value.item()) if value.numel() == 1 else f"a tensor {list(value.shape)}"


def broadcast_all(who: str, *values: Any) -> list[Tensor]:
    """Make tensors of numbers, and give all of them one shape."""
    like = next((v for v in values if isinstance(v, Tensor) and v.is_floating_point()), None)
    dtype = _core.get_default_dtype() if like is None else like.dtype
    device = None if like is None else like.device
    made = []
    for value in values:
        if isinstance(value, Tensor):
            made.append(value)
        elif isinstance(value, (int, float)):
            made.append(_core.tensor(value, dtype=dtype, device=device))
        else:
            raise ValueError(
                f"{who}: parameters must be tensors or numbers, got {type(value).__name__}"
            )
    return list(_core.broadcast_tensors(*made))


def either(who: str, probs: Any, logits: Any) -> None:
    """Raise unless exactly one is given."""
    if (probs is None) == (logits is None):
        raise ValueError(f"{who}: give probs or logits, and not both")


def log_of_probs(probs: Tensor) -> Tensor:
    """Logarithm that stays finite: as PyTorch's, of probabilities in ``[eps, 1 - eps]``."""
    return clamped(probs).log()


def clamped(probs: Tensor) -> Tensor:
    """Keep probabilities away from 0 and 1 by one rounding of 1."""
    from lamina._dtype_info import finfo

    eps = finfo(probs.dtype).eps
    return probs.clamp(eps, 1 - eps)
