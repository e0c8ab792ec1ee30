"""The transformer: stacks of encoder and decoder layers, and the two together."""

from __future__ import annotations

import copy
import math

from lamina import _core
from lamina._core import Tensor
from lamina.nn import init
from lamina.nn.container import ModuleList
from lamina.nn.module import Module
from lamina.nn.normalization import LayerNorm
from lamina.nn.transformer_layers import TransformerDecoderLayer, TransformerEncoderLayer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lamina.nn.transformer_layers import Activation


def _copies(layer: Module, count: int) -> ModuleList:
    return ModuleList([copy.deepcopy(layer) for _ in range(count)])


def _length(x: Tensor, layers: ModuleList) -> int:
    """How many positions a sequence has."""
    attention = getattr(layers[0], "self_attn", None) if len(layers) else None
    batch_first = getattr(attention, "batch_first", False)
    return x.shape[1] if x.ndim == 3 and batch_first else x.shape[0]


def _is_causal(mask: Tensor | None, hint: bool | None, length: int) -> bool:
    """Whether a mask is the causal one; the hint is believed where there is one."""
    if hint is not None or mask is None:
        return bool(hint)
    if tuple(mask.shape) != (length, length) or not (
        mask.dtype == _core.bool or mask.is_floating_point()
    ):
        return False
    return bool((mask == _causal(length, mask.device, mask.dtype)).all())


def _causal(size: int, device: Any = None, dtype: _core.dtype | None = None) -> Tensor:
    fill: Any = True if dtype == _core.bool else -math.inf
    return _core.full((size, size), fill, dtype=dtype, device=device).triu(1)


class TransformerEncoder(Module):
    """A stack of encoder layers, each a copy of the one that is given.

    Parameters
    ----------
    encoder_layer : TransformerEncoderLayer
        Copied with its values, which differ only once they are trained or drawn anew.
    num_layers : int
        How many copies.
    norm : Module, optional
        Applied to the last layer's output.
    enable_nested_tensor, mask_check : bool
        Accepted for PyTorch's sake; there is one way to run the stack, in every mode.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), num_layers=2)
    >>> tuple(encoder(lamina.zeros(5, 3, 8)).shape)
    (5, 3, 8)
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.layers = _copies(encoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm
        self.enable_nested_tensor = enable_nested_tensor
        self.mask_check = mask_check

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """Run ``src`` through the layers.

        Masks are those of :meth:`MultiheadAttention.forward`. ``is_causal`` says whether ``mask``
        is the causal one; by default that is found out by looking.
        """
        causal = _is_causal(mask, is_causal, _length(src, self.layers))
        x = src
        for layer in self.layers:
            x = layer(x, src_mask=mask, src_key_padding_mask=src_key_padding_mask, is_causal=causal)
        return x if self.norm is None else self.norm(x)


class TransformerDecoder(Module):
    """A stack of decoder layers, each a copy of the one that is given.

    Parameters
    ----------
    decoder_layer : TransformerDecoderLayer
        Copied with its values.
    num_layers : int
        How many copies.
    norm : Module, optional
        Applied to the last layer's output.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16), num_layers=2)
    >>> tuple(decoder(lamina.zeros(5, 3, 8), lamina.zeros(7, 3, 8)).shape)
    (5, 3, 8)
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = _copies(decoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Run ``tgt`` through the layers, each in view of ``memory``.

        Masks are those of :meth:`MultiheadAttention.forward`. ``tgt_is_causal`` says whether
        ``tgt_mask`` is the causal one; by default that is found out by looking.
        """
        causal = _is_causal(tgt_mask, tgt_is_causal, _length(tgt, self.layers))
        x = tgt
        for layer in self.layers:
            x = layer(
                x,
                memory,
                tgt_mask=tgt_mask,
                memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask,
                tgt_is_causal=causal,
                memory_is_causal=memory_is_causal,
            )
        return x if self.norm is None else self.norm(x)


class Transformer(Module):
    """An encoder and a decoder that looks at what it made of the source.

    Vaswani et al., "Attention Is All You Need", NeurIPS 2017.

    Parameters
    ----------
    d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, \
bias, device, dtype
        Those of :class:`TransformerEncoderLayer`; ``d_model`` is 512 and ``nhead`` 8 unless given.
    num_encoder_layers, num_decoder_layers : int, default 6
        How many layers each has, before a last layer norm.
    custom_encoder, custom_decoder : Module, optional
        Take the place of one or the other.

    Attributes
    ----------
    encoder : TransformerEncoder
    decoder : TransformerDecoder
        All weights of more than one dimension start by Xavier's uniform law.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> model = nn.Transformer(8, 2, 1, 1, dim_feedforward=16)
    >>> mask = nn.Transformer.generate_square_subsequent_mask(5)
    >>> tuple(model(lamina.zeros(7, 3, 8), lamina.zeros(5, 3, 8), tgt_mask=mask).shape)
    (5, 3, 8)
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = "relu",
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: _core.dtype | None = None,
    ) -> None:
        super().__init__()
        where = {"device": device, "dtype": dtype}
        options: dict[str, Any] = {
            "dim_feedforward": dim_feedforward,
            "dropout": dropout,
            "activation": activation,
            "layer_norm_eps": layer_norm_eps,
            "batch_first": batch_first,
            "norm_first": norm_first,
            "bias": bias,
            **where,
        }

        def last_norm() -> LayerNorm:
            return LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **where)

        self.encoder: Module
        self.decoder: Module
        if custom_encoder is not None:
            self.encoder = custom_encoder
        else:
            layer = TransformerEncoderLayer(d_model, nhead, **options)
            self.encoder = TransformerEncoder(layer, num_encoder_layers, last_norm())
        if custom_decoder is not None:
            self.decoder = custom_decoder
        else:
            other = TransformerDecoderLayer(d_model, nhead, **options)
            self.decoder = TransformerDecoder(other, num_decoder_layers, last_norm())
        self._reset_parameters()
        self.d_model = d_model
        self.nhead = nhead
        self.batch_first = batch_first

    def _reset_parameters(self) -> None:
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Encode ``src`` and decode ``tgt``; masks as the encoder and the decoder take them.

        Raises
        ------
        ValueError
            If the two differ in batch size, or have other than ``d_model`` features.
        """
        batch = 0 if self.batch_first else 1
        if src.ndim == 3 == tgt.ndim and src.shape[batch] != tgt.shape[batch]:
            raise ValueError(
                "Transformer: src and tgt must have the same batch size\n"
                f"  src    {list(src.shape)}\n  tgt    {list(tgt.shape)}"
            )
        if src.shape[-1] != self.d_model or tgt.shape[-1] != self.d_model:
            raise ValueError(
                f"Transformer: src and tgt must have {self.d_model} features\n"
                f"  src    {list(src.shape)}\n  tgt    {list(tgt.shape)}"
            )
        memory = self.encoder(
            src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal
        )
        return self.decoder(  # type: ignore[no-any-return]
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )

    @staticmethod
    def generate_square_subsequent_mask(
        sz: int, device: Any = None, dtype: _core.dtype | None = None
    ) -> Tensor:
        """Give the causal mask of ``sz`` positions: 0 where a query may look, else -inf.

        Examples
        --------
        >>> from lamina import nn
        >>> nn.Transformer.generate_square_subsequent_mask(2).tolist()
        [[0.0, -inf], [0.0, 0.0]]
        """
        return _causal(sz, device, dtype)
