"""Batch normalization."""

from __future__ import annotations

from lamina import _core
from lamina._core import Tensor, batch_norm_act
from lamina.autograd.grad_mode import no_grad
from lamina.nn.module import Module
from lamina.nn.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar


class _NormBase(Module):
    """Parameters and buffers of the norms that may keep running statistics."""

    _ranks: ClassVar[tuple[int, ...]]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: _core.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.weight: Parameter | None
        self.bias: Parameter | None
        self.running_mean: Tensor | None
        self.running_var: Tensor | None
        self.num_batches_tracked: Tensor | None

        def filled(value: float) -> Tensor:
            return _core.full((num_features,), value, dtype=dtype, device=device)

        self.register_parameter("weight", Parameter(filled(1.0)) if affine else None)
        self.register_parameter("bias", Parameter(filled(0.0)) if affine and bias else None)
        tracked = track_running_stats
        count = _core.zeros((), dtype=_core.int64, device=device) if tracked else None
        self.register_buffer("running_mean", filled(0.0) if tracked else None)
        self.register_buffer("running_var", filled(1.0) if tracked else None)
        self.register_buffer("num_batches_tracked", count)

    def reset_running_stats(self) -> None:
        """Forget the running statistics: mean 0, variance 1, no batch seen."""
        with no_grad():
            if self.running_mean is not None:
                self.running_mean.zero_()
            if self.running_var is not None:
                self.running_var.fill_(1)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Start anew: running statistics, scale 1 and shift 0."""
        self.reset_running_stats()
        with no_grad():
            if self.weight is not None:
                self.weight.fill_(1)
            if self.bias is not None:
                self.bias.zero_()

    def _check_rank(self, op: str, input: Tensor) -> None:
        if input.ndim not in self._ranks:
            wanted = " or ".join(f"{rank}D" for rank in self._ranks)
            raise ValueError(
                f"{op}: expected {wanted} input, got {input.ndim}D\n  input  {list(input.shape)}"
            )

    def extra_repr(self) -> str:
        """Show the settings, in the order of the arguments."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_NormBase):
    """What the batch norms share; they differ in the ranks of input they take."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalize ``input``; in training mode also update the running statistics."""
        return self._normalize(input, "none")

    def _normalize(self, input: Tensor, activation: str) -> Tensor:
        """Give the normalized input to an activation, within the same op."""
        self._check_rank("batch_norm", input)
        mean, var = self.running_mean, self.running_var
        if not self.training:
            return batch_norm_act(
                input, mean, var, self.weight, self.bias, mean is None, 0.0, self.eps, activation
            )
        factor = 0.0 if self.momentum is None else self.momentum
        if not self.track_running_stats:
            mean = var = None
        elif self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:  # the cumulative average of all batches
                factor = 1.0 / float(self.num_batches_tracked.item())
        return batch_norm_act(
            input, mean, var, self.weight, self.bias, True, factor, self.eps, activation
        )


class BatchNorm1d(_BatchNorm):
    """Batch normalization of ``[N, C]`` or ``[N, C, L]``, over all dimensions but C.

    ``y = (x - mean) / sqrt(var + eps) * weight + bias``. In training mode mean and (biased)
    variance are the batch's, and the running ones move towards it: ``running = (1 - momentum)
    * running + momentum * batch``, with the unbiased variance. In evaluation mode the running
    ones are used. Ioffe and Szegedy, "Batch Normalization", ICML 2015.

    Parameters
    ----------
    num_features : int
        C.
    eps : float, default 1e-5
        Added to the variance.
    momentum : float or None, default 0.1
        Weight of the newest batch; None averages over all batches seen.
    affine : bool, default True
        Whether there are a trained ``weight`` (starts at 1) and ``bias`` (starts at 0), [C].
    track_running_stats : bool, default True
        Whether ``running_mean``, ``running_var`` ([C]) and ``num_batches_tracked`` (int64
        scalar) are kept; without them every mode uses the batch's statistics.
    device, dtype : optional
        Where and as what parameters and buffers are made.
    bias : bool, default True
        By keyword: whether ``affine`` includes the shift.

    Raises
    ------
    ValueError
        By a call: if the input has another rank, or one value per channel in training mode.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> norm = nn.BatchNorm1d(1)
    >>> y = norm(lamina.tensor([[1.0], [3.0]]))
    >>> norm.running_mean.item(), norm.num_batches_tracked.item()
    (0.20000000298023224, 1)
    """

    _ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalization of ``[N, C, H, W]``, over all dimensions but C.

    Arguments, parameters, buffers and what they mean are those of :class:`BatchNorm1d`.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> norm = nn.BatchNorm2d(2, affine=False)
    >>> norm(lamina.tensor([1.0, 3.0, -2.0, 2.0]).view(1, 2, 1, 2)).round().tolist()
    [[[[-1.0, 1.0]], [[-1.0, 1.0]]]]
    """

    _ranks = (4,)
