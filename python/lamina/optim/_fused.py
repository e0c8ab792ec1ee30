"""Optimizers whose step is one native call for each parameter group."""

from __future__ import annotations

from collections import defaultdict
from types import MappingProxyType

from lamina import _core
from lamina._core import Tensor
from lamina.autograd.grad_mode import enable_grad
from lamina.optim.optimizer import Optimizer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, ClassVar


_REBUILT = ("_aligned", "_views")


class Aligned:
    """The tensors of one group, and ``group``: the same as the native step takes them."""

    __slots__ = ("buffers", "group", "names", "params", "steps")

    def __init__(self, params: list[Tensor], names: tuple[str, ...]) -> None:
        self.params = tuple(params)
        self.names = names
        self.buffers: dict[str, list[Tensor]] = {name: [] for name in names}
        self.steps: Tensor
        self.group: object

    def fits(self, params: list[Tensor], names: tuple[str, ...]) -> bool:
        """Whether the group still has these parameters and needs these buffers."""
        return self.names == names and _core.same_objects(params, self.params)


class FusedOptimizer(Optimizer):
    """Keeps for every group the aligned lists, so that a step has nothing to collect.

    The state is allocated at the first step, for all parameters of a group. ``state[p]`` is a
    read-only mapping of names to the very tensors that the native step writes; write into
    them in place, or give ``state[p]`` a new dict. Parameters without a gradient are skipped.
    """

    #: Names of the tensors of a parameter's shape, as the native step counts them.
    _slots: ClassVar[tuple[str, ...]]

    def _buffers(self, group: dict[str, Any]) -> tuple[str, ...]:
        """Name those of ``_slots`` that ``group`` needs."""
        raise NotImplementedError

    def _update(self, group: dict[str, Any], tensors: object) -> None:
        """Make the native call."""
        raise NotImplementedError

    def _reset(self) -> None:
        self._aligned: list[Aligned] = []
        self._views: tuple[Mapping[str, Any], ...] = ()  # the values of self.state, as aligned

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        self._reset()
        super().__init__(params, defaults)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient: one native call for each group.

        Parameters
        ----------
        closure : callable, optional
            Evaluates the model, calls ``backward`` and returns the loss, which is returned.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        if not self._in_step():
            self._align()
        for group, aligned in zip(self.param_groups, self._aligned, strict=True):
            self._update(group, aligned.group)
        return loss

    def _in_step(self) -> bool:
        """Whether the lists still mirror ``param_groups`` and ``state``."""
        if not _core.same_objects(self.state, self._views):
            return False
        if len(self.param_groups) != len(self._aligned):
            return False
        for group, aligned in zip(self.param_groups, self._aligned, strict=True):
            if not aligned.fits(group["params"], self._buffers(group)):
                return False
        return True

    def _align(self) -> None:
        self._aligned = [self._align_group(group) for group in self.param_groups]
        self._views = tuple(self.state.values())

    def _align_group(self, group: dict[str, Any]) -> Aligned:
        params = list(group["params"])
        aligned = Aligned(params, self._buffers(group))
        counts = []
        for param in params:
            known = self.state.get(param, {})
            for name, buffers in aligned.buffers.items():
                buffer = known.get(name)
                if buffer is None:
                    buffer = _core.zeros_like(param)
                elif buffer.shape != param.shape:
                    raise ValueError(
                        f"{type(self).__name__}: state {name!r} does not fit its parameter\n"
                        f"  state     {list(buffer.shape)}\n"
                        f"  parameter {list(param.shape)}"
                    )
                buffers.append(buffer)
            # PyTorch's SGD counts no steps: a momentum that is there has been through one.
            started = any(value is not None for value in known.values())
            counts.append(int(known.get("step", started)))
        aligned.steps = _core.tensor(counts, dtype=_core.int64)
        states = [aligned.buffers.get(name) for name in self._slots]
        first, second, third = [*states, None, None][:3]
        aligned.group = _core.optimizer_group(params, first, second, third, aligned.steps)
        for place, param in enumerate(params):
            view = {name: buffers[place] for name, buffers in aligned.buffers.items()}
            self.state[param] = MappingProxyType({"step": aligned.steps[place], **view})
        return aligned

    def _state_of(self, param: Tensor) -> dict[str, Any]:
        state = super()._state_of(param)
        return state if state and int(state.get("step", 1)) else {}  # never stepped: nothing

    def __getstate__(self) -> dict[str, Any]:
        kept = {key: value for key, value in self.__dict__.items() if key not in _REBUILT}
        plain = ((param, dict(state)) for param, state in self.state.items())
        return {**kept, "state": defaultdict(dict, plain)}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self.__dict__.update(kept)
        self._reset()
