"""How the op table's rows are run and compared: tensors from arrays, bounds from arithmetic."""

from __future__ import annotations

from typing import Any

import lamina
import numpy as np
from lamina import _core
from op_table_row import Row, Sample, is_real

SIGNATURES = {}
for _text, _where, _doc in _core._signatures():
    for _line in _text.split("\n"):
        SIGNATURES.setdefault(_line.split("(")[0], []).append((_line, _where))


def name_of(row: Row) -> str:
    return row.name.split(":")[0]


def operation(row: Row) -> Any:
    """The function of the row: its own, or the native function or method of that name."""
    if row.call:
        return row.call
    function = getattr(_core, row.name, None)
    return function or (lambda x, *args, **kwargs: getattr(x, row.name)(*args, **kwargs))


def tensor(a: Any, grad: bool = False) -> Any:
    """An array as a contiguous tensor, everything else as it is."""
    if not isinstance(a, np.ndarray):
        return a
    return lamina.tensor(a, requires_grad=grad)


def tensors(sample: Sample, row: Row | None = None) -> list[Any]:
    """The sample's arguments; with a row, those that have a gradient require it."""
    floats = ("float32", "float64")
    return [
        tensor(a, bool(row) and getattr(a, "dtype", None) in floats and k not in row.constant)
        for k, a in enumerate(sample.args)
    ]


def sources(arguments: list[Any]) -> list[lamina.Tensor]:
    return [a for a in arguments if isinstance(a, lamina.Tensor) and a.requires_grad]


def listed(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (tuple, list)) else [result]


def numpy_dtype(t: lamina.Tensor) -> np.dtype:
    return np.dtype(repr(t.dtype).removeprefix("lamina."))


def reference(row: Row, sample: Sample) -> list[np.ndarray]:
    """The row's reference in float64, of the numbers that the op itself got."""
    args = [
        a.astype(np.float64) if isinstance(a, np.ndarray) and a.dtype == np.float32 else a
        for a in sample.args
    ]
    with np.errstate(all="ignore"):
        return [np.asarray(y) for y in listed(row.reference(*args, **sample.kwargs))]


def bounds(row: Row, sample: Sample, wanted: list[np.ndarray], dtype: str) -> list[Any]:
    """How far each element of each result may be off.

    One rounding of the reference itself, to the dtype and in float64, is in all of them.
    """
    if row.error is None:
        with np.errstate(all="ignore"):
            return [row.ulps * np.spacing(np.abs(y).astype(dtype)).astype(float) for y in wanted]
    args = [a.astype(float) if getattr(a, "dtype", None) == np.float32 else a for a in sample.args]
    target = tuple(wanted) if len(wanted) > 1 else wanted[0]
    with np.errstate(all="ignore"):
        errors = row.error(target, *args, **sample.kwargs)
    errors = errors if isinstance(errors, tuple) else [errors] * len(wanted)
    f = np.finfo(dtype)
    return [float(f.eps) * np.asarray(e) + float(f.smallest_subnormal) for e in errors]


def assert_close(got: np.ndarray, wanted: np.ndarray, bound: Any, what: str) -> None:
    """NaN where NaN is wanted, infinities alike, the rest within the bound."""
    assert got.shape == wanted.shape, f"{what}: {got.shape} is not {wanted.shape}"
    exact = np.broadcast_to(bound, wanted.shape)
    with np.errstate(all="ignore"):
        far = ~(np.abs(got.astype(float) - wanted) <= exact) & (got != wanted)
    far &= ~(np.isnan(got) & np.isnan(wanted))
    if far.any():
        at = tuple(int(i) for i in np.argwhere(far)[0])
        raise AssertionError(
            f"{what}: at {list(at)} got {got[at]!r}, wanted {wanted[at]!r} within {exact[at]:.3g}"
        )


def assert_result(row: Row, sample: Sample, got: Any, dtype: str, specials: bool = False) -> None:
    """The op's results against the reference: sizes, dtypes and values."""
    wanted = reference(row, sample)
    results = listed(got)
    assert len(results) == len(wanted)
    for y, want, bound in zip(results, wanted, bounds(row, sample, wanted, dtype), strict=True):
        what = f"{row.name}{sample}"
        if not isinstance(y, lamina.Tensor):
            assert y == want, what
            continue
        assert tuple(y.shape) == want.shape, what
        values = y.detach().numpy()
        if want.dtype.kind != "f":
            assert values.dtype == want.dtype, what
            np.testing.assert_array_equal(values, want, what)
            continue
        assert values.dtype == dtype, what
        with np.errstate(over="ignore"):
            rounded = want.astype(dtype).astype(float)
        assert_close(values, rounded, bound, what)
        if specials and row.zero_sign:
            zero = (rounded == 0) & (values == 0)
            signs = np.signbit(values) == np.signbit(rounded)
            assert signs[zero].all(), f"{what}: the sign of a zero differs"


# -- layouts in memory -----------------------------------------------------------------------------


def transposed(a: np.ndarray) -> tuple[Any, Any, Any]:
    """Memory, how to see the array in it, and a gradient's place in it."""
    return a.T.copy(), (lambda leaf: leaf.permute(*range(a.ndim - 1, -1, -1))), (lambda g: g.T)


def sliced(a: np.ndarray) -> tuple[Any, Any, Any]:
    """Every second element, from the second on, of a larger array."""
    where = (slice(1, None, 2),) * a.ndim
    memory = np.ones([2 * n + 1 for n in a.shape]).astype(a.dtype)
    memory[where] = a

    def back(g: np.ndarray) -> np.ndarray:
        out = np.zeros(memory.shape)
        out[where] = g
        return out

    return memory, (lambda leaf: leaf[where]), back


def expanded(a: np.ndarray) -> tuple[Any, Any, Any]:
    """The first row, repeated with stride 0."""
    return a[:1].copy(), (lambda leaf: leaf.expand(*a.shape)), (lambda g: g.sum(0, keepdims=True))


LAYOUTS = {"transposed": transposed, "sliced": sliced, "expanded": expanded}


def laid_out(row: Row, sample: Sample, layout: str) -> tuple[list[Any], list[Any], list[Any]]:
    """Contiguous arguments, the same in another layout, and (leaf, place of gradient) of those.

    Three aligned lists; entries without a tensor have None in the third.
    """
    plain, other, leaves = [], [], []
    for k, a in enumerate(sample.args):
        allowed = row.layouts is True or (row.layouts and k in row.layouts)
        if not isinstance(a, np.ndarray) or a.ndim == 0 or not allowed or a.size == 0:
            value = tensor(a, is_real(a) and k not in row.constant)
            plain.append(value)
            copy = tensor(a, is_real(a) and k not in row.constant)
            other.append(copy)
            leaves.append((copy, lambda g: g) if isinstance(a, np.ndarray) else None)
            continue
        memory, see, back = LAYOUTS[layout](a)
        grad = is_real(a) and k not in row.constant
        leaf = lamina.tensor(memory, requires_grad=grad)
        shown = see(leaf)
        plain.append(lamina.tensor(shown.detach().numpy().copy(), requires_grad=grad))
        other.append(shown)
        leaves.append((leaf, back))
    return plain, other, leaves


def weights(y: lamina.Tensor) -> lamina.Tensor:
    """Fixed numbers of a result's sizes and dtype, to weigh its elements with."""
    values = np.random.default_rng(7).uniform(0.5, 1.5, tuple(y.shape))
    return lamina.tensor(values, dtype=y.dtype)


def weighted(result: Any) -> lamina.Tensor:
    """One number that depends on every element of every float result."""
    parts = [(y * weights(y)).sum() for y in listed(result) if y.requires_grad]
    return sum(parts[1:], parts[0])
