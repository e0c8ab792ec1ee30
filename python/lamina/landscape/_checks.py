"""What several functions here ask of their arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina._core import Generator, Tensor
from lamina.nn import Module

if TYPE_CHECKING:
    from collections.abc import Mapping


def is_module(op: str, model: Any) -> None:
    """Refuse what is no Module; ``op`` is who asks."""
    if not isinstance(model, Module):
        raise TypeError(f"{op}: model must be a Module, got {type(model).__name__}")


def takes_model(op: str, loss: Any) -> None:
    """Refuse what cannot be a loss of the model, a criterion of the library among it."""
    if isinstance(loss, Module) or not callable(loss):
        raise TypeError(
            f"{op}: loss takes the model, such as lambda model: criterion(model(x), y), "
            f"got {type(loss).__name__}"
        )


def seeded(op: str, seed: Any) -> Generator:
    """Make a generator of the seed."""
    if not hasattr(seed, "__index__"):
        raise TypeError(f"{op}: the seed must be an int, got {seed!r}")
    return Generator().manual_seed(seed)


def trainable(op: str, model: Any) -> dict[str, Tensor]:
    """Return the parameters that require gradients, by name; none is an error."""
    is_module(op, model)
    named: list[tuple[str, Tensor]] = list(model.named_parameters())
    found = {name: parameter for name, parameter in named if parameter.requires_grad}
    if not found:
        raise ValueError(f"{op}: no parameter of the {type(model).__name__} requires a gradient")
    return found


def fitting(
    op: str, what: str, direction: Mapping[str, Any], parameters: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return the direction as copies; an error says where it does not fit the parameters."""
    if not hasattr(direction, "items"):
        raise TypeError(
            f"{op}: {what} must be a dict of tensors by parameter name, "
            f"got {type(direction).__name__}"
        )
    for name, part in direction.items():
        if name not in parameters:
            raise ValueError(
                f"{op}: {what} moves {name!r}, which is no parameter that requires a gradient\n"
                f"  these are {', '.join(parameters)}"
            )
        if not isinstance(part, Tensor) or part.shape != parameters[name].shape:
            got = list(part.shape) if isinstance(part, Tensor) else type(part).__name__
            raise ValueError(
                f"{op}: {what} must have the shapes of the parameters\n"
                f"  {name:<9} {list(parameters[name].shape)}\n"
                f"  direction {got}"
            )
    return {name: part.detach().clone() for name, part in direction.items()}


def whole(op: str, what: str, value: Any, least: int) -> None:
    """Refuse what is no whole number from ``least`` on."""
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{op}: {what} must be a whole number from {least} on, got {value!r}")


def shown(value: Any) -> str:
    """Say what arrived where a number was expected."""
    if isinstance(value, Tensor):
        return f"a tensor {list(value.shape)}"
    return type(value).__name__
