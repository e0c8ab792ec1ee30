"""Optimizers whose step is two native calls: do the lists still fit, and the update."""

from __future__ import annotations

from collections import defaultdict
from types import MappingProxyType

from lamina import _core
from lamina._core import Tensor
from lamina.autograd.grad_mode import enable_grad
from lamina.optim.optimizer import Optimizer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, ClassVar


_REBUILT = ("_aligned", "_groups", "_params", "_views")


class Aligned:
    """The tensors of one group."""

    __slots__ = ("buffers", "params", "scalars", "views")

    def __init__(self, params: list[Tensor], names: Iterable[str]) -> None:
        self.params = tuple(params)
        self.buffers: dict[str, list[Tensor]] = {name: [] for name in names}
        self.scalars: Tensor  # a row for each parameter: its steps, and what else is counted
        self.views: list[Mapping[str, Any]] = []  # each parameter's state, as users see it


class FusedOptimizer(Optimizer):
    """Keeps for every group the aligned lists, so that a step has nothing to collect.

    The state is allocated at the first step, for all parameters of a group. ``state[p]`` is a
    read-only mapping of names to the very tensors that the native step writes; write into
    them in place, or give ``state[p]`` a new dict. Parameters without a gradient are skipped.

    Parameters
    ----------
    params : iterable
        As for :class:`Optimizer`.
    defaults : dict
        The settings of groups that do not have their own.
    max_grad_norm : float, optional
        Clip the gradients of all groups together to this norm. One pass reads them for the norm,
        and the update scales them as it reads them: two passes fewer than with
        :func:`lamina.nn.utils.clip_grad_norm_` before the step, and the same result. The
        gradients keep their values; :attr:`grad_norm` is the norm that they had. May be changed
        at any time. PyTorch has no such setting.

    Attributes
    ----------
    grad_norm : float or None
        Norm of the gradients at the last step with ``max_grad_norm``.

    Examples
    --------
    >>> import lamina
    >>> p = lamina.tensor([3.0, 4.0], requires_grad=True)
    >>> optimizer = lamina.optim.SGD([p], lr=1.0, max_grad_norm=1.0)
    >>> (p * p / 2).sum().backward()
    >>> optimizer.step()
    >>> [round(x, 4) for x in p.tolist()], optimizer.grad_norm
    ([2.4, 3.2], 5.0)
    """

    #: The native method's name.
    _method: ClassVar[str]
    #: Names of the tensors of a parameter's shape, in the native step's order.
    _slots: ClassVar[tuple[str, ...]]
    #: Those of them that are not always needed, each with the entry of the group that says so.
    _optional: ClassVar[tuple[tuple[str, str], ...]] = ()
    #: The entries of the group that the native step reads, in its order; (entry, n) is so many
    #: numbers, (entry, word) asks whether it is that word.
    _settings: ClassVar[tuple[str | tuple[str, int] | tuple[str, str], ...]]
    #: Names of the numbers that are counted for each parameter. An empty name is not shown.
    _scalars: ClassVar[tuple[str, ...]] = ("step",)
    #: Settings that must be at least 0.
    _at_least_zero: ClassVar[tuple[str, ...]] = ("lr", "eps", "weight_decay")

    def _initial(self, name: str, group: dict[str, Any]) -> float:
        """Say what a buffer or number starts as."""
        return 0.0

    def _reset(self) -> None:
        self._aligned: list[Aligned] = []
        # As the native calls take them: what each group keeps, its parameters, and the values of
        # self.state.
        self._groups: tuple[object, ...] = ()
        self._params: tuple[tuple[Tensor, ...], ...] = ()
        self._views: tuple[Mapping[str, Any], ...] = ()

    def __init__(
        self, params: Any, defaults: dict[str, Any], max_grad_norm: float | None = None
    ) -> None:
        self._reset()
        if max_grad_norm is not None and not max_grad_norm >= 0:
            raise ValueError(
                f"{type(self).__name__}: max_grad_norm must be at least 0, got {max_grad_norm}"
            )
        self.max_grad_norm = max_grad_norm
        self.grad_norm: float | None = None
        super().__init__(params, defaults)

    def _validate(self, group: dict[str, Any]) -> None:
        self._require(group, self._at_least_zero)
        if "betas" in group:
            self._require_betas(group)
        self._require_hints(group)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient, in one native call.

        Parameters
        ----------
        closure : callable, optional
            Evaluates the model, calls ``backward`` and returns the loss, which is returned.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        groups = self.param_groups
        if not _core.optimizer_fits(self._groups, self._params, groups, self._views, self.state):
            self._align()
        factor = 1.0 if self.max_grad_norm is None else self._clip_factor(self.max_grad_norm)
        _core.optimizer_step(self._groups, groups, factor)
        return loss

    def _clip_factor(self, most: float) -> float:
        self.grad_norm = norm = _core.grad_norm(self._groups)
        factor = most / (norm + 1e-6)  # as clip_grad_norm_ has it
        return 1.0 if factor > 1 else factor

    def _align(self) -> None:
        fresh = self._counts()
        self._aligned = [self._align_group(group, fresh) for group in self.param_groups]
        self._groups = tuple(self._native(aligned) for aligned in self._aligned)
        self._params = tuple(aligned.params for aligned in self._aligned)
        self._views = tuple(self.state.values())

    def _align_group(self, group: dict[str, Any], counts: dict[int, float]) -> Aligned:
        params = list(group["params"])
        asked = dict(self._optional)
        names = [name for name in self._slots if name not in asked or group[asked[name]]]
        aligned = Aligned(params, names)
        rows = []
        for param in params:
            known = self.state.get(param, {})
            for name, buffers in aligned.buffers.items():
                buffer = known.get(name)
                if buffer is None:
                    start = self._initial(name, group)
                    buffer = _core.full_like(param, start, requires_grad=False)
                elif buffer.shape != param.shape:
                    raise ValueError(
                        f"{type(self).__name__}: state {name!r} does not fit its parameter\n"
                        f"  state     {list(buffer.shape)}\n"
                        f"  parameter {list(param.shape)}"
                    )
                buffers.append(buffer)
            # Some of PyTorch's count no steps: a buffer that is there has been through one.
            started = counts.get(id(known), float(any(v is not None for v in known.values())))
            rows.append([
                float(known.get(name, self._initial(name, group) if place else started))
                for place, name in enumerate(self._scalars)
            ])  # fmt: skip
        scalars = _core.tensor(rows, dtype=_core.float64)
        aligned.scalars = scalars.reshape(len(params), len(self._scalars))
        for place, param in enumerate(params):
            view = {name: aligned.scalars[place, i] for i, name in enumerate(self._scalars) if name}
            view.update({name: buffers[place] for name, buffers in aligned.buffers.items()})
            self.state[param] = MappingProxyType(view)
            aligned.views.append(self.state[param])
        return aligned

    def _native(self, aligned: Aligned) -> object:
        asked = dict(self._optional)
        states = [aligned.buffers.get(name) for name in self._slots]
        first, second, third = [*states, None, None][:3]
        return _core.optimizer_group(
            self._method,
            self._settings,
            tuple(asked.get(name) for name in self._slots),
            list(aligned.params),
            first,
            second,
            third,
            aligned.scalars,
        )

    def _counts(self) -> dict[int, float]:
        """Find how many steps have been taken, by the identity of a parameter's state."""
        return {
            id(view): row[0]
            for aligned in self._aligned
            for view, row in zip(aligned.views, aligned.scalars.tolist(), strict=True)
        }

    def _saved_state(self) -> dict[Tensor, dict[str, Any]]:
        # Of a parameter that never took part there is nothing to save.
        counts = self._counts()
        saved = super()._saved_state()
        return {p: s for p, s in saved.items() if counts.get(id(self.state[p]), 1)}

    def __getstate__(self) -> dict[str, Any]:
        kept = {k: v for k, v in super().__getstate__().items() if k not in _REBUILT}
        return {**kept, "state": defaultdict(dict, self._saved_state())}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self.__dict__.update(kept)
        self._reset()
