"""Older names of `lamina.amp`, for CUDA."""

from __future__ import annotations

from lamina import amp

__all__ = ["GradScaler", "autocast"]

GradScaler = amp.GradScaler


class autocast(amp.autocast):  # noqa: N801 - PyTorch's name
    """`lamina.amp.autocast` for CUDA."""

    def __init__(
        self,
        enabled: bool = True,
        dtype: object = None,
        cache_enabled: bool = True,
    ) -> None:
        super().__init__("cuda", dtype, enabled, cache_enabled)
