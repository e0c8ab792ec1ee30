"""A network is a composition f = f_n o ... o f_1; without activations it is one matrix.

Claim. A stack of linear layers of any depth computes W x + b for a single W and b, which we can
multiply out: the two agree to 1e-12 in float64. With an activation between the layers no W and b
do. An affine f has f(x) + f(-x) = 2 f(0) for every x, and a stack with ReLU breaks that at once;
the best affine fit to it, by least squares, leaves part of its variance unexplained, more of it the
deeper it is. After one hidden layer (pi - 2) / (2 pi - 2) = 27%: the share of |z| / 2 in the
variance of ReLU(z) = z / 2 + |z| / 2, for a normal z.
What ReLU adds is a choice: for each x the stack is again one matrix, to 1e-12, in which the units
that are off have a row of zeros. Another x, another matrix (Montufar, Pascanu, Cho and Bengio, "On
the Number of Linear Regions of Deep Neural Networks", 2014).

Look at the picture: along a line through the inputs the first stack draws a straight line at any
depth, the second bends, more often the deeper it is. Right, what the best matrix can't explain.

Run it: python composition.py [--out DIR] [--quick]
"""

from __future__ import annotations

import argparse
from math import pi
from pathlib import Path
from statistics import median
from typing import Any

import lamina
from lamina import Tensor, nn

WIDTH = 16
DEPTHS = (1, 2, 4, 8, 16)
ACTIVATIONS = {"none": nn.Identity, "ReLU": nn.ReLU, "GELU": nn.GELU, "tanh": nn.Tanh}
ONE_HIDDEN_LAYER = (pi - 2) / (2 * pi - 2)


def stack(depth: int, activation: str, seed: int) -> nn.Sequential:
    """`depth` layers of the same width in float64, with the activation between them."""
    lamina.manual_seed(seed)
    layers: list[nn.Module] = []
    for i in range(depth):
        if i > 0:
            layers.append(ACTIVATIONS[activation]())
        layers.append(nn.Linear(WIDTH, WIDTH))
        nn.init.kaiming_normal_(layers[-1].weight)
    return nn.Sequential(*layers).double()


@lamina.no_grad()
def multiplied_out(model: nn.Sequential, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The W and b of the whole stack: W2 (W1 x + b1) + b2 = (W2 W1) x + (W2 b1 + b2).

    Given an `x`, ReLU's part at this x: the rows of units that are off become 0.
    """
    w = lamina.eye(WIDTH, dtype=lamina.float64)
    b = lamina.zeros(WIDTH, dtype=lamina.float64)
    for layer in model:
        if isinstance(layer, nn.Linear):
            w, b = layer.weight @ w, layer.weight @ b + layer.bias
        elif x is not None:
            on = (w @ x + b > 0).double()
            w, b = on.unsqueeze(1) * w, on * b
    return w, b


def worst(difference: Tensor, scale: Tensor) -> float:
    """The largest difference, relative to the largest value."""
    return float((difference.abs().max() / scale.abs().max()).item())


@lamina.no_grad()
def unexplained(model: nn.Sequential, x: Tensor) -> float:
    """The share of the outputs' variance that the best affine fit leaves."""
    y = model(x) - model(x).mean(dim=0)
    q, _ = lamina.linalg.qr(lamina.cat([x, lamina.ones(len(x), 1, dtype=x.dtype)], dim=1))
    return float((((y - q @ (q.T @ y)) ** 2).sum() / (y**2).sum()).item())


@lamina.no_grad()
def one_matrix_each(model: nn.Sequential, x: Tensor) -> tuple[float, int]:
    """Distance of a ReLU stack from the matrix that each x chooses, and how many there are."""
    chosen = [multiplied_out(model, row) for row in x]
    y = lamina.stack([w @ row + b for (w, b), row in zip(chosen, x)])
    return worst(model(x) - y, y), len({tuple(w.flatten().tolist()) for w, _ in chosen})


@lamina.no_grad()
def draw(depths: tuple[int, ...], x: Tensor, shares: dict[str, list[float]]) -> Any:
    """Both stacks along a line, and the unexplained shares."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.5, 3.9), layout="constrained")
    axes = figure.subplots(1, 3)
    lamina.manual_seed(1)
    t = lamina.linspace(-1.5, 1.5, 400, dtype=lamina.float64)
    here, ahead = lamina.randn(2, WIDTH, dtype=lamina.float64)
    titles = ("Without activations: straight at any depth", "With ReLU: it bends, more with depth")
    for ax, activation, title in zip(axes, ("none", "ReLU"), titles):
        for depth in depths[1:]:
            model = stack(depth, activation, seed=4)
            y, usual = model(here + t.unsqueeze(1) * ahead)[:, 0], model(x)[:, 0]
            scaled = (y - usual.mean()) / usual.std()
            ax.plot(t.tolist(), scaled.tolist(), label=f"{depth} layers")
        ax.set(title=title, xlabel="position on a line through the inputs")
        ax.set(ylabel="(first output - mean) / std over the inputs")
        ax.legend(fontsize=8)
    for (name, found), marker in zip(shares.items(), "os^D"):
        label = "no activation" if name == "none" else name
        axes[2].plot(depths, [100 * share for share in found], marker=marker, label=label)
    axes[2].plot(2, 100 * ONE_HIDDEN_LAYER, "k*", ms=13, label="ReLU, theory", zorder=3)
    axes[2].set_xscale("log", base=2)
    axes[2].set_xticks(depths, [str(depth) for depth in depths])
    axes[2].set(xlabel="layers", ylabel="variance left unexplained (%)", ylim=(-4, 104))
    axes[2].set_title(f"Out of a matrix's reach: {max(shares['ReLU']):.0%} with ReLU")
    axes[2].legend(fontsize=8)
    return figure


@lamina.no_grad()
def main(out: Path | None = None, quick: bool = False) -> dict[str, Any]:
    """Compare the stacks with their matrices at every depth; return the numbers."""
    depths, seeds = (DEPTHS[:4], range(5)) if quick else (DEPTHS, range(20))
    lamina.manual_seed(0)
    x = lamina.randn(2000, WIDTH, dtype=lamina.float64)
    shares: dict[str, list[float]] = {name: [] for name in ACTIVATIONS}
    one_matrix, own_matrix, odd, matrices = [], [], [], []
    for depth in depths:
        for name, found in shares.items():
            found.append(median(unexplained(stack(depth, name, seed), x) for seed in seeds))
        for seed in seeds:
            linear, bent = stack(depth, "none", seed), stack(depth, "ReLU", seed)
            w, b = multiplied_out(linear)
            one_matrix.append(worst(linear(x) - (x @ w.T + b), linear(x)))
            if depth > 1:
                sums = bent(x) + bent(-x) - 2 * bent(lamina.zeros(1, WIDTH, dtype=x.dtype))
                odd.append(worst(sums, bent(x)))
                error, count = one_matrix_each(bent, x[:100])
                own_matrix.append(error)
                matrices.append(count)
        left = "  ".join(f"{name} {100 * found[-1]:4.1f}%" for name, found in shares.items())
        print(f"{depth:2} layers: the best affine fit leaves  {left}")
    print(f"without activations: one matrix, to {max(one_matrix):.0e}, at every depth")
    print(f"with ReLU: f(x) + f(-x) is off 2 f(0) by {min(odd):.2f} of the largest value or more;")
    print(f"{min(matrices)} matrices or more for 100 inputs, exact to {max(own_matrix):.0e}")
    assert max(one_matrix) < 1e-12, f"a linear stack is {max(one_matrix):.1e} off its matrix"
    assert max(shares["none"]) < 1e-24, f"unexplained without activations: {shares['none']}"
    assert min(odd) > 0.05, f"f(x) + f(-x) is off by {min(odd):.2f} only"
    two, *deeper = shares["ReLU"][1:]
    assert abs(two - ONE_HIDDEN_LAYER) < 0.05, f"one hidden layer: {two:.3f} unexplained"
    assert two < deeper[0] < deeper[1], f"unexplained by depth: {shares['ReLU']}"
    assert all(min(found[1:]) > 0.05 for name, found in shares.items() if name != "none"), shares
    assert max(own_matrix) < 1e-12, f"ReLU's matrix of an input is {max(own_matrix):.1e} off"
    assert min(matrices) > 50, f"100 inputs chose {min(matrices)} matrices only"

    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        draw(depths, x, shares).savefig(out / "composition.png", dpi=120)
    numbers = {"one_matrix": max(one_matrix), "own_matrix": max(own_matrix), "asymmetry": min(odd)}
    return {**numbers, "matrices": min(matrices), "unexplained": shares}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder for the picture")
    parser.add_argument("--quick", action="store_true", help="fewer steps and seeds")
    arguments = parser.parse_args()
    main(arguments.out, arguments.quick)
