"""Whether CUDA was built in, and flags without effect."""

from __future__ import annotations

from lamina import _core

__all__ = ["is_built", "matmul"]


class _Matmul:
    allow_tf32 = False


matmul = _Matmul()


def is_built() -> bool:
    """Whether this build has a CUDA device."""
    info = _core.cuda_info()
    return bool(info["available"]) or not info["reason"].startswith("this build")
