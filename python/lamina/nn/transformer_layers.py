"""The layers that a transformer's encoder and decoder are stacks of."""

from __future__ import annotations

from lamina import _core
from lamina._core import Tensor
from lamina.nn.attention import MultiheadAttention
from lamina.nn.dropout import Dropout
from lamina.nn.linear import Linear
from lamina.nn.module import Module
from lamina.nn.normalization import LayerNorm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Activation = str | Callable[[Tensor], Tensor]


def _activation(kind: str, activation: Activation) -> Callable[[Tensor], Tensor]:
    named: dict[str, Callable[[Tensor], Tensor]] = {"relu": _core.relu, "gelu": _core.gelu}
    if isinstance(activation, str):
        if activation not in named:
            raise ValueError(
                f"{kind}: activation must be 'relu', 'gelu' or a function, got {activation!r}"
            )
        return named[activation]
    return activation


class _Layer(Module):
    """What an encoder's and a decoder's layer share; they name their parts in PyTorch's order."""

    def _make(
        self,
        attentions: tuple[str, ...],
        d_model: int,
        nhead: int,
        dim_feedforward: int,
        dropout: float,
        activation: Activation,
        layer_norm_eps: float,
        batch_first: bool,
        norm_first: bool,
        bias: bool,
        device: Any,
        dtype: _core.dtype | None,
    ) -> None:
        self.linear1: Linear
        self.linear2: Linear
        self.dropout: Dropout
        where = {"device": device, "dtype": dtype}
        for name in attentions:
            attention = MultiheadAttention(
                d_model, nhead, dropout=dropout, bias=bias, batch_first=batch_first, **where
            )
            setattr(self, name, attention)
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias, **where)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias, **where)
        self.norm_first = norm_first
        parts = range(1, len(attentions) + 2)
        for i in parts:
            setattr(self, f"norm{i}", LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **where))
        for i in parts:
            setattr(self, f"dropout{i}", Dropout(dropout))
        self.activation = _activation(type(self).__name__, activation)

    def _feed_forward(self, x: Tensor, dropout: Dropout) -> Tensor:
        y: Tensor = dropout(self.linear2(self.dropout(self.activation(self.linear1(x)))))
        return y


class TransformerEncoderLayer(_Layer):
    """Self-attention, then two linear layers; each added to its input and normalized.

    Vaswani et al., "Attention Is All You Need", NeurIPS 2017; with ``norm_first`` as Xiong et al.,
    "On Layer Normalization in the Transformer Architecture", ICML 2020.

    Parameters
    ----------
    d_model : int
        Features of the input and of the output, E.
    nhead : int
        Heads of each attention; divides ``d_model``.
    dim_feedforward : int, default 2048
        Features between the two linear layers.
    dropout : float, default 0.1
        Probability of every dropout: of attention weights, behind the activation, and of what is
        added to the input.
    activation : {"relu", "gelu"} or callable, default "relu"
        Between the two linear layers.
    layer_norm_eps : float, default 1e-5
        Added to the variance in layer norms.
    batch_first : bool, default False
        Whether input and output are [N, L, E] instead of [L, N, E]. Without N, [L, E], both work.
    norm_first : bool, default False
        Whether each part normalizes its input, instead of the sum of its input and output.
    bias : bool, default True
        Whether linear layers and layer norms add a bias.
    device, dtype : optional
        Where and as what the parameters are made.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> layer = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True)
    >>> tuple(layer(lamina.zeros(3, 5, 8)).shape)
    (3, 5, 8)
    """

    self_attn: MultiheadAttention
    norm1: LayerNorm
    norm2: LayerNorm
    dropout1: Dropout
    dropout2: Dropout

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: _core.dtype | None = None,
    ) -> None:
        super().__init__()
        self._make(
            ("self_attn",),
            d_model,
            nhead,
            dim_feedforward,
            dropout,
            activation,
            layer_norm_eps,
            batch_first,
            norm_first,
            bias,
            device,
            dtype,
        )

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """Encode ``src``; masks and ``is_causal`` as in :meth:`MultiheadAttention.forward`."""

        def attend(x: Tensor) -> Tensor:
            y: Tensor = self.self_attn(
                x,
                x,
                x,
                attn_mask=src_mask,
                key_padding_mask=src_key_padding_mask,
                need_weights=False,
                is_causal=is_causal,
            )[0]
            return self.dropout1(y)  # type: ignore[no-any-return]

        x = src
        if self.norm_first:
            x = x + attend(self.norm1(x))
            return x + self._feed_forward(self.norm2(x), self.dropout2)
        x = self.norm1(x + attend(x))
        return self.norm2(x + self._feed_forward(x, self.dropout2))  # type: ignore[no-any-return]


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to a memory, then two linear layers.

    Each is added to its input and normalized. Vaswani et al., "Attention Is All You Need",
    NeurIPS 2017.

    Parameters
    ----------
    d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, \
bias, device, dtype
        Those of :class:`TransformerEncoderLayer`.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> layer = nn.TransformerDecoderLayer(8, 2, dim_feedforward=16, batch_first=True)
    >>> tuple(layer(lamina.zeros(3, 5, 8), lamina.zeros(3, 7, 8)).shape)
    (3, 5, 8)
    """

    self_attn: MultiheadAttention
    multihead_attn: MultiheadAttention
    norm1: LayerNorm
    norm2: LayerNorm
    norm3: LayerNorm
    dropout1: Dropout
    dropout2: Dropout
    dropout3: Dropout

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: _core.dtype | None = None,
    ) -> None:
        super().__init__()
        self._make(
            ("self_attn", "multihead_attn"),
            d_model,
            nhead,
            dim_feedforward,
            dropout,
            activation,
            layer_norm_eps,
            batch_first,
            norm_first,
            bias,
            device,
            dtype,
        )

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Decode ``tgt`` in view of ``memory``; masks as in :meth:`MultiheadAttention.forward`."""

        def attend(x: Tensor) -> Tensor:
            y: Tensor = self.self_attn(
                x,
                x,
                x,
                attn_mask=tgt_mask,
                key_padding_mask=tgt_key_padding_mask,
                need_weights=False,
                is_causal=tgt_is_causal,
            )[0]
            return self.dropout1(y)  # type: ignore[no-any-return]

        def recall(x: Tensor) -> Tensor:
            y: Tensor = self.multihead_attn(
                x,
                memory,
                memory,
                attn_mask=memory_mask,
                key_padding_mask=memory_key_padding_mask,
                need_weights=False,
                is_causal=memory_is_causal,
            )[0]
            return self.dropout2(y)  # type: ignore[no-any-return]

        x = tgt
        if self.norm_first:
            x = x + attend(self.norm1(x))
            x = x + recall(self.norm2(x))
            return x + self._feed_forward(self.norm3(x), self.dropout3)
        x = self.norm1(x + attend(x))
        x = self.norm2(x + recall(x))
        return self.norm3(x + self._feed_forward(x, self.dropout3))  # type: ignore[no-any-return]
