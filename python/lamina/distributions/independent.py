"""Batches seen as one distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina._core import Tensor
from lamina.distributions.distribution import Distribution

if TYPE_CHECKING:
    from collections.abc import Iterable


class Independent(Distribution):
    """The last dimensions of a batch seen as one draw of several independent numbers.

    Parameters
    ----------
    base_distribution : Distribution
        The batch.
    reinterpreted_batch_ndims : int
        How many of its last batch dimensions become event dimensions.
    validate_args : bool, optional
        Whether values are checked. Default: yes.

    Raises
    ------
    ValueError
        If the batch has fewer dimensions.

    Examples
    --------
    >>> import lamina
    >>> from lamina.distributions import Independent, Normal
    >>> vector = Independent(Normal(lamina.zeros(4, 3), 1.0), 1)
    >>> vector.batch_shape, vector.event_shape
    (lamina.Size([4]), lamina.Size([3]))
    >>> vector.log_prob(lamina.zeros(4, 3)).shape
    lamina.Size([4])
    """

    def __init__(
        self,
        base_distribution: Distribution,
        reinterpreted_batch_ndims: int,
        validate_args: bool | None = None,
    ) -> None:
        batch = tuple(base_distribution.batch_shape)
        if not 0 <= reinterpreted_batch_ndims <= len(batch):
            raise ValueError(
                f"Independent: reinterpreted_batch_ndims must be between 0 and {len(batch)}, the "
                f"dimensions of the batch {list(batch)}, got {reinterpreted_batch_ndims}"
            )
        cut = len(batch) - reinterpreted_batch_ndims
        self.base_dist = base_distribution
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims
        event = (*batch[cut:], *base_distribution.event_shape)
        super().__init__(batch[:cut], event, validate_args=validate_args)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether gradients pass through draws."""
        return self.base_dist.has_rsample

    def expand(self, batch_shape: Iterable[int]) -> Independent:
        """Return the same distributions, repeated to a larger batch without copies."""
        inner = tuple(self.event_shape)[: self.reinterpreted_batch_ndims]
        base = self.base_dist.expand((*batch_shape, *inner))
        made = type(self)(base, self.reinterpreted_batch_ndims, validate_args=False)
        return self._keep_validation(made)

    @property
    def mean(self) -> Tensor:
        """That of the batch."""
        return self.base_dist.mean

    @property
    def mode(self) -> Tensor:
        """That of the batch."""
        return self.base_dist.mode

    @property
    def variance(self) -> Tensor:
        """That of the batch."""
        return self.base_dist.variance

    def sample(self, sample_shape: Iterable[int] = ()) -> Tensor:
        """Draw from the batch, without gradients."""
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Iterable[int] = ()) -> Tensor:
        """Draw from the batch so that gradients reach the parameters."""
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Sum of the logarithms over the event dimensions."""
        return sum_last(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self) -> Tensor:
        """Sum of the entropies over the event dimensions."""
        return sum_last(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Refuse, unless nothing was reinterpreted: there are too many draws to list."""
        if self.reinterpreted_batch_ndims:
            raise NotImplementedError("Independent: the draws of several numbers are not listed")
        return self.base_dist.enumerate_support(expand)  # type: ignore[attr-defined, no-any-return]

    def __repr__(self) -> str:
        return f"Independent({self.base_dist}, {self.reinterpreted_batch_ndims})"


def sum_last(value: Tensor, ndims: int) -> Tensor:
    """Sum over the last ``ndims`` dimensions."""
    return value.sum(tuple(range(-ndims, 0))) if ndims else value
