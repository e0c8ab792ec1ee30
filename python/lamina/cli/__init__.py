"""The command ``lamina``: a thin face on `lamina.train`, and on the foundations."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from lamina import _core
from lamina._files import atomic_write
from lamina.cli._foundations import foundations
from lamina.cli._group import BadInput, Commands, OneOf, bad_input
from lamina.train.experiment import DATASETS, Experiment, Settings
from lamina.train.mlp import ACTIVATIONS
from lamina.train.progress import percent
from lamina.train.trainer import OPTIMIZERS, SCHEDULES

__all__ = ["main"]

_DEFAULT = Settings("digits")
_ANY_PATH = click.Path(path_type=Path)


def _widths(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...]:
    if value in ("", "none"):
        return ()
    try:
        return tuple(int(part) for part in value.split(","))
    except ValueError:
        message = f"'{value}' is not a list of widths such as 128,64"
        raise click.BadParameter(message, ctx, param) from None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(_core.__version__, prog_name="lamina", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error (or LAMINA_DEBUG=1).")
def main(debug: bool) -> None:
    """Train, evaluate and apply small neural networks; see the foundations at work."""
    if debug:
        os.environ["LAMINA_DEBUG"] = "1"


main.add_command(foundations)


@main.command()
@click.argument("dataset")
@click.option("--layers", callback=_widths, metavar="WIDTHS", show_default=True,
              default=",".join(map(str, _DEFAULT.layers)),
              help="Widths of the hidden layers; 'none' for a linear model.")  # fmt: skip
@click.option("--activation", type=OneOf([*ACTIVATIONS]), default=_DEFAULT.activation,
              show_default=True)  # fmt: skip
@click.option("--batch-norm/--no-batch-norm", default=_DEFAULT.batch_norm, show_default=True,
              help="Batch normalization after each hidden layer.")  # fmt: skip
@click.option("--dropout", type=float, default=_DEFAULT.dropout, show_default=True,
              help="Probability of dropping a hidden value.")  # fmt: skip
@click.option("--optimizer", type=OneOf([*OPTIMIZERS]), default=_DEFAULT.optimizer,
              show_default=True)  # fmt: skip
@click.option("--lr", type=float, help="Learning rate.  [default: the optimizer's]")
@click.option("--weight-decay", type=float, help="[default: the optimizer's]")
@click.option("--schedule", type=OneOf([*SCHEDULES]), default=_DEFAULT.schedule, show_default=True,
              help="How the learning rate goes to the end.")  # fmt: skip
@click.option("--epochs", type=int, default=_DEFAULT.epochs, show_default=True,
              help="Passes over the training data.")  # fmt: skip
@click.option("--batch-size", type=int, default=_DEFAULT.batch_size, show_default=True)
@click.option("--seed", type=int, default=_DEFAULT.seed, show_default=True,
              help="Decides weights, order, dropout and toy data.")  # fmt: skip
@click.option("--threads", type=click.IntRange(min=1), help="[default: the cores at hand]")
@click.option("--out", type=_ANY_PATH, metavar="DIR",
              help="Folder of the run.  [default: a new runs/DATASET-001, -002, …]")  # fmt: skip
def train(threads: int | None, out: Path | None, lr: float | None, **options: Any) -> None:
    """Train a multilayer perceptron on DATASET.

    DATASET is digits, fashion-mnist, moons, spirals or xor, or the path of an .npz file with inputs
    x and integer labels y. The run's folder holds model.safetensors, config.json, metrics.jsonl and
    curves.png.
    """
    if threads is not None:
        _core.set_num_threads(threads)
    with bad_input():
        run = Experiment(Settings(learning_rate=lr, **options), out)
    try:
        test = run.train()
    except FloatingPointError as error:
        raise click.ClickException(f"{error} (the run so far is in {run.folder.path})") from error
    if run.notice:
        click.echo(run.notice)
    if run.history.interrupted:
        click.echo(f"interrupted after {len(run.history)} of {run.settings.epochs} epochs")
    click.echo(f"test accuracy {percent(test['accuracy'])}; the run is in {run.folder.path}")
    if run.history.interrupted:
        sys.exit(130)


@main.command()
@click.argument("run", type=_ANY_PATH)
@click.option("--data", type=_ANY_PATH, metavar="FILE",
              help="An .npz file with x and y, measured whole.")  # fmt: skip
@click.option("--part", type=OneOf(["train", "validation", "test"]), default="test",
              show_default=True, help="Part of the run's own data set.")  # fmt: skip
def evaluate(run: Path, data: Path | None, part: str) -> None:
    """Measure the model of RUN: loss and accuracy."""
    with bad_input():
        result = Experiment.open(run).evaluate(part, data)
    what = part if data is None else str(data)
    click.echo(f"{what} loss {result['loss']:.4f}, accuracy {percent(result['accuracy'])}")


@main.command()
@click.argument("run", type=_ANY_PATH)
@click.argument("file", type=_ANY_PATH)
@click.option("--out", type=_ANY_PATH, metavar="FILE",
              help="Write the labels there (.npy, .csv or .txt) instead of printing.")  # fmt: skip
def predict(run: Path, file: Path, out: Path | None) -> None:
    """Print the label that the model of RUN gives to each row of FILE.

    FILE is an .npz with an array x (or a single array), an .npy, or a .csv with a row of numbers a
    line.
    """
    if out is not None and out.suffix not in (".npy", ".csv", ".txt"):
        raise BadInput(f"{out}: labels are written as .npy, .csv or .txt")
    with bad_input():
        labels = Experiment.open(run).predict(file)
    text = "".join(f"{label}\n" for label in labels)
    if out is None:
        click.echo(text, nl=False)
        return
    with bad_input():
        atomic_write(out, _npy(labels) if out.suffix == ".npy" else text)
    click.echo(f"{len(labels)} labels are in {out}")


def _npy(labels: list[int]) -> bytes:
    import io

    import numpy

    buffer = io.BytesIO()
    numpy.save(buffer, numpy.array(labels, numpy.int64))
    return buffer.getvalue()


@main.command()
def info() -> None:
    """Say what is installed and what the machine offers."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    cpu, cuda = _core.cpu_info(), _core.cuda_info()
    devices = ", ".join(str(device) for device in cuda["devices"])
    rows = [
        ("lamina", f"{_core.__version__} (data sets: {', '.join(sorted(DATASETS))})"),
        ("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        ("isa", f"{cpu['isa']} (available: {', '.join(cpu['available'])}; LAMINA_ISA overrides)"),
        ("cpu", " ".join(cpu["features"])),
        ("threads", f"{_core.get_num_threads()} (LAMINA_NUM_THREADS overrides)"),
        ("cuda", f"yes: {devices}" if cuda["available"] else f"no: {cuda['reason']}"),
    ]
    extras = {"matplotlib": "; pip install 'lamina[plot]' adds it, for curves.png"}
    for package in ("numpy", "safetensors", "rich", "click", "matplotlib"):
        try:
            rows.append((package, version(package)))
        except PackageNotFoundError:
            rows.append((package, "missing" + extras.get(package, "")))
    for name, value in rows:
        click.echo(f"{name:<12}{value}")
