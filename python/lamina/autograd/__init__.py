"""Automatic differentiation: gradients of any tensor with respect to any other.

``tensor.backward()`` adds gradients into the ``.grad`` of the leaves; :func:`grad` returns them
instead. :func:`gradcheck` and :func:`gradgradcheck` compare them with central differences.
:class:`Function` is an operation with a gradient of its own, :mod:`lamina.autograd.functional` has
Jacobians and Hessians, and :class:`detect_anomaly` finds where the first NaN comes from.
"""

from lamina.autograd import functional
from lamina.autograd.anomaly import (
    detect_anomaly,
    is_anomaly_check_nan_enabled,
    is_anomaly_enabled,
    set_detect_anomaly,
)
from lamina.autograd.function import Function
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
    "Function",
    "GradcheckError",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "is_anomaly_check_nan_enabled",
    "is_anomaly_enabled",
    "is_grad_enabled",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]


def __getattr__(name: str) -> object:
    from lamina._errors import absent

    raise absent(__name__, name, __all__)
