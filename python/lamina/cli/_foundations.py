"""``lamina foundations``: run the scripts of the article and draw what they claim."""

from __future__ import annotations

import os
import sys
import time
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import click

from lamina.cli._group import OneOf, bad_input, show_traceback

__all__ = ["NAMES", "foundations", "script"]

# In the order of the article.
NAMES = (
    "perceptron",
    "xor",
    "composition",
    "activations",
    "approximation",
    "loop",
    "depth",
    "initialization",
    "batch_norm",
    "optimizers",
    "landscapes",
    "convergence",
    "representations",
    "comparison",
)


def script(name: str) -> Path:
    """Find the script of a name: in the installed package, or in the repository it runs from."""
    package = Path(__file__).parents[1]
    installed = package / "_foundations"
    folder = installed if installed.is_dir() else package.parents[1] / "examples" / "foundations"
    return folder / f"{name}.py"


@click.command()
@click.argument("name", type=OneOf([*NAMES, "all"]), required=False, metavar="[NAME|all]")
@click.option("--quick", is_flag=True, help="Fewer steps and seeds: a few seconds each.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", default="foundations",
              show_default=True, help="Folder for the pictures.")  # fmt: skip
def foundations(name: str | None, quick: bool, out: Path) -> None:
    """Run a script of the foundations, or all; without NAME, list them.

    Each script states a claim about deep learning, checks it with numbers, and draws a picture.
    """
    if name is None:
        for each in NAMES:
            click.echo(f"{each:<16}{_first_line(each)}")
        return
    folder = _folder(out)
    if name == "all":
        _run_all(folder, quick)
        return
    try:
        _run(name, folder, quick)
    except (AssertionError, ModuleNotFoundError) as error:
        raise click.ClickException(_what(error)) from error


def _first_line(name: str) -> str:
    import ast

    with bad_input():
        text = ast.get_docstring(ast.parse(script(name).read_text(encoding="utf-8")))
    return (text or "").partition("\n")[0]


def _folder(out: Path) -> Path | None:
    """Make the folder for the pictures; None when they cannot be drawn."""
    if find_spec("matplotlib") is None:
        click.echo('without pictures: pip install "lamina[plot]" adds matplotlib, which draws them')
        return None
    os.environ.setdefault("MPLBACKEND", "agg")  # files only, with or without a display
    with bad_input():
        if out.exists() and not out.is_dir():
            raise ValueError(f"{out} is a file, not a folder")
        out.mkdir(parents=True, exist_ok=True)
    return out


def _run(name: str, folder: Path | None, quick: bool) -> None:
    """Run a script and say how long it took and where its picture is."""
    began = time.perf_counter()
    spec = spec_from_file_location(f"lamina._foundations.{name}", script(name))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up by name
    try:
        spec.loader.exec_module(module)
        module.main(folder, quick)
    finally:
        del sys.modules[spec.name]
    where = "" if folder is None else f"; the picture is {folder / f'{name}.png'}"
    click.echo(f"{name}: {time.perf_counter() - began:.1f} s{where}")


def _run_all(folder: Path | None, quick: bool) -> None:
    began = time.perf_counter()
    failed, skipped = [], []
    for name in NAMES:
        click.secho(f"\n{name}: {_first_line(name)}", bold=True)
        try:
            _run(name, folder, quick)
        except ModuleNotFoundError as error:
            skipped.append(name)
            click.echo(f"{name}: skipped: {_what(error)}")
        except Exception as error:  # the others still have something to show
            failed.append(name)
            show_traceback(error)
            click.echo(f"{name}: failed: {_what(error)}")
    parts = [f"{len(NAMES) - len(failed) - len(skipped)} of {len(NAMES)} claims hold"]
    parts += [f"failed: {', '.join(failed)}"] if failed else []
    parts += [f"skipped: {', '.join(skipped)}"] if skipped else []
    parts += [f"{time.perf_counter() - began:.0f} s"]
    parts += [f"the pictures are in {folder}"] if folder is not None else []
    click.echo("\n" + "; ".join(parts))
    if failed:
        sys.exit(1)


def _what(error: Exception) -> str:
    """Say in a sentence why a script did not come to its end."""
    if isinstance(error, AssertionError):
        return f"the claim does not hold: {error}"
    if isinstance(error, ModuleNotFoundError):
        return str(error)
    return f"{type(error).__name__}: {error}"
