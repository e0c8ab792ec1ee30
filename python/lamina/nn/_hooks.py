"""Hooks on modules. A module without hooks never enters this file."""

from __future__ import annotations

from contextlib import suppress
from itertools import accumulate, count

from lamina import _core
from lamina._core import Tensor, is_grad_enabled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from lamina.nn.module import Module

    Gradients = tuple[Tensor | None, ...]

_keys = count()


class RemovableHandle:
    """Removes a hook again: by ``remove()`` or at the end of a ``with`` block."""

    def __init__(
        self, table: dict[int, Any], hook: Any, prepend: bool = False, module: Module | None = None
    ) -> None:
        self._module = module  # whose table of hooks on calls is dropped with its last hook
        self._table = table
        self._key = next(_keys)
        while self._key in table:  # a module that was pickled keeps the keys of its process
            self._key = next(_keys)
        if prepend:
            others = dict(table)
            table.clear()
            table[self._key] = hook
            table.update(others)
        else:
            table[self._key] = hook

    def remove(self) -> None:
        """Take the hook off; doing so twice is harmless."""
        self._table.pop(self._key, None)
        hooks = None if self._module is None else self._module._hooks
        if self._module is not None and hooks is not None and hooks.is_empty():
            self._module._hooks = None

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


class Hooks:
    """The hooks of one module, in the order in which they run."""

    def __init__(self) -> None:
        self.before: dict[int, tuple[Callable[..., Any], bool]] = {}
        self.after: dict[int, tuple[Callable[..., Any], bool, bool]] = {}
        self.backward_before: dict[int, Callable[..., Any]] = {}
        self.backward: dict[int, Callable[..., Any]] = {}

    def is_empty(self) -> bool:
        return not (self.before or self.after or self.backward or self.backward_before)

    def call(self, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """``module.forward`` with every hook around it."""
        if not any(always for _, _, always in self.after.values()):
            return self._run(module, args, kwargs, {})
        # The hooks that ran, and the latest arguments and output for those that did not.
        done: dict[str, Any] = {"ran": set(), "seen": (args, kwargs, None)}
        try:
            return self._run(module, args, kwargs, done)
        except Exception:
            for key, (hook, with_kwargs, always) in list(self.after.items()):
                if always and key not in done["ran"]:
                    args, kwargs, output = done["seen"]
                    with suppress(Exception):  # the error of the call is the one to report
                        hook(module, *((args, kwargs) if with_kwargs else (args,)), output)
            raise

    def _run(
        self, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any], done: dict[str, Any]
    ) -> Any:
        for hook, with_kwargs in list(self.before.values()):
            if with_kwargs:
                changed = hook(module, args, kwargs)
                if changed is not None:
                    if not isinstance(changed, tuple) or len(changed) != 2:
                        raise TypeError(
                            "a forward pre-hook with_kwargs must return None or a pair "
                            f"(args, kwargs), got {type(changed).__name__}"
                        )
                    args, kwargs = changed
            else:
                changed = hook(module, args)
                if changed is not None:
                    args = changed if isinstance(changed, tuple) else (changed,)
        watch = None
        if (self.backward or self.backward_before) and is_grad_enabled():
            before, after = list(self.backward_before.values()), list(self.backward.values())
            watch = _BackwardWatch(module, before, after)
            args = watch.watch_inputs(args)
        if done:
            done["seen"] = (args, kwargs, None)
        output = module.forward(*args, **kwargs)
        for key, (hook, with_kwargs, _) in list(self.after.items()):
            if done:
                done["ran"].add(key)
                done["seen"] = (args, kwargs, output)
            extra = (args, kwargs, output) if with_kwargs else (args, output)
            changed = hook(module, *extra)
            if changed is not None:
                output = changed
        return output if watch is None else watch.watch_output(output)


def _watch(
    tensors: list[Tensor], hook: Callable[[list[Tensor]], list[Tensor] | None]
) -> list[Tensor]:
    """Stand-ins for ``tensors``; ``hook`` sees all their gradients at once, and may change them.

    A hook on the tensors themselves would also see gradients that reach them past the module.
    Several are joined into one, since gradients of separate tensors arrive at separate times.
    """
    if len(tensors) == 1:
        alias = tensors[0].view(tensors[0].shape)

        def one(gradient: Tensor) -> Tensor | None:
            changed = hook([gradient])
            return None if changed is None else changed[0]

        alias.register_hook(one)
        return [alias]
    ends = list(accumulate(tensor.numel() for tensor in tensors))
    spans = [slice(end - t.numel(), end) for t, end in zip(tensors, ends, strict=True)]
    joined = _core.cat([tensor.reshape(-1) for tensor in tensors])

    def several(gradient: Tensor) -> Tensor | None:
        parts = [gradient[s].view(t) for s, t in zip(spans, shapes, strict=True)]
        changed = hook(parts)
        return None if changed is None else _core.cat([part.reshape(-1) for part in changed])

    shapes = [tensor.shape for tensor in tensors]
    dtypes = [tensor.dtype for tensor in tensors]
    joined.register_hook(several)
    return [
        joined[span].view(shape).to(dtype)
        for span, shape, dtype in zip(spans, shapes, dtypes, strict=True)
    ]


class _BackwardWatch:
    """Calls full backward hooks once the gradients of a call's inputs and outputs are known."""

    def __init__(
        self,
        module: Module,
        before: list[Callable[..., Any]],
        hooks: list[Callable[..., Any]],
    ) -> None:
        self.module = module
        self.before = before
        self.hooks = hooks
        self.n_inputs = 0
        self.watched: list[int] = []
        self.grad_output: Gradients = ()

    def watch_inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        self.n_inputs = len(args)
        self.watched = _differentiable(args)
        if not self.watched:
            return args
        aliases = _watch([args[i] for i in self.watched], self._inputs_known)
        return _replaced(args, self.watched, aliases)

    def watch_output(self, output: Any) -> Any:
        outputs = (output,) if isinstance(output, Tensor) else output
        if not isinstance(outputs, (tuple, list)):
            raise TypeError(
                "a module with a full backward hook must return a Tensor or a tuple of them, "
                f"got {type(output).__name__}"
            )
        live = _differentiable(outputs)
        if not live:
            return output

        def outputs_known(gradients: list[Tensor]) -> list[Any] | None:
            known = _replaced((None,) * len(outputs), live, gradients)
            self.grad_output = changed = self._changed_output(known)
            if not self.watched:
                self._run((None,) * self.n_inputs)
            return None if changed is known else [changed[i] for i in live]

        aliases = _watch([outputs[i] for i in live], outputs_known)
        if isinstance(output, Tensor):
            return aliases[0]
        changed = _replaced(tuple(outputs), live, aliases)
        return list(changed) if isinstance(output, list) else changed

    def _changed_output(self, grad_output: Gradients) -> Gradients:
        for hook in self.before:
            changed = hook(self.module, grad_output)
            if changed is None:
                continue
            changed = changed if isinstance(changed, tuple) else (changed,)
            if len(changed) != len(grad_output):
                raise RuntimeError(
                    f"a backward pre-hook returned {len(changed)} gradient(s) for "
                    f"{len(grad_output)} output(s)"
                )
            grad_output = changed
        return grad_output

    def _inputs_known(self, gradients: list[Tensor]) -> list[Tensor] | None:
        blank: Gradients = (None,) * self.n_inputs
        changed = self._run(_replaced(blank, self.watched, gradients))
        return None if changed is None else [changed[i] for i in self.watched]

    def _run(self, grad_input: Gradients) -> tuple[Any, ...] | None:
        grad_output, self.grad_output = self.grad_output, ()
        any_changed = False
        for hook in self.hooks:
            changed = hook(self.module, grad_input, grad_output)
            if changed is None:
                continue
            changed = changed if isinstance(changed, tuple) else (changed,)
            if len(changed) != len(grad_input):
                raise RuntimeError(
                    f"a backward hook returned {len(changed)} gradient(s) for "
                    f"{len(grad_input)} input(s)"
                )
            grad_input, any_changed = changed, True
        return grad_input if any_changed else None


def _differentiable(values: Sequence[Any]) -> list[int]:
    return [
        i for i, value in enumerate(values) if isinstance(value, Tensor) and value.requires_grad
    ]


def _replaced(values: tuple[Any, ...], where: list[int], by: Sequence[Any]) -> tuple[Any, ...]:
    listed = list(values)
    for index, value in zip(where, by, strict=True):
        listed[index] = value
    return tuple(listed)
