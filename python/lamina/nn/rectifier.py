"""Activation functions made of straight lines, as modules: ReLU and its relatives."""

from __future__ import annotations

from lamina import _core
from lamina._core import Tensor
from lamina.nn import init
from lamina.nn.activation import _Activation, _InPlace
from lamina.nn.module import Module
from lamina.nn.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar


class ReLU(_InPlace):
    """``max(x, 0)``.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.ReLU()(lamina.tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return _core.relu(input, self.inplace)


class LeakyReLU(_Activation):
    """``x`` where it is positive, ``negative_slope * x`` elsewhere.

    Parameters
    ----------
    negative_slope : float, default 0.01
        Slope for negative input.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.LeakyReLU(0.5)(lamina.tensor([-1.0, 2.0])).tolist()
    [-0.5, 2.0]
    """

    _settings = ("negative_slope", "inplace")

    def __init__(self, negative_slope: float = 1e-2, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return _core.leaky_relu(input, self.negative_slope, self.inplace)


class PReLU(Module):
    """``x`` where it is positive, ``weight * x`` elsewhere; the slope is learned.

    He et al., "Delving Deep into Rectifiers", 2015.

    Parameters
    ----------
    num_parameters : int, default 1
        1, or the size of dimension 1 of the input, for a slope of its own for each channel.
    init : float, default 0.25
        What each slope starts as.
    device, dtype : optional
        Where and as what the parameter is made.

    Attributes
    ----------
    weight : Parameter, [num_parameters]

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.PReLU()(lamina.tensor([-1.0, 2.0])).tolist()
    [-0.25, 2.0]
    """

    def __init__(
        self,
        num_parameters: int = 1,
        init: float = 0.25,
        device: Any = None,
        dtype: _core.dtype | None = None,
    ) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = Parameter(_core.empty((num_parameters,), dtype=dtype, device=device))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set every slope to what it started as."""
        init.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        """Any shape; [N, C, ...] for a slope a channel."""
        return _core.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """Show how many slopes there are."""
        return f"num_parameters={self.num_parameters}"


class RReLU(_Activation):
    """:class:`LeakyReLU` with a slope drawn for each element in training.

    Uniformly from ``[lower, upper)``; in evaluation mode the slope is the middle of the two. Xu et
    al., "Empirical Evaluation of Rectified Activations in Convolutional Network", 2015.

    Parameters
    ----------
    lower, upper : float, default 1/8 and 1/3
        The ends of the interval.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.RReLU(0.25, 0.75).eval()(lamina.tensor([-1.0, 2.0])).tolist()
    [-0.5, 2.0]
    """

    _settings = ("lower", "upper", "inplace")

    def __init__(
        self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False
    ) -> None:
        super().__init__()
        self.lower = lower
        self.upper = upper
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return _core.rrelu(input, self.lower, self.upper, self.training, self.inplace)


class Threshold(_Activation):
    """``x`` where it is above ``threshold``, ``value`` elsewhere.

    Parameters
    ----------
    threshold : float
        What the input is compared with.
    value : float
        What becomes of input that is not above it.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.Threshold(0.5, 9.0)(lamina.tensor([0.25, 2.0])).tolist()
    [9.0, 2.0]
    """

    _settings = ("threshold", "value", "inplace")

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold = threshold
        self.value = value
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return _core.threshold(input, self.threshold, self.value, self.inplace)


class Hardtanh(_Activation):
    """``x``, moved into ``[min_val, max_val]``.

    Parameters
    ----------
    min_val, max_val : float, default -1 and 1
        The ends of the interval; outside, and at the ends, the slope is 0.

    Raises
    ------
    ValueError
        If ``min_val`` is not less than ``max_val``.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.Hardtanh()(lamina.tensor([-3.0, 0.5, 3.0])).tolist()
    [-1.0, 0.5, 1.0]
    """

    _settings: ClassVar[tuple[str, ...]] = ("min_val", "max_val", "inplace")

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        if not min_val < max_val:
            raise ValueError(
                f"{type(self).__name__}: min_val must be less than max_val, "
                f"got {min_val} and {max_val}"
            )
        self.min_val = min_val
        self.max_val = max_val
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return _core.hardtanh(input, self.min_val, self.max_val, self.inplace)


class ReLU6(Hardtanh):
    """``min(max(x, 0), 6)``.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.ReLU6()(lamina.tensor([-1.0, 2.0, 7.0])).tolist()
    [0.0, 2.0, 6.0]
    """

    _settings = ("inplace",)

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)


class Hardsigmoid(_InPlace):
    """``min(max(x + 3, 0), 6) / 6``: a :class:`Sigmoid` of three lines.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.Hardsigmoid()(lamina.tensor([-3.0, 0.0, 3.0])).tolist()
    [0.0, 0.5, 1.0]
    """

    _settings = ()  # PyTorch shows none

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return _core.hardsigmoid(input, self.inplace)


class Hardswish(_InPlace):
    """``x * min(max(x + 3, 0), 6) / 6``: a :class:`SiLU` without exponentials.

    Howard et al., "Searching for MobileNetV3", 2019.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.Hardswish()(lamina.tensor([-3.0, 1.5, 3.0])).tolist()
    [-0.0, 1.125, 3.0]
    """

    _settings = ()  # PyTorch shows none

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return _core.hardswish(input, self.inplace)


class _Shrink(_Activation):
    """What is 0 around 0."""

    _settings = ("lambd",)

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def extra_repr(self) -> str:
        """Show the half width of the interval."""
        return str(self.lambd)


class Softshrink(_Shrink):
    """``x`` moved towards 0 by ``lambd``, and 0 where it is no farther than that.

    Parameters
    ----------
    lambd : float, default 0.5
        Not negative.

    Raises
    ------
    ValueError
        By a call, if ``lambd`` is negative.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.Softshrink()(lamina.tensor([-2.0, 0.25, 2.0])).tolist()
    [-1.5, 0.0, 1.5]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return _core.softshrink(input, self.lambd)


class Hardshrink(_Shrink):
    """``x``, but 0 where ``|x| <= lambd``.

    Parameters
    ----------
    lambd : float, default 0.5
        Half the width of the interval.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.Hardshrink()(lamina.tensor([-2.0, 0.25, 2.0])).tolist()
    [-2.0, 0.0, 2.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return _core.hardshrink(input, self.lambd)
