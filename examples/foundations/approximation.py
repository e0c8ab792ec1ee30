"""Universal approximation: enough hinges bend a line into any curve; finding them is harder.

Claim. One hidden layer of N ReLU units can be the polygon through N + 1 points of a curve: unit i
bends the line at knot i by the difference of the slopes on both sides. No training, and the error
is at most h^2 max|f''| / 8 with h = 1 / N (de Boor, "A Practical Guide to Splines", 1978): it falls
as N^-2, so any smooth f is approximated as well as we like. One hidden layer is enough for every
continuous f and every activation that is no polynomial (Leshno, Lin, Pinkus and Schocken,
"Multilayer feedforward networks with a nonpolynomial activation function can approximate any
function", 1993).
That good weights exist does not say that training finds them. From random starts Adam ends far
above the polygon with as many units, from every start elsewhere (also at other rates from 0.001 to
0.1, and after four times as many steps). Only a quarter of the units start with their bend between
0 and 1, as w and b are uniform around 0, and in the end several bend at the same place. Started at
the polygon Adam finds a better one: the room is there.

Look at the picture: left, a polygon; in the middle, what training makes of as many units from three
starts, with ticks where units bend; right, the largest error by number of units.

Run it: python approximation.py [--out DIR] [--quick]
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from math import pi
from pathlib import Path
from statistics import median
from typing import Any

import lamina
from lamina import Tensor, nn, optim

GRID = lamina.linspace(0, 1, 4097, dtype=lamina.float64).unsqueeze(1)
STEEPEST = 4 * pi**2  # max |f''|


def f(x: Tensor) -> Tensor:
    """The curve: one period of a sine."""
    return lamina.sin(2 * pi * x)


def network(units: int) -> nn.Sequential:
    """One hidden layer of ReLU in float64."""
    return nn.Sequential(nn.Linear(1, units), nn.ReLU(), nn.Linear(units, 1)).double()


@lamina.no_grad()
def built(units: int) -> nn.Sequential:
    """The polygon: f(0) + sum_i (slope behind knot i - slope before it) ReLU(x - knot i)."""
    knots = lamina.linspace(0, 1, units + 1, dtype=lamina.float64)
    slopes = f(knots).diff() * units
    model = network(units)
    model[0].weight.fill_(1)
    model[0].bias.copy_(-knots[:-1])
    model[2].weight.copy_(lamina.cat([slopes[:1], slopes.diff()]).unsqueeze(0))
    model[2].bias.copy_(f(knots[:1]))
    return model


def train(model: nn.Sequential, steps: int, lr: float) -> nn.Sequential:
    """Adam on the mean squared error at 257 points, the rate falling to 0 along a cosine."""
    x = GRID[::16]
    y = f(x)
    optimizer = optim.Adam(model.parameters(), lr=lr)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()
        scheduler.step()
    return model


@lamina.no_grad()
def largest_error(model: nn.Sequential) -> float:
    """How far the network is from the curve where it is furthest."""
    return float((model(GRID) - f(GRID)).abs().max().item())


@lamina.no_grad()
def bends(model: nn.Sequential) -> list[float]:
    """Where in [0, 1] units switch on or off: w x + b = 0."""
    return [x for x in (-model[0].bias / model[0].weight[:, 0]).tolist() if 0 <= x < 1]


def places(at: list[float]) -> int:
    """How many places these are, when 0.01 apart is another."""
    at = sorted(at)
    return len(at[:1]) + sum(b - a > 0.01 for a, b in pairwise(at))


def slope(sizes: list[int], values: list[float]) -> float:
    """Of the line through log value over log size, by least squares."""
    x, y = lamina.tensor([sizes, values], dtype=lamina.float64).log()
    x = x - x.mean()
    return float((x @ y / (x @ x)).item())


@lamina.no_grad()
def draw(found: dict[str, Any], models: list[nn.Sequential]) -> Any:
    """The polygon, trained networks of the same size, and the errors by size."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.5, 4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    units, x = models[0][0].out_features, GRID.flatten().tolist()
    for ax in (left, middle):
        ax.plot(x, f(GRID).flatten().tolist(), color="grey", lw=4, alpha=0.5, label="the curve")
        ax.set(xlabel="x", ylabel="f(x)", ylim=(-1.7, 2.4))
    colours = ("tab:blue", "tab:orange", "tab:green", "tab:red")
    for i, model in enumerate([built(units), *models]):
        at, name = bends(model), f"start {i - 1}" if i else "by hand"
        ax, style = middle if i else left, {"color": colours[i]}
        label = f"{name}: off by {largest_error(model):.2f}, {len(at)} bends at {places(at)} places"
        ax.plot(x, model(GRID).flatten().tolist(), label=label, **style)
        ax.plot(at, [-1.4 - 0.06 * i] * len(at), "|", ms=7, **style)
    left.set_title(f"By hand: {units} units, a bend for each")
    middle.set_title(f"Trained: {units} units, bends at fewer places")
    sizes, tried = found["sizes"], found["sizes"][: len(found["trained"])]
    right.loglog(sizes, found["bounds"], "k--", lw=1, label="$h^2$ max|f''| / 8")
    right.loglog(sizes, found["by_hand"], "C0o-", label=f"by hand: slope {found['slope']:.2f}")
    right.loglog(tried, found["polished"], "C2^-", label="trained from there")
    slopes = f"trained, median: slope {found['trained_slope']:.2f}"
    right.loglog(tried, found["trained"], "C3s-", label=slopes)
    for n, values in zip(tried, found["each"]):
        right.loglog([n] * len(values), values, "C3.", alpha=0.4)
    right.set(xlabel="units", ylabel="largest error on [0, 1]", ylim=(1e-5, 30))
    times = found["trained"][-1] / found["by_hand"][len(tried) - 1]
    right.set_title(f"{tried[-1]} units by hand: {times:.0f} times smaller errors")
    for ax in (left, middle, right):
        ax.legend(fontsize=8, loc="upper right")
    return figure


def main(out: Path | None = None, quick: bool = False) -> dict[str, Any]:
    """Build, train, and train what was built; return the numbers."""
    sizes = [8, 16, 32, 64, 128, 256, 512]
    bounds = [STEEPEST / n**2 / 8 for n in sizes]
    by_hand = [largest_error(built(n)) for n in sizes]
    seeds, steps, tried = (5, 2000, 3) if quick else (9, 5000, 5)
    each, polished, inside, models = [], [], [], []
    for n in sizes[:tried]:
        polished.append(largest_error(train(built(n), steps, lr=1e-3)))
        each.append([])
        for seed in range(seeds):
            lamina.manual_seed(seed)
            model = network(n)
            inside.append(len(bends(model)) / n)
            each[-1].append(largest_error(train(model, steps, lr=0.01)))
            models += [model] * (n == 16 and seed < 3)
    trained = [median(values) for values in each]
    rate, trained_rate = slope(sizes, by_hand), slope(sizes[:tried], trained)
    at_start = sum(inside) / len(inside)

    print("units  bound    by hand  trained from there  trained from random starts")
    for i, n in enumerate(sizes):
        line = f"{n:5}  {bounds[i]:.1e}  {by_hand[i]:.1e}"
        if i < tried:
            line += f"  {polished[i]:.1e}             {min(each[i]):.1e} to {max(each[i]):.1e}"
        print(line)
    print(f"slopes: by hand {rate:.3f}, trained (medians) {trained_rate:.2f}; ", end="")
    print(f"{at_start:.0%} of the units start with their bend in [0, 1]")
    assert all(error <= bound for error, bound in zip(by_hand, bounds)), f"{by_hand}, {bounds}"
    assert -2.1 < rate < -1.9, f"the error by hand falls as N^{rate:.3f}"
    assert by_hand[-1] > 0.99 * bounds[-1], f"bound {bounds[-1]:.2e}, error {by_hand[-1]:.2e}"
    assert all(a < b for a, b in zip(polished, by_hand)), f"from the polygon to {polished}"
    assert all(a > 3 * b for a, b in zip(trained[1:], by_hand[1:])), f"trained: {trained}"
    assert abs(at_start - 0.25) < 0.1, f"{at_start:.2f} of the units bend between 0 and 1"

    found = {"sizes": sizes, "bounds": bounds, "by_hand": by_hand, "slope": rate, "each": each}
    found |= {"trained": trained, "trained_slope": trained_rate, "polished": polished}
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        draw(found, models).savefig(out / "approximation.png", dpi=120)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder for the picture")
    parser.add_argument("--quick", action="store_true", help="fewer steps and seeds")
    arguments = parser.parse_args()
    main(arguments.out, arguments.quick)
