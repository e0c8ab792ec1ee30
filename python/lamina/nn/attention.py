"""Multi-head attention."""

from __future__ import annotations

import math

from lamina import _core
from lamina._core import Tensor, linear, scaled_dot_product_attention
from lamina.autograd.grad_mode import no_grad
from lamina.nn import init
from lamina.nn.linear import Linear
from lamina.nn.module import Module
from lamina.nn.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class MultiheadAttention(Module):
    """Attention with several heads (Vaswani et al., "Attention Is All You Need", NeurIPS 2017).

    Query, key and value are projected, each head of ``embed_dim / num_heads`` features attends
    with :func:`lamina.nn.functional.scaled_dot_product_attention`, and the joined heads are
    projected once more.

    Parameters
    ----------
    embed_dim : int
        Features of the query and of the output, E.
    num_heads : int
        Number of heads; divides ``embed_dim``.
    dropout : float, default 0.0
        Probability with which an attention weight is dropped in training mode.
    bias : bool, default True
        Whether the projections add a bias.
    add_bias_kv : bool, default False
        Whether a trained key and value are appended to every sequence.
    add_zero_attn : bool, default False
        Whether a key and a value of zeros are appended.
    kdim, vdim : int, optional
        Features of the key and of the value; by default ``embed_dim``.
    batch_first : bool, default False
        Whether input and output are [N, L, E] instead of [L, N, E].
    device, dtype : optional
        Where and as what the parameters are made.

    Attributes
    ----------
    in_proj_weight : Parameter, [3 E, E], or None
        The three projections, query first, where key and value have E features too; else there are
        ``q_proj_weight`` [E, E], ``k_proj_weight`` [E, kdim] and ``v_proj_weight`` [E, vdim]. They
        start by Xavier's uniform law.
    in_proj_bias : Parameter, [3 E], or None
        Starts at 0.
    out_proj : Linear
        Its bias starts at 0.
    bias_k, bias_v : Parameter, [1, 1, E], or None
        Start by Xavier's normal law.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> attention = nn.MultiheadAttention(8, 2, batch_first=True)
    >>> x = lamina.zeros(3, 5, 8)
    >>> y, weights = attention(x, x, x)
    >>> tuple(y.shape), tuple(weights.shape)
    ((3, 5, 8), (3, 5, 5))
    """

    in_proj_weight: Parameter | None
    q_proj_weight: Parameter | None
    k_proj_weight: Parameter | None
    v_proj_weight: Parameter | None
    in_proj_bias: Parameter | None
    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: _core.dtype | None = None,
    ) -> None:
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0 or embed_dim % num_heads:
            raise ValueError(
                "MultiheadAttention: embed_dim must be a positive multiple of num_heads, got "
                f"{embed_dim} and {num_heads}"
            )
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.num_heads = num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.head_dim = embed_dim // num_heads
        self.add_zero_attn = add_zero_attn

        def made(*shape: int) -> Parameter:
            return Parameter(_core.empty(shape, dtype=dtype, device=device))

        packed = self.kdim == self.vdim == embed_dim
        rows = {"q_proj_weight": embed_dim, "k_proj_weight": self.kdim, "v_proj_weight": self.vdim}
        for name, features in rows.items():
            self.register_parameter(name, None if packed else made(embed_dim, features))
        self.register_parameter(
            "in_proj_weight", made(3 * embed_dim, embed_dim) if packed else None
        )
        self.register_parameter("in_proj_bias", made(3 * embed_dim) if bias else None)
        self.out_proj = Linear(embed_dim, embed_dim, bias=bias, device=device, dtype=dtype)
        self.register_parameter("bias_k", made(1, 1, embed_dim) if add_bias_kv else None)
        self.register_parameter("bias_v", made(1, 1, embed_dim) if add_bias_kv else None)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
            weight = getattr(self, name)
            if weight is not None:
                init.xavier_uniform_(weight)
        for shift in (self.in_proj_bias, self.out_proj.bias):
            if shift is not None:
                init.zeros_(shift)
        for extra in (self.bias_k, self.bias_v):
            if extra is not None:
                init.xavier_normal_(extra)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend from ``query`` to ``key`` and ``value``.

        Parameters
        ----------
        query : Tensor, [L, N, E], with ``batch_first`` [N, L, E], or [L, E]
        key, value : Tensor, with S instead of L, and kdim or vdim features
        key_padding_mask : Tensor, [N, S] or [S], optional
            Bool, True where a key is to be ignored; or numbers that are added to the scores.
        need_weights : bool, default True
            Whether the attention weights are returned, which takes memory in the order of L S;
            without them memory grows with the length.
        attn_mask : Tensor, [L, S] or [N * num_heads, L, S], optional
            Bool, True where a query may not see a key; or numbers that are added to the scores.
        average_attn_weights : bool, default True
            Whether the returned weights are the mean over the heads.
        is_causal : bool, default False
            Says that ``attn_mask`` is the causal mask, so that it need not be read.

        Returns
        -------
        output : Tensor, of the sizes of ``query``
        weights : Tensor or None
            [N, L, S], or [N, num_heads, L, S]; without N for unbatched input.

        Raises
        ------
        ValueError
            If sizes do not fit each other, or ``is_causal`` comes without an ``attn_mask``.
        """
        if is_causal and attn_mask is None:
            raise ValueError(
                "MultiheadAttention: is_causal=True says of attn_mask that it is causal; give "
                "attn_mask too (Transformer.generate_square_subsequent_mask)"
            )
        batched = self._check(query, key, value)
        axis = 0 if self.batch_first or not batched else 1
        q, k, v = self._project(query, key, value)
        if not batched:
            q, k, v = q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0)
        n, length = q.shape[axis], q.shape[1 - axis]
        source = k.shape[1 - axis]
        extra = 0
        if self.bias_k is not None and self.bias_v is not None:
            sizes = (n, 1, -1) if axis == 0 else (1, n, -1)
            k = _core.cat([k, self.bias_k.expand(*sizes)], 1 - axis)
            v = _core.cat([v, self.bias_v.expand(*sizes)], 1 - axis)
            extra += 1
        if self.add_zero_attn:
            sizes = (n, 1, self.embed_dim) if axis == 0 else (1, n, self.embed_dim)
            nothing = _core.zeros(sizes, dtype=k.dtype, device=k.device)
            k, v = _core.cat([k, nothing], 1 - axis), _core.cat([v, nothing], 1 - axis)
            extra += 1

        def heads(x: Tensor) -> Tensor:  # [N, heads, rows, features]
            split = x.unflatten(-1, (self.num_heads, self.head_dim))
            return split.transpose(1, 2) if axis == 0 else split.permute(1, 2, 0, 3)

        causal = is_causal and not need_weights and extra == 0
        mask = (
            None if causal else self._attention_mask(attn_mask, n, length, source, q.dtype, extra)
        )
        padding = self._padding_mask(key_padding_mask, batched, n, source, q.dtype, extra)
        mask = _joined(mask, padding, q.dtype)
        dropout = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            scores = (heads(q) * (1 / math.sqrt(self.head_dim))) @ heads(k).mT
            if mask is not None:
                scores = scores + _added(mask, q.dtype)
            weights = _core.dropout(scores.softmax(-1), dropout, dropout > 0)
            y = weights @ heads(v)
        else:
            y = scaled_dot_product_attention(heads(q), heads(k), heads(v), mask, dropout, causal)
        y = (y.transpose(1, 2) if axis == 0 else y.permute(2, 0, 1, 3)).flatten(2)
        out: Tensor = self.out_proj(y if batched else y.squeeze(0))
        if weights is not None:
            if average_attn_weights:
                weights = weights.mean(1)
            if not batched:
                weights = weights.squeeze(0)
        return out, weights

    def _check(self, query: Tensor, key: Tensor, value: Tensor) -> bool:
        """Tell whether the input has a batch dimension; raise where sizes do not fit."""
        shapes = "".join(
            f"\n  {name}  {list(x.shape)}"
            for name, x in (("query", query), ("key  ", key), ("value", value))
        )
        if query.ndim not in (2, 3) or not query.ndim == key.ndim == value.ndim:
            raise ValueError(
                "MultiheadAttention: query, key and value need 3 dimensions, or 2 without a batch"
                + shapes
            )
        wanted = (self.embed_dim, self.kdim, self.vdim)
        if (query.shape[-1], key.shape[-1], value.shape[-1]) != wanted:
            raise ValueError(
                "MultiheadAttention: query, key and value must have {}, {} and {} features".format(
                    *wanted
                )
                + shapes
            )
        batch = 0 if self.batch_first else 1
        fits = query.ndim == 2 or query.shape[batch] == key.shape[batch]
        if key.shape[:-1] != value.shape[:-1] or not fits:
            raise ValueError(
                "MultiheadAttention: key and value must have the same length, and all three the "
                "same batch" + shapes
            )
        return query.ndim == 3

    def _project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        weight, bias = self.in_proj_weight, self.in_proj_bias
        if weight is None:
            biases = (None, None, None) if bias is None else bias.chunk(3)
            rows = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
            q, k, v = (
                linear(x, w, b)
                for x, w, b in zip((query, key, value), rows, biases, strict=True)
                if w is not None
            )
            return q, k, v
        if query is key and key is value:
            q, k, v = linear(query, weight, bias).chunk(3, -1)
            return q, k, v
        sizes = (self.embed_dim, 2 * self.embed_dim)
        own, other = weight.split(sizes)
        own_bias, other_bias = (None, None) if bias is None else bias.split(sizes)
        q = linear(query, own, own_bias)
        if key is value:
            k, v = linear(key, other, other_bias).chunk(2, -1)
            return q, k, v
        for_key, for_value = other.chunk(2)
        key_bias, value_bias = (None, None) if other_bias is None else other_bias.chunk(2)
        return q, linear(key, for_key, key_bias), linear(value, for_value, value_bias)

    def _attention_mask(
        self, mask: Tensor | None, n: int, length: int, source: int, dtype: _core.dtype, extra: int
    ) -> Tensor | None:
        """[1, 1, L, S] or [N, heads, L, S], True (or what is added) where a key may be seen."""
        if mask is None:
            return None
        allowed = ([length, source], [n * self.num_heads, length, source])
        if list(mask.shape) not in allowed:
            raise ValueError(
                f"MultiheadAttention: attn_mask must have sizes {allowed[0]} or {allowed[1]}, got "
                f"{list(mask.shape)}"
            )
        seen = _seen("attn_mask", mask, dtype, extra)
        if mask.ndim == 2:
            return seen.unsqueeze(0).unsqueeze(0)
        return seen.unflatten(0, (n, self.num_heads))

    def _padding_mask(
        self,
        mask: Tensor | None,
        batched: bool,
        n: int,
        source: int,
        dtype: _core.dtype,
        extra: int,
    ) -> Tensor | None:
        """[N, 1, 1, S]."""
        if mask is None:
            return None
        wanted = [n, source] if batched else [source]
        if list(mask.shape) != wanted:
            raise ValueError(
                f"MultiheadAttention: key_padding_mask must have sizes {wanted}, got "
                f"{list(mask.shape)}"
            )
        seen = _seen("key_padding_mask", mask, dtype, extra)
        return (seen if batched else seen.unsqueeze(0)).unsqueeze(1).unsqueeze(1)


def _seen(name: str, mask: Tensor, dtype: _core.dtype, extra: int) -> Tensor:
    """Turn a mask into one of what may be seen, with ``extra`` keys that are never hidden."""
    if mask.dtype == _core.bool:
        mask = mask.logical_not()
    elif not mask.is_floating_point():
        raise TypeError(
            f"MultiheadAttention: {name} must be bool or floating point, got {mask.dtype}"
        )
    else:
        mask = mask.to(dtype)
    if extra:
        fill = _core.full(
            (*mask.shape[:-1], extra),
            mask.dtype == _core.bool,
            dtype=mask.dtype,
            device=mask.device,
        )
        mask = _core.cat([mask, fill], -1)
    return mask


def _added(mask: Tensor, dtype: _core.dtype) -> Tensor:
    """Turn a mask into numbers to add to scores."""
    if mask.dtype != _core.bool:
        return mask
    with no_grad():
        zeros = _core.zeros(mask.shape, dtype=dtype, device=mask.device)
        return zeros.masked_fill_(mask.logical_not(), -math.inf)


def _joined(mask: Tensor | None, padding: Tensor | None, dtype: _core.dtype) -> Tensor | None:
    if mask is None or padding is None:
        return padding if mask is None else mask
    if mask.dtype == padding.dtype == _core.bool:
        return mask.logical_and(padding)
    return _added(mask, dtype) + _added(padding, dtype)
