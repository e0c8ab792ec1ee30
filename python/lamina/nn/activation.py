"""Activation functions as modules: each calls the function of `lamina.nn.functional`."""

from __future__ import annotations

from lamina import _core
from lamina._core import Tensor
from lamina.nn.module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar


class _Activation(Module):
    """A module without parameters whose settings are the attributes in ``_settings``."""

    _settings: ClassVar[tuple[str, ...]] = ()

    def extra_repr(self) -> str:
        """Show the settings; ``inplace`` only where it is on."""
        shown = ((name, getattr(self, name)) for name in self._settings)
        return ", ".join(f"{name}={v!r}" for name, v in shown if name != "inplace" or v)


class ReLU(_Activation):
    """``max(x, 0)``. With ``inplace`` the input is overwritten.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.ReLU()(lamina.tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    _settings = ("inplace",)

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        result = _core.relu(input)
        return input.copy_(result) if self.inplace else result


class LeakyReLU(_Activation):
    """``x`` where it is positive, ``negative_slope * x`` elsewhere.

    Parameters
    ----------
    negative_slope : float, default 0.01
        Slope for negative input.
    inplace : bool, default False
        Overwrite the input.

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
        if self.inplace:  # the backward pass needs the input that is overwritten
            return input.copy_(_core.leaky_relu(input.clone(), self.negative_slope))
        return _core.leaky_relu(input, self.negative_slope)


class Sigmoid(_Activation):
    """``1 / (1 + exp(-x))``.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.Sigmoid()(lamina.zeros(2)).tolist()
    [0.5, 0.5]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return _core.sigmoid(input)


class Tanh(_Activation):
    """The hyperbolic tangent.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.Tanh()(lamina.zeros(2)).tolist()
    [0.0, 0.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return _core.tanh(input)


class GELU(_Activation):
    """``x * Phi(x)``, with Phi the normal distribution function.

    Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016.

    Parameters
    ----------
    approximate : {"none", "tanh"}, default "none"
        Exact by erf, or ``0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))``.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.GELU()(lamina.tensor([0.0, 10.0])).tolist()
    [0.0, 10.0]
    """

    _settings = ("approximate",)

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise ValueError(f"GELU: approximate must be 'none' or 'tanh', got {approximate!r}")
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return _core.gelu(input, approximate=self.approximate)


class Softmax(_Activation):
    """``exp(x) / sum(exp(x))`` along ``dim``.

    Parameters
    ----------
    dim : int
        The dimension along which the results sum to 1. It must be given; PyTorch's guess from
        the rank of the input is deprecated there.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.Softmax(dim=1)(lamina.zeros(1, 4)).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """

    _settings = ("dim",)

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Any shape that has ``dim``."""
        return _core.softmax(input, self.dim)


class LogSoftmax(_Activation):
    """The logarithm of :class:`Softmax`, without its loss of small values.

    Parameters
    ----------
    dim : int
        The dimension along which the exponentials of the results sum to 1; must be given.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.LogSoftmax(dim=0)(lamina.zeros(4)).exp().tolist()
    [0.25, 0.25, 0.25, 0.25]
    """

    _settings = ("dim",)

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Any shape that has ``dim``."""
        return _core.log_softmax(input, self.dim)
