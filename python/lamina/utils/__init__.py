"""Helpers around training; the data tools are in `lamina.utils.data`."""

from lamina.utils import data

__all__ = ["data"]
