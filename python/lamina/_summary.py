"""`lamina.summary`: a model's layers, shapes, parameters and multiply-adds."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lamina import _core
from lamina._as_it_was import as_it_was
from lamina._core import Tensor
from lamina._macs import formula_of
from lamina.autograd.grad_mode import no_grad

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lamina.nn import Module


@dataclass
class Row:
    """One module of a `Summary`.

    Attributes
    ----------
    path : str
        Dotted path in the model; ``""`` is the model itself.
    kind : str
        Name of its class.
    depth : int
        How deep it lies; 0 is the model itself.
    output_shapes : list of tuple of int
        Of its first call; empty if it was not called.
    parameters, trainable : int
        Numbers in the parameters of its own, children's excluded; a shared parameter counts
        where it comes first.
    macs : int
        Multiply-adds of all its calls, for the classes that have a formula.
    calls : int
        How often it was called.
    shared : bool
        Whether it was listed before, under another path.
    """

    path: str
    kind: str
    depth: int
    output_shapes: list[tuple[int, ...]] = field(default_factory=list)
    parameters: int = 0
    trainable: int = 0
    macs: int = 0
    calls: int = 0
    shared: bool = False
    _output_bytes: int = 0


@dataclass
class Summary:
    """What `summary` found; ``str`` of it is the table.

    Attributes
    ----------
    rows : list of Row
        The modules, each before its children.
    total_parameters, trainable_parameters : int
        Numbers in all parameters, and in those with ``requires_grad``; shared ones count once.
    buffers : int
        Numbers in all buffers.
    macs : int
        Multiply-adds of one forward.
    input_bytes, output_bytes, parameter_bytes, buffer_bytes : int
        Sizes of the inputs, of the outputs of all modules without children, and of the state.
    """

    rows: list[Row]
    total_parameters: int = 0
    trainable_parameters: int = 0
    buffers: int = 0
    macs: int = 0
    input_bytes: int = 0
    output_bytes: int = 0
    parameter_bytes: int = 0
    buffer_bytes: int = 0

    @property
    def non_trainable_parameters(self) -> int:
        """Numbers in the parameters without ``requires_grad``."""
        return self.total_parameters - self.trainable_parameters

    def __repr__(self) -> str:
        return (
            f"<Summary of {self.rows[0].kind}: {self.total_parameters:,} parameters, "
            f"{self.macs:,} multiply-adds>"
        )

    def __str__(self) -> str:
        head = ("Layer", "Output", "Parameters", "Multiply-adds")
        lines = [head, *(self._cells(row) for row in self.rows)]
        widths = [max(len(line[i]) for line in lines) for i in range(4)]

        def text(cells: Sequence[str]) -> str:
            left = [cell.ljust(width) for cell, width in zip(cells[:2], widths, strict=False)]
            right = [c.rjust(width) for c, width in zip(cells[2:], widths[2:], strict=True)]
            return "  ".join([*left, *right]).rstrip()

        rule = "-" * (sum(widths) + 6)
        totals = [
            ("parameters", f"{self.total_parameters:,}"),
            ("  trainable", f"{self.trainable_parameters:,}"),
            ("  not trainable", f"{self.non_trainable_parameters:,}"),
            ("buffers", f"{self.buffers:,}"),
            ("multiply-adds", f"{self.macs:,}"),
            ("size of the input", _megabytes(self.input_bytes)),
            ("size of the outputs", _megabytes(self.output_bytes)),
            ("size of the state", _megabytes(self.parameter_bytes + self.buffer_bytes)),
        ]
        wide = max(len(value) for _, value in totals)
        return "\n".join(
            [text(head), rule, *(text(line) for line in lines[1:]), rule]
            + [f"{name:<20} {value:>{wide}}" for name, value in totals]
        )

    @staticmethod
    def _cells(row: Row) -> tuple[str, str, str, str]:
        name = row.path.rpartition(".")[2]
        label = "  " * row.depth + (f"{name}: {row.kind}" if name else row.kind)
        shapes = ", ".join(str(list(shape)) for shape in row.output_shapes) or "-"
        if row.calls > 1:
            shapes += f" x {row.calls}"
        if row.shared:
            return label, "(see above)", "-", "-"
        return (
            label,
            shapes,
            f"{row.parameters:,}" if row.parameters else "-",
            f"{row.macs:,}" if row.macs else "-",
        )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.2f} MB"


def summary(
    model: Module,
    input_size: Any = None,
    input_data: Any = None,
    *,
    dtype: _core.dtype | None = None,
    verbose: bool = True,
) -> Summary:
    """Print a model's layers with output shapes, parameters and multiply-adds.

    The model is called once, in evaluation mode and without gradients. Its modes, its buffers
    and the random state are afterwards what they were. Without an input there are no shapes.

    Multiply-adds are counted for Linear, Bilinear, convolutions, recurrent layers and cells and
    MultiheadAttention; their biases, all other layers, and functions that a ``forward`` calls
    by itself, are not.

    Parameters
    ----------
    model : Module
        Any model.
    input_size : tuple of int, or list of them, optional
        Sizes of one input, or of several, batch included. They are filled with zeros.
    input_data : Tensor, or tuple, list or dict of anything, optional
        The input itself: one tensor, the arguments of the call, or its keywords. Integer
        inputs, such as tokens, are given this way or with ``dtype``.
    dtype : dtype, optional
        Of the inputs made from ``input_size``. Default: that of the first floating point
        parameter.
    verbose : bool, default True
        Whether the table is printed.

    Returns
    -------
    Summary
        The numbers; ``str`` of it is the table.

    Raises
    ------
    TypeError
        If ``model`` is no Module, or the sizes are none.
    ValueError
        If both ``input_size`` and ``input_data`` are given.

    Examples
    --------
    >>> import lamina
    >>> from lamina import nn
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> found = lamina.summary(model, (32, 4))
    Layer        Output   Parameters  Multiply-adds
    -----------------------------------------------
    Sequential   [32, 2]           -              -
      0: Linear  [32, 8]          40          1,024
      1: ReLU    [32, 8]           -              -
      2: Linear  [32, 2]          18            512
    -----------------------------------------------
    parameters                58
      trainable               58
      not trainable            0
    buffers                    0
    multiply-adds          1,536
    size of the input    0.00 MB
    size of the outputs  0.00 MB
    size of the state    0.00 MB
    >>> found.total_parameters, found.macs
    (58, 1536)
    """
    from lamina.nn import Module

    if not isinstance(model, Module):
        raise TypeError(f"summary: model must be a Module, got {type(model).__name__}")
    args, kwargs = _arguments(model, input_size, input_data, dtype)
    listed = list(_walk(model))
    result = Summary([row for _, row in listed])
    _count_state(result, listed)
    if args or kwargs:
        result.input_bytes = sum(t.nbytes for t in _tensors([args, kwargs]))
        first = {id(module): row for module, row in listed if not row.shared}
        with as_it_was(model), _watching(listed, first):
            model.eval()
            with no_grad():
                model(*args, **kwargs)
        result.macs = sum(row.macs for row in result.rows)
        leaves = [row for module, row in listed if not list(module.children())]
        result.output_bytes = sum(row._output_bytes for row in leaves)
    if verbose:
        print(result)
    return result


def _arguments(
    model: Module, size: Any, data: Any, dtype: _core.dtype | None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if size is not None and data is not None:
        raise ValueError("summary: give input_size or input_data, not both")
    if isinstance(size, Tensor):  # summary(model, x)
        size, data = None, size
    if data is not None:
        if isinstance(data, dict):
            return (), data
        return (tuple(data), {}) if isinstance(data, (tuple, list)) else ((data,), {})
    if size is None:
        return (), {}
    sizes = [size] if all(isinstance(n, int) for n in size) else list(size)
    for one in sizes:
        if not isinstance(one, (tuple, list)) or not all(isinstance(n, int) for n in one):
            raise TypeError(
                f"summary: input_size must be a tuple of integers or a list of them, got {size!r}"
            )
    like = next((p for p in model.parameters() if p.is_floating_point()), None)
    if dtype is None:
        dtype = None if like is None else like.dtype
    device = None if like is None else like.device
    return tuple(_core.zeros(tuple(one), dtype=dtype, device=device) for one in sizes), {}


def _walk(model: Module) -> Iterator[tuple[Module, Row]]:
    """Yield every module before its children; one that was met before, without them."""
    seen: set[int] = set()
    waiting = [(model, "", 0)]
    while waiting:
        module, path, depth = waiting.pop()
        row = Row(path, type(module).__name__, depth, shared=id(module) in seen)
        yield module, row
        if row.shared:
            continue
        seen.add(id(module))
        children = [(name, child) for name, child in module._modules.items() if child is not None]
        for name, child in reversed(children):
            waiting.append((child, f"{path}.{name}" if path else name, depth + 1))


def _count_state(result: Summary, listed: list[tuple[Module, Row]]) -> None:
    seen: set[int] = set()

    def new(tensors: Any) -> list[Tensor]:
        fresh = {id(t): t for t in tensors if t is not None and id(t) not in seen}
        seen.update(fresh)
        return list(fresh.values())

    for module, row in listed:
        parameters, buffers = new(module._parameters.values()), new(module._buffers.values())
        row.parameters = sum(p.numel() for p in parameters)
        row.trainable = sum(p.numel() for p in parameters if p.requires_grad)
        result.parameter_bytes += sum(p.nbytes for p in parameters)
        result.buffers += sum(b.numel() for b in buffers)
        result.buffer_bytes += sum(b.nbytes for b in buffers)
    result.total_parameters = sum(row.parameters for row in result.rows)
    result.trainable_parameters = sum(row.trainable for row in result.rows)


@contextlib.contextmanager
def _watching(listed: list[tuple[Module, Row]], first: dict[int, Row]) -> Iterator[None]:
    """Put hooks on every module, and take them off again."""
    inside = [0]  # calls under way of layers whose formula counts all that is in them
    handles = []

    def hooks(module: Module, row: Row) -> tuple[Callable[..., None], Callable[..., None]]:
        formula = formula_of(module)

        def before(module: Module, args: Any, kwargs: Any) -> None:
            inside[0] += formula is not None

        def after(module: Module, args: Any, kwargs: Any, output: Any) -> None:
            inside[0] -= formula is not None
            row.calls += 1
            outputs = list(_tensors(output))
            row._output_bytes += sum(t.nbytes for t in outputs)
            if row.calls == 1:
                row.output_shapes = [tuple(t.shape) for t in outputs]
            if formula is not None and not inside[0]:
                row.macs += formula(module, args, kwargs, output)

        return before, after

    try:
        for module, row in listed:
            if not row.shared:
                before, after = hooks(module, first[id(module)])
                handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
                handles.append(module.register_forward_hook(after, with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)
