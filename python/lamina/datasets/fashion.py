"""Fashion-MNIST: 70,000 pictures of clothes, as many pixels and classes as MNIST, harder."""

from __future__ import annotations

import hashlib
import os
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

from lamina import _core
from lamina._files import atomic_write
from lamina.datasets.idx import read_idx
from lamina.datasets.splits import DataSplits
from lamina.utils.data import TensorDataset

if TYPE_CHECKING:
    from lamina import Tensor

__all__ = ["fashion_mnist"]

_URL = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"
_TIMEOUT = 30.0  # seconds without an answer
_SYSTEM = Path("/usr/share/datasets")
# Size and SHA-256 of each file as published.
_FILES = {
    "train-images-idx3-ubyte.gz": (
        26421880,
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    ),
    "train-labels-idx1-ubyte.gz": (
        29515,
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    ),
    "t10k-images-idx3-ubyte.gz": (
        4422102,
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    ),
    "t10k-labels-idx1-ubyte.gz": (
        5148,
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
}
_CLASSES = 10


def fashion_mnist(
    root: str | os.PathLike[str] | None = None, *, download: bool = False
) -> DataSplits:
    """Read Fashion-MNIST: 28x28 grey pictures of ten kinds of clothes.

    By H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking
    Machine Learning Algorithms", 2017 (MIT license). The classes are T-shirt/top, trouser,
    pullover, dress, coat, sandal, shirt, sneaker, bag and ankle boot.

    Parameters
    ----------
    root : str or os.PathLike, optional
        The folder with the four files, as published or unpacked (without ``.gz``). Default: the
        first of these that has them: ``$LAMINA_DATA/fashion-mnist``,
        ``~/.cache/lamina/fashion-mnist``, and ``/usr/share/datasets/fashion-mnist``, where
        Debian's package ``dataset-fashion-mnist`` puts them.
    download : bool, default False
        Fetch the files (30 MB) when they are not there, into `root` or else the first folder
        above. Each is kept only when it is, to the bit, the published one.

    Returns
    -------
    DataSplits
        784 features, the rows of a picture one after the other, pixels 0 … 255 as 0 … 1;
        10 classes. The official test part, 10,000 pictures, tests; of the 60,000 others the
        last sixth, 10,000, validates and 50,000 train, in the order of the files. Inputs have
        shape ``[n, 784]``; a convolution takes ``x.view(-1, 1, 28, 28)``.

    Raises
    ------
    OSError
        When the files are not there (the message says how to get them), or cannot be read,
        fetched or written.
    ValueError
        When a file is damaged or is not the one that its name says.

    Examples
    --------
    The files of MNIST have the same names and form; so have these, with 12 and 4 black pictures:

    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for part, n in ("train", 12), ("t10k", 4):
    ...     images = bytes([0, 0, 8, 3, 0, 0, 0, n, 0, 0, 0, 28, 0, 0, 0, 28]) + bytes(784 * n)
    ...     labels = bytes([0, 0, 8, 1, 0, 0, 0, n]) + bytes(n)
    ...     _ = (folder / f"{part}-images-idx3-ubyte").write_bytes(images)
    ...     _ = (folder / f"{part}-labels-idx1-ubyte").write_bytes(labels)
    >>> data = fashion_mnist(folder)
    >>> len(data.train), len(data.validation), len(data.test), data.n_features
    (10, 2, 4, 784)
    >>> x, y = data.test.tensors
    >>> x.view(-1, 1, 28, 28).shape
    lamina.Size([4, 1, 28, 28])
    """
    folders = _folders() if root is None else [Path(root)]
    files = next((found for folder in folders if (found := _files_in(folder))), [])
    if not files and download:
        _download(folders[0])
        files = _files_in(folders[0])
    if not files:
        call = f"fashion_mnist({'' if root is None else f'{str(root)!r}, '}download=True)"
        raise FileNotFoundError(
            f"Fashion-MNIST is not in {' or '.join(map(_lack, folders))}; "
            f"lamina.datasets.{call} fetches it (30 MB), Debian's package "
            "dataset-fashion-mnist holds it"
        )
    train_x, train_y = _part(*files[:2])
    test_x, test_y = _part(*files[2:])
    cut = len(train_y) - len(train_y) // 6
    return DataSplits(
        "fashion-mnist",
        train=TensorDataset(train_x[:cut], train_y[:cut]),
        validation=TensorDataset(train_x[cut:], train_y[cut:]),
        test=TensorDataset(test_x, test_y),
        n_features=train_x.shape[1],
        n_classes=_CLASSES,
    )


def _folders() -> list[Path]:
    """Where to look; what is fetched goes into the first."""
    own = os.environ.get("LAMINA_DATA")
    places = [*([Path(own)] if own else []), Path("~/.cache/lamina"), _SYSTEM]
    return [place.expanduser() / "fashion-mnist" for place in places]


def _file_in(folder: Path, name: str) -> Path | None:
    """Find a file, packed or not."""
    paths = (folder / name, folder / name.removesuffix(".gz"))
    return next((path for path in paths if path.is_file()), None)


def _files_in(folder: Path) -> list[Path]:
    """Find all four, in the order of `_FILES`; none when one is missing."""
    files = [path for name in _FILES if (path := _file_in(folder, name))]
    return files if len(files) == len(_FILES) else []


def _lack(folder: Path) -> str:
    """Name the folder, and the files that it lacks if it has some."""
    missing = [name for name in _FILES if not _file_in(folder, name)]
    some = len(missing) < len(_FILES)
    return f"{folder} (which lacks {', '.join(missing)})" if some else str(folder)


def _part(images: Path, labels: Path) -> tuple[Tensor, Tensor]:
    """Pictures as rows of 0 … 1 and their labels."""
    x, y = read_idx(images), read_idx(labels)
    for path, tensor, sizes in ((images, x, ["n", 28, 28]), (labels, y, ["n"])):
        if tensor.dtype != _core.uint8 or list(tensor.shape[1:]) != sizes[1:]:
            found = f"{tensor.dtype} of shape {list(tensor.shape)}"
            raise ValueError(f"{path}: must hold uint8 of shape {sizes}, but has {found}")
    if len(x) != len(y):
        raise ValueError(f"{images} has {len(x)} pictures, but {labels.name} has {len(y)} labels")
    if len(y) and int(y.max()) >= _CLASSES:
        raise ValueError(f"{labels}: labels are 0 … {_CLASSES - 1}, but one is {int(y.max())}")
    return x.reshape(len(x), -1).float().div_(255), y.long()


def _download(folder: Path) -> None:
    """Fetch those of the published files that are not in `folder`."""
    from urllib.request import urlopen

    folder.mkdir(parents=True, exist_ok=True)
    for name, (size, digest) in _FILES.items():
        if _file_in(folder, name):
            continue
        try:
            with urlopen(_URL + name, timeout=_TIMEOUT) as answer:
                data = answer.read(size + 1)
        except (OSError, HTTPException) as error:
            raise OSError(f"cannot fetch {_URL}{name} ({error})") from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise ValueError(
                f"{_URL}{name} is not the file that was published (SHA-256 differs); not kept"
            )
        atomic_write(folder / name, data)
