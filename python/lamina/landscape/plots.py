"""Pictures of a plane through the loss."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from lamina.landscape.slices import Plane

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["plot_contour", "plot_surface"]


def plot_contour(
    plane: Plane,
    axes: Any = None,
    *,
    log: bool | None = None,
    levels: int | Sequence[float] = 20,
    colorbar: bool = False,
) -> Any:
    """Draw the loss on a plane as lines of equal loss, over its colours.

    A cross marks the model, where both coordinates are 0.

    Parameters
    ----------
    plane : Plane
        What :func:`lamina.landscape.plane` measured. Points where the loss is not finite stay
        white.
    axes : matplotlib.axes.Axes, optional
        Where to draw. Default: those of a new figure.
    log : bool, optional
        Whether the levels grow by a factor instead of by a step. Default: where the loss is
        positive and its largest value more than 30 times its smallest.
    levels : int or sequence of float, default 20
        About how many, or the levels themselves, in growing order: with the same levels several
        planes have the same colours.
    colorbar : bool, default False
        Whether to draw the scale of the colours beside the axes, with round numbers on it.

    Returns
    -------
    matplotlib.contour.QuadContourSet
        The colours. One bar for several planes is ``figure.colorbar(colours, ax=[...],
        ticks=[0.1, 1, 10], format="%g", label="loss")``; without ``ticks`` it numbers some of the
        levels, which are not round where they grow by a factor.

    Raises
    ------
    ModuleNotFoundError
        When matplotlib is not installed; ``pip install 'lamina[plot]'`` adds it.
    TypeError
        If ``plane`` is no Plane, or ``axes`` no axes.
    ValueError
        If no loss is finite, with ``log=True`` a loss or level is not positive, or the levels
        are neither a positive int nor two or more growing numbers.

    Examples
    --------
    >>> import lamina
    >>> from matplotlib.figure import Figure
    >>> t = lamina.linspace(-1, 1, 5)
    >>> bowl = lamina.landscape.Plane(t, t, t.unsqueeze(1) ** 2 + 3 * t**2)
    >>> axes = Figure().add_subplot()
    >>> colours = lamina.landscape.plot_contour(bowl, axes, colorbar=True)
    >>> axes.get_xlabel()
    'first direction'
    """
    _needs_matplotlib("plot_contour")
    from matplotlib.axes import Axes
    from matplotlib.colors import LogNorm, Normalize
    from matplotlib.ticker import MaxNLocator

    given = _checked_levels(levels)
    losses, low, high, grows = _finite("plot_contour", plane, log)
    if axes is None:
        axes = _new_axes(None)
    elif not isinstance(axes, Axes):
        raise TypeError(
            "plot_contour: axes must be matplotlib's, such as figure.add_subplot() makes, "
            f"got {type(axes).__name__}"
        )
    first, second = plane.first.tolist(), plane.second.tolist()
    if not isinstance(given, int):
        steps = given
        if log and steps[0] <= 0:
            raise ValueError(
                f"plot_contour: log=True needs positive levels, but the first is {steps[0]:.3g}"
            )
        grows = grows and steps[0] > 0
    elif grows:
        # So many a decade that the decades are among them: the colour bar's numbers.
        each = max(1, round(given / math.log10(high / low)))
        begin, end = math.floor(each * math.log10(low)), math.ceil(each * math.log10(high))
        steps = [10 ** (i / each) for i in range(begin, end + 1)]
    else:
        steps = list(MaxNLocator(given).tick_values(low, high))
    norm = (LogNorm if grows else Normalize)(steps[0], steps[-1])
    filled = axes.contourf(first, second, losses, levels=steps, norm=norm, extend="both")
    axes.contour(first, second, losses, levels=steps, colors="black", linewidths=0.4, alpha=0.6)
    axes.plot(0, 0, marker="+", color="red", markersize=10, markeredgewidth=2)
    axes.set(xlabel="first direction", ylabel="second direction")
    if colorbar:
        ticks = _round_numbers(steps[0], steps[-1], grows)
        bar = axes.figure.colorbar(filled, ax=axes, ticks=ticks, format="%g", label="loss")
        bar.minorticks_off()
    return filled


def plot_surface(plane: Plane, axes: Any = None, *, log: bool | None = None) -> Any:
    """Draw the loss on a plane as a surface in perspective.

    Parameters
    ----------
    plane : Plane
        What :func:`lamina.landscape.plane` measured.
    axes : mpl_toolkits.mplot3d.Axes3D, optional
        Where to draw, such as ``figure.add_subplot(projection="3d")``. Default: those of a new
        figure.
    log : bool, optional
        Whether the height is the logarithm of the loss. Default: as in :func:`plot_contour`.

    Returns
    -------
    mpl_toolkits.mplot3d.art3d.Poly3DCollection
        The surface.

    Raises
    ------
    ModuleNotFoundError
        When matplotlib is not installed; ``pip install 'lamina[plot]'`` adds it.
    TypeError
        If ``plane`` is no Plane.
    ValueError
        If the axes are flat, no loss is finite, or with ``log=True`` one is not positive.

    Examples
    --------
    >>> import lamina
    >>> from matplotlib.figure import Figure
    >>> t = lamina.linspace(-1, 1, 5)
    >>> bowl = lamina.landscape.Plane(t, t, t.unsqueeze(1) ** 2 + 3 * t**2)
    >>> axes = Figure().add_subplot(projection="3d")
    >>> surface = lamina.landscape.plot_surface(bowl, axes)
    >>> axes.get_zlabel()
    'loss'
    """
    _needs_matplotlib("plot_surface")
    import numpy

    losses, _, _, log = _finite("plot_surface", plane, log)
    if axes is None:
        axes = _new_axes("3d")
    if not hasattr(axes, "plot_surface"):
        raise ValueError(
            "plot_surface: axes must have three dimensions; make them with "
            f'figure.add_subplot(projection="3d"), got {type(axes).__name__}'
        )
    first, second = numpy.meshgrid(plane.first.numpy(), plane.second.numpy())
    height = numpy.log10(losses) if log else losses
    surface = axes.plot_surface(
        first,
        second,
        height,
        cmap="viridis",
        rcount=len(second),
        ccount=len(first),
        linewidth=0,
        antialiased=False,
    )
    label = "log10 of the loss" if log else "loss"
    axes.locator_params(nbins=4)  # in perspective more numbers run into each other
    axes.set(xlabel="first direction", ylabel="second direction", zlabel=label)
    axes.yaxis.labelpad = 8
    return surface


def _needs_matplotlib(op: str) -> None:
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise ModuleNotFoundError(
            f"{op}: needs matplotlib, which is not installed; pip install 'lamina[plot]' adds it",
            name="matplotlib",
        ) from None


def _checked_levels(levels: Any) -> int | list[float]:
    if isinstance(levels, int) and not isinstance(levels, bool) and levels >= 1:
        return levels
    try:
        steps = [] if isinstance(levels, str) else [float(level) for level in levels]
    except (TypeError, ValueError):
        steps = []
    if len(steps) < 2 or not all(a < b < math.inf for a, b in pairwise([-math.inf, *steps])):
        raise ValueError(
            "plot_contour: levels must be a positive int or two or more growing numbers, "
            f"got {levels!r}"
        )
    return steps


def _round_numbers(low: float, high: float, grows: bool) -> list[float]:
    """Pick round numbers from low to high: if it grows decades, perhaps with 2 and 5 times."""
    from matplotlib.ticker import MaxNLocator

    # Levels are powers of ten up to rounding.
    least, most = low - 1e-9 * abs(low), high + 1e-9 * abs(high)
    if grows:
        digits = (1, 2, 5) if high < 2000 * low else (1,)
        begin, end = math.floor(math.log10(low)), math.ceil(math.log10(high))
        decades = range(begin, end + 1, 1 + (end - begin) // 12)  # a dozen fit beside a picture
        found = [float(f"{digit}e{decade}") for decade in decades for digit in digits]
        found = [tick for tick in found if least <= tick <= most]
        if len(found) > 2:
            return found
    steps = MaxNLocator(6).tick_values(low, high)
    return [float(tick) for tick in steps if least <= tick <= most]


def _new_axes(projection: str | None) -> Any:
    import matplotlib.pyplot as plt

    return plt.figure(layout="constrained").add_subplot(projection=projection)


def _finite(op: str, plane: Plane, log: bool | None) -> tuple[Any, float, float, bool]:
    """Return the losses without what is not finite, their range, and whether to use logarithms."""
    import numpy

    if not isinstance(plane, Plane):
        raise TypeError(
            f"{op}: plane must be a Plane, as lamina.landscape.plane gives it, "
            f"got {type(plane).__name__}"
        )
    losses = numpy.ma.masked_invalid(plane.losses.numpy())
    if losses.count() == 0:
        raise ValueError(f"{op}: no loss of the plane is finite")
    low, high = float(losses.min()), float(losses.max())
    if log and low <= 0:
        raise ValueError(f"{op}: log=True needs positive losses, but the smallest is {low:.3g}")
    if log is None:
        log = low > 0 and high > 30 * low
    if math.isclose(low, high):
        high, log = low + 1, False
    return losses, low, high, log
