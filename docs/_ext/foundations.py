"""The pages of docs/foundations: each is made from its script, so that nothing is said twice.

``foundation`` puts in what a script's docstring says (idea, claim, what to see), its picture, what
it printed, and its code; the directive's content is what the page adds. ``foundations`` is a card
for each. tools/gallery.py makes the pictures.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple

from docutils import nodes
from gallery import NAMES, PICTURES, SCRIPTS
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective

WIDTH = 100  # of the scripts' lines
LABEL = re.compile(r"[A-Z]\w*( \w+)?\.(?= )")  # "Claim. The text"
LOOK = "Look at the picture: "
CODE = """The whole of it: {{download}}`{name}.py <{path}>`.

```{{literalinclude}} {path}
:language: python
:lines: {start}-
```"""


class Script(NamedTuple):
    """What a script says of itself, and the line after that."""

    idea: str
    claim: list[str]
    look: str
    start: int


def unwrapped(block: str) -> list[str]:
    """The paragraphs of a block: a sentence's end ends one where the line had room for more."""
    first, *lines = block.split("\n")
    parts = [first]
    for before, line in zip([first, *lines], lines, strict=False):
        had_room = len(before) + 1 + len(line.split(" ")[0]) <= WIDTH
        if before.endswith((".", ":")) and (had_room or LABEL.match(line)):
            parts.append(line)
        else:
            parts[-1] += f" {line}"
    return parts


def read(path: Path) -> Script:
    """The parts of a script's docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    doc = ast.get_docstring(tree) or ""
    idea, *parts = [part for block in doc.split("\n\n") for part in unwrapped(block)]
    look = [part.removeprefix(LOOK) for part in parts if part.startswith(LOOK)]
    claim = [part for part in parts if not part.startswith((LOOK, "Run it:"))]
    if not claim or not claim[0].startswith("Claim. ") or len(look) != 1:
        raise ValueError(f"{path.name}: its docstring needs one 'Claim. ' and one {LOOK!r}")
    start = (tree.body[0].end_lineno or 0) + 2
    return Script(idea, claim, look[0][0].upper() + look[0][1:], start)


def words(text: str) -> list[nodes.Node]:
    """A docstring's text, in which only backticks and a paragraph's label mean something."""
    if label := LABEL.match(text):
        return [nodes.strong("", label[0]), *words(text[label.end() :])]
    parts = re.split(r"`+([^`]+)`+", text)
    return [nodes.literal("", p) if i % 2 else nodes.Text(p) for i, p in enumerate(parts)]


def paragraph(text: str, *classes: str) -> nodes.paragraph:
    """A paragraph of a docstring."""
    return nodes.paragraph("", "", *words(text), classes=list(classes))


class Foundation(SphinxDirective):
    """``foundation``: the script that has the page's name."""

    has_content = True

    def needed(self, path: Path, name: str) -> Path:
        """The path, when it is there; else the build fails and says what to do."""
        self.env.note_dependency(path)
        if not path.is_file():
            advice = f"run `python tools/gallery.py {name}`"
            raise self.error(f"{path} is missing" + (f": {advice}" if path.suffix != ".py" else ""))
        return path

    def script(self, name: str) -> Script:
        """What a script says of itself."""
        try:
            return read(self.needed(SCRIPTS / f"{name}.py", name))
        except ValueError as error:
            raise self.error(str(error)) from None

    def picture(self, name: str, kind: str = "png") -> nodes.image:
        """The picture of a script."""
        path = self.needed(PICTURES / f"{name}.{kind}", name)
        return nodes.image("", uri=f"/images/foundations/{path.name}", alt=self.script(name).idea)

    def link(self, name: str) -> nodes.paragraph:
        """A link to a script's page, which shows its title."""
        link = addnodes.pending_xref(
            "",
            nodes.inline("", name),
            refdomain="std",
            reftype="doc",
            reftarget=f"/foundations/{name}",
            refexplicit=False,
            refdoc=self.env.docname,
            refwarn=True,
        )
        return nodes.paragraph("", "", link)

    def run(self) -> list[nodes.Node]:
        """The page below its title."""
        name = self.env.docname.rpartition("/")[2]
        script = self.script(name)
        printed = self.needed(PICTURES / f"{name}.txt", name).read_text(encoding="utf-8")
        figure = nodes.figure("", self.picture(name))
        figure += nodes.caption("", "", *words(script.look))
        path = f"/../{SCRIPTS.parent.name}/{SCRIPTS.name}/{name}.py"
        code = CODE.format(name=name, path=path, start=script.start)
        page = [
            paragraph(script.idea, "idea"),
            *self.parse_content_to_nodes(),
            *(paragraph(part) for part in script.claim),
            figure,
            *([self.picture(name, "gif")] if (PICTURES / f"{name}.gif").exists() else []),
            nodes.rubric("", "What it prints"),
            nodes.literal_block(printed, printed, language="text"),
            nodes.rubric("", "The script"),
            *self.parse_text_to_nodes(code),
        ]
        for following in NAMES[NAMES.index(name) + 1 :][:1]:
            onward = self.link(following)
            onward.insert(0, nodes.Text("Next: "))
            page.append(onward)
        return page


class Foundations(Foundation):
    """``foundations``: a card and a page for each script, in the article's order."""

    has_content = False

    def run(self) -> list[nodes.Node]:
        """The cards, and the table of contents."""
        cards = nodes.container(classes=["cards"])
        for name in NAMES:
            card = nodes.container(classes=["card"])
            card += [self.picture(name), self.link(name), paragraph(self.script(name).idea)]
            cards += card
        contents = "\n".join(("```{toctree}", ":hidden:", "", *NAMES, "```"))
        return [cards, *self.parse_text_to_nodes(contents)]


def setup(app) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("foundation", Foundation)
    app.add_directive("foundations", Foundations)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
