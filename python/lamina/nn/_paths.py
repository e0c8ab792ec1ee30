"""Telling in which layer of a model an error arose."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.nn.module import Module

#: What ``Module.__call__`` annotates: the errors that operations raise for bad input.
ANNOTATED = (ValueError, TypeError, IndexError, RuntimeError)


class _Trail:
    """The modules an error has passed on its way out, innermost first, and the line it got.

    Modules are remembered by identity and name only: an exception may outlive them or be pickled.
    """

    def __init__(self, leaf: str) -> None:
        self.leaf = leaf
        self.ids: list[int] = []
        self.names: list[str] = []  # names[k] is the name of ids[k] within ids[k + 1]
        self.line = ""

    def enter(self, module: Module) -> None:
        if id(module) in self.ids:  # raised again by a later call, or a module inside itself
            keep = self.ids.index(id(module)) + 1
            del self.ids[keep:], self.names[keep - 1 :]
            return
        if self.ids:
            inner = self.ids[-1]
            self.names.append(
                next((n for n, m in module.named_modules() if id(m) == inner), f"<{self.leaf}>")
            )
        self.ids.append(id(module))

    def place(self) -> str:
        if not self.names:
            return self.leaf
        return f"{'.'.join(['model', *reversed(self.names)])} ({self.leaf})"


def place_of(modules: Sequence[Module]) -> str:
    """Name the innermost of ``modules``, which call each other, by its path in the outermost."""
    trail = _Trail(type(modules[0]).__name__)
    for module in modules:
        trail.enter(module)
    return trail.place()


def add_path(error: Exception, module: Module) -> None:
    """Note on ``error`` that it came out of ``module``, a call further out than before.

    The message ends in one line such as ``  in     model.encoder.0 (Linear)``, written anew at
    each level, so that after the outermost call it names the whole path. ``model`` stands for
    the outermost module called; a module that failed on its own is named by its class. The
    type and identity of the error, and errors with other arguments than one text, stay.
    """
    if len(error.args) != 1 or not isinstance(error.args[0], str):
        return
    if isinstance(error, RecursionError):  # no stack left to do anything with
        return
    trail: _Trail | None = getattr(error, "_lamina_trail", None)
    if trail is None:
        trail = _Trail(type(module).__name__)
        error._lamina_trail = trail  # type: ignore[attr-defined]
    trail.enter(module)
    text: str = error.args[0]
    if trail.line:
        text = text.replace(trail.line, "")
    trail.line = f"\n  {'in':<{_label_width(text)}}{trail.place()}"
    error.args = (text + trail.line,)


def annotate(error: BaseException, module: Module) -> None:
    """Do what ``Module.__call__`` does with an error, for a module that it did not call."""
    if isinstance(error, ANNOTATED):
        add_path(error, module)


def _label_width(text: str) -> int:
    """Measure the labels in the lines below the first one, blanks included."""
    last = text.rsplit("\n", 1)[-1]
    if last == text or not last.startswith("  "):
        return len("weight ")
    label, _, rest = last[2:].partition(" ")
    return max(len(label) + 1 + len(rest) - len(rest.lstrip()), len("in "))
