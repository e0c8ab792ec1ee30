"""Layers, losses and the `Module` they are built on."""

from lamina import _core
from lamina.nn import functional, init, utils
from lamina.nn._paths import annotate
from lamina.nn.activation import GELU, LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from lamina.nn.batchnorm import BatchNorm1d
from lamina.nn.container import Flatten, Identity, ModuleList, Sequential
from lamina.nn.dropout import Dropout
from lamina.nn.keyed import ModuleDict, ParameterDict, ParameterList
from lamina.nn.linear import Linear
from lamina.nn.loss import BCEWithLogitsLoss, CrossEntropyLoss, L1Loss, MSELoss, NLLLoss
from lamina.nn.module import Module
from lamina.nn.parameter import Buffer, Parameter

__all__ = [
    "GELU",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "Buffer",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "Identity",
    "L1Loss",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "Module",
    "ModuleDict",
    "ModuleList",
    "NLLLoss",
    "Parameter",
    "ParameterDict",
    "ParameterList",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "functional",
    "init",
    "utils",
]

# What a Sequential runs without calling the module.
_core.set_layers(
    {
        Linear: "linear",
        BatchNorm1d: "batch_norm",
        ReLU: "relu",
        Tanh: "tanh",
        Sigmoid: "sigmoid",
        GELU: "gelu",
    },
    annotate,
)


def __getattr__(name: str) -> object:
    from lamina._errors import absent

    raise absent(__name__, name, __all__)
