"""Layers, activations and losses as functions, with PyTorch's names and arguments.

They are the native operations themselves. Shapes: ``...`` is any number of
dimensions, N a batch, C channels or classes.

==================================  ==========================================================
``linear(input, weight, bias)``     ``input @ weight.T + bias``: [..., in], [out, in], [out]
``relu(input)``                     ``max(x, 0)``
``leaky_relu(input, slope)``        ``x`` if positive, else ``slope * x``; slope 0.01
``sigmoid(input)``                  ``1 / (1 + exp(-x))``
``tanh(input)``                     hyperbolic tangent
``gelu(input, approximate)``        ``x Phi(x)``; ``approximate`` is "none" (erf) or "tanh"
``silu(input)``                     ``x sigmoid(x)``
``softplus(input)``                 ``log(1 + exp(x))``
``softmax(input, dim)``             ``exp(x) / sum(exp(x))`` along ``dim``
``log_softmax(input, dim)``         its logarithm
``dropout(input, p, training)``     zeros with probability p, the rest times ``1 / (1 - p)``
``batch_norm(input, ...)``          see :class:`lamina.nn.BatchNorm1d`
``cross_entropy(input, target)``    see :class:`lamina.nn.CrossEntropyLoss`
``mse_loss(input, target)``         see :class:`lamina.nn.MSELoss`
``binary_cross_entropy_with_...``   see :class:`lamina.nn.BCEWithLogitsLoss`
``l1_loss(input, target)``          see :class:`lamina.nn.L1Loss`
``nll_loss(input, target)``         see :class:`lamina.nn.NLLLoss`
==================================  ==========================================================
"""

from __future__ import annotations

from lamina._core import (
    batch_norm,
    binary_cross_entropy_with_logits,
    cross_entropy,
    dropout,
    gelu,
    l1_loss,
    leaky_relu,
    linear,
    log_softmax,
    mse_loss,
    nll_loss,
    relu,
    sigmoid,
    silu,
    softmax,
    softplus,
    tanh,
)

__all__ = [
    "batch_norm",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "dropout",
    "gelu",
    "l1_loss",
    "leaky_relu",
    "linear",
    "log_softmax",
    "mse_loss",
    "nll_loss",
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "tanh",
]


def __getattr__(name: str) -> object:
    from lamina._errors import absent

    raise absent(__name__, name, __all__)
