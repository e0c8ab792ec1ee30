"""`ModuleTree`: how a module holds its parameters, buffers and children, and walks them.

They are ordinary entries of the instance ``__dict__``, so that reading ``self.weight`` costs what
any attribute costs. ``_registry`` remembers, in order of assignment, which names are which.
"""

from __future__ import annotations

from types import MappingProxyType

from lamina._core import Tensor
from lamina.nn.parameter import Buffer, Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from lamina.nn.module import Module

PARAMETER, BUFFER, MODULE = "parameter", "buffer", "module"


class ModuleTree:
    """The part of :class:`lamina.nn.Module` that knows names and nothing of computing."""

    _registry: dict[str, str]
    _transient: set[str]

    def __init__(self) -> None:
        self.__dict__.update(_registry={}, _transient=set())

    def __setattr__(self, name: str, value: Any) -> None:
        kind = None
        if isinstance(value, Parameter):
            kind = PARAMETER
        elif isinstance(value, ModuleTree):
            kind = MODULE
        elif isinstance(value, Buffer):
            kind = BUFFER
        registry = self.__dict__.get("_registry")
        if registry is None:
            if kind is not None:
                raise AttributeError(f"cannot assign {name!r} before Module.__init__() was called")
        elif kind is not None and not (kind == BUFFER and registry.get(name, BUFFER) != BUFFER):
            self._register(name, value, kind)
            if kind == BUFFER:
                self._set_persistent(name, value.persistent)
            return
        else:
            known = registry.get(name)
            if known is not None and not (
                value is None or (known == BUFFER and isinstance(value, Tensor))
            ):
                wanted = {PARAMETER: "Parameter", BUFFER: "Tensor", MODULE: "Module"}[known]
                raise TypeError(
                    f"cannot assign a {type(value).__name__} to {known} {name!r} "
                    f"({wanted} or None expected)"
                )
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        self._registry.pop(name, None)
        self._transient.discard(name)

    def _register(self, name: str, value: object, kind: str) -> None:
        registry = self.__dict__.get("_registry")
        if registry is None:
            raise AttributeError(f"cannot register {name!r} before Module.__init__() was called")
        if not isinstance(name, str):
            raise TypeError(f"the name of a {kind} must be a str, got {type(name).__name__}")
        if not name or "." in name:
            raise KeyError(f"the name of a {kind} must not be empty or contain '.', got {name!r}")
        known = registry.get(name)
        if known != kind:
            inherited = getattr(type(self), name, None)
            if callable(inherited) or hasattr(type(inherited), "__set__"):
                raise KeyError(f"cannot register {kind} {name!r}: the class has that attribute")
            registry.pop(name, None)  # another kind takes its place at the end of the order
            self._transient.discard(name)
            registry[name] = kind
        self.__dict__[name] = value

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter, or with None the place of one that this module does not have."""
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"register_parameter: {name!r} must be a Parameter or None, "
                f"got {type(param).__name__}"
            )
        self._register_new(name, param, PARAMETER)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is part of the state but not trained.

        Parameters
        ----------
        name : str
            The attribute it becomes.
        tensor : Tensor or None
            Its value.
        persistent : bool, default True
            Whether it is part of :meth:`state_dict`.
        """
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"register_buffer: {name!r} must be a Tensor or None, got {type(tensor).__name__}"
            )
        self._register_new(name, tensor, BUFFER)
        self._set_persistent(name, persistent)

    def _set_persistent(self, name: str, persistent: bool) -> None:
        if persistent:
            self._transient.discard(name)
        else:
            self._transient.add(name)

    def register_module(self, name: str, module: Module | None) -> None:
        """Do the same as :meth:`add_module`."""
        self.add_module(name, module)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child module under ``name``, which need not be an identifier."""
        if module is not None and not isinstance(module, ModuleTree):
            raise TypeError(f"add_module: {name!r} must be a Module, got {type(module).__name__}")
        self._register_new(name, module, MODULE)

    def _register_new(self, name: str, value: object, kind: str) -> None:
        if name in self.__dict__ and self.__dict__["_registry"].get(name) != kind:
            raise KeyError(f"cannot register {kind} {name!r}: the attribute exists already")
        self._register(name, value, kind)

    def _own(self, kind: str) -> dict[str, Any]:
        fields = self.__dict__
        return {name: fields[name] for name, known in self._registry.items() if known == kind}

    @property
    def _parameters(self) -> Mapping[str, Parameter | None]:
        return MappingProxyType(self._own(PARAMETER))  # read only: the values live elsewhere

    @property
    def _buffers(self) -> Mapping[str, Tensor | None]:
        return MappingProxyType(self._own(BUFFER))

    @property
    def _modules(self) -> Mapping[str, Module | None]:
        return MappingProxyType(self._own(MODULE))

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield the direct child modules with their names, each module once."""
        seen: set[int] = set()
        for name, module in self._own(MODULE).items():
            if module is not None and id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def children(self) -> Iterator[Module]:
        """Yield the direct child modules, each once."""
        return (module for _, module in self.named_children())

    def named_modules(
        self, memo: set[int] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Yield this module (named ``prefix``) and all below it, with their dotted paths.

        A module reachable by several paths comes once, unless ``remove_duplicate`` is False.
        """
        seen = set() if memo is None else memo
        if id(self) in seen:
            return
        if remove_duplicate:
            seen.add(id(self))
        yield prefix, self  # type: ignore[misc]
        for name, module in self._own(MODULE).items():
            if module is not None:
                path = f"{prefix}.{name}" if prefix else name
                yield from module.named_modules(seen, path, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """Yield this module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def _named_tensors(
        self, kind: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        owners = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        for path, owner in owners:
            for name, value in owner._own(kind).items():
                if value is None or id(value) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(value))
                yield (f"{path}.{name}" if path else name), value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yield parameters with their dotted paths; a shared one comes once, by its first path."""
        return self._named_tensors(PARAMETER, prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield the parameters of this module and, with ``recurse``, of all below it."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield buffers with their dotted paths; a shared one comes once, by its first path."""
        return self._named_tensors(BUFFER, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Yield the buffers of this module and, with ``recurse``, of all below it."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """Return the module at a dotted path such as ``"encoder.0"``; ``""`` is this module.

        Raises
        ------
        AttributeError
            If a step of the path is missing or is no module.
        """
        module: Module = self  # type: ignore[assignment]
        for name in target.split(".") if target else ():
            found = module._own(MODULE).get(name)
            if found is None:
                raise AttributeError(
                    f"get_submodule: {type(module).__name__} has no module {name!r} "
                    f"(looking for {target!r})"
                )
            module = found
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put ``module`` at a dotted path, in place of what is there.

        With ``strict`` there must be a module at that path.

        Raises
        ------
        ValueError
            If the path is empty, or ``module`` is none.
        AttributeError
            If a step of the path is missing or, with ``strict``, its end is.
        """
        if not target or not isinstance(module, ModuleTree):
            raise ValueError(
                f"set_submodule: needs a path and a Module, got {target!r} and "
                f"{type(module).__name__}"
            )
        parent, _, name = target.rpartition(".")
        if strict:
            self.get_submodule(target)
        setattr(self.get_submodule(parent), name, module)

    def get_parameter(self, target: str) -> Parameter:
        """Return the parameter at a dotted path such as ``"encoder.0.weight"``.

        Raises
        ------
        AttributeError
            If a step of the path is missing or its end is no parameter.
        """
        return self._get_tensor(target, PARAMETER)  # type: ignore[no-any-return]

    def get_buffer(self, target: str) -> Tensor:
        """Return the buffer at a dotted path such as ``"norm.running_mean"``.

        Raises
        ------
        AttributeError
            If a step of the path is missing or its end is no buffer.
        """
        return self._get_tensor(target, BUFFER)  # type: ignore[no-any-return]

    def _get_tensor(self, target: str, kind: str) -> Any:
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        found = owner._own(kind).get(name)
        if found is None:
            raise AttributeError(
                f"get_{kind}: {type(owner).__name__} has no {kind} {name!r} "
                f"(looking for {target!r})"
            )
        return found
