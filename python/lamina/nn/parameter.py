"""`Parameter` and `Buffer`: tensors that belong to a module."""

from __future__ import annotations

from lamina import _core
from lamina._core import Tensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Parameter(Tensor):
    """A leaf tensor that a :class:`Module` lists among its parameters once it is an attribute.

    Parameters
    ----------
    data : Tensor, optional
        The values; they are shared, not copied. Default: an empty tensor.
    requires_grad : bool, default True
        Whether gradients are accumulated into ``.grad``.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> weight = nn.Parameter(lamina.zeros(2))
    >>> weight.requires_grad, weight.is_leaf
    (True, True)
    """

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
        """Make an alias of ``data`` that is a leaf."""
        if data is None:
            data = _core.empty(0)
        if not isinstance(data, Tensor):
            raise TypeError(f"Parameter: data must be a Tensor, got {type(data).__name__}")
        self: Parameter = Tensor.__new__(cls, data.detach())
        self.requires_grad_(requires_grad)
        return self

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        """Everything is done by ``__new__``."""

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        copied: Parameter | None = memo.get(id(self))
        if copied is None:
            copied = memo[id(self)] = type(self)(self.data.clone(), self.requires_grad)
        return copied

    def __reduce_ex__(self, protocol: object) -> tuple[Callable[..., Parameter], tuple[Any, ...]]:
        return type(self), (self.data, self.requires_grad)


class Buffer(Tensor):
    """A tensor that a :class:`Module` lists among its buffers once it is an attribute.

    Assigning one does what ``register_buffer`` does.

    Parameters
    ----------
    data : Tensor, optional
        The values; they are shared, not copied. Default: an empty tensor.
    persistent : bool, default True
        Whether it is part of the module's ``state_dict``.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> module = nn.Module()
    >>> module.mean = nn.Buffer(lamina.zeros(2))
    >>> list(module.state_dict())
    ['mean']
    """

    persistent: bool

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Buffer:
        """Make an alias of ``data`` that remembers whether it is saved."""
        if data is None:
            data = _core.empty(0)
        if not isinstance(data, Tensor):
            raise TypeError(f"Buffer: data must be a Tensor, got {type(data).__name__}")
        self: Buffer = Tensor.__new__(cls, data.detach())
        self.requires_grad_(data.requires_grad)
        self.persistent = persistent
        return self

    def __init__(self, data: Tensor | None = None, *, persistent: bool = True) -> None:
        """Everything is done by ``__new__``."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Buffer:
        copied: Buffer | None = memo.get(id(self))
        if copied is None:
            copied = memo[id(self)] = type(self)(self.clone(), persistent=self.persistent)
        return copied

    def __reduce_ex__(self, protocol: object) -> tuple[Callable[..., Buffer], tuple[Any, ...]]:
        return _make_buffer, (type(self), self.detach(), self.persistent)


def _make_buffer(cls: type[Buffer], data: Tensor, persistent: bool) -> Buffer:
    return cls(data, persistent=persistent)
