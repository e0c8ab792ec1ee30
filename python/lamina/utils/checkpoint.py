"""Trading time for memory: activations that are computed again when backward needs them."""

from __future__ import annotations

from lamina import _core
from lamina._core import Tensor, is_grad_enabled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["checkpoint", "checkpoint_sequential"]


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool = False,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """Call ``function(*args, **kwargs)`` without keeping what its operations save for backward.

    The backward pass calls the function a second time and takes the saved tensors from there.
    Gradients, second derivatives and :func:`lamina.autograd.grad` are those of a plain call;
    checkpoints may be nested. The function must do the same both times: running statistics of a
    batch norm inside, for one, are updated twice.

    Parameters
    ----------
    function : callable
        A module, or anything that computes with tensors.
    *args, **kwargs
        Its arguments.
    use_reentrant : bool, default False
        PyTorch's older form; there is none here, and True is refused.
    preserve_rng_state : bool, default True
        Give the second call the random numbers of the first, and leave the stream as it was.

    Returns
    -------
    Any
        What the function returns.

    Raises
    ------
    RuntimeError
        In the backward pass, if the second call saves other tensors than the first.

    References
    ----------
    T. Chen, B. Xu, C. Zhang, C. Guestrin: Training Deep Nets with Sublinear Memory Cost (2016).

    Examples
    --------
    >>> import lamina
    >>> from lamina.utils.checkpoint import checkpoint
    >>> x = lamina.tensor([0.0, 1.0], requires_grad=True)
    >>> checkpoint(lambda x: (x.exp() * 2).sum(), x).backward()
    >>> x.grad[0].item()
    2.0
    """
    if use_reentrant:
        raise NotImplementedError(
            "checkpoint: use_reentrant=True is not there; leave it out, the gradients are the same"
        )
    if not is_grad_enabled():
        return function(*args, **kwargs)
    state = _core.get_rng_state() if preserve_rng_state else None
    # Saved like any tensor for backward: a write in between is noticed, and within another
    # checkpoint they are computed again like everything else.
    positions = [i for i, value in enumerate(args) if isinstance(value, Tensor)]
    names = [name for name, value in kwargs.items() if isinstance(value, Tensor)]
    tensors = [args[i] for i in positions] + [kwargs[name] for name in names]
    saved = _core._save("checkpoint", tensors)
    rest = [None if isinstance(value, Tensor) else value for value in args]
    options = {name: value for name, value in kwargs.items() if name not in names}
    del tensors

    def again() -> None:
        found = saved.unpack()
        arguments = list(rest)
        for position, tensor in zip(positions, found, strict=False):
            arguments[position] = tensor
        options.update(zip(names, found[len(positions) :], strict=True))
        if state is None:
            function(*arguments, **options)
            return
        now = _core.get_rng_state()
        _core.set_rng_state(state)
        try:
            function(*arguments, **options)
        finally:
            _core.set_rng_state(now)

    with _core._Checkpoint(again):
        return function(*args, **kwargs)


def checkpoint_sequential(
    functions: Any,
    segments: int,
    input: Any,
    use_reentrant: bool = False,
    preserve_rng_state: bool = True,
) -> Any:
    """Run modules one after the other, in parts of which all but the last keep nothing.

    Parameters
    ----------
    functions : Sequential or sequence of callable
        Each takes the result of the one before.
    segments : int
        How many parts, 1 to the number of modules.
    input : Tensor
        For the first of them.
    use_reentrant, preserve_rng_state
        As in :func:`checkpoint`.

    Examples
    --------
    >>> import lamina
    >>> from lamina.utils.checkpoint import checkpoint_sequential
    >>> x = lamina.ones(1, requires_grad=True)
    >>> checkpoint_sequential([lamina.square, lamina.square], 2, x).backward()
    >>> x.grad.tolist()
    [4.0]
    """
    layers = list(functions)
    if not 1 <= segments <= len(layers):
        raise ValueError(
            f"checkpoint_sequential: segments must be from 1 to the number of functions, "
            f"{len(layers)}, got {segments}"
        )

    def part(first: int, end: int) -> Callable[[Any], Any]:
        def run(value: Any) -> Any:
            for layer in layers[first:end]:
                value = layer(value)
            return value

        return run

    size = len(layers) // segments
    ends = [size * (k + 1) for k in range(segments - 1)]
    start = 0
    for end in ends:
        input = checkpoint(
            part(start, end),
            input,
            use_reentrant=use_reentrant,
            preserve_rng_state=preserve_rng_state,
        )
        start = end
    return part(start, len(layers))(input)
