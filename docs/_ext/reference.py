"""The API reference: `names` documents the public names that it is given, `methods` a class's.

Which names are public says a module's ``__all__``; that every one has its place in a page of
docs/reference is tested (tests/python/test_docs.py). In docstrings, a name in single backticks is
a link where something of that name is documented, and code where not.
"""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from itertools import zip_longest
from types import ModuleType

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.domains.python import PyXRefRole
from sphinx.util.docutils import SphinxDirective

# Where a capitalised name in backticks is looked for, when the docstring's own module lacks it.
HOMES = ("lamina.nn", "lamina", "lamina.optim", "lamina.optim.lr_scheduler", "lamina.utils.data",
         "lamina.train", "lamina.datasets", "lamina.distributions", "lamina.autograd",
         "lamina.nn.utils.rnn")  # fmt: skip


def native(kind: str, name: str, thing: object) -> str:
    """Document what is bound as a row: signatures, and a line of plain text."""
    doc, own = thing.__doc__ or "", thing.__name__
    signature = getattr(thing, "__text_signature__", None)
    if signature:
        signatures = [re.sub(r"\$self(, /)?(, )?", "", signature)]
    elif doc.startswith(f"{own}("):  # several: they head the text
        head, _, doc = doc.partition("\n\n")
        signatures = [line.removeprefix(own) for line in head.split("\n")]
    else:
        signatures = [""]
    parts = re.split(r"`+([^`]+)`+", " ".join(doc.split()))  # in backticks: arguments, code
    plain = (re.sub(r"[\\|*]|_\b", r"\\\g<0>", part) for part in parts[::2])
    code = (f"``{part}``" for part in parts[1::2])
    text = "".join(p for pair in zip_longest(plain, code, fillvalue="") for p in pair)
    indent = " " * len(f".. py:{kind}:: ")
    lines = f"\n{indent}".join(name + signature for signature in signatures)
    return f".. py:{kind}:: {lines}\n\n   {text}\n"


def entry(home: str, name: str) -> str:
    """The directive that documents ``home.name`` from its docstring."""
    thing = getattr(import_module(home), name)
    path = f"{home}.{name}"
    if isinstance(thing, ModuleType):
        raise ValueError(f"{path} is a module; give it a page")
    if isinstance(thing, type):
        if issubclass(thing, BaseException):
            return f".. autoexception:: {path}\n"
        return f".. autoclass:: {path}\n   :members:\n"
    if inspect.isbuiltin(thing):
        return native("function", name, thing)
    if callable(thing):
        return f".. autofunction:: {path}\n"
    raise ValueError(f"{path} is neither class nor function; describe it with py:data")


def same(home: str, name: str, other: str) -> str:
    """The line for a name that is the same object as another module's."""
    thing = getattr(import_module(home), name)
    if thing is not getattr(import_module(other), name):
        raise ValueError(f"{home}.{name} is not {other}.{name}")
    kind = "class" if isinstance(thing, type) else "function"
    return f".. py:{kind}:: {name}\n\n   The same as :py:obj:`{other}.{name}`.\n"


class Names(SphinxDirective):
    """``.. names:: MODULE`` and the names below it."""

    required_arguments = 1
    has_content = True
    option_spec = {"same-as": directives.unchanged}  # noqa: RUF012 - docutils' form

    def run(self) -> list[nodes.Node]:
        """Document each."""
        home, other = self.arguments[0], self.options.get("same-as")
        text = [f".. currentmodule:: {home}\n"]
        for name in " ".join(self.content).split():
            try:
                text.append(same(home, name, other) if other else entry(home, name))
            except (AttributeError, ValueError) as error:
                raise self.error(str(error)) from None
        text.append(".. currentmodule:: None\n")  # the page's own entries say their module
        return self.parse_text_to_nodes("\n".join(text))


KINDS = ("attributes", "own", "shared", "in-place")


def kind_of(cls: type, name: str) -> str:
    """Which of `KINDS` a member is; shared: there is a function of that name, too."""
    if not callable(getattr(cls, name)):
        return "attributes"
    if name.endswith("_"):
        return "in-place"
    home = import_module(cls.__module__.split(".")[0])
    return "shared" if callable(home.__dict__.get(name)) else "own"


class Methods(SphinxDirective):
    """``.. methods:: CLASS`` with the kind of methods: one of `KINDS`."""

    required_arguments = 2

    def run(self) -> list[nodes.Node]:
        """Document all of one kind."""
        path, kind = self.arguments
        if kind not in KINDS:
            raise self.error(f"methods: there are {KINDS}, got {kind!r}")
        module, _, name = path.rpartition(".")
        cls = getattr(import_module(module), name)
        how = "attribute" if kind == "attributes" else "method"
        members = [m for m in dir(cls) if not m.startswith("_") and kind_of(cls, m) == kind]
        entries = (native(how, f"{name}.{m}", getattr(cls, m)) for m in members)
        text = [f".. currentmodule:: {module}\n", *entries, ".. currentmodule:: None\n"]
        return self.parse_text_to_nodes("\n".join(text))


class NameRole(PyXRefRole):
    """The default role: a link, or code where there is nothing to link to."""

    def run(self):
        """Be ``py:obj``, whatever name it goes by."""
        self.name = "py:obj"
        return super().run()

    def process_link(self, env, refnode, has_explicit_title, title, target):
        """Mark the node, so that a miss is none."""
        refnode["lamina_name"] = True
        return super().process_link(env, refnode, has_explicit_title, title, target)


def resolve_name(app, env, node, contnode):
    """Look for a capitalised name in the other modules; else leave it as code."""
    if not node.get("lamina_name"):
        return None
    domain, target = env.domains.python_domain, node["reftarget"]
    if target[:1].isupper():
        for home in HOMES:
            if f"{home}.{target}" in domain.objects:
                path = f"{home}.{target}"
                return domain.resolve_xref(
                    env, node["refdoc"], app.builder, "obj", path, node, contnode
                )
    return contnode


def skip_member(app, what, name, thing, skip, options):
    """Leave out what overrides a method of a class of ours: the base documents it."""
    if skip or not inspect.isfunction(thing):
        return None
    module = import_module(thing.__module__)
    owner = module
    for part in thing.__qualname__.split(".")[:-1]:
        owner = getattr(owner, part, None)
    if not isinstance(owner, type):
        return None
    overrides = (b for b in owner.__mro__[1:] if b.__module__.startswith("lamina"))
    return True if any(name in vars(base) for base in overrides) else None


def setup(app) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("names", Names)
    app.add_directive("methods", Methods)
    app.add_role("name", NameRole())
    app.connect("missing-reference", resolve_name)
    app.connect("autodoc-skip-member", skip_member)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
