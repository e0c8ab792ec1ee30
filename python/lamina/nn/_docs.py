"""Text that the docstrings of several classes share, written once and put into each."""

from __future__ import annotations


def add_to_section(cls: type, section: str, entry: str, before: str = "Examples") -> None:
    """Add ``entry`` to the end of a section of a class's docstring, which may be a new one.

    Sections are NumPy's: a name underlined with dashes. A new one goes in front of ``before``.
    """
    doc = cls.__doc__
    if not doc:  # python -OO
        return
    lines = doc.split("\n")
    pad = "    "
    heads = [i for i in range(len(lines) - 1) if set(lines[i + 1].strip()) == {"-"}]
    names = [lines[i].strip() for i in heads]
    added = [pad + line if line else "" for line in entry.split("\n")]
    if section in names:
        at = heads[names.index(section) + 1]
        lines[at - 1 : at - 1] = added
    else:
        at = heads[names.index(before)]
        lines[at:at] = [pad + section, pad + "-" * len(section), *added, ""]
    cls.__doc__ = "\n".join(lines)
