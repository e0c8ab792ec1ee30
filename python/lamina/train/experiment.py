"""A training run from a description: what ``lamina train``, ``evaluate`` and ``predict`` do."""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina import _core, datasets, serialization
from lamina.datasets.files import check_features, check_labels, read_arrays
from lamina.train.folder import RunFolder
from lamina.train.history import History
from lamina.train.mlp import Standardize, build_mlp
from lamina.train.plot import finding
from lamina.train.trainer import Trainer
from lamina.utils.data import TensorDataset

if TYPE_CHECKING:
    from lamina.datasets import DataSplits

__all__ = ["DATASETS", "Experiment", "Settings", "load_dataset", "read_inputs"]

DATASETS = {
    "digits": datasets.digits,
    "fashion-mnist": datasets.fashion_mnist,
    "moons": datasets.moons,
    "spirals": datasets.spirals,
    "xor": datasets.xor,
}


@dataclass(frozen=True)
class Settings:
    """Everything that decides a run; ``config.json`` keeps it.

    Attributes
    ----------
    dataset : str
        "digits", "fashion-mnist", "moons", "spirals", "xor", or the path of an ``.npz`` file with
        `x` and `y`.
    layers : tuple of int
        Widths of the hidden layers.
    activation : str
        One of `build_mlp`'s.
    batch_norm : bool
        Batch normalization after each hidden layer.
    dropout : float
        Probability of dropping a hidden value.
    optimizer : str
        "sgd", "rmsprop", "adam" or "adamw".
    learning_rate, weight_decay : float or None
        None: the optimizer's default, see `Trainer`.
    schedule : str
        "constant", "linear" or "cosine".
    epochs, batch_size, seed : int
        As in `Trainer.fit`; `seed` also decides the initial weights and the toy data.

    Raises
    ------
    ValueError
        When a number is out of range.

    Examples
    --------
    >>> Settings("digits").layers
    (128, 64)
    """

    dataset: str
    layers: tuple[int, ...] = (128, 64)
    activation: str = "relu"
    batch_norm: bool = True
    dropout: float = 0.1
    optimizer: str = "adam"
    learning_rate: float | None = None
    weight_decay: float | None = None
    schedule: str = "cosine"
    epochs: int = 30
    batch_size: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))  # JSON has lists only
        rate, decay = self.learning_rate, self.weight_decay
        for name, value, right, rule in (
            ("layers", list(self.layers), all(size >= 1 for size in self.layers), "positive"),
            ("dropout", self.dropout, 0 <= self.dropout < 1, "in [0, 1)"),
            ("learning rate", rate, rate is None or 0 < rate < math.inf, "positive"),
            ("weight decay", decay, decay is None or 0 <= decay < math.inf, "at least 0"),
            ("epochs", self.epochs, self.epochs >= 1, "at least 1"),
            # Batch normalization cannot train on single samples.
            ("batch size", self.batch_size, self.batch_size >= 2, "at least 2"),
            ("seed", self.seed, 0 <= self.seed < 2**63, "from 0 to 2**63 - 1"),
        ):
            if not right:
                raise ValueError(f"{name} must be {rule}, got {value}")


def load_dataset(name: str, seed: int = 0) -> DataSplits:
    """Load a data set by the name or path that the command line takes.

    Raises
    ------
    ValueError
        When the name is unknown (the message offers the nearest) or the file is not as
        `datasets.load_npz` wants it.
    OSError
        When the file cannot be read.

    Examples
    --------
    >>> load_dataset("xor").n_classes
    2
    """
    if name in ("digits", "fashion-mnist"):  # these are what they are, without a seed
        return DATASETS[name]()
    if name in DATASETS:
        return DATASETS[name](seed=seed)  # type: ignore[call-arg]
    if name.endswith(".npz") or os.sep in name or Path(name).exists():
        return datasets.load_npz(name)
    near = difflib.get_close_matches(name, DATASETS, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    known = ", ".join(sorted(DATASETS))
    raise ValueError(f"unknown dataset '{name}'{hint} (known: {known}, or a path to an .npz file)")


class Experiment:
    """A data set, a model and a folder.

    Parameters
    ----------
    settings : Settings
        What to train and how.
    out : path, optional
        The run's folder. Default: a new one, ``runs/NAME-001`` and so on.

    Raises
    ------
    ValueError
        When the settings or the data are wrong; nothing is left behind.
    OSError
        When the folder cannot be written or already holds a run.

    Attributes
    ----------
    settings : Settings
    data : DataSplits or None
        Read when needed in an experiment that was opened.
    model : nn.Sequential
    folder : RunFolder

    Examples
    --------
    >>> import os, tempfile
    >>> out = os.path.join(tempfile.mkdtemp(), "run")
    >>> run = Experiment(Settings("xor", layers=(16,), epochs=15), out)
    >>> result = run.train(progress=None)
    >>> Experiment.open(out).evaluate() == result
    True
    """

    def __init__(self, settings: Settings, out: str | os.PathLike[str] | None = None) -> None:
        data = load_dataset(settings.dataset, settings.seed)
        path = settings.dataset
        if path not in DATASETS:
            # The run must find its file again from any folder.
            settings = dataclasses.replace(settings, dataset=str(Path(path).resolve()))
        _core.manual_seed(settings.seed)
        # The sets that come with the package are scaled already; a file's columns may have any
        # unit.
        scale = None if path in DATASETS else Standardize.of(data.train.tensors[0])
        self.settings = settings
        self.history = History()
        self._data: DataSplits | None = data
        self._name = data.name
        self.model = build_mlp(
            data.n_features,
            data.n_classes,
            settings.layers,
            settings.activation,
            settings.batch_norm,
            settings.dropout,
            scale,
        )
        self._config: dict[str, Any] = {
            "lamina": _core.__version__,
            "name": data.name,
            "n_features": data.n_features,
            "n_classes": data.n_classes,
            "samples": {p: len(getattr(data, p)) for p in ("train", "validation", "test")},
            "standardize": scale is not None,
            "settings": dataclasses.asdict(settings),
            "threads": _core.get_num_threads(),
        }
        self._trainer = self._make_trainer()
        self.folder = RunFolder.numbered(data.name) if out is None else RunFolder.create(out)
        self.folder.write_config(self._config)

    def _make_trainer(self) -> Trainer:
        chosen = self.settings
        return Trainer(
            self.model,
            optimizer=chosen.optimizer,
            lr=chosen.learning_rate,
            weight_decay=chosen.weight_decay,
            schedule=chosen.schedule,
        )

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Experiment:
        """Read a finished run, to evaluate it or predict with it.

        Raises
        ------
        ValueError
            When `path` holds no run, or a file of it is damaged; the message names the file.
        OSError
            When a file cannot be read.
        """
        folder = RunFolder(path)
        if not folder.path.is_dir():
            raise ValueError(f"{path} is not a folder of a run")
        for name in (RunFolder.CONFIG, RunFolder.MODEL):
            if not (folder.path / name).is_file():
                raise ValueError(f"{path} is not the folder of a finished run: it has no {name}")
        run = cls.__new__(cls)
        run.folder = folder
        run._config = config = folder.read_config()
        run._data = None
        try:
            run.settings = Settings(**config["settings"])
            run._name = str(config["name"])
            n_features, n_classes = int(config["n_features"]), int(config["n_classes"])
            scale = None
            if config["standardize"]:
                scale = Standardize(_core.zeros(n_features), _core.ones(n_features))
            run.model = build_mlp(
                n_features, n_classes, run.settings.layers, run.settings.activation,
                run.settings.batch_norm, run.settings.dropout, scale,
            )  # fmt: skip
            run._trainer = run._make_trainer()
        except (KeyError, TypeError, ValueError) as error:
            path = folder.path / RunFolder.CONFIG
            raise ValueError(f"{path}: does not describe a run ({error!r})") from error
        state = serialization.load(folder.path / RunFolder.MODEL)
        try:
            run.model.load_state_dict(state)
        except Exception as error:
            path = folder.path / RunFolder.MODEL
            raise ValueError(f"{path}: does not fit config.json ({error})") from error
        run.model.eval()
        return run

    @property
    def data(self) -> DataSplits:
        """The data set; read again when the experiment was opened."""
        if self._data is None:
            self._data = load_dataset(self.settings.dataset, self.settings.seed)
            self._check_shape(self._data)
        return self._data

    def _check_shape(self, data: DataSplits) -> None:
        for name, found in (("n_features", data.n_features), ("n_classes", data.n_classes)):
            if found != self._config[name]:
                raise ValueError(
                    f"{self.settings.dataset}: has {name} {found}, but the run was trained with "
                    f"{self._config[name]}"
                )

    def train(self, progress: str | bool | None = "auto") -> dict[str, float]:
        """Train, complete the folder, and return loss and accuracy on the test part."""
        data, settings = self.data, self.settings
        began = time.perf_counter()
        self.history = self._trainer.fit(
            data.train,
            data.validation if len(data.validation) else None,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            seed=settings.seed,
            out=self.folder,
            progress=progress,
        )
        seconds = time.perf_counter() - began
        test = self._trainer.evaluate(data.test)
        self._config["result"] = {
            "test_loss": test["loss"],
            "test_accuracy": test["accuracy"],
            "epochs": len(self.history),
            "interrupted": self.history.interrupted,
            "seconds": seconds,
        }
        self.folder.write_config(self._config)
        title = finding(self._name, self.history, test) if len(self.history) else None
        self.notice = self.folder.write_curves(self.history, title, test)
        return test

    notice: str | None = None  # what `train` could not do, in one line

    def evaluate(
        self, part: str = "test", path: str | os.PathLike[str] | None = None
    ) -> dict[str, float]:
        """Loss and accuracy on a part of the data set, or on a whole ``.npz`` file.

        Parameters
        ----------
        part : {"train", "validation", "test"}, default "test"
            Which part.
        path : path, optional
            An ``.npz`` file with `x` and `y`, measured whole.
        """
        if path is None:
            return self._trainer.evaluate(getattr(self.data, part))
        arrays = read_arrays(path)
        for key in ("x", "y"):
            if key not in arrays:
                raise ValueError(f"{path}: has no array '{key}'")
        x = check_features(arrays["x"], f"{path}: x", self._config["n_features"])
        y = check_labels(arrays["y"], f"{path}: y", self._config["n_classes"])
        if len(x) != len(y):
            raise ValueError(f"{path}: x has {len(x)} rows but y has {len(y)} labels")
        return self._trainer.evaluate(TensorDataset(_core.from_numpy(x), _core.from_numpy(y)))

    def predict(self, path: str | os.PathLike[str]) -> list[int]:
        """Label every row of an ``.npz``, ``.npy`` or ``.csv`` file."""
        x = check_features(read_inputs(path), str(path), self._config["n_features"])
        labels: list[int] = self._trainer.predict(x).argmax(1).tolist()
        return labels


def read_inputs(path: str | os.PathLike[str]) -> Any:
    """Read inputs: ``x`` or the only array of an ``.npz``, an ``.npy``, or a ``.csv``.

    A CSV holds one row of numbers a line, separated by commas; one line of column names may come
    first.
    """
    if Path(path).suffix.lower() in (".csv", ".txt"):
        return _read_csv(path)
    arrays = read_arrays(path)
    if "x" in arrays:
        return arrays["x"]
    if len(arrays) != 1:
        found = ", ".join(sorted(arrays)) or "nothing"
        raise ValueError(f"{path}: needs one array, or one called 'x' (it holds {found})")
    return next(iter(arrays.values()))


def _read_csv(path: str | os.PathLike[str]) -> Any:
    import csv

    import numpy

    rows: list[list[float]] = []
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            for number, fields in enumerate(csv.reader(file), 1):
                if not fields or (len(fields) == 1 and not fields[0].strip()):
                    continue
                try:
                    rows.append([float(field) for field in fields])
                except ValueError as error:
                    if number == 1:  # column names
                        continue
                    raise ValueError(f"{path}: line {number} is not numbers ({error})") from None
                if len(rows[-1]) != len(rows[0]):
                    raise ValueError(
                        f"{path}: line {number} has {len(rows[-1])} values, but the first row "
                        f"has {len(rows[0])}"
                    )
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: is not a CSV file ({error})") from None
    if not rows:
        raise ValueError(f"{path}: has no row of numbers")
    return numpy.array(rows)
