"""Pictures of a plane through the loss."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.landscape.slices import Plane

__all__ = ["plot_contour", "plot_surface"]


def plot_contour(
    plane: Plane,
    axes: Any = None,
    *,
    log: bool | None = None,
    levels: int | Sequence[float] = 20,
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

    Returns
    -------
    matplotlib.contour.QuadContourSet
        The colours: what ``figure.colorbar(..., label="loss")`` takes.

    Raises
    ------
    ModuleNotFoundError
        When matplotlib is not installed; ``pip install 'lamina[plot]'`` adds it.
    ValueError
        If no loss is finite, or with ``log=True`` one is not positive.

    Examples
    --------
    >>> import lamina
    >>> from matplotlib.figure import Figure
    >>> t = lamina.linspace(-1, 1, 5)
    >>> bowl = lamina.landscape.Plane(t, t, t.unsqueeze(1) ** 2 + 3 * t**2)
    >>> axes = Figure().add_subplot()
    >>> colours = lamina.landscape.plot_contour(bowl, axes)
    >>> axes.get_xlabel()
    'first direction'
    """
    _needs_matplotlib("plot_contour")
    from matplotlib.colors import LogNorm, Normalize
    from matplotlib.ticker import MaxNLocator

    losses, low, high, log = _finite("plot_contour", plane, log)
    if axes is None:
        axes = _new_axes(None)
    first, second = plane.first.tolist(), plane.second.tolist()
    if not isinstance(levels, int):
        steps = [float(level) for level in levels]
    elif log:
        # So many a decade that the decades are among them: these get the colour bar's labels.
        each = max(1, round(levels / math.log10(high / low)))
        begin, end = math.floor(each * math.log10(low)), math.ceil(each * math.log10(high))
        steps = [10 ** (i / each) for i in range(begin, end + 1)]
    else:
        steps = list(MaxNLocator(levels).tick_values(low, high))
    norm = (LogNorm if log else Normalize)(steps[0], steps[-1])
    filled = axes.contourf(first, second, losses, levels=steps, norm=norm, extend="both")
    axes.contour(first, second, losses, levels=steps, colors="black", linewidths=0.4, alpha=0.6)
    axes.plot(0, 0, marker="+", color="red", markersize=10, markeredgewidth=2)
    axes.set(xlabel="first direction", ylabel="second direction")
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


def _new_axes(projection: str | None) -> Any:
    import matplotlib.pyplot as plt

    return plt.figure(layout="constrained").add_subplot(projection=projection)


def _finite(op: str, plane: Plane, log: bool | None) -> tuple[Any, float, float, bool]:
    """Return the losses without what is not finite, their range, and whether to use logarithms."""
    import numpy

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
