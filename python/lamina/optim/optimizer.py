"""`Optimizer`: parameter groups, state, and how they are saved."""

from __future__ import annotations

from collections import defaultdict

from lamina import _core
from lamina._core import Tensor
from lamina.autograd.grad_mode import no_grad

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, ClassVar

    from lamina.optim._watch import HookHandle

    Params = Iterable[Tensor] | Iterable[tuple[str, Tensor]] | Iterable[dict[str, Any]]


def names_of(group: Mapping[str, Any]) -> dict[str, Any]:
    """Pick the names of the parameters, if they have any."""
    return {"param_names": group["param_names"]} if "param_names" in group else {}


def settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Pick the settings out of a constructor's ``locals()``: all but what is no group's."""
    others = ("self", "params", "max_grad_norm")
    return {k: v for k, v in given.items() if k not in others and not k.startswith("__")}


class Optimizer:
    """Base class of optimizers.

    A subclass defines :meth:`step`, reading ``self.param_groups`` and keeping what it
    remembers of parameter ``p`` in ``self.state[p]``.

    Parameters
    ----------
    params : iterable of Tensor, of (str, Tensor) or of dict
        What to optimize: leaf tensors, perhaps with names as ``named_parameters`` gives them,
        or groups such as ``{"params": [...], "lr": 0.1}`` with settings of their own.
    defaults : dict
        The settings of groups that do not have their own.

    Notes
    -----
    All of the library's take these as well, and PyTorch's defaults for them:

    lr : float or Tensor of one element
        Learning rate; a number in each group, to be changed at any time. A schedule writes into
        a tensor that is given.
    weight_decay : float
        Factor of the L2 penalty, whose gradient ``weight_decay * p`` is added to that of p.
        Where it is `decoupled`, p loses the share ``lr * weight_decay`` at each step instead.
    maximize : bool, default False
        Go up the gradient instead of down.
    foreach, fused : bool, optional
        PyTorch's hints, of which one may be set. The step is fused in any case.
    capturable, differentiable : bool, default False
        Refused if set: there are no CUDA graphs here, and no graph is recorded of a step.
    max_grad_norm : float, optional
        Clip the gradients of all groups together to this norm, within the step: the result is
        that of :func:`lamina.nn.utils.clip_grad_norm_` before it, with two passes fewer. The
        gradients keep their values; ``optimizer.grad_norm`` is the norm that they had. May be
        changed at any time. Not in PyTorch.

    Attributes
    ----------
    param_groups : list of dict
        Each with "params", a list of tensors, and the settings; these may be changed.
    state : dict of Tensor to dict
        What is remembered of each parameter.

    Raises
    ------
    TypeError
        If ``params`` is no iterable of tensors or dicts.
    ValueError
        If there are no parameters, one is no leaf, or one is given twice.

    Examples
    --------
    >>> import lamina
    >>> class Descent(lamina.optim.Optimizer):
    ...     def __init__(self, params, lr=0.1):
    ...         super().__init__(params, {"lr": lr})
    ...
    ...     @lamina.no_grad()
    ...     def step(self):
    ...         for group in self.param_groups:
    ...             for p in group["params"]:
    ...                 p.sub_(group["lr"] * p.grad)
    >>> p = lamina.ones(1, requires_grad=True)
    >>> (p * 5).backward()
    >>> Descent([p]).step()
    >>> p.tolist()
    [0.5]
    """

    #: Names of state that has not its parameter's shape.
    _flat: ClassVar[tuple[str, ...]] = ()

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        model = hasattr(params, "parameters")
        listed: list[Any] = list(params) if hasattr(params, "__iter__") else []
        if (
            isinstance(params, Tensor)
            or not hasattr(params, "__iter__")
            or (model and not all(isinstance(part, Tensor) for part in listed))
        ):
            got = "a Tensor" if isinstance(params, Tensor) else type(params).__name__
            hint = "; pass model.parameters()" if model else ""
            raise TypeError(
                f"{type(self).__name__}: params must be an iterable of tensors or dicts, "
                f"got {got}{hint}"
            )
        if not listed:
            raise ValueError(f"{type(self).__name__}: the list of parameters is empty")
        self.defaults = defaults
        self._opt_called = False
        self.state: defaultdict[Tensor, Mapping[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        for group in listed if isinstance(listed[0], dict) else [{"params": listed}]:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Optimize more parameters, with settings of their own.

        Parameters
        ----------
        param_group : dict
            "params" (a tensor or an iterable of them, perhaps with names) and any settings.
        """
        name = type(self).__name__
        if not isinstance(param_group, dict):
            raise TypeError(
                f"{name}: a parameter group must be a dict, got {type(param_group).__name__}"
            )
        if "params" not in param_group:
            raise ValueError(f"{name}: a parameter group needs an entry 'params'")
        given = param_group["params"]
        if isinstance(given, set):
            raise TypeError(f"{name}: parameters must come in an order, got a set")
        listed = [given] if isinstance(given, Tensor) else list(given)
        named = [p for p in listed if isinstance(p, tuple) and len(p) == 2]
        if named and len(named) != len(listed):
            raise ValueError(f"{name}: only {len(named)} of {len(listed)} parameters are named")
        if self.param_groups and bool(named) != ("param_names" in self.param_groups[0]):
            raise ValueError(f"{name}: parameters must be named in all groups or in none")
        params: list[Any] = [p for _, p in named] or listed
        taken = {id(param) for group in self.param_groups for param in group["params"]}
        for place, param in enumerate(params):
            if not isinstance(param, Tensor):
                raise TypeError(
                    f"{name}: parameter {place} of the group must be a Tensor, "
                    f"got {type(param).__name__}"
                )
            if not param.is_leaf:
                raise ValueError(
                    f"{name}: parameter {place} of the group is the result of an operation, "
                    "not a leaf"
                )
            if id(param) in taken:
                raise ValueError(f"{name}: parameter {place} of the group was given before")
            taken.add(id(param))
        group = {**self.defaults, **param_group, "params": params}
        if named:
            group["param_names"] = [n for n, _ in named]
        self._validate(group)
        self.param_groups.append(group)

    def _validate(self, group: dict[str, Any]) -> None:
        """Raise ValueError if a setting of ``group`` is out of range."""

    def _require(self, group: dict[str, Any], at_least_zero: Iterable[str]) -> None:
        for key in at_least_zero:
            value = group[key]
            if isinstance(value, Tensor) and value.numel() != 1:
                raise ValueError(
                    f"{type(self).__name__}: {key} as a tensor must have one element, "
                    f"got {list(value.shape)}"
                )
            if not value >= 0:
                raise ValueError(f"{type(self).__name__}: {key} must be at least 0, got {value}")

    def _require_betas(self, group: dict[str, Any]) -> None:
        betas = group["betas"]
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(
                f"{type(self).__name__}: betas must be two numbers in [0, 1), got {betas}"
            )

    def _require_hints(self, group: dict[str, Any]) -> None:
        for hint in ("capturable", "differentiable"):
            if group.get(hint):
                raise NotImplementedError(
                    f"{type(self).__name__}: {hint}=True is not supported; leave it out"
                )
        if group.get("foreach") and group.get("fused"):
            raise RuntimeError(f"{type(self).__name__}: set foreach or fused, not both")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters or, with ``set_to_none=False``, zero them."""
        for group in self.param_groups:
            _core.zero_grad(group["params"], set_to_none)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        Parameters
        ----------
        closure : callable, optional
            Evaluates the model, calls ``backward`` and returns the loss, which is returned.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define step()")

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """Call ``hook(optimizer, args, kwargs)`` before every step.

        It may return a new pair (args, kwargs). The handle that comes back removes it.
        """
        from lamina.optim._watch import HookHandle, watch_step

        watch = watch_step(self)
        return HookHandle(watch, watch.before, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """Call ``hook(optimizer, args, kwargs)`` after every step; the handle removes it."""
        from lamina.optim._watch import HookHandle, watch_step

        watch = watch_step(self)
        return HookHandle(watch, watch.after, hook)

    # -- saving -------------------------------------------------------------------------------

    def _saved_state(self) -> dict[Tensor, dict[str, Any]]:
        """Pick what is worth saving."""
        return {param: dict(state) for param, state in self.state.items() if state}

    def state_dict(self) -> dict[str, Any]:
        """Return the state and the settings, with parameters numbered in the order of the groups.

        Returns
        -------
        dict
            ``{"state": {number: {...}}, "param_groups": [{..., "params": [number, ...]}]}``. The
            tensors are the optimizer's own, not copies.
        """
        params = [param for group in self.param_groups for param in group["params"]]
        numbers = {id(param): number for number, param in enumerate(params)}
        saved = self._saved_state()
        return {
            "state": {numbers[id(param)]: saved[param] for param in params if param in saved},
            "param_groups": [
                {**group, "params": [numbers[id(param)] for param in group["params"]]}
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over state and settings, for the parameters that this optimizer has.

        Tensors are copied, floating point ones in the dtype of their parameter.

        Parameters
        ----------
        state_dict : dict
            As :meth:`state_dict` gives it, Lamina's or PyTorch's.

        Raises
        ------
        ValueError
            If the groups differ in number or size, or a tensor does not fit its parameter.
        """
        name = type(self).__name__
        saved = state_dict["param_groups"]
        sizes = [len(group["params"]) for group in saved]
        own = [len(group["params"]) for group in self.param_groups]
        if sizes != own:
            raise ValueError(
                f"{name}: the saved parameter groups do not fit\n"
                f"  saved sizes     {sizes}\n"
                f"  optimizer sizes {own}"
            )
        groups = [
            {**self.defaults, **names_of(ours), **theirs, "params": ours["params"]}
            for theirs, ours in zip(saved, self.param_groups, strict=True)
        ]
        for group in groups:
            self._validate(group)
        numbers = [number for group in saved for number in group["params"]]
        params = [param for group in groups for param in group["params"]]
        state: defaultdict[Tensor, Mapping[str, Any]] = defaultdict(dict)
        for number, param in zip(numbers, params, strict=True):
            if number in state_dict["state"]:
                loaded = state_dict["state"][number]
                state[param] = {
                    key: self._loaded(f"{key} of parameter {number}", param, key, value)
                    for key, value in loaded.items()
                }
        self.param_groups, self.state = groups, state

    def _loaded(self, where: str, param: Tensor, key: str, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return type(value)(self._loaded(where, param, key, item) for item in value)
        if not isinstance(value, Tensor):
            return value
        with no_grad():
            copied = value.detach().clone()
            if not copied.ndim:
                return copied
            if copied.shape != param.shape and key not in self._flat:
                raise ValueError(
                    f"{type(self).__name__}: {where} does not fit\n"
                    f"  saved     {list(copied.shape)}\n"
                    f"  parameter {list(param.shape)}"
                )
            return copied.to(param.device, param.dtype) if copied.is_floating_point() else copied

    def __getstate__(self) -> dict[str, Any]:
        """All but what was put in place of methods; a copy is not watched for its first step."""
        kept = {key: value for key, value in self.__dict__.items() if key != "step"}
        return {**kept, "_opt_called": True}

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for number, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {number}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])
