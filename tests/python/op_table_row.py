"""What a row of the op table is made of, and builders that several families of ops share.

A row holds an op's inputs as NumPy arrays and its reference as a NumPy function of them, so that a
row knows nothing of the library but the op's name. What is checked of each row is in test_ops.py.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

FLOATS = ("float32", "float64")


class Sample:
    """Arguments of one call.

    Arrays become tensors: float64 arrays of the dtype that is being checked, others of their own.
    Everything else is passed as it is.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args, self.kwargs = args, kwargs

    def cast(self, dtype: str) -> Sample:
        """The same with its float64 arrays rounded to ``dtype``."""
        args = [a.astype(dtype) if is_real(a) else a for a in self.args]
        return Sample(*args, **self.kwargs)

    def __repr__(self) -> str:
        shown = [list(a.shape) if isinstance(a, np.ndarray) else repr(a) for a in self.args]
        shown += [f"{k}={v!r}" for k, v in self.kwargs.items()]
        return f"({', '.join(map(str, shown))})"


@dataclass
class Wrong:
    """A call that must be refused, the exception's class, and a pattern its text must match."""

    call: Callable[[], Any]
    error: type[Exception]
    match: str


@dataclass
class Row:
    """An op: how to call it, and what must come out.

    ``error(y, *args, **kwargs)`` bounds the absolute error of a float result in units of the
    dtype's epsilon (``y``: the reference); without it a result may be ``ulps`` units in the last
    place off. ``dtypes`` names a rule in test_ops.DTYPE_RULES. ``constant`` lists the positions of
    float arguments without gradient.
    """

    name: str
    samples: list[Sample]
    reference: Callable[..., Any]
    call: Callable[..., Any] | None = None  # default: the function, or method, of that name
    wide: list[Sample] = field(default_factory=list)  # longer inputs, for forward only
    edges: list[Sample] = field(default_factory=list)  # size 0, 0-d
    specials: Callable[[str], list[Sample]] | None = None  # NaN and the like, for a dtype
    zero_sign: bool = True  # whether the sign of a zero result is specified
    ulps: float = 4
    error: Callable[..., Any] | None = None
    differentiable: bool = True
    second: bool = True
    constant: tuple[int, ...] = ()
    layouts: bool | tuple[int, ...] = True  # which arguments may lie in memory in any order
    is_view: bool = False
    dtypes: str | None = None
    aliases: tuple[str, ...] = ()
    wrong: list[Wrong] = field(default_factory=list)
    why: str = ""  # for a row that leaves a check out


def is_real(a: Any) -> bool:
    return isinstance(a, np.ndarray) and a.dtype == np.float64


def stream(name: str) -> np.random.Generator:
    """Random numbers that depend on the op's name alone."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def spread(
    rng: np.random.Generator,
    shape: Sequence[int] | int,
    domain: tuple[float, float] = (-2.0, 2.0),
    avoid: Sequence[float] = (),
    gap: float = 0.05,
) -> np.ndarray:
    """Numbers from ``domain``, at least ``gap`` from each other and from what is to be avoided."""
    size = int(np.prod(shape))
    grid = np.linspace(*domain, 16 * size + 23)[1:-1]
    for point in avoid:
        grid = grid[np.abs(grid - point) > gap]
    picked = grid[np.linspace(0, len(grid) - 1, size).astype(int)] if size else grid[:0]
    return rng.permutation(picked).reshape(shape)


def point(a: np.ndarray) -> np.ndarray:
    """Its first element, without dimensions."""
    return np.array(a.flat[0])


def special_values(dtype: str) -> np.ndarray:
    f = np.finfo(dtype)
    tiny, small, top = (float(v) for v in (f.smallest_subnormal, f.smallest_normal, f.max))
    return np.array(
        [np.nan, np.inf, -np.inf, 0.0, -0.0, tiny, -tiny, small / 2, top, -top, 1, -1, 0.5, -2.5]
    )


def unary(
    name: str,
    reference: Callable[..., Any],
    dtypes: str,
    *,
    domain: tuple[float, float] = (-2.0, 2.0),
    avoid: Sequence[float] = (),
    everywhere: tuple[float, float] | None = None,
    specials: bool = True,
    **more: Any,
) -> Row:
    """A row for an elementwise function of one tensor."""
    rng = stream(name)
    x = spread(rng, (3, 4), domain, avoid)
    low, high = everywhere or domain
    return Row(
        name,
        [Sample(x)],
        reference,
        wide=[Sample(rng.uniform(low, high, 131))],
        edges=[Sample(x[:0]), Sample(x[:, :0]), Sample(point(x))],
        specials=(lambda dtype: [Sample(special_values(dtype))]) if specials else None,
        dtypes=dtypes,
        **more,
    )


def binary(
    name: str,
    reference: Callable[..., Any],
    dtypes: str | None,
    *,
    domain: tuple[float, float] = (-2.0, 2.0),
    other: tuple[float, float] | None = None,
    avoid: Sequence[float] = (),
    apart: bool = False,
    specials: bool = True,
    wrong: Sequence[Wrong] = (),
    **more: Any,
) -> Row:
    """A row for an elementwise function of two tensors or numbers, with broadcasting.

    ``apart`` keeps the two operands away from each other, for kinks where they are equal.
    """
    rng = stream(name)
    x = spread(rng, (2, 3), domain, avoid)
    y = spread(rng, (2, 3), other or domain, avoid)
    if apart:
        both = spread(rng, (2, 2, 3), domain, avoid)
        x, y = both[0], both[1]
    wide = [spread(rng, 67, domain, avoid), spread(rng, 67, other or domain, avoid)]

    def pairs(dtype: str) -> list[Sample]:
        v = special_values(dtype)
        return [Sample(np.repeat(v, len(v)), np.tile(v, len(v)))]

    number = round(8 * y[0, 0]) / 8 or 0.125  # the same number in float32
    return Row(
        name,
        [
            Sample(x, y),
            Sample(x, y[0]),
            Sample(x[:, :1], y[:1]),
            Sample(x, point(y)),
            Sample(point(x), y),
            Sample(x, number),
        ],
        reference,
        wide=[Sample(*wide), Sample(wide[0].reshape(67, 1), wide[1][:9])],
        edges=[
            Sample(x[:0], y[0]),
            Sample(x[:, :0], y[:, :1]),
            Sample(point(x), point(y)),
        ],
        specials=pairs if specials else None,
        dtypes=dtypes,
        wrong=list(wrong),
        **more,
    )


def with_nonfinite(samples: Sequence[Sample]) -> Callable[[str], list[Sample]]:
    """The samples with some elements of the first argument made NaN or infinite."""

    def made(dtype: str) -> list[Sample]:
        out = []
        for values in ([np.nan], [np.inf], [np.inf, -np.inf], [-0.0], [np.nan, np.inf]):
            for sample in samples:
                x = np.array(sample.args[0])
                places = range(0, x.size, max(1, x.size // len(values)))
                for place, value in zip(places, values, strict=False):
                    x.reshape(-1)[place] = value
                out.append(Sample(x, *sample.args[1:], **sample.kwargs))
        return out

    return made


def with_nan(a: np.ndarray) -> np.ndarray:
    """The same with its first element NaN."""
    out = a.copy()
    out.reshape(-1)[0] = np.nan
    return out


def exact(y: Any, *args: Any, **kwargs: Any) -> Any:
    """The bound of ops that move elements: none may change."""
    return tuple(0 * np.abs(v) for v in y) if isinstance(y, tuple) else 0 * np.abs(y)


def renamed(row: Row, name: str, **changes: Any) -> Row:
    return replace(row, name=name, **changes)
