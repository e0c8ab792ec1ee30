"""Helpers around training: `lamina.utils.data`, and `lamina.utils.checkpoint`."""

from lamina.utils import checkpoint, data

__all__ = ["checkpoint", "data"]
