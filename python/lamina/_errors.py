"""Errors that the Python layer raises in more than one place."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def absent(module: str, name: str, present: Iterable[str]) -> AttributeError:
    """Make the error for asking a module for a name that it does not have.

    Parameters
    ----------
    module : str
        Dotted name of the module asked, such as ``"lamina.nn"``.
    name : str
        The name that is missing.
    present : iterable of str
        The names that exist; the nearest public ones are offered.

    Returns
    -------
    AttributeError
        To be raised by the module's ``__getattr__``.

    Examples
    --------
    >>> print(absent("lamina.nn", "Liner", ["Linear", "ReLU"]))
    lamina.nn has no 'Liner' (PyTorch's torch.nn.Liner); nearest: Linear
    """
    if name.startswith("__"):  # probed by the interpreter itself, and often
        return AttributeError(f"module {module!r} has no attribute {name!r}", name=name)
    import difflib

    public = [other for other in present if not other.startswith("_")]
    nearest = difflib.get_close_matches(name, public, n=3, cutoff=0.5)
    torch_name = "torch" + module.removeprefix("lamina") + "." + name
    text = f"{module} has no {name!r} (PyTorch's {torch_name})"
    if nearest:
        text += "; nearest: " + ", ".join(nearest)
    return AttributeError(text, name=name)
