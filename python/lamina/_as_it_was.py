"""Calling a model without leaving a trace in it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from lamina import _core
from lamina._core import Tensor
from lamina.autograd.grad_mode import no_grad

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.nn import Module


@contextlib.contextmanager
def as_it_was(model: Module) -> Iterator[None]:
    """Give modes, buffers and the random state back what they were."""
    modes = [(module, module.training) for module in model.modules()]
    buffers = [
        (module, name, buffer, buffer.detach().clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    random = _core.get_rng_state()
    try:
        yield
    finally:
        _core.set_rng_state(random)
        for module, mode in modes:
            module.training = mode
        with no_grad():
            for module, name, buffer, value in buffers:
                module.__dict__[name] = buffer
                if not _same(buffer, value):
                    buffer.copy_(value)


def _same(left: Tensor, right: Tensor) -> bool:
    """Whether nothing changed; a NaN is like itself."""
    alike = left == right
    if left.is_floating_point():
        alike = alike | ((left != left) & (right != right))
    return bool(alike.all())
