"""Initial values with a structure: identities, orthogonal rows, few connections."""

from __future__ import annotations

import math

from lamina import _core
from lamina._core import Generator, Tensor
from lamina.autograd.grad_mode import no_grad


def eye_(tensor: Tensor) -> Tensor:
    """Fill a matrix with ones on the diagonal and zeros elsewhere.

    Raises
    ------
    ValueError
        If the tensor is no matrix.

    Examples
    --------
    >>> import lamina
    >>> from lamina.nn import init
    >>> init.eye_(lamina.empty(2, 2)).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    _check_matrix("eye_", tensor)
    with no_grad():
        return tensor.copy_(_core.eye(*tensor.shape, dtype=tensor.dtype, device=tensor.device))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Fill the weight of a convolution so that it gives its input, as far as there are channels.

    Within each group the filter of output channel i is 1 at the centre of input channel i, and 0
    elsewhere.

    Parameters
    ----------
    tensor : Tensor
        A weight ``[out, in, *kernel]`` with one to three kernel dimensions.
    groups : int, default 1
        The groups of the convolution; they must divide ``out``.

    Raises
    ------
    ValueError
        If the tensor has another number of dimensions, or the groups do not divide it.

    Examples
    --------
    >>> import lamina
    >>> from lamina.nn import init
    >>> init.dirac_(lamina.empty(2, 2, 3)).tolist()
    [[[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]], [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]
    """
    shape = tuple(tensor.shape)
    if len(shape) not in (3, 4, 5):
        raise ValueError(f"dirac_: a weight of 3 to 5 dimensions is needed\n  tensor {list(shape)}")
    if groups < 1 or shape[0] % groups:
        raise ValueError(
            f"dirac_: {groups} groups do not divide {shape[0]} output channels\n"
            f"  tensor {list(shape)}"
        )
    each = shape[0] // groups
    centre = tuple(size // 2 for size in shape[2:])
    with no_grad():
        tensor.fill_(0.0)
        for group in range(groups):
            for channel in range(min(each, shape[1])):
                tensor[(group * each + channel, channel, *centre)] = 1.0
    return tensor


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """Fill with a (half-)orthogonal matrix, times ``gain``, drawn evenly from all of them.

    Seen as ``[out, in * prod(kernel)]`` its rows are orthonormal or, where there are more rows than
    columns, its columns. Saxe et al., "Exact solutions to the nonlinear dynamics of learning in
    deep linear neural networks", 2013.

    Raises
    ------
    ValueError
        If the tensor has fewer than 2 dimensions.

    Examples
    --------
    >>> import lamina
    >>> from lamina.nn import init
    >>> weight = init.orthogonal_(lamina.empty(2, 5, dtype=lamina.float64))
    >>> bool(lamina.allclose(weight @ weight.T, lamina.eye(2, dtype=lamina.float64)))
    True
    """
    shape = tuple(tensor.shape)
    if len(shape) < 2:
        raise ValueError(
            f"orthogonal_: a tensor of at least 2 dimensions is needed\n  tensor {list(shape)}"
        )
    if tensor.numel() == 0:
        return tensor
    rows, columns = shape[0], math.prod(shape[1:])
    with no_grad():
        drawn = _core.empty(
            (max(rows, columns), min(rows, columns)), dtype=tensor.dtype, device=tensor.device
        ).normal_(0.0, 1.0, generator=generator)
        q, r = _core.linalg_qr(drawn)
        # The signs that QR chose would make some matrices more likely than others.
        q = q * r.diagonal().sign()
        return tensor.copy_((q.T if rows < columns else q).reshape(shape)).mul_(gain)


def sparse_(
    tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None
) -> Tensor:
    """Fill a matrix normally, but for a share of zeros in each column.

    Martens, "Deep learning via Hessian-free optimization", 2010.

    Parameters
    ----------
    tensor : Tensor
        A matrix.
    sparsity : float
        The share of each column that is zero, rounded up to whole elements.
    std : float, default 0.01
        Of the normal distribution, around 0.
    generator : Generator, optional
        What draws.

    Raises
    ------
    ValueError
        If the tensor is no matrix, or ``sparsity`` not in [0, 1].

    Examples
    --------
    >>> import lamina
    >>> from lamina.nn import init
    >>> (init.sparse_(lamina.empty(4, 3), sparsity=0.5) == 0).sum(dim=0).tolist()
    [2, 2, 2]
    """
    _check_matrix("sparse_", tensor)
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparse_: sparsity must be in [0, 1], got {sparsity}")
    zeros = math.ceil(sparsity * tensor.shape[0])
    with no_grad():
        tensor.normal_(0.0, std, generator=generator)
        if zeros:
            # The places of the smallest of random numbers are a random choice.
            keys = _core.empty(tuple(tensor.shape), device=tensor.device)
            keys.uniform_(0.0, 1.0, generator=generator)
            tensor.scatter_(0, keys.argsort(dim=0)[:zeros], 0.0)
    return tensor


def _check_matrix(name: str, tensor: Tensor) -> None:
    if tensor.ndim != 2:
        raise ValueError(f"{name}: a matrix is needed\n  tensor {list(tensor.shape)}")
