"""The pages say what is so: their code runs, their lists are complete, their pictures are there."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
# Modules whose __all__ is public, each with its place in docs/reference.
HOMES = [
    "lamina",
    "lamina.accelerator",
    "lamina.amp",
    "lamina.autograd",
    "lamina.autograd.functional",
    "lamina.cuda",
    "lamina.datasets",
    "lamina.distributed",
    "lamina.distributions",
    "lamina.landscape",
    "lamina.linalg",
    "lamina.nn",
    "lamina.nn.functional",
    "lamina.nn.init",
    "lamina.nn.utils",
    "lamina.nn.utils.rnn",
    "lamina.optim",
    "lamina.optim.lr_scheduler",
    "lamina.optim.swa_utils",
    "lamina.serialization",
    "lamina.special",
    "lamina.testing",
    "lamina.train",
    "lamina.utils.checkpoint",
    "lamina.utils.data",
]

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="the tests run without the repository")


def names_of(paths):
    return [str(path.relative_to(ROOT)) for path in paths]


def blocks(text, language):
    """Code blocks of a Markdown text."""
    parts = text.split(f"```{language}\n")[1:]
    return [part.split("\n```")[0] + "\n" for part in parts]


def claims(code):
    """What the comment after a print() says that it prints."""
    found = [re.match(r"\s*print\(.*\)  # (.*)$", line) for line in code.split("\n")]
    return [match[1] for match in found if match]


def with_blocks(language):
    return [path for path in PAGES if path.exists() and blocks(path.read_text("utf-8"), language)]


@pytest.mark.parametrize("path", with_blocks("python"), ids=names_of(with_blocks("python")))
def test_python_runs_and_prints_what_it_says(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = "".join(blocks(path.read_text(encoding="utf-8"), "python"))
    exec(compile(code, path.name, "exec"), {"__name__": path.stem})
    assert capsys.readouterr().out.split("\n")[:-1] == claims(code)


def test_pages_have_python():
    assert {"README.md", "docs/pytorch.md"} <= set(names_of(with_blocks("python")))


def commands(path):
    """The shell commands of a page, as lists of words, without comments."""
    text = "".join(blocks(path.read_text(encoding="utf-8"), "sh"))
    lines = re.split(r"\n|&&", text.replace("\\\n", " "))
    words = [shlex.split(line, comments=True) for line in lines]
    return [line for line in words if line]


@pytest.mark.parametrize("path", with_blocks("sh"), ids=names_of(with_blocks("sh")))
def test_commands_are_there(path):
    """What `lamina` is asked for, it knows; what else is run from the repository, it has."""
    from lamina.cli import main

    top = main.make_context("lamina", [], resilient_parsing=True)
    for words in commands(path):
        while "=" in words[0]:  # a variable of the environment
            words = words[1:]
        if words[0] == "lamina":
            command = main.commands[words[1]]
            command.make_context("lamina", words[2:], parent=top, resilient_parsing=True)
            options = {option for parameter in command.params for option in parameter.opts}
            assert {word for word in words[2:] if word.startswith("-")} <= options, words
        local = [w for w in words if re.match(r"(tools|tests|benchmarks|examples|docs)/", w)]
        missing = [w for w in local if not (ROOT / w.split("::")[0]).exists()]
        assert not missing, f"{path.name}: {shlex.join(words)}"


def documented():
    """Pairs of a module and a name that docs/reference has an entry for."""
    found = []
    for page in sorted((DOCS / "reference").glob("*.rst")):
        text = page.read_text(encoding="utf-8")
        for home, body in re.findall(r"^\.\. names:: (\S+)\n((?:   .*\n|\n)*)", text, re.M):
            found += [(home, name) for name in re.sub(r":same-as: \S+", "", body).split()]
        for listed in re.findall(
            r"^\.\. (?:py:data|py:function|autoclass):: ((?:\S+\n +)*\S+)$", text, re.M
        ):
            found += [tuple(path.split("(")[0].rsplit(".", 1)) for path in listed.split()]
    return found


def test_every_public_name_has_an_entry():
    found = documented()
    twice = sorted({entry for entry in found if found.count(entry) > 1})
    assert not twice, f"documented twice: {twice}"
    missing = [
        f"{home}.{name}"
        for home in HOMES
        for name in import_module(home).__all__
        if (home, name) not in found
        and not isinstance(getattr(import_module(home), name), ModuleType)
    ]
    assert not missing, f"no entry in docs/reference: {missing}"


def test_every_kind_of_tensor_method_has_its_place():
    text = (DOCS / "reference" / "tensor.rst").read_text(encoding="utf-8")
    shown = re.findall(r"^\.\. methods:: lamina\.Tensor (\S+)$", text, re.M)
    assert sorted(shown) == ["attributes", "in-place", "own", "shared"]


def test_every_module_has_its_place():
    """A module that users reach is in HOMES, or is described by its docstring alone."""
    reached = {"lamina"}
    for home in HOMES:
        module = import_module(home)
        for name in module.__all__:
            if isinstance(getattr(module, name), ModuleType):
                reached.add(getattr(module, name).__name__)
    text = "".join(p.read_text(encoding="utf-8") for p in (DOCS / "reference").glob("*.rst"))
    shown = set(re.findall(r"^\.\. automodule:: (\S+)$", text, re.M))
    assert reached - set(HOMES) - shown - {"lamina.utils"} == set()


def resolves(path):
    """Whether Lamina has what a name of PyTorch's stands for."""
    thing = import_module("lamina")
    for part in path.split(".")[1:]:
        try:
            thing = getattr(thing, part)
        except AttributeError:
            return False
    return True


def part(text, start):
    """A section of a page."""
    return text.split(f"\n## {start}\n")[1].split("\n## ")[0]


def test_what_is_said_to_be_the_same_is_there_and_what_is_missing_is_not():
    text = (DOCS / "pytorch.md").read_text(encoding="utf-8")
    there, missing = (
        re.findall(r"`(torch\.[\w.]+)`", part(text, title))
        for title in ("What is the same", "What is missing")
    )
    assert len(there) > 20
    assert [name for name in there if not resolves(name)] == []
    assert len(missing) > 30
    assert [name for name in missing if resolves(name) and name != "torch.special"] == []


def spaces():
    """Of docs/pytorch_names.md: each space with its names here, their count, and those missing."""
    text = (DOCS / "pytorch_names.md").read_text(encoding="utf-8")
    for section in text.split("\n## ")[1:]:
        title, _, body = section.partition("\n")
        here = re.search(r"^Here, (\d+) of (\d+): (.*)$", body, re.M)
        missing = re.findall(r"^- [^`]*: (`.*)$", body, re.M)
        count, total, names = int(here[1]), int(here[2]), re.findall(r"`(\w+)`", here[3])
        yield title, count, total, names, re.findall(r"`(\w+)`", " ".join(missing))


def test_lists_of_pytorch_names_are_true():
    seen = 0
    for title, count, total, names, missing in spaces():
        home = "torch" if title == "Functions of tensors: torch" else title
        assert [n for n in names if not resolves(f"{home}.{n}")] == []
        again = [n for n in missing if resolves(f"{home}.{n}")]
        assert not again, f"{home} has {again} now: run `python tools/torch_names.py`"
        assert (count, total) == (len(names), len(names) + len(missing))
        seen += total
    assert seen > 1000


def test_counts_on_the_page_for_pytorch_users():
    here = {title: count for title, count, *_ in spaces()}
    text = " ".join((DOCS / "pytorch.md").read_text(encoding="utf-8").split())
    functions, methods = here["Functions of tensors: torch"], here["torch.Tensor"]
    assert f"[{functions} functions](pytorch_names.md) and {methods} methods" in text


def test_the_training_script_is_one_of_pytorch(capsys):
    """But for its imports."""
    pytest.importorskip("torch")
    script, *_ = blocks((DOCS / "pytorch.md").read_text(encoding="utf-8"), "python")
    script = re.sub(r"^(import|from) lamina( as torch)?", r"\1 torch", script, flags=re.M)
    assert script.count("lamina") == 0
    exec(compile(script, "pytorch.md", "exec"), {"__name__": "script"})
    assert capsys.readouterr().out.split("\n")[:-1] == claims(script)


def test_lists_of_pytorch_names_are_those_of_the_tool(monkeypatch):
    torch = pytest.importorskip("torch")
    text = (DOCS / "pytorch_names.md").read_text(encoding="utf-8")
    written = re.search(r"^PyTorch (\S+);", text, re.M)[1]
    if torch.__version__.split("+")[0] != written:
        pytest.skip(f"the page is about PyTorch {written}")
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    tool = import_module("torch_names")
    for space in tool.SPACES:
        assert tool.section(space) in text, f"{space}: run `python tools/torch_names.py`"


def test_foundations_have_page_picture_and_words():
    from lamina.cli._foundations import NAMES

    pages = {page.stem for page in (DOCS / "foundations").glob("*.md")} - {"index"}
    assert pages == set(NAMES)
    pictures = DOCS / "images" / "foundations"
    for name in NAMES:
        advice = f"run `python tools/gallery.py {name}`"
        assert (pictures / f"{name}.txt").exists(), advice
        assert (pictures / f"{name}.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n", advice
    largest = {".png": 250_000, ".gif": 500_000, ".txt": 5_000}
    heavy = [path.name for path in pictures.iterdir() if path.stat().st_size > largest[path.suffix]]
    assert not heavy, f"draw less: {heavy}"
    assert {path.stem for path in pictures.iterdir()} == set(NAMES)
