"""Types: the stub says all that the extension has, and a user's typed script checks and runs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import lamina
import pytest
import typed_script
from lamina import _core

STUB = ast.parse((Path(lamina.__file__).parent / "_core.pyi").read_text())
# Of every object, or of what C extensions are made of.
COMMON = {*dir(object), "__doc__", "__module__", "__weakref__", "__dict__"}


def names_in(body):
    found = set()
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return found


def public(names):
    return {name for name in names if not name.startswith("_")}


def test_the_stub_has_every_name_of_the_extension_and_no_other():
    stub = names_in(STUB.body)
    assert public(dir(_core)) - stub == set()
    assert public(stub) - set(dir(_core)) <= {
        "Node",
        "min_and_max",
        "qr_result",
        "values_and_indices",
    }


@pytest.mark.parametrize("name", ["Tensor", "Size", "dtype", "device", "RemovableHandle"])
def test_the_stub_has_every_attribute_of_a_class_and_no_other(name):
    (node,) = (n for n in STUB.body if isinstance(n, ast.ClassDef) and n.name == name)
    stub = names_in(node.body)
    there = set(dir(getattr(_core, name)))
    if name == "Tensor":  # the only one whose special methods are not those of its base
        slots = {"__delitem__", "__rmatmul__", "__array_priority__"}  # they come with others
        assert there - COMMON - slots - stub == set()
    assert public(there - set(dir(tuple))) - stub == set()
    assert public(stub) - there == set()


def test_the_typed_script_runs():
    typed_script.arrays()
    loss, accuracy = typed_script.train()
    assert loss < 0.5
    assert accuracy > 0.9


def test_the_typed_script_passes_mypy(tmp_path):
    pytest.importorskip("mypy", reason="needs mypy")
    script = tmp_path / "script.py"
    source = Path(typed_script.__file__).read_text()
    # What must not pass: a wrong type for each of an argument, a result and an attribute.
    wrong = (
        "\n\ndef wrong() -> int:\n"
        "    lamina.zeros('two')\n"
        "    nn.Linear(2, 1).in_features = 'two'\n"
        "    return lamina.ones(2)\n"
    )
    for text, status in ((source, 0), (source + wrong, 1)):
        script.write_text(text)
        done = subprocess.run(
            [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache", script],
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert done.returncode == status, done.stdout + done.stderr
    first = source.count("\n") + 1
    for line, code in ((4, "arg-type"), (5, "assignment"), (6, "return-value")):
        assert f"script.py:{first + line - 1}: error:" in done.stdout, done.stdout
        assert f"[{code}]" in done.stdout
