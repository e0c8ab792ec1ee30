"""Automatic differentiation: gradients of any tensor with respect to any other.

``tensor.backward()`` adds gradients into the ``.grad`` of the leaves; :func:`grad` returns them
instead. :func:`gradcheck` and :func:`gradgradcheck` compare them with central differences.
"""

from lamina.autograd.functions import backward, grad
from lamina.autograd.grad_mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from lamina.autograd.gradcheck import GradcheckError, gradcheck, gradgradcheck

__all__ = [
    "GradcheckError",
    "backward",
    "enable_grad",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "set_grad_enabled",
]


def __getattr__(name: str) -> object:
    from lamina._errors import absent

    raise absent(__name__, name, __all__)
