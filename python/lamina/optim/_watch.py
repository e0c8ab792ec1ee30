"""What may stand in for an optimizer's ``step``. One that nobody watches never enters this file."""

from __future__ import annotations

import weakref
from itertools import count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from lamina.optim.optimizer import Optimizer

_keys = count()


class StepWatch:
    """Takes the place of ``optimizer.step``: runs hooks around it, and notes that it was called.

    It goes away when it has noted that and there are no hooks, so that a step costs what it costs.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = weakref.ref(optimizer)
        self._own = optimizer.__dict__.get("step")  # what else was put there
        self.before: dict[int, Callable[..., Any]] = {}
        self.after: dict[int, Callable[..., Any]] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Step, between the hooks."""
        optimizer = self._optimizer()
        if optimizer is None:
            raise ReferenceError("step: its optimizer is gone")
        optimizer._opt_called = True
        for hook in list(self.before.values()):
            changed = hook(optimizer, args, kwargs)
            if changed is not None:
                if not isinstance(changed, tuple) or len(changed) != 2:
                    raise RuntimeError(
                        "a step pre-hook must return None or a pair (args, kwargs), "
                        f"got {type(changed).__name__}"
                    )
                args, kwargs = changed
        if self._own is not None:
            result = self._own(*args, **kwargs)
        else:
            result = type(optimizer).step(optimizer, *args, **kwargs)
        for hook in list(self.after.values()):
            hook(optimizer, args, kwargs)
        self.leave_if_idle()
        return result

    def leave_if_idle(self) -> None:
        """Put back what was there, if nobody waits for a call."""
        optimizer = self._optimizer()
        if optimizer is None or self.before or self.after or not optimizer._opt_called:
            return
        if optimizer.__dict__.get("step") is self:
            del optimizer.__dict__["step"]
            if self._own is not None:
                optimizer.__dict__["step"] = self._own


def watch_step(optimizer: Optimizer) -> StepWatch:
    """Put a watch in place of the step, unless there is one."""
    found = optimizer.__dict__.get("step")
    if not isinstance(found, StepWatch):
        found = StepWatch(optimizer)
        optimizer.__dict__["step"] = found
    return found


class HookHandle:
    """Removes a hook again: by ``remove()`` or at the end of a ``with`` block."""

    def __init__(self, watch: StepWatch, table: dict[int, Any], hook: Callable[..., Any]) -> None:
        self._watch, self._table, self._key = watch, table, next(_keys)
        table[self._key] = hook

    def remove(self) -> None:
        """Take the hook off; doing so twice is harmless."""
        self._table.pop(self._key, None)
        self._watch.leave_if_idle()

    def __enter__(self) -> HookHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()
