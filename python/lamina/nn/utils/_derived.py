"""A weight that is computed from other parameters before every call of its module."""

from __future__ import annotations

from lamina._core import Tensor
from lamina.autograd.grad_mode import no_grad
from lamina.nn.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    from typing_extensions import Self

    from lamina.nn._hooks import RemovableHandle
    from lamina.nn.module import Module

    M = TypeVar("M", bound=Module)


class DerivedWeight:
    """Puts ``compute(module)`` in the place of the parameter ``name`` while its module is called.

    Between calls the attribute is the last value without its graph, so that the module can be
    copied and pickled.
    """

    #: What users call it, and how other parameters' keys end in PyTorch's two namings:
    #: ours (``weight_g``), and the one below ``parametrizations.weight.``.
    method: str
    keys: tuple[tuple[str, str], ...]

    def __init__(self, name: str) -> None:
        self.name = name
        self.handles: list[RemovableHandle] = []

    def compute(self, module: Module) -> Tensor:
        """Give the weight, with its graph."""
        raise NotImplementedError

    def __call__(self, module: Module, args: Any) -> None:
        setattr(module, self.name, self.compute(module))

    def _let_go(self, module: Module, args: Any, output: Any) -> None:
        setattr(module, self.name, getattr(module, self.name).detach())

    def _rename(self, module: Module, state: dict[str, Any], prefix: str, *_: object) -> None:
        for ours, theirs in self.keys:
            theirs = f"{prefix}parametrizations.{self.name}.{theirs}"
            if theirs in state:
                state.setdefault(f"{prefix}{self.name}{ours}", state.pop(theirs))

    def attach(self, module: Module) -> None:
        """Begin; the parameters that :meth:`compute` needs are there already."""
        if self.name in module._parameters:
            delattr(module, self.name)
        with no_grad():
            setattr(module, self.name, self.compute(module))
        self.handles = [
            module.register_forward_pre_hook(self),
            module.register_forward_hook(self._let_go),
            module.register_load_state_dict_pre_hook(self._rename),
        ]

    def detach(self, module: Module) -> None:
        """End: the last value becomes the parameter again."""
        with no_grad():
            weight = self.compute(module).detach()
        for handle in self.handles:
            handle.remove()
        delattr(module, self.name)
        for ours, _ in self.keys:
            delattr(module, self.name + ours)
        module.register_parameter(self.name, Parameter(weight))

    @classmethod
    def of(cls, module: Module, name: str) -> Self | None:
        """Find the one that is on a module for ``name``."""
        hooks = module._hooks
        for hook, _ in hooks.before.values() if hooks else ():
            if isinstance(hook, cls) and hook.name == name:
                return hook
        return None

    @classmethod
    def removed_from(cls, module: M, name: str) -> M:
        """Take it off a module again."""
        found = cls.of(module, name)
        if found is None:
            raise ValueError(
                f"remove_{cls.method}: {type(module).__name__} has no {cls.method} on {name!r}"
            )
        found.detach(module)
        return module


def parameter_of(who: str, module: Module, name: str) -> Parameter:
    """Give the parameter that is to be replaced, or raise what is wrong."""
    other = DerivedWeight.of(module, name)
    if other is not None:
        raise RuntimeError(
            f"{who}: {name!r} of this {type(module).__name__} has {other.method} already"
        )
    weight = module._parameters.get(name)
    if weight is None:
        has = [key for key, value in module._parameters.items() if value is not None]
        raise ValueError(f"{who}: {type(module).__name__} has no parameter {name!r}; it has {has}")
    return weight
