"""Finding the operation that makes the first NaN or infinity."""

from __future__ import annotations

import sys

from lamina import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

__all__ = [
    "detect_anomaly",
    "is_anomaly_check_nan_enabled",
    "is_anomaly_enabled",
    "set_detect_anomaly",
]

_PACKAGE = __file__.rsplit("autograd", 1)[0]


def _place(with_module: bool) -> list[tuple[str, str]]:
    """Say, as labelled lines of an error text, which line of the program runs, in which module."""
    line = ""
    inside = []
    frame: FrameType | None = sys._getframe(1)
    module_class = sys.modules["lamina.nn.module"].Module
    while frame is not None:
        code = frame.f_code
        if code is module_class.__call__.__code__:
            inside.append(frame.f_locals["self"])
        elif not line and not code.co_filename.startswith(_PACKAGE):
            line = _line(frame)
        frame = frame.f_back
    lines = [("line", line)] if line else []
    if with_module and inside:
        from lamina.nn._paths import place_of

        lines.append(("in", place_of(inside)))
    return lines


def _line(frame: FrameType) -> str:
    import linecache

    code = frame.f_code
    source = linecache.getline(code.co_filename, frame.f_lineno).strip()
    where = f"{code.co_filename}:{frame.f_lineno}, in {code.co_name}"
    return f"{where}: {source}" if source else where


def is_anomaly_enabled() -> bool:
    """Say whether anomalies are looked for.

    Examples
    --------
    >>> import lamina
    >>> lamina.is_anomaly_enabled()
    False
    """
    return _core._looks_for_anomalies()[0]


def is_anomaly_check_nan_enabled() -> bool:
    """Say whether values are checked, too, while anomalies are looked for.

    Examples
    --------
    >>> import lamina
    >>> with lamina.autograd.detect_anomaly(check_nan=False):
    ...     lamina.is_anomaly_enabled(), lamina.is_anomaly_check_nan_enabled()
    (True, False)
    """
    return _core._looks_for_anomalies()[1]


class set_detect_anomaly:  # noqa: N801 - PyTorch's name
    """Look for anomalies from now on, or stop; as a context manager, put it back at the end.

    Parameters
    ----------
    mode : bool
        Whether to look.
    check_nan : bool, default True
        Check values, too; see :class:`detect_anomaly`.

    Examples
    --------
    >>> import lamina
    >>> with lamina.autograd.set_detect_anomaly(True):
    ...     lamina.is_anomaly_enabled()
    True
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        if not isinstance(mode, bool):
            raise TypeError(f"set_detect_anomaly: mode must be a bool, got {mode!r}")
        self._before = _core._looks_for_anomalies()
        _core._look_for_anomalies(mode, check_nan, _place)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        _core._look_for_anomalies(*self._before, _place)


class detect_anomaly:  # noqa: N801 - PyTorch's name
    """Raise an error at the operation that makes the first NaN or infinity, with its place.

    Inside the ``with`` block every operation is looked at, forward and backward. One whose
    inputs are finite and whose result is not raises a RuntimeError: it names the operation, its
    inputs, the line of the program and the module of the model. An infinity that came in, such
    as that of a mask, may be passed on, but nothing may make NaN of it. A NaN that came in from
    outside is reported by the first recorded operation it reaches, as one that was there before.
    Errors in the backward pass say which line recorded the operation.

    This costs a pass over every operand; nothing is looked at when it is off. It holds for all
    threads, as in PyTorch, whose own check is for NaN in the backward pass only.

    Parameters
    ----------
    check_nan : bool, default True
        With False values are not checked, and only errors get their place.

    Examples
    --------
    >>> import lamina
    >>> x = lamina.tensor([1.0, 0.0], requires_grad=True)
    >>> with lamina.autograd.detect_anomaly():
    ...     y = x.log()
    Traceback (most recent call last):
        ...
    RuntimeError: log: makes the first Inf: its inputs are finite, its result is not
      input  [2] finite, from 0 to 1
      result [2] with 1 Inf, the first at [1]
      line   <doctest lamina.autograd.anomaly.detect_anomaly[2]>:2, in <module>: y = x.log()
    """

    def __init__(self, check_nan: bool = True) -> None:
        self._check_nan = check_nan
        self._before = (False, False)

    def __enter__(self) -> None:
        self._before = _core._looks_for_anomalies()
        _core._look_for_anomalies(True, self._check_nan, _place)

    def __exit__(self, *_: object) -> None:
        _core._look_for_anomalies(*self._before, _place)
