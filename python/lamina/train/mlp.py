"""Multilayer perceptrons for rows of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lamina import _core, nn

__all__ = ["ACTIVATIONS", "Standardize", "build_mlp"]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


class Standardize(nn.Module):
    """Shifts and scales each feature: ``(x - mean) / scale``, both fixed and saved with the model.

    Parameters
    ----------
    mean, scale : Tensor of shape (n_features,)
        Usually from `Standardize.of` the training inputs.

    Examples
    --------
    >>> import lamina
    >>> layer = Standardize.of(lamina.tensor([[1.0, 5.0], [3.0, 5.0]]))
    >>> layer(lamina.tensor([[3.0, 5.0]])).tolist()
    [[1.0, 0.0]]
    """

    mean: _core.Tensor
    scale: _core.Tensor

    def __init__(self, mean: _core.Tensor, scale: _core.Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    @classmethod
    def of(cls, x: _core.Tensor) -> Standardize:
        """Make the layer that gives `x` (n, n_features) mean 0 and variance 1; constants get 0."""
        import numpy

        values = x.numpy().astype(numpy.float64)
        spread = values.std(axis=0)
        # A feature that does not vary has only rounding for a spread: divide by 1 instead.
        tiny = spread <= 1e-7 * numpy.abs(values).max(axis=0)
        statistics = values.mean(axis=0), numpy.where(tiny, 1.0, spread)
        return cls(*(_core.from_numpy(v.astype(numpy.float32)) for v in statistics))

    def forward(self, x: _core.Tensor) -> Any:
        """Scale `x` (n, n_features)."""
        return (x - self.mean) / self.scale


def build_mlp(
    n_features: int,
    n_classes: int,
    layers: Sequence[int] = (128, 64),
    activation: str = "relu",
    batch_norm: bool = True,
    dropout: float = 0.0,
    standardize: Standardize | None = None,
) -> nn.Sequential:
    """Make a classifier: hidden layers, each Linear, batch norm, activation, dropout; then Linear.

    Parameters
    ----------
    n_features, n_classes : int
        Sizes of the input and the output.
    layers : sequence of int, default (128, 64)
        Widths of the hidden layers; empty gives a linear classifier.
    activation : str, default "relu"
        One of "relu", "leaky_relu", "gelu", "tanh", "sigmoid".
    batch_norm : bool, default True
        Batch normalization after each hidden Linear (Ioffe and Szegedy, 2015).
    dropout : float, default 0
        Probability of dropping a hidden value (Srivastava et al., 2014).
    standardize : Standardize, optional
        A first layer that scales the inputs.

    Returns
    -------
    nn.Sequential
        From ``(n, n_features)`` to logits ``(n, n_classes)``.

    Raises
    ------
    ValueError
        When a size is not positive, the activation is unknown, or dropout is outside [0, 1).

    Examples
    --------
    >>> import lamina
    >>> model = build_mlp(4, 3, layers=[8])
    >>> list(model(lamina.zeros(5, 4)).shape)
    [5, 3]
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, not {activation!r}")
    if min([n_features, n_classes, *layers]) < 1:
        raise ValueError(f"layer sizes must be positive, got {[n_features, *layers, n_classes]}")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be in [0, 1), got {dropout}")
    stack: list[nn.Module] = [] if standardize is None else [standardize]
    width = n_features
    for size in layers:
        # A bias before batch normalization is subtracted again by the mean.
        stack.append(nn.Linear(width, size, bias=not batch_norm))
        if batch_norm:
            stack.append(nn.BatchNorm1d(size))
        stack.append(ACTIVATIONS[activation]())
        if dropout:
            stack.append(nn.Dropout(dropout))
        width = size
    return nn.Sequential(*stack, nn.Linear(width, n_classes))
