"""Containers that register what they hold: `ModuleDict`, `ParameterList`, `ParameterDict`."""

from __future__ import annotations

from collections.abc import Mapping

from lamina._core import Tensor
from lamina.nn.module import Module
from lamina.nn.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import ItemsView, Iterable, Iterator, KeysView, ValuesView
    from typing import Any, overload

    from typing_extensions import Self

    Entries = Mapping[str, Any] | Iterable[tuple[str, Any]] | Module  # one of those below


def _pairs(who: str, entries: Any) -> list[tuple[str, Any]]:
    """List the entries of a mapping, or of an iterable of pairs."""
    if isinstance(entries, (Mapping, ModuleDict, ParameterDict)):
        return list(entries.items())
    if not hasattr(entries, "__iter__"):
        raise TypeError(
            f"{who}: expected a mapping or pairs of key and value, got {type(entries).__name__}"
        )
    pairs = []
    for place, entry in enumerate(entries):
        if not isinstance(entry, (tuple, list)) or len(entry) != 2:
            raise ValueError(
                f"{who}: entry {place} must be a pair of key and value, got "
                f"{type(entry).__name__}"
                + (f" of length {len(entry)}" if isinstance(entry, (tuple, list)) else "")
            )
        pairs.append((entry[0], entry[1]))
    return pairs


class ModuleDict(Module):
    """A dict whose modules are registered under their keys; it has no ``forward`` of its own.

    Parameters
    ----------
    modules : mapping of str to Module, or iterable of pairs, optional
        The modules to begin with. Their order is kept.

    Examples
    --------
    >>> from lamina import nn
    >>> heads = nn.ModuleDict({"age": nn.Linear(8, 1), "sex": nn.Linear(8, 2)})
    >>> list(heads), heads["sex"].out_features
    (['age', 'sex'], 2)
    """

    def __init__(self, modules: Entries | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Module:
        if key not in self:
            raise KeyError(key)
        return self.__dict__[key]  # type: ignore[no-any-return]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def keys(self) -> KeysView[str]:
        """Return the keys, in order."""
        return self._modules.keys()

    def values(self) -> ValuesView[Any]:
        """Return the modules, in order."""
        return self._modules.values()

    def items(self) -> ItemsView[str, Any]:
        """Return pairs of key and module, in order."""
        return self._modules.items()

    def clear(self) -> None:
        """Remove every module."""
        for key in list(self):
            del self[key]

    def pop(self, key: str) -> Module:
        """Remove a module and return it."""
        module = self[key]
        del self[key]
        return module

    def update(self, modules: Entries) -> None:
        """Add or replace modules, from a mapping or from pairs."""
        for key, module in _pairs("ModuleDict", modules):
            self[key] = module


def _registered(value: Any) -> Any:
    """Make a parameter of a plain tensor; everything else is held as it is."""
    return Parameter(value) if type(value) is Tensor else value


def _described(values: Iterable[tuple[object, Any]]) -> str:
    """Give a line for each value: kind, dtype and sizes of a tensor, the class of anything else."""
    lines = []
    for key, value in values:
        if isinstance(value, Tensor):
            kind = "Parameter" if isinstance(value, Parameter) else "Tensor"
            sizes = "x".join(str(size) for size in value.shape)
            where = "" if value.device.type == "cpu" else f" ({value.device})"
            text = f"{kind} containing: [{value.dtype} of size {sizes}{where}]"
        else:
            text = f"Object of type: {type(value).__name__}"
        lines.append(f"  ({key}): {text}")
    return "\n".join(lines)


class ParameterList(Module):
    """A list whose parameters are registered.

    Parameters
    ----------
    values : iterable, optional
        The values to begin with. Plain tensors become parameters; parameters stay themselves,
        and other values are held unregistered.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> scales = nn.ParameterList(lamina.ones(3) for _ in range(2))
    >>> [name for name, _ in scales.named_parameters()]
    ['0', '1']
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        if values is not None:
            self.extend(values)

    def _name_at(self, index: int) -> str:
        if not hasattr(index, "__index__"):
            raise TypeError(
                f"ParameterList: indices are integers or slices, got {type(index).__name__}"
            )
        place = index.__index__()
        if not -self._size <= place < self._size:
            raise IndexError(
                f"ParameterList: index {place} is out of range for {self._size} value(s)"
            )
        return str(place % self._size)

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, index: int) -> Any: ...
        @overload
        def __getitem__(self, index: slice) -> Self: ...

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return self.__dict__[self._name_at(index)]

    def __setitem__(self, index: int, value: Any) -> None:
        setattr(self, self._name_at(index), _registered(value))

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return iter([self.__dict__[str(place)] for place in range(self._size)])

    def __iadd__(self, values: Iterable[Any]) -> Self:
        return self.extend(values)

    def append(self, value: Any) -> Self:
        """Add ``value`` at the end."""
        setattr(self, str(self._size), _registered(value))
        self._size += 1
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add each of ``values`` at the end."""
        if not hasattr(values, "__iter__") or isinstance(values, Tensor):
            raise TypeError(
                f"ParameterList: expected an iterable of values, got {type(values).__name__}"
            )
        for value in list(values):
            self.append(value)
        return self

    def extra_repr(self) -> str:
        """Show a line for each value."""
        return _described(enumerate(self))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse: a list of parameters computes nothing."""
        raise RuntimeError("a ParameterList should not be called: it computes nothing")


class ParameterDict(Module):
    """A dict whose parameters are registered under their keys.

    Parameters
    ----------
    parameters : mapping of str to value, or iterable of pairs, optional
        The values to begin with. Plain tensors become parameters; parameters stay themselves,
        and other values are held unregistered. Their order is kept.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> rates = nn.ParameterDict({"up": lamina.ones(1), "down": lamina.zeros(1)})
    >>> [name for name, _ in rates.named_parameters()]
    ['up', 'down']
    """

    def __init__(self, parameters: Entries | None = None) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key: str) -> Any:
        if key not in self._keys:
            raise KeyError(key)
        return self.__dict__[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"ParameterDict: keys must be str, got {type(key).__name__}")
        if key not in self._keys and hasattr(self, key):
            raise KeyError(f"ParameterDict: the key {key!r} is taken by an attribute")
        value = _registered(value)
        if isinstance(value, Parameter):
            self.register_parameter(key, value)
        else:
            setattr(self, key, value)
        self._keys[key] = None

    def __delitem__(self, key: str) -> None:
        if key not in self._keys:
            raise KeyError(key)
        del self._keys[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __or__(self, other: ParameterDict) -> ParameterDict:
        made = self.copy()
        made.update(other)
        return made

    def __ior__(self, other: ParameterDict) -> Self:
        self.update(other)
        return self

    def keys(self) -> KeysView[str]:
        """Return the keys, in order."""
        return self._keys.keys()

    def values(self) -> list[Any]:
        """Return the values, in order."""
        return [self.__dict__[key] for key in self._keys]

    def items(self) -> list[tuple[str, Any]]:
        """Return pairs of key and value, in order."""
        return [(key, self.__dict__[key]) for key in self._keys]

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value at ``key``, or ``default``."""
        return self.__dict__[key] if key in self._keys else default

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return the value at ``key``, after putting ``default`` there if there was none."""
        if key not in self._keys:
            self[key] = default
        return self[key]

    def pop(self, key: str) -> Any:
        """Remove a value and return it."""
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Remove the last pair of key and value and return it."""
        if not self._keys:
            raise KeyError("popitem: the ParameterDict is empty")
        key = next(reversed(self._keys))
        return key, self.pop(key)

    def clear(self) -> None:
        """Remove every value."""
        for key in list(self._keys):
            del self[key]

    def copy(self) -> ParameterDict:
        """Return another dict of the same parameters."""
        return type(self)(self.items())

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """Return a dict with ``default`` at each of ``keys``."""
        return type(self)((key, default) for key in keys)

    def update(self, parameters: Entries) -> None:
        """Add or replace values, from a mapping or from pairs."""
        for key, value in _pairs("ParameterDict", parameters):
            self[key] = value

    def extra_repr(self) -> str:
        """Show a line for each value."""
        return _described(self.items())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse: a dict of parameters computes nothing."""
        raise RuntimeError("a ParameterDict should not be called: it computes nothing")
