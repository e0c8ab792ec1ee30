"""Directions in the space of a model's parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina import _core
from lamina._core import Tensor
from lamina.autograd.grad_mode import no_grad
from lamina.landscape._checks import seeded, trainable

if TYPE_CHECKING:
    from typing import Literal

    from lamina.nn import Module

__all__ = ["random_direction"]


@no_grad()
def random_direction(
    model: Module,
    seed: int | None = None,
    *,
    normalize: Literal["filter", "layer"] | None = "filter",
) -> dict[str, Tensor]:
    """Draw a random direction, scaled so that a step along it means the same for every model.

    A net with ReLU computes the same when a layer's weights are doubled and the next one's
    halved, but a step of fixed length is then half as far for the one and twice as far for the
    other: it looks flat or sharp as one likes. So a standard normal direction ``d`` is made as
    long as the model, filter by filter: ``d_i <- d_i / |d_i| * |w_i|``, where ``w_i`` are the
    weights into one unit or channel, ``weight[i]``. A step of 1 changes every filter by its own
    length.

    With ``"filter"`` and ``"layer"`` parameters of one dimension (biases, gains and shifts of
    norms) get a zero direction, as in the paper's pictures: one number has no direction but its
    sign, and the gain of a norm is the very scale that the normalization takes out. So do
    parameters without ``requires_grad``.

    Parameters
    ----------
    model : Module
        Any model with parameters that require gradients.
    seed : int, optional
        The same seed gives the same direction and leaves the random state alone. Default: drawn
        from the random state.
    normalize : {"filter", "layer"} or None, default "filter"
        What gets the norm of the model's: ``weight[i]`` for each i, or each whole weight. With
        None the direction is standard normal in every parameter, biases included.

    Returns
    -------
    dict of str to Tensor
        For every name in ``model.named_parameters()`` that requires gradients, a tensor of the
        parameter's shape, dtype and device.

    Raises
    ------
    TypeError
        If ``model`` is no Module, or the seed no int.
    ValueError
        If ``normalize`` is none of these, or nothing in the model requires gradients.

    References
    ----------
    H. Li, Z. Xu, G. Taylor, C. Studer, T. Goldstein, "Visualizing the Loss Landscape of Neural
    Nets", NeurIPS 2018.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> model = nn.Linear(100, 2)
    >>> direction = lamina.landscape.random_direction(model, seed=0)
    >>> sizes = lamina.linalg.vector_norm(direction["weight"], dim=1)
    >>> lamina.allclose(sizes, lamina.linalg.vector_norm(model.weight, dim=1))
    True
    >>> direction["bias"].tolist()
    [0.0, 0.0]
    """
    if normalize not in ("filter", "layer", None):
        raise ValueError(
            f"random_direction: normalize must be 'filter', 'layer' or None, got {normalize!r}"
        )
    generator = None if seed is None else seeded("random_direction", seed)
    direction = {}
    for name, parameter in trainable("random_direction", model).items():
        # Drawn also where it ends as zero: the options share their random numbers.
        drawn = _core.randn(parameter.shape, dtype=parameter.dtype, generator=generator)
        drawn = drawn.to(parameter.device)
        if normalize is not None:
            if parameter.ndim < 2:
                drawn.zero_()
            else:
                rows = tuple(range(1 if normalize == "filter" else 0, parameter.ndim))
                drawn *= _norm(parameter, rows) / _norm(drawn, rows)
        direction[name] = drawn
    return direction


def _norm(values: Tensor, dims: tuple[int, ...]) -> Tensor:
    return (values * values).sum(dim=dims, keepdim=True).sqrt()
