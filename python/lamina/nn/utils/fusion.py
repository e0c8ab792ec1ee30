"""Joining a layer and the batch norm behind it into one layer, for evaluation."""

from __future__ import annotations

import copy

from lamina._core import Tensor, rsqrt, zeros_like
from lamina.autograd.grad_mode import no_grad
from lamina.nn.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    from lamina.nn.module import Module

    M = TypeVar("M", bound=Module)


def _fused(
    weight: Tensor,
    bias: Tensor | None,
    mean: Tensor,
    var: Tensor,
    eps: float,
    bn_weight: Tensor | None,
    bn_bias: Tensor | None,
    channel_dim: int,
) -> tuple[Parameter, Parameter]:
    with no_grad():
        scale = rsqrt(var + eps)
        if bn_weight is not None:
            scale = scale * bn_weight
        shift = (zeros_like(mean) if bias is None else bias) - mean
        shift = shift * scale
        if bn_bias is not None:
            shift = shift + bn_bias
        shape = [1] * weight.ndim
        shape[channel_dim] = -1
        fused = (weight * scale.reshape(shape)).to(weight.dtype)
    wants = weight.requires_grad if bias is None else bias.requires_grad
    return Parameter(fused, weight.requires_grad), Parameter(shift.to(weight.dtype), wants)


def fuse_conv_bn_weights(
    conv_w: Tensor,
    conv_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """Return weight and bias of the convolution that does what it and the batch norm do.

    Parameters
    ----------
    conv_w, conv_b : Tensor
        Of the convolution; the bias may be None.
    bn_rm, bn_rv : Tensor
        Running mean and variance of the batch norm.
    bn_eps : float
        Its ``eps``.
    bn_w, bn_b : Tensor or None
        Its weight and bias.
    transpose : bool, default False
        Whether the convolution is a transposed one (without groups).

    Examples
    --------
    >>> import lamina
    >>> from lamina.nn.utils import fuse_conv_bn_weights
    >>> one = lamina.ones(1)
    >>> w, b = fuse_conv_bn_weights(lamina.ones(1, 1, 1, 1), None, one, one, 0.0, one * 2, one)
    >>> w.flatten().tolist(), b.tolist()
    ([2.0], [-1.0])
    """
    return _fused(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, 1 if transpose else 0)


def fuse_linear_bn_weights(
    linear_w: Tensor,
    linear_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
) -> tuple[Parameter, Parameter]:
    """Return weight and bias of the Linear that does what it and the batch norm do.

    Parameters
    ----------
    linear_w, linear_b : Tensor
        Of the Linear; the bias may be None.
    bn_rm, bn_rv : Tensor
        Running mean and variance of the batch norm.
    bn_eps : float
        Its ``eps``.
    bn_w, bn_b : Tensor or None
        Its weight and bias.

    Examples
    --------
    >>> import lamina
    >>> from lamina.nn.utils import fuse_linear_bn_weights
    >>> one = lamina.ones(1)
    >>> w, b = fuse_linear_bn_weights(lamina.ones(1, 1), None, one, one, 0.0, one * 2, one)
    >>> w.flatten().tolist(), b.tolist()
    ([2.0], [-1.0])
    """
    return _fused(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, 0)


def _fused_copy(who: str, layer: M, bn: Any, channel_dim: int) -> M:
    if layer.training or bn.training:
        raise ValueError(f"{who}: both modules must be in evaluation mode; call eval() first")
    if bn.running_mean is None:
        raise ValueError(f"{who}: the batch norm keeps no running statistics")
    made: Any = copy.deepcopy(layer)
    statistics = (bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias)
    channels, features = made.weight.shape[channel_dim], bn.running_mean.shape[0]
    if channels != features:
        raise ValueError(f"{who}: the layer gives {channels} channels, the norm has {features}")
    made.weight, made.bias = _fused(made.weight, made.bias, *statistics, channel_dim)
    return made  # type: ignore[no-any-return]


def fuse_conv_bn_eval(conv: M, bn: Module, transpose: bool = False) -> M:
    """Return a copy of a convolution that also does what the batch norm behind it does.

    Parameters
    ----------
    conv, bn : Module
        In evaluation mode; they are not changed.
    transpose : bool, default False
        Whether the convolution is a transposed one.

    Raises
    ------
    ValueError
        If one is in training mode, the norm has no running statistics, or sizes differ.

    Examples
    --------
    >>> from lamina import nn
    >>> nn.utils.fuse_conv_bn_eval(nn.Linear(2, 3), nn.BatchNorm1d(3))
    Traceback (most recent call last):
    ...
    ValueError: fuse_conv_bn_eval: both modules must be in evaluation mode; call eval() first
    """
    return _fused_copy("fuse_conv_bn_eval", conv, bn, 1 if transpose else 0)


def fuse_linear_bn_eval(linear: M, bn: Module) -> M:
    """Return a copy of a Linear that also does what the batch norm behind it does.

    Parameters
    ----------
    linear, bn : Module
        In evaluation mode; they are not changed.

    Raises
    ------
    ValueError
        If one is in training mode, the norm has no running statistics, or sizes differ.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> both = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).eval()
    >>> one = nn.utils.fuse_linear_bn_eval(*both)
    >>> x = lamina.randn(5, 4)
    >>> lamina.allclose(one(x), both(x), atol=1e-5)
    True
    """
    return _fused_copy("fuse_linear_bn_eval", linear, bn, 0)
