"""Data in files: the digits that ship with the package, and any ``.npz``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina.datasets.splits import DataSplits, make_splits

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

__all__ = ["check_features", "check_labels", "digits", "load_npz", "read_arrays"]


def digits() -> DataSplits:
    """Read the 1,797 handwritten digits of the UCI repository, 8x8 pixels.

    They are the test part of "Optical Recognition of Handwritten Digits" by E. Alpaydin and
    C. Kaynak (CC BY 4.0); ``data/digits.ATTRIBUTION.md`` has the details. Grey levels 0 … 16
    become 0 … 1.

    Returns
    -------
    DataSplits
        64 features, 10 classes, split by `split_rule`: 1,259 to train, 183 to validate, 355 to
        test.

    Examples
    --------
    >>> from lamina.datasets import digits
    >>> data = digits()
    >>> len(data.train), len(data.validation), len(data.test)
    (1259, 183, 355)
    """
    arrays = read_arrays(Path(__file__).parent / "data" / "digits.npz")
    return make_splits("digits", arrays["images"] / 16.0, arrays["labels"])


def load_npz(path: str | os.PathLike[str]) -> DataSplits:
    """Read a NumPy archive with the inputs ``x`` and the labels ``y``.

    Parameters
    ----------
    path : str or os.PathLike
        An ``.npz`` file. ``x`` holds numbers, shape ``(n, ...)``; rows of more than one
        dimension are flattened. ``y`` holds integers, shape ``(n,)``, and each of
        ``0 … n_classes-1`` occurs at least three times.

    Returns
    -------
    DataSplits
        Split by `split_rule`; the values of ``x`` are as in the file, as float32.

    Raises
    ------
    OSError
        When the file cannot be read.
    ValueError
        When it is no archive of arrays, or ``x`` or ``y`` is not as above; the message names
        the file and the first wrong value.

    Examples
    --------
    >>> import os, tempfile, numpy as np
    >>> path = os.path.join(tempfile.mkdtemp(), "mine.npz")
    >>> np.savez(path, x=np.eye(6), y=[0, 1, 0, 1, 0, 1])
    >>> load_npz(path).n_features
    6
    """
    arrays = read_arrays(path)
    for key in ("x", "y"):
        if key not in arrays:
            found = ", ".join(sorted(arrays)) or "nothing"
            raise ValueError(f"{path}: has no array '{key}' (it holds {found})")
    x = check_features(arrays["x"], f"{path}: x")
    y = check_labels(arrays["y"], f"{path}: y")
    if len(x) != len(y):
        raise ValueError(f"{path}: x has {len(x)} rows but y has {len(y)} labels")
    return make_splits(Path(path).stem, x, y)


def read_arrays(path: str | os.PathLike[str]) -> dict[str, Array]:
    """Read the arrays of an ``.npz`` file by name, or of an ``.npy`` file under ``""``."""
    import numpy

    try:
        with Path(path).open("rb") as file:
            content = numpy.load(file, allow_pickle=False)
            if isinstance(content, numpy.ndarray):
                return {"": content}
            return {name: content[name] for name in content.files}
    except OSError:
        raise
    except Exception as error:  # zipfile, zlib, tokenize and others have their say here
        if "allow_pickle" in str(error) and _looks_like_numpy(path):
            reason = "holds Python objects, which are not read"
        else:
            reason = "is not a NumPy file, or is damaged"
        raise ValueError(f"{path}: {reason}") from error


def _looks_like_numpy(path: str | os.PathLike[str]) -> bool:
    with Path(path).open("rb") as file:
        return file.read(6).startswith((b"\x93NUMPY", b"PK\x03\x04"))


def check_features(array: Array, name: str, n_features: int | None = None) -> Array:
    """`array` as float32 of shape ``(n, features)``, or a `ValueError` that starts with `name`."""
    import numpy

    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} holds {array.dtype}, not real numbers")
    if array.ndim == 1 and n_features is not None and array.size == n_features:
        array = array[None]
    if array.ndim < 2 or not array.size:
        raise ValueError(f"{name} must hold rows of numbers, but has shape {list(array.shape)}")
    rows = array.reshape(len(array), -1)
    if n_features is not None and rows.shape[1] != n_features:
        raise ValueError(f"{name} has {rows.shape[1]} features, but the model takes {n_features}")
    with numpy.errstate(over="ignore"):  # what float32 cannot hold is counted below
        rows = numpy.ascontiguousarray(rows, numpy.float32)
    bad = ~numpy.isfinite(rows)
    if bad.any():
        row, column = numpy.argwhere(bad)[0]
        raise ValueError(
            f"{name} has {bad.sum()} values that are NaN or infinite, the first in row {row}, "
            f"column {column} (counted from 0)"
        )
    return rows


def check_labels(array: Array, name: str, n_classes: int | None = None) -> Array:
    """`array` as int64 labels ``0 … n_classes-1``, or a `ValueError` that starts with `name`.

    Without `n_classes` the labels themselves decide it, and each must occur three times, so
    that every class has a sample to test on.
    """
    import numpy

    if array.ndim != 1 or not array.size:
        raise ValueError(f"{name} must be one row of labels, but has shape {list(array.shape)}")
    if array.dtype.kind not in "biu":
        raise ValueError(
            f"{name} must hold integer labels 0, 1, 2, …, but holds {array.dtype}"
            + ("; y.astype('int64') converts whole numbers" if array.dtype.kind == "f" else "")
        )
    top = (len(array) if n_classes is None else n_classes) - 1
    wrong = numpy.flatnonzero((array < 0) | (array > top))
    if len(wrong):
        span = f"0 … {top}" + ("" if n_classes is not None else f" (it has {len(array)} rows)")
        raise ValueError(
            f"{name} has {len(wrong)} labels out of range {span}, the first "
            f"{array[wrong[0]]} in row {wrong[0]}"
        )
    labels: Array = array.astype(numpy.int64)
    if n_classes is None:
        counts = numpy.bincount(labels)
        rare = numpy.flatnonzero(counts < 3)
        if len(rare):
            raise ValueError(
                f"{name} has labels up to {len(counts) - 1}, but label {rare[0]} occurs "
                f"{counts[rare[0]]} times; every label from 0 up must occur at least 3 times"
            )
        if len(counts) < 2:
            raise ValueError(f"{name} has only the label 0; there is nothing to tell apart")
    return labels
