"""Fully connected layers of one input, and of two."""

from __future__ import annotations

import math

from lamina import _core
from lamina._core import Tensor, bilinear, linear
from lamina.nn import init
from lamina.nn.module import Module
from lamina.nn.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Linear(Module):
    """``y = x W^T + b``, for the last dimension of ``x``.

    Parameters
    ----------
    in_features : int
        Size of the last dimension of the input.
    out_features : int
        Size of the last dimension of the output.
    bias : bool, default True
        Whether there is an additive ``b``.
    device, dtype : optional
        Where and as what the parameters are made.

    Attributes
    ----------
    weight : Parameter, [out_features, in_features]
    bias : Parameter, [out_features], or None
        Both start uniform in ``(-1/sqrt(in_features), 1/sqrt(in_features))``.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> tuple(nn.Linear(20, 5)(lamina.zeros(32, 20)).shape)
    (32, 5)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: _core.dtype | None = None,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        shape = (out_features, in_features)
        self.weight = Parameter(_core.empty(shape, dtype=dtype, device=device))
        self.bias: Parameter | None
        self.register_parameter(
            "bias",
            Parameter(_core.empty((out_features,), dtype=dtype, device=device)) if bias else None,
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new values, as at the start."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))  # the bound is then 1/sqrt(fan_in)
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features else 0.0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        """Map ``[..., in_features]`` to ``[..., out_features]``."""
        return linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Show the sizes, and whether there is a bias."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class Bilinear(Module):
    """``y[k] = x1 W[k] x2 + b[k]``, for the last dimensions of ``x1`` and ``x2``.

    Parameters
    ----------
    in1_features, in2_features : int
        Sizes of the last dimensions of the inputs.
    out_features : int
        Size of the last dimension of the output.
    bias : bool, default True
        Whether there is an additive ``b``.
    device, dtype : optional
        Where and as what the parameters are made.

    Attributes
    ----------
    weight : Parameter, [out_features, in1_features, in2_features]
    bias : Parameter, [out_features], or None
        Both start uniform in ``(-1/sqrt(in1_features), 1/sqrt(in1_features))``.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> tuple(nn.Bilinear(20, 30, 5)(lamina.zeros(8, 20), lamina.zeros(8, 30)).shape)
    (8, 5)
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: _core.dtype | None = None,
    ) -> None:
        super().__init__()
        if in1_features <= 0:
            raise ValueError(f"Bilinear: in1_features must be positive, got {in1_features}")
        self.in1_features = in1_features
        self.in2_features = in2_features
        self.out_features = out_features
        shape = (out_features, in1_features, in2_features)
        self.weight = Parameter(_core.empty(shape, dtype=dtype, device=device))
        self.bias: Parameter | None
        self.register_parameter(
            "bias",
            Parameter(_core.empty((out_features,), dtype=dtype, device=device)) if bias else None,
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new values, as at the start."""
        bound = 1 / math.sqrt(self.in1_features)
        for parameter in (self.weight, self.bias):
            if parameter is not None:
                init.uniform_(parameter, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        """Map ``[..., in1_features]`` and ``[..., in2_features]`` to ``[..., out_features]``."""
        return bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Show the sizes, and whether there is a bias."""
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )
