"""`ModuleState`: a module's state as a dict of tensors, out and in again."""

from __future__ import annotations

from collections import OrderedDict, namedtuple

from lamina._core import Tensor
from lamina.autograd.grad_mode import no_grad
from lamina.nn._hooks import RemovableHandle
from lamina.nn._tree import BUFFER, MODULE, PARAMETER, ModuleTree
from lamina.nn.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any


IncompatibleKeys = namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])


class _StateHooks:
    """What runs around a module's part of ``state_dict`` and ``load_state_dict``."""

    def __init__(self) -> None:
        self.before_save: dict[int, Callable[..., Any]] = {}
        self.after_save: dict[int, Callable[..., Any]] = {}
        self.before_load: dict[int, Callable[..., Any]] = {}
        self.after_load: dict[int, Callable[..., Any]] = {}


class ModuleState(ModuleTree):
    """The part of :class:`lamina.nn.Module` that gives and takes its state."""

    # Apart from the hooks on calls: a module with these alone is still called without a detour.
    _state_hooks: _StateHooks | None = None

    def state_dict(
        self,
        *,
        destination: dict[str, Tensor] | None = None,
        prefix: str = "",
        keep_vars: bool = False,
    ) -> dict[str, Tensor]:
        """Parameters and persistent buffers by dotted path.

        Parameters
        ----------
        destination : dict, optional
            Filled and returned instead of a new OrderedDict.
        prefix : str, default ""
            Put before every key.
        keep_vars : bool, default False
            Give the parameters themselves instead of detached tensors that share their data.

        Examples
        --------
        >>> from lamina import nn
        >>> list(nn.Sequential(nn.Linear(2, 1), nn.ReLU()).state_dict())
        ['0.weight', '0.bias']
        """
        state: dict[str, Tensor] = OrderedDict() if destination is None else destination
        hooks = self._state_hooks
        for before in list(hooks.before_save.values()) if hooks else ():
            before(self, prefix, keep_vars)
        for name, value in self._own_state():
            state[prefix + name] = value if keep_vars else value.detach()
        for name, module in self._own(MODULE).items():
            if module is not None:
                module.state_dict(destination=state, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for after in list(hooks.after_save.values()) if hooks else ():
            after(self, state, prefix, {})
        return state

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy values from ``state_dict`` into the parameters and persistent buffers.

        Everything is checked first: after an error the module is what it was (except that keys
        are looked at last where a post hook may still forgive them).

        Parameters
        ----------
        state_dict : mapping of str to Tensor
            As :meth:`state_dict` gives it.
        strict : bool, default True
            Refuse missing and unexpected keys, instead of returning them.
        assign : bool, default False
            Take the tensors themselves, with their dtype and device, instead of copying their
            values and converting them to the module's. Parameters keep their ``requires_grad``;
            an optimizer made before holds the old ones.

        Returns
        -------
        IncompatibleKeys
            Named tuple ``(missing_keys, unexpected_keys)`` of lists.

        Raises
        ------
        TypeError
            If ``state_dict`` is not a mapping.
        RuntimeError
            Lists, with ``strict``, the missing and unexpected keys, and always the entries
            that are no tensors or differ in shape.
        """
        if not hasattr(state_dict, "keys"):
            raise TypeError(f"load_state_dict: expected a mapping, got {type(state_dict).__name__}")
        state = dict(state_dict)  # hooks may change it
        errors: list[str] = []
        missing: list[str] = []
        unexpected: list[str] = []
        self._before_load("", state, strict, (missing, unexpected, errors))
        places = {key: (owner, name) for key, owner, name in self._places()}
        missing += [key for key in places if key not in state]
        unexpected += [key for key in state if key not in places]
        for key, (owner, name) in places.items():
            if key not in state:
                continue
            value, own = state[key], owner.__dict__[name]
            if not isinstance(value, Tensor):
                errors.append(f"{key} in state_dict must be a Tensor, got {type(value).__name__}")
            elif value.shape != own.shape:
                errors.append(
                    f"size mismatch for {key}: copying a param with shape {list(value.shape)} "
                    f"from checkpoint, the shape in current model is {list(own.shape)}."
                )
        late = any(m._state_hooks and m._state_hooks.after_load for m in self.modules())
        self._refuse(places, state, (missing, unexpected, errors), strict and not late)
        with no_grad():
            for key, (owner, name) in places.items():
                if key not in state:
                    continue
                if assign:
                    owner._take(name, state[key])
                else:
                    owner.__dict__[name].copy_(state[key])
        result = IncompatibleKeys(missing, unexpected)
        for module in self.modules():
            hooks = module._state_hooks
            for after in list(hooks.after_load.values()) if hooks else ():
                after(module, result)
        if late:
            self._refuse(places, state, (missing, unexpected, []), strict)
        return result

    def _own_state(self) -> Iterator[tuple[str, Tensor]]:
        for name, value in (self._own(PARAMETER) | self._own(BUFFER)).items():
            if value is not None and name not in self._transient:
                yield name, value

    def _places(self, prefix: str = "") -> Iterator[tuple[str, ModuleState, str]]:
        """Yield each key of the state with the module and the name that it stands for."""
        for name, _ in self._own_state():
            yield prefix + name, self, name
        for name, module in self._own(MODULE).items():
            if module is not None:
                yield from module._places(f"{prefix}{name}.")

    def _take(self, name: str, value: Tensor) -> None:
        own = self.__dict__[name]
        if isinstance(own, Parameter):
            if not isinstance(value, Parameter):
                value = Parameter(value, requires_grad=own.requires_grad)
            else:
                value.requires_grad_(own.requires_grad)
        self.__dict__[name] = value

    def _before_load(
        self,
        prefix: str,
        state: dict[str, Any],
        strict: bool,
        found: tuple[list[str], list[str], list[str]],
    ) -> None:
        hooks = self._state_hooks
        for before in list(hooks.before_load.values()) if hooks else ():
            before(self, state, prefix, {}, strict, *found)
        for name, module in self._own(MODULE).items():
            if module is not None:
                module._before_load(f"{prefix}{name}.", state, strict, found)

    def _refuse(
        self,
        places: Mapping[str, Any],
        state: Mapping[str, Any],
        found: tuple[list[str], list[str], list[str]],
        strict: bool,
    ) -> None:
        """Raise, in PyTorch's words and with advice, where the state does not fit."""
        missing, unexpected, errors = found
        lines = []
        if strict and missing:
            lines.append(f"Missing key(s) in state_dict: {_quoted(missing)}.")
        if strict and unexpected:
            lines.append(f"Unexpected key(s) in state_dict: {_quoted(unexpected)}.")
        lines += errors
        if not lines:
            return
        if strict and (missing or unexpected):
            lines.append(_advice(list(places), list(state), bool(errors)))
        text = f"Error(s) in loading state_dict for {type(self).__name__}:"
        raise RuntimeError("\n  ".join([text, *lines]))

    # -- hooks --------------------------------------------------------------------------------

    def _add_state_hook(self, table: str, hook: Callable[..., Any]) -> RemovableHandle:
        if self._state_hooks is None:
            self._state_hooks = _StateHooks()
        return RemovableHandle(getattr(self._state_hooks, table), hook)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, prefix, keep_vars)`` before this module's state is collected."""
        return self._add_state_hook("before_save", hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, local_metadata)`` once its state is collected.

        It may change ``state_dict`` in place. ``local_metadata`` is always empty.
        """
        return self._add_state_hook("after_save", hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook`` before the module is loaded.

        It is called as ``hook(module, state_dict, prefix, local_metadata, strict, missing_keys,
        unexpected_keys, error_msgs)`` and may change ``state_dict``, a copy, to what this
        module expects, and add to the three lists. ``local_metadata`` is always empty.
        """
        return self._add_state_hook("before_load", hook)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, incompatible_keys)`` once everything is loaded.

        It may change the two lists of ``incompatible_keys`` in place; what is left in them is
        refused when ``strict``.
        """
        return self._add_state_hook("after_load", hook)


def _quoted(keys: list[str]) -> str:
    return ", ".join(f'"{key}"' for key in keys)


def _advice(own: list[str], given: list[str], other_errors: bool) -> str:
    """Say what to do about keys that do not fit."""
    wanted = set(own)
    for key in given[:1]:  # a wrapper's prefix is in front of every key
        for place in [i + 1 for i, letter in enumerate(str(key)) if letter == "."]:
            prefix = str(key)[:place]
            if {str(k).removeprefix(prefix) for k in given} == wanted:
                return (
                    f"Every key begins with {prefix!r}: load "
                    f"{{k.removeprefix({prefix!r}): v for k, v in state_dict.items()}}."
                )
    for key in own[:1]:
        for place in [i + 1 for i, letter in enumerate(key) if letter == "."]:
            prefix = key[:place]
            if {f"{prefix}{k}" for k in given} == wanted:
                return (
                    f"Every key lacks {prefix!r}: load it into the module of that name, or load "
                    f"{{{prefix!r} + k: v for k, v in state_dict.items()}}."
                )
    if not wanted.intersection(given) and given and own:
        return "No key fits: it is the state of another model."
    if other_errors:
        return "strict=False would pass over the keys, but not over the other errors."
    return "strict=False loads what fits and returns the other keys."
