"""Tables of rows that integers name."""

from __future__ import annotations

from lamina import _core
from lamina._core import Tensor, embedding, embedding_bag
from lamina.autograd.grad_mode import no_grad
from lamina.nn import init
from lamina.nn.module import Module
from lamina.nn.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from typing_extensions import Self


class _Table(Module):
    """What the two embeddings share: the table, and how its rows are read."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None,
        max_norm: float | None,
        norm_type: float,
        scale_grad_by_freq: bool,
        weight: Tensor | None,
        freeze: bool,
        device: Any,
        dtype: _core.dtype | None,
    ) -> None:
        super().__init__()
        kind = type(self).__name__
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ValueError(
                    f"{kind}: padding_idx {padding_idx} is out of range for {num_embeddings} rows"
                )
            padding_idx %= num_embeddings
        self.padding_idx = padding_idx
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        shape = (num_embeddings, embedding_dim)
        if weight is None:
            self.weight = Parameter(_core.empty(shape, dtype=dtype, device=device), not freeze)
            self.reset_parameters()
        elif tuple(weight.shape) != shape:
            raise ValueError(
                f"{kind}: the weight given has sizes {list(weight.shape)}, not {list(shape)}"
            )
        else:
            self.weight = Parameter(weight, not freeze)

    def reset_parameters(self) -> None:
        """Draw new values, standard normal; the row ``padding_idx`` is zero."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx].zero_()

    def _shown(self, *more: str) -> str:
        """Show the settings that are not the usual ones, in PyTorch's order."""
        parts = [f"{self.num_embeddings}, {self.embedding_dim}"]
        if self.max_norm is not None:
            parts.append(f"max_norm={self.max_norm}")
        if self.norm_type != 2:
            parts.append(f"norm_type={self.norm_type}")
        if self.scale_grad_by_freq:
            parts.append(f"scale_grad_by_freq={self.scale_grad_by_freq}")
        return ", ".join([*parts, *more])


class Embedding(_Table):
    """A table of vectors, one for each integer from 0 to ``num_embeddings - 1``.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        Rows and columns of the table.
    padding_idx : int, optional
        A row that starts at zero and gets no gradient.
    max_norm : float, optional
        Rows that are read and longer than this are scaled down to it first, in place.
    norm_type : float, default 2.0
        The p of that norm.
    scale_grad_by_freq : bool, default False
        Divide the gradient of a row by how often the batch names it.
    sparse : bool, default False
        Let backward touch no row but those that were read: the others are zeros in memory that is
        not there yet. The gradient is a tensor like any other; :class:`lamina.optim.SparseAdam`
        updates those rows alone.
    device, dtype : optional
        Where and as what the table is made.

    Attributes
    ----------
    weight : Parameter, [num_embeddings, embedding_dim]
        Starts standard normal.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> table = nn.Embedding(10, 3, padding_idx=0)
    >>> y = table(lamina.tensor([[1, 2], [0, 5]]))
    >>> tuple(y.shape), y[1, 0].tolist()
    ((2, 2, 3), [0.0, 0.0, 0.0])
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: _core.dtype | None = None,
    ) -> None:
        super().__init__(
            num_embeddings,
            embedding_dim,
            padding_idx,
            max_norm,
            norm_type,
            scale_grad_by_freq,
            _weight,
            _freeze,
            device,
            dtype,
        )
        self.sparse = sparse

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Self:
        """Make a layer around a table that is there, shared and not copied.

        With ``freeze`` it is not trained. The other parameters are those of the class.
        """
        rows, columns = _sizes(embeddings)
        return cls(
            rows,
            columns,
            padding_idx=padding_idx,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            sparse=sparse,
            _weight=embeddings,
            _freeze=freeze,
        )

    def forward(self, input: Tensor) -> Tensor:
        """Map integers [...] to rows [..., embedding_dim]."""
        return embedding(
            input,
            self.weight,
            self.padding_idx,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.sparse,
        )

    def extra_repr(self) -> str:
        """Show the sizes, and the settings that are not the usual ones."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        sizes = f"{self.num_embeddings}, {self.embedding_dim}"
        shown = self._shown(*(["sparse=True"] if self.sparse else []))
        return shown.replace(sizes, sizes + padding, 1)


class EmbeddingBag(_Table):
    """The sum, mean or maximum of the rows of a table that each bag of integers names.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        Rows and columns of the table.
    max_norm, norm_type, scale_grad_by_freq, sparse
        See :class:`Embedding`.
    mode : {"mean", "sum", "max"}, default "mean"
        What a bag's rows are reduced to; an empty bag gives zeros.
    include_last_offset : bool, default False
        Whether the last offset is the end of the last bag instead of the start of one more.
    padding_idx : int, optional
        A row that does not count, and gets no gradient.
    device, dtype : optional
        Where and as what the table is made.

    Attributes
    ----------
    weight : Parameter, [num_embeddings, embedding_dim]
        Starts standard normal.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> bags = nn.EmbeddingBag(10, 3, mode="sum")
    >>> tuple(bags(lamina.tensor([1, 2, 4, 5]), lamina.tensor([0, 3])).shape)
    (2, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: _core.dtype | None = None,
    ) -> None:
        if mode not in ("mean", "sum", "max"):
            raise ValueError(f"EmbeddingBag: mode must be 'mean', 'sum' or 'max', got {mode!r}")
        super().__init__(
            num_embeddings,
            embedding_dim,
            padding_idx,
            max_norm,
            norm_type,
            scale_grad_by_freq,
            _weight,
            False,
            device,
            dtype,
        )
        self.mode = mode
        self.sparse = sparse
        self.include_last_offset = include_last_offset

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> Self:
        """Make a layer around a table that is there, shared and not copied.

        With ``freeze`` it is not trained. The other parameters are those of the class.
        """
        rows, columns = _sizes(embeddings)
        made = cls(
            rows,
            columns,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            mode=mode,
            sparse=sparse,
            _weight=embeddings,
            include_last_offset=include_last_offset,
            padding_idx=padding_idx,
        )
        made.weight.requires_grad_(not freeze)
        return made

    def forward(
        self,
        input: Tensor,
        offsets: Tensor | None = None,
        per_sample_weights: Tensor | None = None,
    ) -> Tensor:
        """Give each bag's row, [bags, embedding_dim].

        Parameters
        ----------
        input : Tensor of integers, [bags, n] or [count]
        offsets : Tensor of integers, [bags], optional
            Where in a 1-d input each bag begins; the first is 0.
        per_sample_weights : Tensor, of the sizes of ``input``, optional
            Each row's factor, with ``mode="sum"``.
        """
        return embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )

    def extra_repr(self) -> str:
        """Show the sizes, the mode, and the settings that are not the usual ones."""
        padding = [] if self.padding_idx is None else [f"padding_idx={self.padding_idx}"]
        return self._shown(f"mode={self.mode!r}", *padding)


def _sizes(embeddings: Tensor) -> tuple[int, int]:
    if embeddings.ndim != 2:
        raise ValueError(
            f"from_pretrained: the table must have 2 dimensions, got {list(embeddings.shape)}"
        )
    rows, columns = embeddings.shape
    return rows, columns
