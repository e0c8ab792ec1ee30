"""Rows of the layer table: attention and transformers."""

from __future__ import annotations

import math

import lamina
import numpy as np
from lamina import nn
from layer_table_row import Layer, Wrong, constant, normal, uniform
from op_table_attention import weights
from op_table_row import spread, stream
from scipy.special import ndtr

RNG = stream("attention layers")


def part(state, prefix):
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }


def affine(state, name, x):
    return x @ state[f"{name}.weight"].T + state.get(f"{name}.bias", 0)


def added(mask):
    return np.where(mask, -np.inf, 0.0) if mask.dtype == bool else mask


def attend(state, heads, query, key, value, padding=None, mask=None, zero=False):
    """Give [N, L, E] and the weights [N, heads, L, S], of inputs with the batch first."""
    features = query.shape[-1]
    if "in_proj_weight" in state:
        rows = np.split(state["in_proj_weight"], 3)
    else:
        rows = [state[f"{name}_proj_weight"] for name in "qkv"]
    shifts = np.split(state.get("in_proj_bias", np.zeros(3 * features)), 3)
    q, k, v = (x @ w.T + b for x, w, b in zip((query, key, value), rows, shifts, strict=True))
    more = []
    if "bias_k" in state:
        more.append((state["bias_k"], state["bias_v"]))
    if zero:
        more.append((np.zeros((1, 1, features)),) * 2)
    for extra_k, extra_v in more:
        k = np.concatenate([k, np.repeat(extra_k, len(k), 0)], 1)
        v = np.concatenate([v, np.repeat(extra_v, len(v), 0)], 1)

    def split(x):
        return x.reshape(*x.shape[:2], heads, -1).swapaxes(1, 2)

    s = split(q) @ split(k).swapaxes(-1, -2) / math.sqrt(features // heads)
    hidden = np.zeros((len(q), 1, 1, key.shape[1]))
    if padding is not None:
        hidden = hidden + added(padding)[:, None, None]
    if mask is not None:
        hidden = hidden + added(mask).reshape(
            -1, *([heads] if mask.ndim == 3 else [1]), *mask.shape[-2:]
        )
    s = s + np.concatenate([hidden, np.zeros((*hidden.shape[:-1], len(more)))], -1)
    p = weights(s)
    y = (p @ split(v)).swapaxes(1, 2).reshape(query.shape)
    return affine(state, "out_proj", y), p


def layer_norm(state, name, x, eps=1e-5):
    centred = x - x.mean(-1, keepdims=True)
    y = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps)
    return y * state[f"{name}.weight"] + state.get(f"{name}.bias", 0)


def relu(x):
    return np.maximum(x, 0)


def gelu(x):
    return x * ndtr(x)


def feed_forward(state, activation, x):
    return affine(state, "linear2", activation(affine(state, "linear1", x)))


def encoder_layer(state, x, mask=None, padding=None, *, first=False, activation=relu):
    own = part(state, "self_attn.")

    def look(x):
        return attend(own, 2, x, x, x, padding, mask)[0]

    if first:
        x = x + look(layer_norm(state, "norm1", x))
        return x + feed_forward(state, activation, layer_norm(state, "norm2", x))
    x = layer_norm(state, "norm1", x + look(x))
    return layer_norm(state, "norm2", x + feed_forward(state, activation, x))


def decoder_layer(state, x, memory, mask=None, *, first=False, activation=relu):
    own, other = part(state, "self_attn."), part(state, "multihead_attn.")

    def look(x):
        return attend(own, 2, x, x, x, None, mask)[0]

    def recall(x):
        return attend(other, 2, x, memory, memory)[0]

    if first:
        x = x + look(layer_norm(state, "norm1", x))
        x = x + recall(layer_norm(state, "norm2", x))
        return x + feed_forward(state, activation, layer_norm(state, "norm3", x))
    x = layer_norm(state, "norm1", x + look(x))
    x = layer_norm(state, "norm2", x + recall(x))
    return layer_norm(state, "norm3", x + feed_forward(state, activation, x))


def encoder(state, x, mask=None, padding=None):
    for i in range(2):
        x = encoder_layer(part(state, f"layers.{i}."), x, mask, padding)
    return layer_norm(state, "norm", x)


def decoder(state, x, memory, mask=None):
    return decoder_layer(part(state, "layers.0."), x, memory, mask)


def transformer(state, src, tgt, src_mask=None, tgt_mask=None):
    memory = encoder_layer(part(state, "encoder.layers.0."), src, src_mask)
    memory = layer_norm(part(state, "encoder."), "norm", memory)
    x = decoder_layer(part(state, "decoder.layers.0."), tgt, memory, tgt_mask)
    return layer_norm(part(state, "decoder."), "norm", x)


def length_first(function):
    """The same of inputs [L, N, E]."""
    return lambda state, *xs: function(
        state, *(x.swapaxes(0, 1) if x is not None and x.ndim == 3 else x for x in xs)
    ).swapaxes(0, 1)


# -- states and starting laws ----------------------------------------------------------------------

E, FF = 4, 3


def attention_state(prefix="", e=E):
    return {
        f"{prefix}in_proj_weight": (3 * e, e),
        f"{prefix}in_proj_bias": (3 * e,),
        f"{prefix}out_proj.weight": (e, e),
        f"{prefix}out_proj.bias": (e,),
    }


def layer_state(attentions, prefix=""):
    found = {}
    for name in attentions:
        found |= attention_state(f"{prefix}{name}.")
    found |= {
        f"{prefix}linear1.weight": (FF, E),
        f"{prefix}linear1.bias": (FF,),
        f"{prefix}linear2.weight": (E, FF),
        f"{prefix}linear2.bias": (E,),
    }
    for i in range(len(attentions) + 1):
        found |= {f"{prefix}norm{i + 1}.weight": (E,), f"{prefix}norm{i + 1}.bias": (E,)}
    return found


def norm_state(prefix):
    return {f"{prefix}norm.weight": (E,), f"{prefix}norm.bias": (E,)}


def xavier(shape):
    bound = math.sqrt(6 / sum(shape))
    return uniform(-bound, bound)


def laws_of(state, everything_xavier=False):
    found = {}
    for name, shape in state.items():
        short = name.split(".")[-2:]
        if short[0].startswith("norm"):
            found[name] = constant(1.0 if short[1] == "weight" else 0.0)
        elif short[-1] == "in_proj_bias" or short == ["out_proj", "bias"]:
            found[name] = constant(0.0)
        elif len(shape) == 2 and (everything_xavier or short[-1].endswith("proj_weight")):
            found[name] = xavier(shape)
        else:
            fan_in = {"linear1": E, "linear2": FF, "out_proj": E}[short[0]]
            found[name] = uniform(-1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))
    return found


# -- text ------------------------------------------------------------------------------------------

MHA_TEXT = """MultiheadAttention(
  (out_proj): Linear(in_features=4, out_features=4, bias=True)
)"""


def indented(text):
    return text.replace("\n", "\n  ")


def layer_text(name, attentions):
    lines = [f"({a}): {indented(MHA_TEXT)}" for a in attentions]
    lines += [
        f"(linear1): Linear(in_features={E}, out_features={FF}, bias=True)",
        "(dropout): Dropout(p=0.0, inplace=False)",
        f"(linear2): Linear(in_features={FF}, out_features={E}, bias=True)",
    ]
    parts = range(1, len(attentions) + 2)
    lines += [f"(norm{i}): {NORM_TEXT}" for i in parts]
    lines += [f"(dropout{i}): Dropout(p=0.0, inplace=False)" for i in parts]
    return f"{name}(\n" + "".join(f"  {line}\n" for line in lines) + ")"


NORM_TEXT = repr(nn.LayerNorm(E))  # its own row tests it
ENCODER_LAYER_TEXT = layer_text("TransformerEncoderLayer", ["self_attn"])
DECODER_LAYER_TEXT = layer_text("TransformerDecoderLayer", ["self_attn", "multihead_attn"])


def stack_text(name, layer, count, norm=False):
    label = "(0)" if count == 1 else f"(0-{count - 1})"
    times = "" if count == 1 else f"{count} x "
    layers = f"ModuleList(\n  {label}: {times}{indented(layer)}\n)"
    lines = [f"(layers): {indented(layers)}", *([f"(norm): {NORM_TEXT}"] if norm else [])]
    return f"{name}(\n" + "".join(f"  {line}\n" for line in lines) + ")"


TRANSFORMER_TEXT = "Transformer(\n  (encoder): {}\n  (decoder): {}\n)".format(
    indented(stack_text("TransformerEncoder", ENCODER_LAYER_TEXT, 1, norm=True)),
    indented(stack_text("TransformerDecoder", DECODER_LAYER_TEXT, 1, norm=True)),
)

# -- rows ------------------------------------------------------------------------------------------

SMALL = {"dim_feedforward": FF, "dropout": 0.0, "batch_first": True}
X, Y, Z = spread(RNG, (2, 3, E)), spread(RNG, (2, 2, E)), spread(RNG, (2, 2, 2))
CAUSAL = np.where(np.tri(3) > 0, 0.0, -np.inf)
PADDING = np.array([[False, False, True], [False, True, False]])
# A normal law divides by a deviation of about half of these inputs, and carries on what the
# products before it lost.
STACK = 400


def averaged(state, q, k, v, padding=None, need_weights=True, mask=None):
    y, p = attend(state, 2, q, k, v, padding, mask)
    return y, p.mean(1)


def separate(state, q, k, v, padding, need_weights, mask, average):
    return attend(state, 2, q, k, v, padding, mask, zero=True)


HEADWISE = np.where(RNG.random((4, 3, 3)) < 0.3, True, False)
HEADWISE[..., 0] = False


def mha(**options):
    return nn.MultiheadAttention(E, 2, batch_first=True, **options)


ROWS = [
    Layer(
        "MultiheadAttention",
        mha,
        [X, Y, Y + 0.5],
        averaged,
        MHA_TEXT,
        state=attention_state(),
        laws=laws_of(attention_state()),
        more=[
            [X, X, X, PADDING],
            [X, X, X, None, True, CAUSAL],
            [X, X, X, PADDING, True, HEADWISE],
        ],
        ulps=64,
        wrong=[
            Wrong(
                lambda: nn.MultiheadAttention(6, 4),
                ValueError,
                r"embed_dim must be a positive multiple of num_heads, got 6 and 4",
            ),
            Wrong(
                lambda: mha()(lamina.ones(2, 3, 5), lamina.ones(2, 3, 4), lamina.ones(2, 3, 4)),
                ValueError,
                r"query, key and value must have 4, 4 and 4 features\n  query  \[2, 3, 5\]",
            ),
            Wrong(
                lambda: mha()(*[lamina.ones(2, 3, 4)] * 3, is_causal=True),
                ValueError,
                r"is_causal=True says of attn_mask that it is causal; give attn_mask",
            ),
            Wrong(
                lambda: mha()(*[lamina.ones(2, 3, 4)] * 3, attn_mask=lamina.ones(3, 4)),
                ValueError,
                r"attn_mask must have sizes \[3, 3\] or \[4, 3, 3\], got \[3, 4\]",
            ),
            Wrong(
                lambda: mha()(*[lamina.ones(2, 3, 4)] * 3, lamina.ones(3)),
                ValueError,
                r"key_padding_mask must have sizes \[2, 3\], got \[3\]",
            ),
            Wrong(
                lambda: mha()(*[lamina.ones(2, 3, 4)] * 3, attn_mask=lamina.ones(3, 3).long()),
                TypeError,
                r"attn_mask must be bool or floating point, got lamina.int64",
            ),
            Wrong(
                lambda: mha()(lamina.ones(2, 3, 4), lamina.ones(1, 3, 4), lamina.ones(1, 3, 4)),
                ValueError,
                r"all three the same batch",
            ),
            Wrong(
                lambda: mha()(*[lamina.ones(4)] * 3),
                ValueError,
                r"need 3 dimensions, or 2 without a batch",
            ),
        ],
    ),
    Layer(
        "MultiheadAttention:own sizes",
        lambda: mha(kdim=4, vdim=2, add_bias_kv=True, add_zero_attn=True),
        [X, Y, Z, PADDING[:, :2], True, None, False],
        separate,
        MHA_TEXT,
        state={
            "q_proj_weight": (E, E),
            "k_proj_weight": (E, E),
            "v_proj_weight": (E, 2),
            "in_proj_bias": (3 * E,),
            "bias_k": (1, 1, E),
            "bias_v": (1, 1, E),
            "out_proj.weight": (E, E),
            "out_proj.bias": (E,),
        },
        laws={
            "q_proj_weight": xavier((E, E)),
            "k_proj_weight": xavier((E, E)),
            "v_proj_weight": xavier((E, 2)),
            "in_proj_bias": constant(0.0),
            "bias_k": normal(math.sqrt(2 / (E + E))),
            "bias_v": normal(math.sqrt(2 / (E + E))),
            "out_proj.weight": uniform(-0.5, 0.5),
            "out_proj.bias": constant(0.0),
        },
        ulps=64,
    ),
    Layer(
        "TransformerEncoderLayer",
        lambda: nn.TransformerEncoderLayer(E, 2, **SMALL),
        [X],
        encoder_layer,
        ENCODER_LAYER_TEXT,
        state=layer_state(["self_attn"]),
        laws=laws_of(layer_state(["self_attn"])),
        more=[[X, CAUSAL], [X, None, PADDING]],
        ulps=STACK,
        wrong=[
            Wrong(
                lambda: nn.TransformerEncoderLayer(E, 2, activation="tanh"),
                ValueError,
                r"TransformerEncoderLayer: activation must be 'relu', 'gelu' or a function",
            )
        ],
    ),
    Layer(
        "TransformerEncoderLayer:norm first",
        lambda: nn.TransformerEncoderLayer(E, 2, norm_first=True, activation="gelu", **SMALL),
        [X],
        lambda state, *xs: encoder_layer(state, *xs, first=True, activation=gelu),
        ENCODER_LAYER_TEXT,
        state=layer_state(["self_attn"]),
        laws=laws_of(layer_state(["self_attn"])),
        ulps=STACK,
    ),
    Layer(
        "TransformerEncoder",
        lambda: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(E, 2, **SMALL), 2, norm=nn.LayerNorm(E)
        ),
        [X],
        encoder,
        stack_text("TransformerEncoder", ENCODER_LAYER_TEXT, 2, norm=True),
        state={
            **layer_state(["self_attn"], "layers.0."),
            **layer_state(["self_attn"], "layers.1."),
            **norm_state(""),
        },
        laws=laws_of(
            {
                **layer_state(["self_attn"], "layers.0."),
                **layer_state(["self_attn"], "layers.1."),
                **norm_state(""),
            }
        ),
        more=[[X, CAUSAL], [X, np.isinf(CAUSAL)], [X, CAUSAL + 1.0, PADDING]],
        ulps=4 * STACK,
    ),
    Layer(
        "TransformerDecoderLayer",
        lambda: nn.TransformerDecoderLayer(E, 2, **SMALL),
        [X, Y],
        decoder_layer,
        DECODER_LAYER_TEXT,
        state=layer_state(["self_attn", "multihead_attn"]),
        laws=laws_of(layer_state(["self_attn", "multihead_attn"])),
        more=[[X, Y, CAUSAL]],
        ulps=STACK,
    ),
    Layer(
        "TransformerDecoder",
        lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(E, 2, **SMALL), 1),
        [X, Y],
        decoder,
        stack_text("TransformerDecoder", DECODER_LAYER_TEXT, 1),
        state=layer_state(["self_attn", "multihead_attn"], "layers.0."),
        laws=laws_of(layer_state(["self_attn", "multihead_attn"], "layers.0.")),
        more=[[X, Y, CAUSAL]],
        ulps=STACK,
    ),
    Layer(
        "Transformer",
        lambda: nn.Transformer(E, 2, 1, 1, dim_feedforward=FF, dropout=0.0),
        [Y.swapaxes(0, 1).copy(), X.swapaxes(0, 1).copy()],
        length_first(transformer),
        TRANSFORMER_TEXT,
        state={
            **layer_state(["self_attn"], "encoder.layers.0."),
            **norm_state("encoder."),
            **layer_state(["self_attn", "multihead_attn"], "decoder.layers.0."),
            **norm_state("decoder."),
        },
        laws=laws_of(
            {
                **layer_state(["self_attn"], "encoder.layers.0."),
                **norm_state("encoder."),
                **layer_state(["self_attn", "multihead_attn"], "decoder.layers.0."),
                **norm_state("decoder."),
            },
            everything_xavier=True,
        ),
        more=[[Y.swapaxes(0, 1).copy(), X.swapaxes(0, 1).copy(), None, CAUSAL]],
        ulps=4 * STACK,
        wrong=[
            Wrong(
                lambda: nn.Transformer(4, 2, 1, 1, 3)(lamina.ones(2, 3, 4), lamina.ones(2, 2, 4)),
                ValueError,
                r"Transformer: src and tgt must have the same batch size\n  src    \[2, 3, 4\]",
            ),
            Wrong(
                lambda: nn.Transformer(4, 2, 1, 1, 3)(lamina.ones(2, 3, 4), lamina.ones(2, 3, 5)),
                ValueError,
                r"Transformer: src and tgt must have 4 features",
            ),
        ],
    ),
]
