"""How the loss curves: its Hessian's largest eigenvalue and trace, by products with vectors."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lamina import _core
from lamina._as_it_was import as_it_was
from lamina._core import Generator, Tensor
from lamina.autograd.functions import grad
from lamina.autograd.grad_mode import enable_grad
from lamina.landscape._checks import fitting, seeded, shown, takes_model, trainable, whole
from lamina.nn.utils.convert_parameters import parameters_to_vector

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from lamina.nn import Module

    Loss = Callable[[Any], Tensor]

__all__ = ["Eigenvalue", "Trace", "hessian_vector_product", "top_eigenvalue", "trace"]


@dataclass(frozen=True)
class Eigenvalue:
    """An eigenvalue of a loss's Hessian, as :func:`top_eigenvalue` gives it.

    Attributes
    ----------
    value : float
        The eigenvalue: the curvature along the vector.
    vector : dict of str to Tensor
        The eigenvector of length 1, by parameter names: a direction for
        :func:`lamina.landscape.line`.
    residual : float
        ``|H v - value v|``: some eigenvalue is as near to ``value`` as this.
    iterations : int
        Products of the Hessian with a vector that it took.
    converged : bool
        Whether the residual came down to the tolerance.

    Examples
    --------
    >>> import lamina
    >>> Eigenvalue(2.0, {"w": lamina.ones(1)}, residual=0.0, iterations=1, converged=True).value
    2.0
    """

    value: float
    vector: dict[str, Tensor] = field(repr=False)
    residual: float
    iterations: int
    converged: bool


@dataclass(frozen=True)
class Trace:
    """An estimate of the trace of a loss's Hessian, as :func:`trace` gives it.

    Attributes
    ----------
    value : float
        The mean over the samples.
    standard_error : float
        Of that mean.

    Examples
    --------
    >>> Trace(12.0, standard_error=0.5).value
    12.0
    """

    value: float
    standard_error: float


class _Hessian:
    """The Hessian of a loss at the model's parameters, as a product with flat vectors.

    The graph of the gradient is recorded once and walked once a product.
    """

    def __init__(self, op: str, model: Module, loss: Loss, training: bool) -> None:
        self.parameters = trainable(op, model)
        takes_model(op, loss)
        self._leaves = list(self.parameters.values())
        with as_it_was(model), enable_grad():
            model.train(training)
            value: Any = loss(model)
            if not isinstance(value, Tensor) or value.numel() != 1:
                hint = "; do not call .item() in it" if isinstance(value, float) else ""
                raise TypeError(
                    f"{op}: the loss must return a tensor with one element, "
                    f"got {shown(value)}{hint}"
                )
            if not math.isfinite(value.item()):
                raise ValueError(f"{op}: the loss is {value.item()}; it must be finite")
            if not value.requires_grad:
                raise ValueError(
                    f"{op}: the loss does not depend on the model's parameters by recorded "
                    "operations; call the model in it, without no_grad and detach"
                )
            # While buffers are what they were in the forward pass: both are in the graph.
            self._gradient = self._flat(grad(value, self._leaves, create_graph=True,
                                             allow_unused=True))  # fmt: skip

    def _flat(self, parts: tuple[Tensor | None, ...]) -> Tensor:
        return parameters_to_vector(
            _core.zeros_like(leaf) if part is None else part
            for part, leaf in zip(parts, self._leaves, strict=True)
        )

    def __matmul__(self, vector: Tensor) -> Tensor:
        if not self._gradient.requires_grad:  # a loss that is linear in the parameters
            return _core.zeros_like(vector)
        return self._flat(
            grad(self._gradient, self._leaves, vector, retain_graph=True, allow_unused=True)
        )

    def random(self, generator: Generator) -> Tensor:
        """Draw +1 and -1, as many as parameters."""
        like = self._gradient
        coins = _core.randint(0, 2, like.shape, generator=generator)
        return (2 * coins - 1).to(like.dtype).to(like.device)

    def named(self, vector: Tensor) -> dict[str, Tensor]:
        parts = vector.split([leaf.numel() for leaf in self._leaves])
        return {
            name: part.view(leaf.shape).to(leaf.dtype)
            for (name, leaf), part in zip(self.parameters.items(), parts, strict=True)
        }


def hessian_vector_product(
    model: Module, loss: Loss, vector: Mapping[str, Tensor], *, training: bool = False
) -> dict[str, Tensor]:
    """Multiply the Hessian of the loss, in the model's parameters, with a vector.

    The gradient is differentiated once more in the vector's direction, which costs about two
    backward passes whatever the number of parameters.

    Parameters
    ----------
    model : Module
        Any model whose operations have second derivatives.
    loss : callable
        Takes the model and returns a Tensor with one element.
    vector : dict of str to Tensor
        By parameter names, as :func:`random_direction` makes it; names left out are zero.
    training : bool, default False
        Call the model in training mode instead of evaluation mode.

    Returns
    -------
    dict of str to Tensor
        The product, for every parameter that requires gradients.

    Raises
    ------
    TypeError
        If ``model`` is no Module, or the loss gives no Tensor with one element.
    ValueError
        If the vector does not fit the parameters, or the loss is not finite or does not depend
        on them.

    References
    ----------
    B. Pearlmutter, "Fast exact multiplication by the Hessian", Neural Computation 6, 1994.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> from lamina.landscape import hessian_vector_product
    >>> model = nn.Linear(2, 1, bias=False)
    >>> scale = lamina.tensor([[1.0, 3.0]])
    >>> bowl = lambda m: (scale * m.weight**2).sum()  # with Hessian diag(2, 6)
    >>> hessian_vector_product(model, bowl, {"weight": lamina.ones(1, 2)})["weight"].tolist()
    [[2.0, 6.0]]
    """
    op = "hessian_vector_product"
    hessian = _Hessian(op, model, loss, training)
    parts = fitting(op, "vector", vector, hessian.parameters)
    flat = parameters_to_vector(
        parts[name] if name in parts else _core.zeros_like(leaf)
        for name, leaf in hessian.parameters.items()
    )
    return hessian.named(hessian @ flat)


def top_eigenvalue(
    model: Module,
    loss: Loss,
    *,
    iterations: int = 200,
    tol: float = 1e-3,
    seed: int = 0,
    training: bool = False,
) -> Eigenvalue:
    """Find the largest eigenvalue of the loss's Hessian, its sharpness, by power iteration.

    A vector multiplied with the Hessian again and again turns to the eigenvector whose
    eigenvalue is largest in absolute value. Where that one is negative, at a saddle, or has a
    rival of the other sign, its size is added to all eigenvalues, ``H + |value|``, which makes
    the largest the dominant one, and the iteration goes on. So the result is the largest
    eigenvalue, and negative only where all are.

    Parameters
    ----------
    model : Module
        Any model whose operations have second derivatives.
    loss : callable
        Takes the model and returns a Tensor with one element.
    iterations : int, default 200
        At most so many products with the Hessian, and as many again where it goes on.
    tol : float, default 1e-3
        Stop when ``|H v - value v|`` is at most ``tol`` times the eigenvalue largest in
        absolute value: some eigenvalue is then that near, and mostly much nearer.
    seed : int, default 0
        Of the vector to begin with. The random state is left alone.
    training : bool, default False
        Call the model in training mode instead of evaluation mode.

    Returns
    -------
    Eigenvalue
        The value, its vector, and whether the iteration converged.

    Raises
    ------
    TypeError, ValueError
        As in :func:`hessian_vector_product`, and for ``iterations`` under 1 or a negative
        ``tol``.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> model = nn.Linear(2, 1, bias=False)
    >>> scale = lamina.tensor([[1.0, -3.0]])
    >>> saddle = lambda m: (scale * m.weight**2).sum()  # with Hessian diag(2, -6)
    >>> found = lamina.landscape.top_eigenvalue(model, saddle)
    >>> round(found.value, 3), found.converged
    (2.0, True)
    """
    whole("top_eigenvalue", "iterations", iterations, 1)
    if not tol >= 0:
        raise ValueError(f"top_eigenvalue: tol must be 0 or more, got {tol!r}")
    hessian = _Hessian("top_eigenvalue", model, loss, training)
    start = hessian.random(seeded("top_eigenvalue", seed))
    value, vector, residual, used = _power(hessian, start, 0.0, iterations, tol)
    size = math.hypot(value, residual)  # |H v|
    if value < 0 or residual > tol * size:
        if value < 0:  # the vector found has next to nothing of what is looked for
            vector = hessian.random(seeded("top_eigenvalue", seed + 1))
        value, vector, residual, more = _power(hessian, vector, -size, iterations, tol)
        used += more
    return Eigenvalue(value, hessian.named(vector), residual, used, residual <= tol * size)


def _power(
    hessian: _Hessian, vector: Tensor, shift: float, iterations: int, tol: float
) -> tuple[float, Tensor, float, int]:
    """Find the eigenvalue farthest from ``shift``, 0 or less; its vector, residual, products."""
    used = 0
    while True:
        vector = vector / _norm(vector)
        product = hessian @ vector
        used += 1
        value = (vector @ product).item()  # Rayleigh's quotient: the sign comes with it
        residual = _norm(product - value * vector)
        following = product - shift * vector
        done = residual <= tol * max(math.hypot(value, residual), -shift) or not following.any()
        if done or used == iterations:
            return value, vector, residual, used
        vector = following


def _norm(vector: Tensor) -> float:
    return math.sqrt((vector @ vector).item())


def trace(
    model: Module, loss: Loss, *, samples: int = 100, seed: int = 0, training: bool = False
) -> Trace:
    """Estimate the trace of the loss's Hessian: the sum of its eigenvalues.

    The mean of ``z H z`` over vectors z of random signs (Hutchinson's estimator).

    Parameters
    ----------
    model, loss, training
        As in :func:`top_eigenvalue`.
    samples : int, default 100
        How many vectors, each a product with the Hessian.
    seed : int, default 0
        Of the signs. The random state is left alone.

    Returns
    -------
    Trace
        The estimate and its standard error, which falls with the root of ``samples``.

    Raises
    ------
    TypeError, ValueError
        As in :func:`hessian_vector_product`, and for fewer than two samples.

    References
    ----------
    M. Hutchinson, "A stochastic estimator of the trace of the influence matrix for Laplacian
    smoothing splines", Communications in Statistics 19, 1990.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> model = nn.Linear(2, 1, bias=False)
    >>> scale = lamina.tensor([[1.0, 3.0]])
    >>> lamina.landscape.trace(model, lambda m: (scale * m.weight**2).sum()).value
    8.0
    """
    whole("trace", "samples", samples, 2)
    hessian = _Hessian("trace", model, loss, training)
    generator = seeded("trace", seed)
    values = []
    for _ in range(samples):
        signs = hessian.random(generator)
        values.append((signs @ (hessian @ signs)).item())
    mean = math.fsum(values) / samples
    variance = math.fsum((value - mean) ** 2 for value in values) / (samples - 1)
    return Trace(mean, math.sqrt(variance / samples))
