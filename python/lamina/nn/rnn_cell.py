"""Single steps of recurrent layers: `RNNCell`, `LSTMCell`, `GRUCell`."""

from __future__ import annotations

from lamina import _core
from lamina._core import Tensor
from lamina.nn.module import Module
from lamina.nn.parameter import Parameter
from lamina.nn.rnn import pair, positive, start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any


class RNNCellBase(Module):
    """What `RNNCell`, `LSTMCell` and `GRUCell` share."""

    _gates: int

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: _core.dtype | None = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = positive(type(self).__name__, "hidden_size", hidden_size)
        self.bias = bias
        height = self._gates * hidden_size

        def made(*shape: int) -> Parameter:
            return Parameter(_core.empty(shape, dtype=dtype, device=device))

        self.weight_ih = made(height, input_size)
        self.weight_hh = made(height, hidden_size)
        self.bias_ih: Parameter | None
        self.bias_hh: Parameter | None
        self.register_parameter("bias_ih", made(height) if bias else None)
        self.register_parameter("bias_hh", made(height) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new values, as at the start."""
        start(self, self.hidden_size)

    def _step(
        self, native: Callable[..., Any], input: Tensor, hx: Any, states: Sequence[Tensor]
    ) -> Any:
        """Run the native operation, on a batch of one if there is none; ``hx`` goes in its way."""
        weights = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        if input.ndim != 1:
            return native(input, hx(states), *weights)
        for state in states:
            if state.ndim != 1:
                raise ValueError(
                    f"{type(self).__name__}: for one input [features] the state must be [hidden], "
                    f"got {list(state.shape)}"
                )
        result = native(input.unsqueeze(0), hx([s.unsqueeze(0) for s in states]), *weights)
        return (
            tuple(r.squeeze(0) for r in result) if isinstance(result, tuple) else result.squeeze(0)
        )

    def extra_repr(self) -> str:
        """Show the sizes, and what differs from the defaults."""
        text = f"{self.input_size}, {self.hidden_size}"
        return text if self.bias else f"{text}, bias={self.bias}"


def _first(states: Sequence[Tensor]) -> Tensor | None:
    return states[0] if states else None


class RNNCell(RNNCellBase):
    """One step of an `RNN` of one layer: [N, input_size] or [input_size] to [N, hidden_size].

    Parameters
    ----------
    input_size, hidden_size, bias, nonlinearity, device, dtype
        As in `RNN`.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> tuple(nn.RNNCell(3, 5)(lamina.zeros(2, 3)).shape)
    (2, 5)
    """

    _gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: _core.dtype | None = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"RNNCell: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}"
            )
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """Map the input and the state (zeros if left out) to the next state."""
        native = _core.rnn_tanh_cell if self.nonlinearity == "tanh" else _core.rnn_relu_cell
        state: Tensor = self._step(native, input, _first, () if hx is None else (hx,))
        return state

    def extra_repr(self) -> str:
        """Show the sizes, and what differs from the defaults."""
        text = super().extra_repr()
        return text if self.nonlinearity == "tanh" else f"{text}, nonlinearity={self.nonlinearity}"


class LSTMCell(RNNCellBase):
    """One step of an `LSTM` of one layer: ``h, c = cell(input, (h, c))``, without proj_size.

    Parameters
    ----------
    input_size, hidden_size, bias, device, dtype
        As in `RNN`.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> h, c = nn.LSTMCell(3, 5)(lamina.zeros(2, 3))
    >>> tuple(h.shape), tuple(c.shape)
    ((2, 5), (2, 5))
    """

    _gates = 4

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Map the input and the states (zeros if left out) to the next states."""
        h, c = self._step(_core.lstm_cell, input, list, pair("LSTMCell", hx))
        return h, c


class GRUCell(RNNCellBase):
    """One step of a `GRU` of one layer: [N, input_size] or [input_size] to [N, hidden_size].

    Parameters
    ----------
    input_size, hidden_size, bias, device, dtype
        As in `RNN`.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> tuple(nn.GRUCell(3, 5)(lamina.zeros(2, 3)).shape)
    (2, 5)
    """

    _gates = 3

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """Map the input and the state (zeros if left out) to the next state."""
        state: Tensor = self._step(_core.gru_cell, input, _first, () if hx is None else (hx,))
        return state
