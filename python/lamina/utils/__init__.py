"""Helpers around training: `data`, `checkpoint`, and `tensorboard` (imported when asked for)."""

from lamina.utils import checkpoint, data

__all__ = ["checkpoint", "data"]


def __getattr__(name: str) -> object:
    if name == "tensorboard":  # needs a package that is not always there
        from importlib import import_module

        return import_module("lamina.utils.tensorboard")
    from lamina._errors import absent

    raise absent(__name__, name, [*__all__, "tensorboard"])
