"""Instance normalization."""

from __future__ import annotations

import warnings

from lamina._core import Tensor, instance_norm
from lamina.nn.batchnorm import _NormBase

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lamina import _core


class _InstanceNorm(_NormBase):
    """What the instance norms share; they differ in the ranks of input they take."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: _core.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )

    def forward(self, input: Tensor) -> Tensor:
        """Normalize ``input``; in training mode also update running statistics that are kept."""
        self._check_rank("instance_norm", input)
        batched = input.ndim == self._ranks[1]
        channels = input.shape[1 if batched else 0]
        if channels != self.num_features:
            if self.affine or self.track_running_stats:
                raise ValueError(
                    f"instance_norm: expected {self.num_features} channels, got {channels}\n"
                    f"  input  {list(input.shape)}"
                )
            warnings.warn(
                f"{type(self).__name__}: the input has {channels} channels, not num_features "
                f"({self.num_features}), which counts for nothing without affine and "
                "track_running_stats",
                stacklevel=2,
            )
        result = instance_norm(
            input if batched else input.unsqueeze(0),
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return result if batched else result.squeeze(0)


class InstanceNorm1d(_InstanceNorm):
    """Normalization of each channel of each sample of ``[N, C, L]`` or ``[C, L]``, over L.

    ``y = (x - mean) / sqrt(var + eps) * weight + bias``, with the biased variance. Ulyanov,
    Vedaldi and Lempitsky, "Instance Normalization", arXiv 1607.08022.

    Parameters
    ----------
    num_features : int
        C.
    eps : float, default 1e-5
        Added to the variance.
    momentum : float or None, default 0.1
        Weight of the newest batch in the running statistics; None counts as 0.
    affine : bool, default False
        Whether there are a trained ``weight`` (starts at 1) and ``bias`` (starts at 0), [C].
    track_running_stats : bool, default False
        Whether ``running_mean`` and ``running_var`` ([C], averaged over the samples of a batch,
        with the unbiased variance) are kept in training mode and used in evaluation mode.
        ``num_batches_tracked`` is there and stays 0, as in PyTorch.
    device, dtype : optional
        Where and as what parameters and buffers are made.
    bias : bool, default True
        By keyword: whether ``affine`` includes the shift.

    Raises
    ------
    ValueError
        By a call: if the input has another rank, other than C channels where that matters (a
        warning where it does not), or one element a channel.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.InstanceNorm1d(2)(lamina.tensor([[1.0, 3.0], [7.0, 3.0]])).round().tolist()
    [[-1.0, 1.0], [1.0, -1.0]]
    """

    _ranks = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Normalization of each channel of each sample of ``[N, C, H, W]`` or ``[C, H, W]``.

    Arguments, parameters, buffers and what they mean are those of :class:`InstanceNorm1d`; the
    statistics are taken over H and W.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> norm = nn.InstanceNorm2d(3, affine=True)
    >>> tuple(norm(lamina.rand(2, 3, 4, 4)).shape), list(norm.state_dict())
    ((2, 3, 4, 4), ['weight', 'bias'])
    """

    _ranks = (3, 4)
