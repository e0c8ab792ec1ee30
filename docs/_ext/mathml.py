"""Mathematics as MathML, which browsers show by themselves, without a script or a network."""

from __future__ import annotations

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

logger = logging.getLogger(__name__)


def convert(node: nodes.Element, as_block: bool) -> str:
    """The MathML of a node; what isn't understood is a warning and stays TeX."""
    try:
        return str(tex2mathml(node.astext(), as_block=as_block))
    except MathError as error:
        logger.warning("mathematics: %s in %r", error, node.astext(), location=node)
        return f"<code>{node.astext()}</code>"


def visit_inline(self, node: nodes.math) -> None:
    """A formula within a line."""
    self.body.append(convert(node, as_block=False))
    raise nodes.SkipNode


def visit_display(self, node: nodes.math_block) -> None:
    """A formula on its own."""
    self.body.append(f'<div class="math">{convert(node, as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_display, None))
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
