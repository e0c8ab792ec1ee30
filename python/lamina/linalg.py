"""Linear algebra: norms, systems of equations, QR; for float32 and float64, with gradients.

A matrix may be a batch of them, in the leading dimensions.
A matrix that has no inverse raises `LinAlgError`, which says which one of a batch it is.

Examples
--------
>>> import lamina
>>> a = lamina.tensor([[2.0, 0.0], [1.0, 4.0]])
>>> lamina.linalg.solve(a, lamina.tensor([3.0, 6.5])).tolist()
[1.5, 1.25]
"""

from lamina._core import LinAlgError
from lamina._core import linalg_inv as inv
from lamina._core import linalg_matrix_norm as matrix_norm
from lamina._core import linalg_norm as norm
from lamina._core import linalg_qr as qr
from lamina._core import linalg_solve as solve
from lamina._core import linalg_vector_norm as vector_norm
from lamina._errors import absent as _absent

__all__ = ["LinAlgError", "inv", "matrix_norm", "norm", "qr", "solve", "vector_norm"]


def __getattr__(name: str) -> object:
    raise _absent(__name__, name, __all__)
