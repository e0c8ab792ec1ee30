"""Sequences of several lengths in one batch: padded to the longest, or packed step by step."""

from __future__ import annotations

from collections import namedtuple

from lamina import _core
from lamina._core import Tensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from typing_extensions import Self

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]

_Fields = namedtuple("_Fields", ["data", "batch_sizes", "sorted_indices", "unsorted_indices"])


class PackedSequence(_Fields):
    """The elements of a batch of sequences without padding, as recurrent layers take them.

    Made by :func:`pack_padded_sequence` and :func:`pack_sequence`. Sequences are held longest
    first, step by step: all first elements, then all second ones, and so on.

    Attributes
    ----------
    data : Tensor, [total, ...]
        The elements.
    batch_sizes : Tensor, int64, [steps]
        How many sequences have an element at each step.
    sorted_indices : Tensor or None
        Which sequence of the caller's is the first one here, the second, and so on; None if they
        came in that order.
    unsorted_indices : Tensor or None
        The inverse: where each of the caller's sequences is.

    Examples
    --------
    >>> import lamina
    >>> from lamina.nn.utils.rnn import pack_sequence
    >>> packed = pack_sequence([lamina.tensor([1, 2, 3]), lamina.tensor([4, 5])])
    >>> packed.data.tolist(), packed.batch_sizes.tolist()
    ([1, 4, 2, 5, 3], [2, 2, 1])
    """

    __slots__ = ()

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None

    def __new__(
        cls,
        data: Tensor,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> Self:
        """Hold the four; ``unsorted_indices`` follow from ``sorted_indices``."""
        if not isinstance(batch_sizes, Tensor):
            raise TypeError(
                "PackedSequence: batch_sizes must be a Tensor, got "
                f"{type(batch_sizes).__name__}; pack_sequence makes it"
            )
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """Convert the data as :meth:`lamina.Tensor.to` does; indices follow to its device."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        moved = [
            None if index is None else index.to(data.device)
            for index in (self.sorted_indices, self.unsorted_indices)
        ]
        return type(self)(data, self.batch_sizes, *moved)

    def cpu(self) -> PackedSequence:
        """Move to the CPU."""
        return self.to("cpu")

    def cuda(self, device: Any = None) -> PackedSequence:
        """Move to a CUDA device."""
        return self.to("cuda" if device is None else device)

    def double(self) -> PackedSequence:
        """Convert the data to float64."""
        return self.to(_core.float64)

    def float(self) -> PackedSequence:
        """Convert the data to float32."""
        return self.to(_core.float32)

    def long(self) -> PackedSequence:
        """Convert the data to int64."""
        return self.to(_core.int64)

    def int(self) -> PackedSequence:
        """Convert the data to int32."""
        return self.to(_core.int32)

    @property
    def is_cuda(self) -> bool:
        """Whether the data is on a CUDA device."""
        return self.data.device.type == "cuda"


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """Where each place of a permutation went; None stays None.

    Parameters
    ----------
    permutation : Tensor or None
        Int64, [N], every number from 0 to N - 1 once.

    Examples
    --------
    >>> import lamina
    >>> from lamina.nn.utils.rnn import invert_permutation
    >>> invert_permutation(lamina.tensor([2, 0, 1])).tolist()
    [1, 2, 0]
    """
    return None if permutation is None else permutation.argsort()


def pack_padded_sequence(
    input: Tensor,
    lengths: Tensor | Sequence[int],
    batch_first: bool = False,
    enforce_sorted: bool = True,
) -> PackedSequence:
    """Leave out the padding of a batch.

    Parameters
    ----------
    input : Tensor, [T, N, ...], or [N, T, ...] with ``batch_first``
        Sequences, each padded to T.
    lengths : Tensor or list of int
        Of each sequence, from 1 to T; a tensor is int64 and on the CPU.
    batch_first : bool, default False
        How ``input`` is laid out.
    enforce_sorted : bool, default True
        The longest sequence comes first, or it is an error; if False, they are sorted here, and
        :class:`PackedSequence` remembers how.

    Raises
    ------
    ValueError
        If lengths are out of range, not as many as sequences, or not in order.

    Examples
    --------
    >>> import lamina
    >>> from lamina.nn.utils.rnn import pack_padded_sequence
    >>> x = lamina.tensor([[1, 2, 0], [3, 4, 5]])
    >>> packed = pack_padded_sequence(x, [2, 3], batch_first=True, enforce_sorted=False)
    >>> packed.data.tolist(), packed.sorted_indices.tolist()
    ([3, 1, 4, 2, 5], [1, 0])
    """
    counts = lengths if isinstance(lengths, Tensor) else _core.tensor(lengths, dtype=_core.int64)
    order = None
    if not enforce_sorted:
        counts, order = counts.sort(dim=-1, descending=True)
        order = order.to(input.device)
        input = input.index_select(0 if batch_first else 1, order)
    data, batch_sizes = _core._pack_padded_sequence(input, counts, batch_first)
    return PackedSequence(data, batch_sizes, order)


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Undo :func:`pack_padded_sequence`: a padded batch, and the lengths.

    Parameters
    ----------
    sequence : PackedSequence
        What to unpack.
    batch_first : bool, default False
        Give [N, T, ...] instead of [T, N, ...].
    padding_value : float, default 0.0
        Put where a sequence has ended.
    total_length : int, optional
        T; by default the length of the longest sequence.

    Returns
    -------
    Tensor, Tensor
        The batch, in the order of the caller's sequences, and their lengths (int64, CPU).

    Raises
    ------
    ValueError
        If a sequence is longer than ``total_length``.

    Examples
    --------
    >>> import lamina
    >>> from lamina.nn.utils.rnn import pack_sequence, pad_packed_sequence
    >>> packed = pack_sequence([lamina.tensor([1, 2, 3]), lamina.tensor([4])])
    >>> padded, lengths = pad_packed_sequence(packed, batch_first=True)
    >>> padded.tolist(), lengths.tolist()
    ([[1, 2, 3], [4, 0, 0]], [3, 1])
    """
    if total_length is not None and total_length < len(sequence.batch_sizes):
        raise ValueError(
            f"pad_packed_sequence: total_length {total_length} is less than the longest sequence, "
            f"of {len(sequence.batch_sizes)}"
        )
    # A number of the data's own kind: 0.0 is the default for integers too.
    value: Any = padding_value
    padded, lengths = _core._pad_packed_sequence(
        sequence.data, sequence.batch_sizes, batch_first, value, total_length or 0
    )
    order = sequence.unsorted_indices
    if order is not None:
        padded = padded.index_select(0 if batch_first else 1, order)
        lengths = lengths[order.cpu()]
    return padded, lengths


def pad_sequence(
    sequences: Tensor | Sequence[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Stack sequences of several lengths, padding the shorter ones.

    Parameters
    ----------
    sequences : sequence of Tensor, each [length, ...]
        They differ in length only.
    batch_first : bool, default False
        Give [N, T, ...] instead of [T, N, ...], T being the greatest length.
    padding_value : float, default 0.0
        What to pad with.
    padding_side : {"right", "left"}, default "right"
        Whether padding follows a sequence or precedes it.

    Examples
    --------
    >>> import lamina
    >>> from lamina.nn.utils.rnn import pad_sequence
    >>> pad_sequence([lamina.tensor([1, 2, 3]), lamina.tensor([4])], batch_first=True).tolist()
    [[1, 2, 3], [4, 0, 0]]
    """
    if padding_side not in ("right", "left"):
        raise ValueError(
            f"pad_sequence: padding_side must be 'right' or 'left', got {padding_side!r}"
        )
    listed = list(sequences.unbind(0) if isinstance(sequences, Tensor) else sequences)
    return _core._pad_sequence(listed, batch_first, padding_value, padding_side == "left")


def unpad_sequence(
    padded_sequences: Tensor, lengths: Tensor | Sequence[int], batch_first: bool = False
) -> list[Tensor]:
    """Undo :func:`pad_sequence`: views of each sequence without its padding.

    Parameters
    ----------
    padded_sequences : Tensor, [T, N, ...], or [N, T, ...] with ``batch_first``
        Sequences padded on the right.
    lengths : Tensor or list of int
        Of each sequence.
    batch_first : bool, default False
        How ``padded_sequences`` is laid out.

    Examples
    --------
    >>> import lamina
    >>> from lamina.nn.utils.rnn import unpad_sequence
    >>> padded = lamina.tensor([[1, 2, 3], [4, 0, 0]])
    >>> [x.tolist() for x in unpad_sequence(padded, lamina.tensor([3, 1]), batch_first=True)]
    [[1, 2, 3], [4]]
    """
    sequences = padded_sequences.unbind(0 if batch_first else 1)
    counts = lengths.tolist() if isinstance(lengths, Tensor) else list(lengths)
    if len(counts) != len(sequences):
        raise ValueError(
            f"unpad_sequence: got {len(counts)} lengths for {len(sequences)} sequences"
        )
    return [sequence[:count] for sequence, count in zip(sequences, counts, strict=True)]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Pack a list of sequences, each [length, ...], with at least one element each.

    Parameters
    ----------
    sequences : sequence of Tensor
        They differ in length only.
    enforce_sorted : bool, default True
        The longest comes first, or it is an error; if False, they are sorted here.

    Examples
    --------
    >>> import lamina
    >>> from lamina.nn.utils.rnn import pack_sequence
    >>> pack_sequence([lamina.tensor([1, 2]), lamina.tensor([3])]).data.tolist()
    [1, 3, 2]
    """
    lengths = [len(sequence) for sequence in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """Undo :func:`pack_sequence`: the list of sequences.

    Parameters
    ----------
    packed_sequences : PackedSequence
        What to unpack.

    Examples
    --------
    >>> import lamina
    >>> from lamina.nn.utils.rnn import pack_sequence, unpack_sequence
    >>> packed = pack_sequence([lamina.tensor([1, 2]), lamina.tensor([3])])
    >>> [x.tolist() for x in unpack_sequence(packed)]
    [[1, 2], [3]]
    """
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
