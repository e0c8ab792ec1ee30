"""`Module`: the base class of every layer and model."""

from __future__ import annotations

from lamina import _core
from lamina._core import Tensor
from lamina.autograd.grad_mode import no_grad
from lamina.nn._hooks import Hooks, RemovableHandle
from lamina.nn._paths import ANNOTATED, add_path
from lamina.nn._state import ModuleState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from typing_extensions import Self


def _forward_unimplemented(self: Module, *args: Any, **kwargs: Any) -> Any:
    """Every subclass defines what its call computes."""
    raise NotImplementedError(f"{type(self).__name__} does not define forward()")


class Module(ModuleState):
    """Base class of layers and models: holds parameters, buffers and child modules.

    Assign :class:`Parameter` and ``Module`` objects to attributes in ``__init__``, after
    ``super().__init__()``, and define ``forward``; call the module itself, never ``forward``.

    Attributes
    ----------
    training : bool
        True in training mode; switched by :meth:`train` and :meth:`eval`.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> class Half(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.linear = nn.Linear(4, 2)
    ...     def forward(self, x):
    ...         return self.linear(x) / 2
    >>> model = Half()
    >>> [name for name, _ in model.named_parameters()]
    ['linear.weight', 'linear.bias']
    >>> tuple(model(lamina.zeros(3, 4)).shape)
    (3, 2)
    """

    training: bool
    _hooks: Hooks | None = None

    forward: Callable[..., Any] = _forward_unimplemented

    def __init__(self) -> None:
        super().__init__()
        self.__dict__.update(training=True, _hooks=None)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run ``forward`` with every hook; an error on its way out is told the layer's path."""
        try:
            if self._hooks is None:
                return self.forward(*args, **kwargs)
            return self._hooks.call(self, args, kwargs)
        except ANNOTATED as error:
            add_path(error, self)
            raise

    def apply(self, fn: Callable[[Module], object]) -> Self:
        """Call ``fn`` on every module below this one, then on this one."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    # -- modes and conversions ----------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Put this module and all below it into training mode (or, with False, out of it)."""
        if not isinstance(mode, bool):
            raise ValueError(f"train: mode must be a bool, got {mode!r}")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self) -> Self:
        """Put this module and all below it into evaluation mode: ``train(False)``."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Say for every parameter whether it is trained."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters or, with ``set_to_none=False``, zero them."""
        _core.zero_grad(list(self.parameters()), set_to_none)

    def _apply(self, convert: Callable[[Tensor], Tensor]) -> Self:
        """Convert the data of every parameter in place, keeping its identity, and every buffer."""
        with no_grad():
            for module in self.modules():
                for parameter in module._parameters.values():
                    if parameter is not None:
                        gradient = parameter.grad
                        parameter.grad = None  # it must never differ in dtype from its parameter
                        parameter.data = convert(parameter.data)
                        if gradient is not None:
                            parameter.grad = convert(gradient)
                for name, buffer in module._buffers.items():
                    if buffer is not None:
                        module.__dict__[name] = convert(buffer)
        return self

    def to(
        self,
        *args: Any,
        device: Any = None,
        dtype: _core.dtype | None = None,
        non_blocking: bool = False,
    ) -> Self:
        """Move to a device, convert floating point parameters and buffers to a dtype, or both.

        Takes ``to(device)``, ``to(dtype)``, ``to(device, dtype)`` or ``to(tensor)``, which
        follows the tensor in both. ``non_blocking`` is accepted and has no effect.

        Raises
        ------
        TypeError
            If the dtype is not a floating point dtype.
        """
        for arg in args:
            if isinstance(arg, Tensor):
                device, dtype = arg.device, arg.dtype
            elif isinstance(arg, _core.dtype):
                dtype = arg
            elif arg is not None and not isinstance(arg, bool):
                device = arg
        if dtype is not None and not dtype.is_floating_point:
            raise TypeError(f"to: a module needs a floating point dtype, got {dtype}")

        def convert(tensor: Tensor) -> Tensor:
            target = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
            return tensor.to(tensor.device if device is None else device, target)

        return self._apply(convert)

    def float(self) -> Self:
        """Convert floating point parameters and buffers to float32."""
        return self.to(_core.float32)

    def double(self) -> Self:
        """Convert floating point parameters and buffers to float64."""
        return self.to(_core.float64)

    def cpu(self) -> Self:
        """Move parameters and buffers to the CPU."""
        return self.to("cpu")

    def cuda(self, device: Any = None) -> Self:
        """Move parameters and buffers to a CUDA device."""
        return self.to("cuda" if device is None else device)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Take :func:`lamina.compile`'s options and change nothing: there is no compiler."""
        from lamina._compile import compile

        compile(self, *args, **kwargs)

    # -- hooks --------------------------------------------------------------------------------

    def _hook_tables(self) -> Hooks:
        if self._hooks is None:
            self._hooks = Hooks()
        return self._hooks

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before every forward.

        It may return new arguments, as a tuple or one value; with ``with_kwargs`` it is called
        as ``hook(module, args, kwargs)`` and returns None or ``(args, kwargs)``.
        """
        table = self._hook_tables().before
        return RemovableHandle(table, (hook, with_kwargs), prepend, self)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after every forward; it may return a new output.

        With ``with_kwargs`` it is called as ``hook(module, args, kwargs, output)``. With
        ``always_call`` it runs even when the call raises; the output that it then sees is None
        where there is none yet, and what it returns or raises is not looked at.
        """
        table = self._hook_tables().after
        return RemovableHandle(table, (hook, with_kwargs, always_call), prepend, self)

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, grad_output)`` when the gradients of the outputs are known.

        The hook may return a tuple, or one gradient, that takes the place of ``grad_output``.
        """
        return RemovableHandle(self._hook_tables().backward_before, hook, prepend, self)

    def register_full_backward_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` when gradients of the inputs are known.

        Both are tuples, aligned with the positional arguments and the outputs, None where
        there is no gradient. The hook may return a tuple that takes the place of
        ``grad_input``. If no input requires grad it runs once the gradients of the outputs
        are known.
        """
        return RemovableHandle(self._hook_tables().backward, hook, prepend, self)

    # -- text ---------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """Give what stands between the parentheses of the repr: the settings of this module."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = self._repr_children()
        name = type(self).__name__
        if len(lines) < 2 and not children:
            return f"{name}({extra})"
        indented = "".join(f"  {line}\n" for line in "\n".join([*lines, *children]).split("\n"))
        return f"{name}(\n{indented})"

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name[:1].isdigit()]

    def _repr_children(self) -> list[str]:
        return [f"({name}): {module!r}" for name, module in self._modules.items()]
