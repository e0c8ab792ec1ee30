"""Layers, activations and losses as functions, with PyTorch's names and arguments.

They are the native operations themselves; one with a class of its name is documented there, where
the columns below name it. Shapes: ``...`` is any number of dimensions, N a batch, C channels or
classes. ``inplace=True`` overwrites the input, as do the names with a trailing ``_``: ``relu_``,
``leaky_relu_``, ``rrelu_``, ``threshold_``, ``hardtanh_``, ``elu_``, ``celu_``, ``selu_``.

Layers

==================================  ==========================================================
``linear(input, weight, bias)``     ``input @ weight.T + bias``: [..., in], [out, in], [out]
``bilinear(input1, input2, ...)``   `Bilinear`: [..., in1], [..., in2], [out, in1, in2], [out]
``dropout(input, p, training)``     `Dropout`: zeros with probability p, the rest larger
``batch_norm(input, ...)``          `BatchNorm1d`
``conv2d(input, weight, ...)``      `Conv2d`; ``conv1d`` for one dimension
``conv_transpose2d(input, ...)``    `ConvTranspose2d`; and ``..1d``
``dropout1d``, ``dropout2d``        the same for whole channels: [N, C, L] and [N, C, H, W]
``alpha_dropout(input, p, ...)``    `AlphaDropout`
``max_pool2d(input, kernel, ...)``  `MaxPool2d`; and ``max_pool1d``
``avg_pool2d(input, kernel, ...)``  `AvgPool2d`; and ``avg_pool1d``
``adaptive_avg_pool2d(...)``        `AdaptiveAvgPool2d`; 1d, max
``max_unpool2d(input, ...)``        `MaxUnpool2d`
``pad(input, pad, mode, value)``    more elements at the ends: (before, after) of the last
                                    dimension, then of the one before it; modes "constant",
                                    "reflect", "replicate" and "circular"
``interpolate(input, size, ...)``   other sizes: nearest, linear, bilinear
``pixel_shuffle(input, factor)``    `PixelShuffle`; ``pixel_unshuffle``
``unfold(input, kernel, ...)``      `Unfold`; and ``fold``
``layer_norm(input, shape, ...)``   `LayerNorm`
``rms_norm(input, shape, ...)``     `RMSNorm`
``group_norm(input, groups, ...)``  `GroupNorm`
``instance_norm(input, ...)``       `InstanceNorm1d`
``local_response_norm(input, n)``   `LocalResponseNorm`
``scaled_dot_product_attention``    `MultiheadAttention`
``embedding(input, weight)``        `Embedding`
``embedding_bag(input, weight)``    `EmbeddingBag`
``one_hot(input, num_classes)``     a 1 at the number's place, int64
==================================  ==========================================================

Activations: straight lines

==================================  ==========================================================
``relu(input, inplace)``            `ReLU`: ``max(x, 0)``
``relu6(input, inplace)``           `ReLU6`: ``min(max(x, 0), 6)``
``leaky_relu(input, slope)``        `LeakyReLU`: ``x`` if positive, else ``slope * x``
``prelu(input, weight)``            `PReLU`: the same, with a slope that is learned
``rrelu(input, lower, upper)``      `RReLU`: the same, with a slope that is drawn in training
``threshold(input, t, value)``      `Threshold`: ``x`` if above ``t``, else ``value``
``hardtanh(input, min, max)``       `Hardtanh`: moved into an interval
``hardsigmoid(input)``              `Hardsigmoid`: ``min(max(x + 3, 0), 6) / 6``
``hardswish(input)``                `Hardswish`: ``x`` times that
``hardshrink(input, lambd)``        `Hardshrink`: ``x``, but 0 up to ``lambd``
``softshrink(input, lambd)``        `Softshrink`: ``x`` moved towards 0 by ``lambd``
==================================  ==========================================================

Activations: smooth

==================================  ==========================================================
``sigmoid(input)``                  `Sigmoid`: ``1 / (1 + exp(-x))``
``logsigmoid(input)``               `LogSigmoid`: its logarithm
``tanh(input)``                     `Tanh`
``tanhshrink(input)``               `Tanhshrink`: ``x - tanh(x)``
``gelu(input, approximate)``        `GELU`: ``x Phi(x)``; "none" (erf) or "tanh"
``silu(input, inplace)``            `SiLU`: ``x sigmoid(x)``
``mish(input, inplace)``            `Mish`: ``x tanh(log(1 + exp(x)))``
``elu(input, alpha)``               `ELU`: ``x`` if positive, else ``alpha (exp(x) - 1)``
``celu(input, alpha)``              `CELU`: ``x`` if positive, else ``alpha (exp(x / alpha) - 1)``
``selu(input)``                     `SELU`
``softplus(input, beta)``           `Softplus`: ``log(1 + exp(beta x)) / beta``
``softsign(input)``                 `Softsign`: ``x / (1 + |x|)``
``glu(input, dim)``                 `GLU`: one half times the sigmoid of the other
``softmax(input, dim)``             `Softmax`: ``exp(x) / sum(exp(x))`` along ``dim``
``softmin(input, dim)``             `Softmin`: softmax of ``-x``
``log_softmax(input, dim)``         `LogSoftmax`: the logarithm of softmax
``gumbel_softmax(logits, tau)``     a draw from softmax that has a gradient; one-hot if ``hard``
==================================  ==========================================================

Vectors

==================================  ==========================================================
``normalize(input, p, dim, eps)``   over the p-norm along ``dim``, at least eps
``cosine_similarity(x1, x2, dim)``  `CosineSimilarity`
``pairwise_distance(x1, x2, p)``    `PairwiseDistance`: of each row to its counterpart
``pdist(input, p)``                 of each row to each later one: [N, D] to [N (N - 1) / 2]
==================================  ==========================================================

Losses: ``name(input, target, ...)`` with a ``reduction``, if nothing else is said

=====================================  ======================================================
``cross_entropy``                      `CrossEntropyLoss`: logits, classes or probabilities
``nll_loss``                           `NLLLoss`: log-probabilities, classes
``multi_margin_loss``                  `MultiMarginLoss`: scores, classes
``multilabel_soft_margin_loss``        `MultiLabelSoftMarginLoss`: logits, several classes
``binary_cross_entropy``               `BCELoss`: probabilities
``binary_cross_entropy_with_logits``   `BCEWithLogitsLoss`: logits, probabilities
``kl_div``                             `KLDivLoss`: log-probabilities, probabilities
``mse_loss``                           `MSELoss`: squares of differences
``l1_loss``                            `L1Loss`: absolute differences
``smooth_l1_loss``, ``huber_loss``     `SmoothL1Loss`, `HuberLoss`: squares of small ones
``poisson_nll_loss``                   `PoissonNLLLoss`: logarithms of rates, counts
``gaussian_nll_loss``                  `GaussianNLLLoss`: means, targets, variances
``soft_margin_loss``                   `SoftMarginLoss`: targets 1 and -1
``hinge_embedding_loss``               `HingeEmbeddingLoss`: distances, targets 1 and -1
``margin_ranking_loss``                `MarginRankingLoss`: two scores, targets 1 and -1
``cosine_embedding_loss``              `CosineEmbeddingLoss`: two vectors, targets 1 and -1
``triplet_margin_loss``                `TripletMarginLoss`: anchor, positive, negative
=====================================  ======================================================
"""

from __future__ import annotations

from lamina._core import (
    adaptive_avg_pool1d,
    adaptive_max_pool1d,
    alpha_dropout,
    avg_pool1d,
    avg_pool2d,
    batch_norm,
    bilinear,
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    celu,
    celu_,
    conv1d,
    conv2d,
    conv_transpose1d,
    conv_transpose2d,
    cosine_embedding_loss,
    cosine_similarity,
    cross_entropy,
    dropout,
    dropout1d,
    dropout2d,
    elu,
    elu_,
    embedding,
    embedding_bag,
    gaussian_nll_loss,
    gelu,
    glu,
    group_norm,
    gumbel_softmax,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    hardtanh_,
    hinge_embedding_loss,
    huber_loss,
    instance_norm,
    kl_div,
    l1_loss,
    layer_norm,
    leaky_relu,
    leaky_relu_,
    linear,
    local_response_norm,
    log_softmax,
    logsigmoid,
    margin_ranking_loss,
    max_pool1d,
    max_pool2d,
    max_unpool2d,
    mish,
    mse_loss,
    multi_margin_loss,
    multilabel_soft_margin_loss,
    nll_loss,
    normalize,
    one_hot,
    pad,
    pairwise_distance,
    pdist,
    pixel_shuffle,
    pixel_unshuffle,
    poisson_nll_loss,
    prelu,
    relu,
    relu6,
    relu_,
    rms_norm,
    rrelu,
    rrelu_,
    scaled_dot_product_attention,
    selu,
    selu_,
    sigmoid,
    silu,
    smooth_l1_loss,
    soft_margin_loss,
    softmax,
    softmin,
    softplus,
    softshrink,
    softsign,
    tanh,
    tanhshrink,
    threshold,
    threshold_,
    triplet_margin_loss,
)
from lamina.nn._resize import adaptive_avg_pool2d, adaptive_max_pool2d, interpolate
from lamina.nn.fold import fold, unfold

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "alpha_dropout",
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm",
    "bilinear",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "celu",
    "celu_",
    "conv1d",
    "conv2d",
    "conv_transpose1d",
    "conv_transpose2d",
    "cosine_embedding_loss",
    "cosine_similarity",
    "cross_entropy",
    "dropout",
    "dropout1d",
    "dropout2d",
    "elu",
    "elu_",
    "embedding",
    "embedding_bag",
    "fold",
    "gaussian_nll_loss",
    "gelu",
    "glu",
    "group_norm",
    "gumbel_softmax",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hardtanh_",
    "hinge_embedding_loss",
    "huber_loss",
    "instance_norm",
    "interpolate",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "leaky_relu_",
    "linear",
    "local_response_norm",
    "log_softmax",
    "logsigmoid",
    "margin_ranking_loss",
    "max_pool1d",
    "max_pool2d",
    "max_unpool2d",
    "mish",
    "mse_loss",
    "multi_margin_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "normalize",
    "one_hot",
    "pad",
    "pairwise_distance",
    "pdist",
    "pixel_shuffle",
    "pixel_unshuffle",
    "poisson_nll_loss",
    "prelu",
    "relu",
    "relu6",
    "relu_",
    "rms_norm",
    "rrelu",
    "rrelu_",
    "scaled_dot_product_attention",
    "selu",
    "selu_",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "soft_margin_loss",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
    "threshold_",
    "triplet_margin_loss",
    "unfold",
]


def __getattr__(name: str) -> object:
    from lamina._errors import absent

    raise absent(__name__, name, __all__)
