"""Sphinx's settings. Build: `sphinx-build -W --keep-going -b html docs build/site`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import lamina

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent / "tools")]

project = "Lamina"
author = copyright = "The Lamina contributors"
release = version = lamina.__version__

extensions = [
    "myst_parser",  # the pages
    "sphinx.ext.autodoc",  # the reference, from docstrings
    "numpydoc",  # NumPy's sections; types stay the words they are: "Parameter, [out, in]"
    "foundations",  # these three are in _ext
    "mathml",
    "reference",
]
root_doc = "index"
exclude_patterns = ["_ext", "_static", "images"]
nitpicky = True  # every reference leads somewhere; `-W` makes a warning an error
highlight_language = "none"  # a block without a language is text

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

default_role = "name"  # of _ext/reference.py: a link where something has that name
autodoc_mock_imports = ["tensorboard"]
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say them
numpydoc_show_class_members = False
add_module_names = False
python_maximum_signature_line_length = 90
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"Lamina {release}"
html_static_path = ["_static"]
html_css_files = ["lamina.css"]
html_copy_source = html_show_sourcelink = False
html_show_copyright = html_show_sphinx = False
pygments_style = "tango"
pygments_dark_style = "monokai"

# README and its like link to files of the repository; here, to what the site has of them.
PAGES = {
    "CHANGELOG.md": "/changelog.md",
    "CONTRIBUTING.md": "/contributing.md",
    "README.md": "/index.md",
    "examples/foundations": "/foundations/index.md",
    "examples/minilm.py": "/examples.md",
}


def to_pages(app, path, parent, content) -> None:
    """Lead the links of an included file to the pages of this site."""

    def target(match: re.Match[str]) -> str:
        link = match[1]
        return f"]({PAGES.get(link) or re.sub('^docs/', '/', link)})"

    content[0] = re.sub(r"\]\(([^)#\s]+)\)", target, content[0])


def setup(app) -> None:
    """Called by Sphinx."""
    app.connect("include-read", to_pages)
