"""The picture of a training run."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lamina.train.history import History

__all__ = ["draw_curves", "finding"]

# Blue and orange of Okabe and Ito's palette, which colour-blind readers tell apart.
_TRAIN, _VALIDATION, _INK = "#0072B2", "#D55E00", "#333333"


def finding(name: str, history: History, test: dict[str, float] | None = None) -> str:
    """Say what the run found, such as ``digits: 98.1% test accuracy after 30 epochs``."""
    last = history.records[-1]
    if history.best_epoch is not None:
        last = history.records[history.best_epoch - 1]
    for measured, part in (
        (test or {}, "test"),
        ({k[11:]: v for k, v in last.items() if k.startswith("validation_")}, "validation"),
        (last, "training"),
    ):
        if "accuracy" in measured:
            value = f"{100 * measured['accuracy']:.1f}% {part} accuracy"
            break
        if "loss" in measured:
            value = f"{part} loss {measured['loss']:.4g}"
            break
    count = len(history)
    return f"{name}: {value} after {count} epoch{'s' if count != 1 else ''}"


def draw_curves(
    history: History, title: str | None = None, test: dict[str, float] | None = None
) -> bytes:
    """Loss and, where there is one, accuracy over the epochs.

    Parameters
    ----------
    history : History
        At least one epoch.
    title : str, optional
        Default: `finding` of the history.
    test : dict of str to float, optional
        Measured after training; drawn as a level line.

    Returns
    -------
    bytes
        A PNG image, 1500 pixels wide, or 900 where there is no accuracy.

    Raises
    ------
    ModuleNotFoundError
        When matplotlib is not installed.

    Examples
    --------
    >>> from lamina.train import History
    >>> history = History()
    >>> history.append({"epoch": 1, "loss": 0.7, "accuracy": 0.8})
    >>> draw_curves(history)[1:4]
    b'PNG'
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = ["loss"] + (["accuracy"] if "accuracy" in history else [])
    figure = Figure(figsize=(10, 4.2) if len(shown) == 2 else (6, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, quantity in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        _panel(axes, history, quantity, (test or {}).get(quantity))
    figure.suptitle(
        title or finding("training", history, test), fontsize=13, weight="bold", color=_INK
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()


def _panel(axes: Any, history: History, quantity: str, test: float | None) -> None:
    from matplotlib.ticker import (
        FuncFormatter,
        LogLocator,
        MaxNLocator,
        NullLocator,
        PercentFormatter,
    )

    epochs = history["epoch"]
    marker = "o" if len(epochs) <= 40 else ""
    lowest = []
    for key, label, color in (
        (quantity, "train", _TRAIN),
        (f"validation_{quantity}", "validation", _VALIDATION),
    ):
        if key in history:
            values = history[key]
            axes.plot(epochs, values, marker=marker, ms=3, lw=1.8, color=color, label=label)
            lowest.append(min(values))
    if test is not None:
        shown = f"{100 * test:.1f}%" if quantity == "accuracy" else f"{test:.3g}"
        axes.axhline(test, color=_INK, lw=1.2, ls=":", label=f"test, at the end: {shown}")
        lowest.append(test)
    if history.best_epoch is not None:
        axes.axvline(history.best_epoch, color="#999999", lw=1, ls="--", label="kept weights")
    axes.set_xlabel("epoch")
    axes.set_xlim(0.5, len(epochs) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_ylabel({"loss": "loss (mean over samples)"}.get(quantity, quantity))
    if quantity == "accuracy":
        axes.set_ylim(top=1.0 + 0.04 * (1.0 - min(lowest)))
        coarse = min(lowest) < 0.95
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0 if coarse else None))
    elif min(lowest) > 0:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(True, color="#dddddd", lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
