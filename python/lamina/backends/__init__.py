"""PyTorch's switches for the libraries that it computes with, so that scripts find them.

Lamina computes with its own kernels: what can be set here is accepted and changes nothing.
"""

from __future__ import annotations

from lamina._errors import absent as _absent
from lamina.backends import cuda, cudnn, mps

__all__ = ["cuda", "cudnn", "mps"]


def __getattr__(name: str) -> object:
    raise _absent(__name__, name, __all__)
