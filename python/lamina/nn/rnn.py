"""Recurrent layers: `RNN`, `LSTM` and `GRU`; their single steps are in `lamina.nn.rnn_cell`.

A layer runs a whole sequence in one native operation, in both directions, and so does its
gradient.

Shapes of `RNN`, `LSTM` and `GRU`, with T steps, N sequences, ``I = input_size``,
``H = hidden_size``, L layers, and D = 2 directions if bidirectional, else 1:

=============  ==========================================================================
``input``      [T, N, I], or [N, T, I] with ``batch_first``; [T, I] for one sequence; or a
               :class:`lamina.nn.utils.rnn.PackedSequence` of sequences of several lengths
``h_0, c_0``   the states at the start, [L D, N, H] ([L D, H] for one sequence); zeros if left
               out. The layers follow each other, and each one's directions
``output``     the last layer's states, [T, N, D H] or as ``input`` is laid out; packed for
               packed input. The second direction's states follow the first's
``h_n, c_n``   the states at the end, as ``h_0`` and ``c_0``
=============  ==========================================================================

Parameters of layer k, for each gate below each other in the order that the class says (G gates):
``weight_ih_lk`` [G H, I] (in layers above the first [G H, D H]), ``weight_hh_lk`` [G H, H],
``bias_ih_lk`` and ``bias_hh_lk`` [G H]; those of the second direction end in ``_reverse``. All
start uniform in ``(-1/sqrt(H), 1/sqrt(H))``. Cells have the same without ``_lk``.
"""

from __future__ import annotations

import math
import warnings

from lamina import _core
from lamina._core import Tensor
from lamina.nn import init
from lamina.nn.module import Module
from lamina.nn.parameter import Parameter
from lamina.nn.utils.rnn import PackedSequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any


def positive(name: str, what: str, value: Any) -> int:
    """Check a size of the layer ``name``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: {what} must be an int, got {type(value).__name__}")
    if value <= 0:
        raise ValueError(f"{name}: {what} must be positive, got {value}")
    return value


def start(module: Module, hidden_size: int) -> None:
    """Draw all parameters from the law that recurrent layers start with."""
    bound = 1 / math.sqrt(hidden_size)
    for parameter in module.parameters():
        init.uniform_(parameter, -bound, bound)


def pair(name: str, hx: Any) -> tuple[Tensor, ...]:
    """Check the two states of an LSTM; none stand for zeros."""
    if hx is None:
        return ()
    if not isinstance(hx, (tuple, list)) or len(hx) != 2:
        raise TypeError(f"{name}: hx must be a tuple (h, c) of two tensors")
    return tuple(hx)


class RNNBase(Module):
    """What `RNN`, `LSTM` and `GRU` share; see them, and the module for shapes."""

    _gates: int

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: _core.dtype | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.input_size = input_size
        self.hidden_size = positive(name, "hidden_size", hidden_size)
        self.num_layers = positive(name, "num_layers", num_layers)
        self.bias = bias
        self.batch_first = batch_first
        if isinstance(dropout, bool) or not 0 <= dropout <= 1:
            raise ValueError(f"{name}: dropout must be in [0, 1], got {dropout}")
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                f"{name}: dropout is applied between layers, and num_layers is 1", stacklevel=3
            )
        self._names: list[list[str]] = []
        height = self._gates * hidden_size
        for layer in range(num_layers):
            width = input_size if layer == 0 else (1 + bidirectional) * hidden_size
            shapes: dict[str, tuple[int, ...]] = {
                "weight_ih": (height, width),
                "weight_hh": (height, hidden_size),
            }
            if bias:
                shapes |= {"bias_ih": (height,), "bias_hh": (height,)}
            for suffix in (f"_l{layer}", f"_l{layer}_reverse")[: 1 + bidirectional]:
                for part, shape in shapes.items():
                    value = Parameter(_core.empty(shape, dtype=dtype, device=device))
                    self.register_parameter(part + suffix, value)
                self._names.append([part + suffix for part in shapes])
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new values, as at the start."""
        start(self, self.hidden_size)

    def flatten_parameters(self) -> None:
        """Do nothing: parameters are read where they are."""

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._names]

    def _run(
        self, input: Tensor | PackedSequence, states: Sequence[Tensor]
    ) -> tuple[Any, list[Tensor]]:
        """Give the output, and the states at the end."""
        if isinstance(input, PackedSequence):
            return self._run_packed(input, states)
        alone = input.ndim == 2
        if alone:
            states = [self._one(state).unsqueeze(1) for state in states]
            input = input.unsqueeze(0 if self.batch_first else 1)
        output, *ends = self._call((input,), states, (self.batch_first,))
        if alone:
            return output.squeeze(0 if self.batch_first else 1), [end.squeeze(1) for end in ends]
        return output, ends

    def _run_packed(
        self, input: PackedSequence, states: Sequence[Tensor]
    ) -> tuple[PackedSequence, list[Tensor]]:
        order, back = input.sorted_indices, input.unsorted_indices
        if order is not None:
            for state in states:
                if state.ndim != 3 or state.shape[1] != len(order):
                    raise ValueError(
                        f"{type(self).__name__}: the initial state must be [layers * directions, "
                        f"{len(order)}, hidden] for {len(order)} packed sequences, "
                        f"got {list(state.shape)}"
                    )
            states = [state.index_select(1, order) for state in states]
        output, *ends = self._call((input.data, input.batch_sizes), states, ())
        if back is not None:
            ends = [end.index_select(1, back) for end in ends]
        return PackedSequence(output, input.batch_sizes, order, back), ends

    def _call(
        self, data: tuple[Tensor, ...], states: Sequence[Tensor], layout: tuple[bool, ...]
    ) -> tuple[Tensor, ...]:
        result: tuple[Tensor, ...] = self._native()(
            *data,
            self._states(states),
            [getattr(self, name) for names in self._names for name in names],
            self.bias,
            self.num_layers,
            self.dropout,
            self.training,
            self.bidirectional,
            *layout,
        )
        return result

    def _native(self) -> Callable[..., Any]:
        """Give the native operation."""
        raise NotImplementedError(f"{type(self).__name__} does not say what a step computes")

    def _states(self, states: Sequence[Tensor]) -> Any:
        """Put the states as the native operation takes them."""
        return states[0] if states else None

    def _one(self, state: Tensor) -> Tensor:
        if state.ndim != 2:
            raise ValueError(
                f"{type(self).__name__}: for one sequence [steps, features] the initial state must "
                f"be [layers * directions, hidden], got {list(state.shape)}"
            )
        return state

    def extra_repr(self) -> str:
        """Show the sizes, and what differs from the defaults."""
        text = f"{self.input_size}, {self.hidden_size}"
        defaults = {
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
        }
        for name, default in defaults.items():
            value = getattr(self, name)
            if value != default:
                text += f", {name}={value}"
        return text


class RNN(RNNBase):
    """Layers of ``h' = act(x W_ih^T + b_ih + h W_hh^T + b_hh)`` over sequences.

    Elman, "Finding structure in time", Cognitive Science 1990. Shapes and parameters are those of
    `lamina.nn.rnn`, with one gate.

    Parameters
    ----------
    input_size, hidden_size : int
        Features of the input and of the state.
    num_layers : int, default 1
        Each layer above the first takes the states of the one below.
    nonlinearity : {"tanh", "relu"}, default "tanh"
        What ``act`` is.
    bias : bool, default True
        Whether there are ``b_ih`` and ``b_hh``.
    batch_first : bool, default False
        Input and output are [N, T, ...] instead of [T, N, ...]; states are not.
    dropout : float, default 0.0
        Probability of dropping an element between two layers, in training.
    bidirectional : bool, default False
        Whether each layer also runs from the last step to the first.
    device, dtype : optional
        Where and as what the parameters are made.

    Raises
    ------
    ValueError
        If a size is not positive, or ``dropout`` is not in [0, 1]; by a call, if shapes do not fit.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> output, h_n = nn.RNN(3, 5, bidirectional=True)(lamina.zeros(7, 2, 3))
    >>> tuple(output.shape), tuple(h_n.shape)
    ((7, 2, 10), (2, 2, 5))
    """

    _gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: _core.dtype | None = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNN: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device,
            dtype,
        )
        self.nonlinearity = nonlinearity

    def _native(self) -> Callable[..., Any]:
        return _core.rnn_tanh if self.nonlinearity == "tanh" else _core.rnn_relu

    def forward(
        self, input: Tensor | PackedSequence, hx: Tensor | None = None
    ) -> tuple[Any, Tensor]:
        """Map sequences, and h_0 if given, to the output and h_n."""
        output, ends = self._run(input, () if hx is None else (hx,))
        return output, ends[0]


class LSTM(RNNBase):
    """Layers of long short-term memory over sequences.

    The gates are ``i, f, g, o``, all from ``x W_ih^T + b_ih + h W_hh^T + b_hh``, by a sigmoid and
    ``g`` by tanh; then ``c' = f c + i g`` and ``h' = o tanh(c')``. Hochreiter and Schmidhuber,
    "Long short-term memory", Neural Computation 1997. Shapes and parameters are those of
    `lamina.nn.rnn`.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype
        As in `RNN`.
    proj_size : int, default 0
        Only 0: there are no projections.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> output, (h_n, c_n) = nn.LSTM(3, 5, batch_first=True)(lamina.zeros(2, 7, 3))
    >>> tuple(output.shape), tuple(h_n.shape), tuple(c_n.shape)
    ((2, 7, 5), (1, 2, 5), (1, 2, 5))
    """

    _gates = 4

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: _core.dtype | None = None,
    ) -> None:
        if proj_size != 0:
            raise NotImplementedError(
                f"LSTM: proj_size={proj_size} is not supported; put a Linear behind the layer"
            )
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device,
            dtype,
        )
        self.proj_size = 0

    def _native(self) -> Callable[..., Any]:
        return _core.lstm

    def _states(self, states: Sequence[Tensor]) -> Any:
        return list(states)

    def forward(
        self, input: Tensor | PackedSequence, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Any, tuple[Tensor, Tensor]]:
        """Map sequences, and (h_0, c_0) if given, to the output and (h_n, c_n)."""
        output, (h, c) = self._run(input, pair("LSTM", hx))
        return output, (h, c)


class GRU(RNNBase):
    """Layers of gated recurrent units over sequences.

    The gates are ``r, z, n``: the sigmoids of ``x W_ih^T + b_ih + h W_hh^T + b_hh`` first, then
    ``n = tanh(x W_in^T + b_in + r (h W_hn^T + b_hn))``; then ``h' = (1 - z) n + z h``. Cho et al.,
    "Learning phrase representations using RNN encoder-decoder", EMNLP 2014. Shapes and parameters
    are those of `lamina.nn.rnn`.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype
        As in `RNN`.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> output, h_n = nn.GRU(3, 5, num_layers=2)(lamina.zeros(7, 2, 3))
    >>> tuple(output.shape), tuple(h_n.shape)
    ((7, 2, 5), (2, 2, 5))
    """

    _gates = 3

    def _native(self) -> Callable[..., Any]:
        return _core.gru

    def forward(
        self, input: Tensor | PackedSequence, hx: Tensor | None = None
    ) -> tuple[Any, Tensor]:
        """Map sequences, and h_0 if given, to the output and h_n."""
        output, ends = self._run(input, () if hx is None else (hx,))
        return output, ends[0]
