"""Modules that hold other modules in order."""

from __future__ import annotations

from itertools import islice

from lamina._core import Tensor, run_layers
from lamina.nn.module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, overload

    from typing_extensions import Self


class _Ordered(Module):
    """A list of child modules, named by their place unless names were given."""

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._listed())

    def _listed(self) -> list[Module]:
        return [module for module in self._modules.values() if module is not None]

    def _name_at(self, index: int) -> str:
        size = len(self)
        if not hasattr(index, "__index__"):
            raise TypeError(
                f"{type(self).__name__}: indices are integers or slices, got {type(index).__name__}"
            )
        place = index.__index__()
        if not -size <= place < size:
            raise IndexError(
                f"{type(self).__name__}: index {place} is out of range for {size} module(s)"
            )
        return next(islice(self._modules, place % size, None))

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, index: int) -> Module: ...
        @overload
        def __getitem__(self, index: slice) -> Self: ...

    def __getitem__(self, index: int | slice) -> Module | Self:
        if isinstance(index, slice):
            return self._of(list(self._modules.items())[index])
        return self.__dict__[self._name_at(index)]  # type: ignore[no-any-return]

    def _of(self, named: list[tuple[str, Module | None]]) -> Self:
        """Make a module of the same class that shares these children."""
        made = type(self)()
        for name, module in named:
            made.add_module(name, module)
        return made

    def __setitem__(self, index: int, module: Module) -> None:
        self.add_module(self._name_at(index), module)

    def __delitem__(self, index: int | slice) -> None:
        names = list(self._modules)
        for name in names[index] if isinstance(index, slice) else [self._name_at(index)]:
            delattr(self, name)
        self._renumber(self._listed())

    def _renumber(self, modules: Iterable[Module]) -> None:
        """Hold ``modules``, named by their place."""
        listed = list(modules)
        for module in listed:
            if not isinstance(module, Module):
                raise TypeError(
                    f"{type(self).__name__}: expected a Module, got {type(module).__name__}"
                )
        for name in list(self._modules):
            delattr(self, name)
        for place, module in enumerate(listed):
            self.add_module(str(place), module)

    def append(self, module: Module) -> Self:
        """Add ``module`` at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add each of ``modules`` at the end."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Put ``module`` before the one at ``index``; those after it move up by one."""
        if not -len(self) <= index <= len(self):
            raise IndexError(
                f"{type(self).__name__}: index {index} is out of range for {len(self)} module(s)"
            )
        listed = self._listed()
        listed.insert(index, module)
        self._renumber(listed)
        return self

    def pop(self, index: int) -> Module:
        """Remove the module at ``index`` and return it."""
        module = self[index]
        del self[index]
        return module


class Sequential(_Ordered):
    """Modules applied one after another.

    Parameters
    ----------
    *modules : Module, or one dict of str to Module
        The modules in order; from a dict they take their names.

    Examples
    --------
    >>> from lamina import nn
    >>> nn.Sequential(nn.Linear(4, 2), nn.ReLU())
    Sequential(
      (0): Linear(in_features=4, out_features=2, bias=True)
      (1): ReLU()
    )
    """

    def __init__(self, *modules: Module | dict[str, Module]) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], dict):
            named: Iterable[tuple[str, Any]] = modules[0].items()
        else:
            named = ((str(place), module) for place, module in enumerate(modules))
        for name, module in named:
            if not isinstance(module, Module):
                raise TypeError(
                    f"Sequential: module {name!r} must be a Module, got {type(module).__name__}"
                )
            self.add_module(name, module)

    def __add__(self, other: Sequential) -> Sequential:
        if not isinstance(other, Sequential):
            return NotImplemented
        return Sequential(*self, *other)

    def __iadd__(self, other: Sequential) -> Self:
        if not isinstance(other, Sequential):
            return NotImplemented
        return self.extend(other)

    def __mul__(self, times: int) -> Sequential:
        return Sequential(*(list(self) * self._times(times)))

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Self:
        return self.extend(list(self) * (self._times(times) - 1))

    @staticmethod
    def _times(times: Any) -> int:
        if not isinstance(times, int) or isinstance(times, bool):
            raise TypeError(f"Sequential: repeats an integer number of times, not {times!r}")
        if times < 1:
            raise ValueError(f"Sequential: repeats at least once, got {times}")
        return times

    def forward(self, input: Any) -> Any:
        """Apply every module to the result of the one before.

        A Linear or BatchNorm that is followed by an activation runs as one op with it.
        """
        return run_layers(self, input)


class ModuleList(_Ordered):
    """A list whose modules are registered; it has no ``forward`` of its own.

    Parameters
    ----------
    modules : iterable of Module, optional
        The modules to begin with.

    Examples
    --------
    >>> from lamina import nn
    >>> layers = nn.ModuleList(nn.Linear(3, 3) for _ in range(2))
    >>> len(layers), len(list(layers.parameters()))
    (2, 4)
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def __iadd__(self, modules: Iterable[Module]) -> Self:
        return self.extend(modules)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def _repr_children(self) -> list[str]:
        """Put runs of modules with the same repr on one line: ``(0-2): 3 x ReLU()``."""
        texts = [repr(module) for module in self]
        lines = []
        first = 0
        for place in range(1, len(texts) + 1):
            if place == len(texts) or texts[place] != texts[first]:
                run = place - first
                label = f"({first})" if run == 1 else f"({first}-{place - 1})"
                times = "" if run == 1 else f"{run} x "
                lines.append(f"{label}: {times}{texts[first]}")
                first = place
        return lines


class Identity(Module):
    """Returns its input; stands in where a module is expected. Arguments are ignored.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.Identity()(lamina.ones(2)).tolist()
    [1.0, 1.0]
    """

    def __init__(self, *_args: object, **_kwargs: object) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        """Return ``input`` itself."""
        return input


class Flatten(Module):
    """Joins the dimensions ``start_dim`` to ``end_dim`` into one.

    Parameters
    ----------
    start_dim : int, default 1
        The first dimension joined; the default keeps the batch.
    end_dim : int, default -1
        The last dimension joined.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> tuple(nn.Flatten()(lamina.zeros(5, 8, 8)).shape)
    (5, 64)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        """Return a view where the strides allow it, else a copy."""
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """Show the two dimensions."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Makes one dimension several.

    Parameters
    ----------
    dim : int
        The dimension.
    unflattened_size : tuple of int
        The sizes it gets; one may be -1.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> tuple(nn.Unflatten(1, (8, -1))(lamina.zeros(5, 64)).shape)
    (5, 8, 8)
    """

    def __init__(self, dim: int, unflattened_size: tuple[int, ...]) -> None:
        super().__init__()
        if not isinstance(dim, int):
            raise TypeError(f"Unflatten: dim must be an int, got {type(dim).__name__}")
        sizes: object = unflattened_size
        if not isinstance(sizes, (tuple, list)) or not all(isinstance(n, int) for n in sizes):
            raise TypeError(f"Unflatten: unflattened_size must be a tuple of ints, got {sizes!r}")
        self.dim = dim
        self.unflattened_size = unflattened_size

    def forward(self, input: Tensor) -> Tensor:
        """Return a view where the strides allow it, else a copy."""
        return input.unflatten(self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        """Show the dimension, and the sizes."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
