"""Norms that look at one sample only: layer, RMS, group and local response norm."""

from __future__ import annotations

import operator

from lamina import _core
from lamina._core import Tensor, group_norm, layer_norm, local_response_norm, rms_norm
from lamina.autograd.grad_mode import no_grad
from lamina.nn.module import Module
from lamina.nn.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


class _Affine(Module):
    """A scale that starts at 1 and a shift that starts at 0, or None in place of either."""

    weight: Parameter | None
    bias: Parameter | None

    def _make(
        self, sizes: tuple[int, ...], names: Sequence[str], wanted: Sequence[bool], **made: Any
    ) -> None:
        for name, want in zip(names, wanted, strict=True):
            self.register_parameter(name, Parameter(_core.empty(sizes, **made)) if want else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start anew: scale 1 and shift 0."""
        with no_grad():
            for name, value in self._parameters.items():
                if value is not None:
                    value.fill_(1 if name == "weight" else 0)


def _shape(normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    if hasattr(normalized_shape, "__index__"):
        return (operator.index(normalized_shape),)
    return tuple(normalized_shape)


class LayerNorm(_Affine):
    """Normalization of each sample over its last dimensions.

    ``y = (x - mean) / sqrt(var + eps) * weight + bias``, mean and (biased) variance being taken
    over the last dimensions, whose sizes are ``normalized_shape``. Ba, Kiros and Hinton, "Layer
    Normalization", arXiv 1607.06450.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        The sizes of the last dimensions of the input; an int stands for one dimension.
    eps : float, default 1e-5
        Added to the variance.
    elementwise_affine : bool, default True
        Whether there are a trained ``weight`` (starts at 1) and ``bias`` (starts at 0), of sizes
        ``normalized_shape``.
    bias : bool, default True
        Whether ``elementwise_affine`` includes the shift.
    device, dtype : optional
        Where and as what the parameters are made.

    Raises
    ------
    ValueError
        By a call: if the last sizes of the input are others.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.LayerNorm(2)(lamina.tensor([[1.0, 3.0], [9.0, 7.0]])).round().tolist()
    [[-1.0, 1.0], [1.0, -1.0]]
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: _core.dtype | None = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        wanted = (elementwise_affine, elementwise_affine and bias)
        self._make(self.normalized_shape, ("weight", "bias"), wanted, device=device, dtype=dtype)

    def forward(self, input: Tensor) -> Tensor:
        """Normalize the last dimensions of ``input``."""
        return layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Show the settings, in the order of the arguments."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


class RMSNorm(_Affine):
    """Scaling of each sample by the root mean square of its last dimensions.

    ``y = x / sqrt(mean(x^2) + eps) * weight``. Zhang and Sennrich, "Root Mean Square Layer
    Normalization", NeurIPS 2019.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        The sizes of the last dimensions of the input; an int stands for one dimension.
    eps : float or None, default None
        Added to the mean square; None is the epsilon of the input's dtype.
    elementwise_affine : bool, default True
        Whether there is a trained ``weight`` (starts at 1), of sizes ``normalized_shape``.
    device, dtype : optional
        Where and as what the parameter is made.

    Raises
    ------
    ValueError
        By a call: if the last sizes of the input are others.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.RMSNorm(2, elementwise_affine=False)(lamina.tensor([1.0, 7.0]))
    tensor([0.2000, 1.4000])
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: _core.dtype | None = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self._make(
            self.normalized_shape, ("weight",), (elementwise_affine,), device=device, dtype=dtype
        )

    def forward(self, input: Tensor) -> Tensor:
        """Scale the last dimensions of ``input``."""
        return rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """Show the settings, in the order of the arguments."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class GroupNorm(_Affine):
    """Normalization of groups of channels of each sample of ``[N, C, ...]``.

    ``y = (x - mean) / sqrt(var + eps) * weight + bias``, mean and (biased) variance being those
    of the C / num_groups channels of a group. Wu and He, "Group Normalization", ECCV 2018.

    Parameters
    ----------
    num_groups : int
        Number of groups; it divides ``num_channels``.
    num_channels : int
        C.
    eps : float, default 1e-5
        Added to the variance.
    affine : bool, default True
        Whether there are a trained ``weight`` (starts at 1) and ``bias`` (starts at 0), [C].
    device, dtype : optional
        Where and as what the parameters are made.
    bias : bool, default True
        By keyword: whether ``affine`` includes the shift.

    Raises
    ------
    ValueError
        If ``num_channels`` is not divisible by ``num_groups``; by a call, if the input has
        another number of channels.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> x = lamina.tensor([[1.0, 3.0, 8.0, 4.0]])
    >>> nn.GroupNorm(2, 4)(x).round().tolist()
    [[-1.0, 1.0, 1.0, -1.0]]
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: _core.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_groups < 1 or num_channels % num_groups != 0:
            raise ValueError(
                f"GroupNorm: num_channels must be divisible by num_groups, "
                f"got {num_channels} and {num_groups}"
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        self._make(
            (num_channels,),
            ("weight", "bias"),
            (affine, affine and bias),
            device=device,
            dtype=dtype,
        )

    def forward(self, input: Tensor) -> Tensor:
        """Normalize the groups of ``input``."""
        return group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Show the settings, in the order of the arguments."""
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class LocalResponseNorm(Module):
    """Division of each element of ``[N, C, ...]`` by what its neighbouring channels hold there.

    ``y = x / (k + alpha / size * sum(x^2))^beta``, the sum being over a window of ``size``
    channels around the element's own, with zeros beyond the first and the last. Krizhevsky,
    Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural Networks",
    NeurIPS 2012.

    Parameters
    ----------
    size : int
        Channels in the window; of an even number, one more lies before the element's own.
    alpha, beta, k : float, default 1e-4, 0.75, 1.0
        The constants of the formula.

    Raises
    ------
    ValueError
        By a call: if the input has fewer than three dimensions.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> norm = nn.LocalResponseNorm(2, alpha=1.0, beta=1.0)
    >>> norm(lamina.tensor([[[2.0], [4.0]]])).flatten()
    tensor([0.6667, 0.3636])
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        """Divide ``input`` by its neighbourhood."""
        return local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """Show the settings, in the order of the arguments."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
