"""Dropout."""

from __future__ import annotations

from lamina._core import Tensor, dropout
from lamina.nn.module import Module


class Dropout(Module):
    """In training mode sets each element to 0 with probability ``p``, and scales the others.

    The others are divided by ``1 - p``, so that the expectation stays; in evaluation mode the
    input is returned. Srivastava et al., "Dropout", JMLR 2014.

    Parameters
    ----------
    p : float, default 0.5
        Probability of an element to be dropped, in [0, 1].
    inplace : bool, default False
        Write the result into the input.

    Raises
    ------
    ValueError
        If ``p`` is not in [0, 1].

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> nn.Dropout(0.9).eval()(lamina.ones(3)).tolist()
    [1.0, 1.0, 1.0]
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout: p must be in [0, 1], got {p}")
        self.p = p
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Drop elements of ``input``, of any shape, in training mode."""
        if not self.training:
            return input
        result = dropout(input, self.p, True)
        return input.copy_(result) if self.inplace else result

    def extra_repr(self) -> str:
        """Show the probability."""
        return f"p={self.p}, inplace={self.inplace}"
