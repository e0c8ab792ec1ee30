"""Layers that pad the last dimensions: each calls `lamina.nn.functional.pad`."""

from __future__ import annotations

from lamina import _core
from lamina._core import Tensor
from lamina.nn.module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import ClassVar


class _Pad(Module):
    """What the layers share; they differ in mode and dimensions."""

    _mode: ClassVar[str]
    _rank: ClassVar[int]

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        ends = 2 * self._rank
        self.padding = (padding,) * ends if isinstance(padding, int) else tuple(padding)
        if len(self.padding) != ends:
            raise ValueError(
                f"{type(self).__name__}: padding must be an int or {ends} of them, got {padding!r}"
            )

    def forward(self, input: Tensor) -> Tensor:
        """Of at least as many dimensions as are padded."""
        return _core.pad(input, self.padding, self._mode)

    def extra_repr(self) -> str:
        """Show the padding."""
        return f"{self.padding}"


class _ConstantPad(_Pad):
    _mode = "constant"

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        """Of at least as many dimensions as are padded."""
        return _core.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        """Show padding and value."""
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """A constant before and after the last dimension.

    Parameters
    ----------
    padding : int or pair of int
        How many elements: before, after. Negative ones take elements away.
    value : float
        The constant.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.ConstantPad1d((1, 2), 9.0)(lamina.tensor([[1.0, 2.0]])).tolist()
    [[9.0, 1.0, 2.0, 9.0, 9.0]]
    """

    _rank = 1


class ConstantPad2d(_ConstantPad):
    """A constant around the last two dimensions.

    Parameters
    ----------
    padding : int or four of them
        How many columns left and right, rows above and below. Negative ones take elements away.
    value : float
        The constant.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.ConstantPad2d((1, 0, 0, 1), 9.0)(lamina.tensor([[[1.0]]])).tolist()
    [[[9.0, 1.0], [9.0, 9.0]]]
    """

    _rank = 2


class ZeroPad2d(_Pad):
    """Zeros around the last two dimensions.

    Parameters
    ----------
    padding : int or four of them
        How many columns left and right, rows above and below. Negative ones take elements away.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> tuple(nn.ZeroPad2d((1, 1, 2, 2))(lamina.ones(1, 3, 4, 4)).shape)
    (1, 3, 8, 6)
    """

    _mode = "constant"
    _rank = 2


class ReflectionPad1d(_Pad):
    """The last dimension mirrored at its first and last elements, which are not repeated.

    Parameters
    ----------
    padding : int or pair of int
        How many elements: before, after; fewer than there are.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.ReflectionPad1d(2)(lamina.tensor([[1.0, 2.0, 3.0]])).tolist()
    [[3.0, 2.0, 1.0, 2.0, 3.0, 2.0, 1.0]]
    """

    _mode = "reflect"
    _rank = 1


class ReflectionPad2d(_Pad):
    """The last two dimensions mirrored at their first and last elements, which are not repeated.

    Parameters
    ----------
    padding : int or four of them
        How many columns left and right, rows above and below; fewer than there are.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.ReflectionPad2d((1, 0, 0, 1))(lamina.tensor([[[1.0, 2.0], [3.0, 4.0]]])).tolist()
    [[[2.0, 1.0, 2.0], [4.0, 3.0, 4.0], [2.0, 1.0, 2.0]]]
    """

    _mode = "reflect"
    _rank = 2


class ReplicationPad1d(_Pad):
    """The first and last elements of the last dimension repeated.

    Parameters
    ----------
    padding : int or pair of int
        How many elements: before, after.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.ReplicationPad1d((2, 1))(lamina.tensor([[1.0, 2.0]])).tolist()
    [[1.0, 1.0, 1.0, 2.0, 2.0]]
    """

    _mode = "replicate"
    _rank = 1


class ReplicationPad2d(_Pad):
    """The outermost elements of the last two dimensions repeated.

    Parameters
    ----------
    padding : int or four of them
        How many columns left and right, rows above and below.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.ReplicationPad2d((1, 0, 0, 1))(lamina.tensor([[[1.0, 2.0]]])).tolist()
    [[[1.0, 1.0, 2.0], [1.0, 1.0, 2.0]]]
    """

    _mode = "replicate"
    _rank = 2
