"""Smooth activation functions, and the softmax family, as modules.

Those made of straight lines are in `lamina.nn.rectifier`. Each calls the function of
`lamina.nn.functional`.
"""

from __future__ import annotations

from lamina import _core
from lamina._core import Tensor
from lamina.nn._docs import add_to_section
from lamina.nn.module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar


class _Activation(Module):
    """A module without parameters whose settings are the attributes in ``_settings``."""

    _settings: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        takes_inplace = "inplace" in cls.__init__.__code__.co_varnames
        if takes_inplace and ">>>" in (cls.__doc__ or ""):
            entry = "inplace : bool, default False\n    Overwrite the input, and return it."
            add_to_section(cls, "Parameters", entry)

    def extra_repr(self) -> str:
        """Show the settings; ``inplace`` only where it is on."""
        shown = ((name, getattr(self, name)) for name in self._settings)
        return ", ".join(f"{name}={v!r}" for name, v in shown if name != "inplace" or v)


class _InPlace(_Activation):
    """Whose only setting is ``inplace``."""

    _settings: ClassVar[tuple[str, ...]] = ("inplace",)

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


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


class SiLU(_InPlace):
    """``x * sigmoid(x)``, also called swish.

    Elfwing et al., "Sigmoid-Weighted Linear Units for Neural Network Function Approximation in
    Reinforcement Learning", 2017.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.SiLU()(lamina.tensor([0.0, 100.0])).tolist()
    [0.0, 100.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return _core.silu(input, self.inplace)


class Mish(_InPlace):
    """``x * tanh(log(1 + exp(x)))``.

    Misra, "Mish: A Self Regularized Non-Monotonic Activation Function", 2019.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.Mish()(lamina.tensor([0.0, 100.0])).tolist()
    [0.0, 100.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return _core.mish(input, self.inplace)


class ELU(_Activation):
    """``x`` where it is positive, ``alpha * (exp(x) - 1)`` elsewhere.

    Clevert et al., "Fast and Accurate Deep Network Learning by Exponential Linear Units", 2015.

    Parameters
    ----------
    alpha : float, default 1.0
        Minus the limit for large negative input.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.ELU()(lamina.tensor([-1000.0, 2.0])).tolist()
    [-1.0, 2.0]
    """

    _settings = ("alpha", "inplace")

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return _core.elu(input, self.alpha, self.inplace)


class CELU(_Activation):
    """``x`` where it is positive, ``alpha * (exp(x / alpha) - 1)`` elsewhere.

    Its slope is 1 on both sides of 0. Barron, "Continuously Differentiable Exponential Linear
    Units", 2017.

    Parameters
    ----------
    alpha : float, default 1.0
        Minus the limit for large negative input; not 0.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.CELU(2.0)(lamina.tensor([-1000.0, 2.0])).tolist()
    [-2.0, 2.0]
    """

    _settings = ("alpha", "inplace")

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return _core.celu(input, self.alpha, self.inplace)


class SELU(_InPlace):
    """1.0507 times :class:`ELU` with alpha 1.67326: keeps mean 0 and variance 1.

    Klambauer et al., "Self-Normalizing Neural Networks", 2017; weights must be drawn with
    variance 1 / fan-in.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> round(nn.SELU()(lamina.tensor(1.0)).item(), 4)
    1.0507
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return _core.selu(input, self.inplace)


class Softplus(_Activation):
    """``log(1 + exp(beta * x)) / beta``: a smooth :class:`ReLU`.

    Parameters
    ----------
    beta : float, default 1.0
        How sharp the bend at 0 is.
    threshold : float, default 20.0
        Where ``beta * x`` is larger, the result is ``x``.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.Softplus()(lamina.tensor([-1000.0, 1000.0])).tolist()
    [0.0, 1000.0]
    """

    _settings = ("beta", "threshold")

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return _core.softplus(input, self.beta, self.threshold)


class LogSigmoid(_Activation):
    """``log(sigmoid(x))``, without its underflow.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.LogSigmoid()(lamina.tensor([-1000.0, 1000.0])).tolist()
    [-1000.0, -0.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return _core.logsigmoid(input)


class Softsign(_Activation):
    """``x / (1 + |x|)``.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.Softsign()(lamina.tensor([-1.0, 3.0])).tolist()
    [-0.5, 0.75]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return _core.softsign(input)


class Tanhshrink(_Activation):
    """``x - tanh(x)``.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.Tanhshrink()(lamina.tensor([0.0, 100.0])).tolist()
    [0.0, 99.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return _core.tanhshrink(input)


class GLU(_Activation):
    """The first half of the input, times the sigmoid of the second.

    Dauphin et al., "Language Modeling with Gated Convolutional Networks", 2017.

    Parameters
    ----------
    dim : int, default -1
        The dimension that is halved; its size must be even.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.GLU()(lamina.tensor([2.0, 4.0, 0.0, 0.0])).tolist()
    [1.0, 2.0]
    """

    _settings = ("dim",)

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Any shape with an even size in ``dim``, which the result has half of."""
        return _core.glu(input, self.dim)


class _AlongDim(_Activation):
    """An op along ``dim``, which must be given: PyTorch's guess from the rank is deprecated."""

    _settings = ("dim",)

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim


class Softmax(_AlongDim):
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

    def forward(self, input: Tensor) -> Tensor:
        """Any shape that has ``dim``."""
        return _core.softmax(input, self.dim)


class Softmin(_AlongDim):
    """:class:`Softmax` of ``-x``.

    Parameters
    ----------
    dim : int
        As for :class:`Softmax`.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.Softmin(dim=0)(lamina.tensor([0.0, 1000.0])).tolist()
    [1.0, 0.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape that has ``dim``."""
        return _core.softmin(input, self.dim)


class LogSoftmax(_AlongDim):
    """The logarithm of :class:`Softmax`, without its loss of small values.

    Parameters
    ----------
    dim : int
        As for :class:`Softmax`.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.LogSoftmax(dim=0)(lamina.zeros(4)).exp().tolist()
    [0.25, 0.25, 0.25, 0.25]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape that has ``dim``."""
        return _core.log_softmax(input, self.dim)
