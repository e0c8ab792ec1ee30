"""The loss around a model: slices of it, and how it curves.

:func:`random_direction` makes directions whose step is comparable between models; :func:`line` and
:func:`plane` measure the loss along them, :func:`interpolate` on the way between two solutions, and
:func:`plot_contour` and :func:`plot_surface` draw it. :func:`top_eigenvalue` and :func:`trace`
say how the loss curves, without ever having its Hessian: by :func:`hessian_vector_product`.

Everywhere ``loss`` is a function that takes the model and returns one number, such as
``lambda model: F.cross_entropy(model(x), y)``. The model is called in evaluation mode (dropout off,
batch norm with its running statistics), or with ``training=True`` in training mode. Afterwards
parameters, buffers, modes and the random state are what they were, to the bit and also when the
loss raises; at every point the loss starts from the same buffers and the same random state, so that
it is a function of the parameters alone.
"""

from lamina.landscape.curvature import (
    Eigenvalue,
    Trace,
    hessian_vector_product,
    top_eigenvalue,
    trace,
)
from lamina.landscape.directions import random_direction
from lamina.landscape.plots import plot_contour, plot_surface
from lamina.landscape.slices import Interpolation, Line, Plane, interpolate, line, plane

__all__ = [
    "Eigenvalue",
    "Interpolation",
    "Line",
    "Plane",
    "Trace",
    "hessian_vector_product",
    "interpolate",
    "line",
    "plane",
    "plot_contour",
    "plot_surface",
    "random_direction",
    "top_eigenvalue",
    "trace",
]
