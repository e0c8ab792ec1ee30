"""Every `>>>` example of the installed package runs and prints what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import lamina
import pytest

# Where users find things.
HOMES = {
    "lamina",
    "lamina.autograd",
    "lamina.datasets",
    "lamina.distributions",
    "lamina.landscape",
    "lamina.linalg",
    "lamina.nn",
    "lamina.nn.functional",
    "lamina.nn.init",
    "lamina.nn.utils",
    "lamina.optim",
    "lamina.optim.lr_scheduler",
    "lamina.optim.swa_utils",
    "lamina.serialization",
    "lamina.train",
    "lamina.utils.data",
}
# Running it is what it is for.
NOT_IMPORTED = {"lamina.__main__"}


def modules():
    yield lamina.__name__
    for found in pkgutil.walk_packages(lamina.__path__, "lamina."):
        if found.name not in NOT_IMPORTED and "._core" not in found.name:
            yield found.name


def examples(module):
    """The docstrings that have examples; a class in two modules is found in its own only."""
    return [test for test in doctest.DocTestFinder().find(module) if test.examples]


def run(test, folder, monkeypatch):
    monkeypatch.chdir(folder)  # an example may write files
    lamina.manual_seed(0)
    printed = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(test, out=printed.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(printed)


@pytest.mark.parametrize("name", sorted(modules()))
def test_examples_of(name, tmp_path, monkeypatch):
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        missing = (error.name or "").split(".")[0]
        if missing == "lamina":
            raise
        pytest.skip(f"needs {missing}")
    for test in examples(module):
        run(test, tmp_path, monkeypatch)


def public_names():
    """Functions and classes that users reach, each once."""
    seen = {}
    for name in sorted(modules()):
        if name not in HOMES:
            continue
        module = importlib.import_module(name)
        for attribute in getattr(module, "__all__", []):
            thing = getattr(module, attribute)
            home = getattr(thing, "__module__", None) or ""
            if callable(thing) and home.startswith("lamina.") and home != "lamina._core":
                seen.setdefault(f"{home}.{attribute}", thing)
    return seen


def test_every_public_name_has_an_example():
    """One small example each; its class's counts for what a class defines."""
    bare = []
    for name, thing in public_names().items():
        if isinstance(thing, type) and issubclass(thing, (Warning, Exception)):
            continue
        if not any(test.examples for test in doctest.DocTestFinder().find(thing, name)):
            bare.append(name)
    assert not bare, f"without a >>> example: {', '.join(sorted(bare))}"
