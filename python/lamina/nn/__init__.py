"""Layers, losses and the `Module` they are built on."""

from lamina import _core
from lamina.nn import functional, init, utils
from lamina.nn._paths import annotate
from lamina.nn.activation import (
    CELU,
    ELU,
    GELU,
    GLU,
    SELU,
    LogSigmoid,
    LogSoftmax,
    Mish,
    Sigmoid,
    SiLU,
    Softmax,
    Softmin,
    Softplus,
    Softsign,
    Tanh,
    Tanhshrink,
)
from lamina.nn.attention import MultiheadAttention
from lamina.nn.batchnorm import BatchNorm1d, BatchNorm2d
from lamina.nn.class_loss import (
    CrossEntropyLoss,
    MultiLabelSoftMarginLoss,
    MultiMarginLoss,
    NLLLoss,
)
from lamina.nn.container import Flatten, Identity, ModuleList, Sequential, Unflatten
from lamina.nn.conv import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d
from lamina.nn.distance import (
    CosineEmbeddingLoss,
    CosineSimilarity,
    MarginRankingLoss,
    PairwiseDistance,
    TripletMarginLoss,
)
from lamina.nn.dropout import AlphaDropout, Dropout, Dropout1d, Dropout2d
from lamina.nn.embedding import Embedding, EmbeddingBag
from lamina.nn.fold import Fold, Unfold
from lamina.nn.instancenorm import InstanceNorm1d, InstanceNorm2d
from lamina.nn.keyed import ModuleDict, ParameterDict, ParameterList
from lamina.nn.linear import Bilinear, Linear
from lamina.nn.loss import (
    BCELoss,
    BCEWithLogitsLoss,
    GaussianNLLLoss,
    HingeEmbeddingLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    MSELoss,
    PoissonNLLLoss,
    SmoothL1Loss,
    SoftMarginLoss,
)
from lamina.nn.module import Module
from lamina.nn.normalization import GroupNorm, LayerNorm, LocalResponseNorm, RMSNorm
from lamina.nn.padding import (
    ConstantPad1d,
    ConstantPad2d,
    ReflectionPad1d,
    ReflectionPad2d,
    ReplicationPad1d,
    ReplicationPad2d,
    ZeroPad2d,
)
from lamina.nn.parameter import Buffer, Parameter
from lamina.nn.pooling import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AvgPool1d,
    AvgPool2d,
    MaxPool1d,
    MaxPool2d,
    MaxUnpool2d,
)
from lamina.nn.rectifier import (
    Hardshrink,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    LeakyReLU,
    PReLU,
    ReLU,
    ReLU6,
    RReLU,
    Softshrink,
    Threshold,
)
from lamina.nn.rnn import GRU, LSTM, RNN
from lamina.nn.rnn_cell import GRUCell, LSTMCell, RNNCell
from lamina.nn.transformer import Transformer, TransformerDecoder, TransformerEncoder
from lamina.nn.transformer_layers import TransformerDecoderLayer, TransformerEncoderLayer
from lamina.nn.upsampling import PixelShuffle, PixelUnshuffle, Upsample

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "GRU",
    "LSTM",
    "RNN",
    "SELU",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AlphaDropout",
    "AvgPool1d",
    "AvgPool2d",
    "BCELoss",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "Bilinear",
    "Buffer",
    "ConstantPad1d",
    "ConstantPad2d",
    "Conv1d",
    "Conv2d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "CosineEmbeddingLoss",
    "CosineSimilarity",
    "CrossEntropyLoss",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Embedding",
    "EmbeddingBag",
    "Flatten",
    "Fold",
    "GRUCell",
    "GaussianNLLLoss",
    "GroupNorm",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "HingeEmbeddingLoss",
    "HuberLoss",
    "Identity",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "KLDivLoss",
    "L1Loss",
    "LSTMCell",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LocalResponseNorm",
    "LogSigmoid",
    "LogSoftmax",
    "MSELoss",
    "MarginRankingLoss",
    "MaxPool1d",
    "MaxPool2d",
    "MaxUnpool2d",
    "Mish",
    "Module",
    "ModuleDict",
    "ModuleList",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "MultiheadAttention",
    "NLLLoss",
    "PReLU",
    "PairwiseDistance",
    "Parameter",
    "ParameterDict",
    "ParameterList",
    "PixelShuffle",
    "PixelUnshuffle",
    "PoissonNLLLoss",
    "RMSNorm",
    "RNNCell",
    "RReLU",
    "ReLU",
    "ReLU6",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SmoothL1Loss",
    "SoftMarginLoss",
    "Softmax",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
    "Transformer",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
    "TripletMarginLoss",
    "Unflatten",
    "Unfold",
    "Upsample",
    "ZeroPad2d",
    "functional",
    "init",
    "utils",
]

# What a Sequential runs without calling the module.
_core.set_layers(
    {
        Linear: "linear",
        BatchNorm1d: "batch_norm",
        Conv1d: "conv",
        Conv2d: "conv",
        BatchNorm2d: "batch_norm",
        LayerNorm: "layer_norm",
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
