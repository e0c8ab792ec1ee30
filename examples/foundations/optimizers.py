"""Optimizers: what momentum and adaptive steps buy, on three surfaces and on real data.

Claim. On a bowl of curvatures L and mu = L / kappa, gradient descent at rate 1/L gets closer by the
factor 1 - mu/L a step at worst, and by just that along the flat axis. Momentum, set for the bowl,
does by r = (sqrt(kappa) - 1) / (sqrt(kappa) + 1), its distance falling like t r^t (Polyak, "Some
methods of speeding up the convergence of iteration methods", 1964). RMSprop (Tieleman and Hinton,
2012) and Adam (Kingma and Ba, "Adam: a method for stochastic optimization", 2015) divide each
coordinate of the gradient by its usual size: they don't see kappa, unless the bowl is turned
against the axes. Near a saddle SGD, with momentum or without, multiplies its distance every step;
steps of fixed size are away at once. On the digits, each at its best rate of a grid, all four end
within four points of each other (one or two as a rule).

Look at the picture: slopes 1 and 1/2 on the bowl; how far apart the best rates on the digits lie.
The full form also draws the race down Rosenbrock's valley as it goes: optimizers.gif.

Run it: python optimizers.py [--out DIR] [--quick]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from itertools import pairwise, product
from math import dist, hypot, inf, log, sqrt
from pathlib import Path

import lamina
from lamina import datasets, nn, optim
from lamina.train import Trainer

Trail = list[tuple[float, float]]
MAKE = {"SGD": optim.SGD, "momentum": partial(optim.SGD, momentum=0.9)}
MAKE |= {"RMSprop": optim.RMSprop, "Adam": optim.Adam}
RATES = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0]
DISTANCES = [10.0**-i for i in range(1, 9)]  # of the start from the saddle


def descend(f: Callable, start, make: Callable, rate: float, steps: int, there=None) -> Trail:
    """The points that an optimizer visits in so many steps, or until it is `there`."""
    p = lamina.tensor(start, dtype=lamina.float64, requires_grad=True)
    optimizer = make([p], lr=rate)
    trail = [start]
    while len(trail) <= steps and not (there and there(*trail[-1])):
        optimizer.zero_grad()
        f(*p).backward()
        optimizer.step()
        trail.append(tuple(p.tolist()))
    return trail


def rosenbrock(x: lamina.Tensor, y: lamina.Tensor) -> lamina.Tensor:
    """A bent valley with a flat floor, and the minimum at (1, 1)."""
    return (1 - x) ** 2 + 100 * (y - x * x) ** 2


def on_bowl(kappa: int) -> tuple[dict[str, float], float, float]:
    """Steps until 10^4 times closer, and by what factors SGD and Polyak's momentum come closer."""
    start = (1.3, 2.1)
    bowl = {"": lambda x, y: (x * x + y * y / kappa) / 2}
    bowl[", turned 45°"] = lambda x, y: bowl[""]((x + y) / sqrt(2), (x - y) / sqrt(2))

    def steps(make: Callable, rate: float, budget: int, way: str = "") -> float:
        trail = descend(bowl[way], start, make, rate, budget, lambda *p: hypot(*p) <= 2.5e-4)
        return len(trail) - 1 if len(trail) <= budget else inf

    theory, r = 1 - 1 / kappa, (sqrt(kappa) - 1) / (sqrt(kappa) + 1)
    polyak, rate = partial(optim.SGD, momentum=r**2), (1 + r) ** 2
    taken = {"SGD": steps(optim.SGD, 1.0, 20 * kappa), "momentum": steps(polyak, rate, 20 * kappa)}
    for name, way in product(("RMSprop", "Adam"), bowl):
        taken[name + way] = min(steps(MAKE[name], lr, 3000, way) for lr in RATES)

    sgd = [hypot(*p) for p in descend(bowl[""], start, optim.SGD, 1.0, 400)]
    fast = [hypot(*p) for p in descend(bowl[""], start, polyak, rate, 400)]
    worst, last = max(after / before for before, after in pairwise(sgd)), sgd[400] / sgd[399]
    long = (fast[400] / fast[200] / 2) ** (1 / 200)  # without the t of t r^t
    assert theory - 1e-9 < last <= worst < theory + 1e-12, f"SGD by {worst}, {last}, not {theory}"
    assert abs(long / r - 1) < 1e-3, f"momentum by {long}, theory {r}"
    assert taken["SGD"] > sqrt(kappa) * taken["momentum"], f"momentum gains too little: {taken}"
    return taken, last, long


def off_saddle(name: str, y: float) -> int:
    """Steps at rate 0.05 from (1, y) until |y| > 1/2, of x^2 - y^2 with minima at y = +-sqrt(2)."""
    saddle, gone = lambda x, y: x * x - y * y + y**4 / 4, lambda x, y: abs(y) > 0.5
    return len(descend(saddle, (1.0, y), MAKE[name], 0.05, 1000, gone)) - 1


def on_digits(name: str, rate: float, seeds: int) -> tuple[float, float, float]:
    """Validation loss and test accuracy after 20 epochs, mean of the seeds; and the rate."""
    data, loss, accuracy = datasets.digits(), 0.0, 0.0
    for seed in range(seeds):
        lamina.manual_seed(seed)
        model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        trainer = Trainer(model, optimizer=MAKE[name](model.parameters(), lr=rate))
        trainer.fit(data.train, epochs=20, seed=seed, progress=None)
        loss += trainer.evaluate(data.validation)["loss"] / seeds
        accuracy += trainer.evaluate(data.test)["accuracy"] / seeds
    return loss, accuracy, rate


def draw_valley(ax, valley: dict[str, tuple[float, Trail]], steps: int) -> None:
    """The trails after so many steps."""
    ax.clear()
    u, v = lamina.meshgrid(lamina.linspace(-2, 2, 80), lamina.linspace(-1, 3, 80), indexing="xy")
    height = (rosenbrock(u, v) + 0.5).log10().tolist()
    ax.contourf(u.tolist(), v.tolist(), height, levels=7, cmap="Greys_r", alpha=0.4)
    for i, (name, (rate, trail)) in enumerate(valley.items()):
        ax.plot(*zip(*trail[: steps + 1]), f"C{i}", lw=1, label=f"{name}, rate {rate:g}")
        ax.plot(*trail[steps], f"C{i}o", 1, 1, "k*", markeredgecolor="black")
    left, best = min((dist(trail[steps], (1, 1)), name) for name, (_, trail) in valley.items())
    ax.set(title=f"Valley, {steps} steps: {best} is closest, {left:.2f} to go")
    ax.set(xlim=(-2, 2), ylim=(-1, 3), xlabel="$x$", ylabel="$y$")
    ax.legend(loc="upper center", ncols=2, fontsize=8)


def draw(bowls, off, valley, grid, path: Path, film: bool) -> None:
    """Steps on the bowl and off the saddle, trails in the valley, the digits by learning rate."""
    import matplotlib.pyplot as plt
    from matplotlib.animation import FuncAnimation, PillowWriter

    figure, axes = plt.subplots(2, 2, figsize=(10, 7.5), layout="constrained")
    steps, away, trails, rates = axes.flat
    for name, style in zip(bowls[10], ("C0o-", "C1o-", "C2o-", "C2o--", "C3o-", "C3o--")):
        steps.loglog(list(bowls), [taken[name] for taken in bowls.values()], style, label=name)
    gain = bowls[max(bowls)]["SGD"] / bowls[max(bowls)]["momentum"]
    steps.set_title(f"Bowl: momentum gains a factor {gain:.0f} at kappa {max(bowls):,}")
    steps.set(xlabel="kappa (RMSprop, Adam: no dot if not in 3,000 steps)", ylim=(4, 1e6))
    steps.set_ylabel("steps to 1e-4 of the distance")
    for i, (name, found) in enumerate(grid.items()):
        away.semilogx(DISTANCES, off[name], f"C{i}o-", label=name)
        label = "{}: {:.1%} at {:g}".format(name, *min(found)[1:])
        rates.semilogx([r for *_, r in found], [a for _, a, _ in found], f"C{i}o-", label=label)
    away.set_title("Saddle: SGD {SGD[7]} steps, Adam {Adam[7]}, RMSprop {RMSprop[7]}".format(**off))
    away.set(xlabel="distance of the start from the saddle", ylabel="steps to leave, rate 0.05")
    low, *_, high = sorted(min(found)[1] for found in grid.values())
    rates.set_title(f"Digits: {low:.1%} to {high:.1%} at their best rates")
    rates.set(xlabel="learning rate", ylabel="test accuracy, mean of the seeds")
    for ax in (steps, away, rates):
        ax.legend(fontsize=9)
    draw_valley(trails, valley, 500)
    figure.savefig(path, dpi=120)
    if film:
        figure, ax = plt.subplots(figsize=(5, 4), layout="constrained")
        movie = FuncAnimation(figure, lambda n: draw_valley(ax, valley, min(n * n, 500)), 24)
        movie.save(path.with_suffix(".gif"), PillowWriter(fps=3), dpi=90)
    plt.close("all")


def main(out: Path | None = None, quick: bool = False) -> dict[str, object]:
    """Race the four on each surface and on the digits; returns the numbers."""
    bowls, factors = {}, {}
    for kappa in (10, 100, 1000) if quick else (10, 100, 1000, 10_000):
        bowls[kappa], *factors[kappa] = on_bowl(kappa)
        print("bowl, kappa {}: SGD x{:.4f} a step, momentum x{:.4f}".format(kappa, *factors[kappa]))
        print("  steps:", *(f"{name}: {n}" for name, n in bowls[kappa].items()), sep="  ")
    for name in ("RMSprop", "Adam"):
        along, across = ([b[name + way] for b in bowls.values()] for way in ("", ", turned 45°"))
        assert max(along) < 1.05 * min(along), f"{name} should not see kappa on its axes: {along}"
        assert across[2] > 2 * across[0], f"{name} should see kappa across its axes: {across}"
    # Near the saddle y' = 1.1 y; with momentum y'' = 2 y' - 0.9 y, the roots of g^2 - 2 g + 0.9.
    escapes = {name: [off_saddle(name, y) for y in DISTANCES] for name in MAKE}
    print("saddle, steps from 1e-8 away:", *(f"{n} {s[-1]}" for n, s in escapes.items()), sep="  ")
    for name, growth in (("SGD", 1.1), ("momentum", 1 + sqrt(0.1))):
        decade, theory = (escapes[name][-1] - escapes[name][1]) / 6, log(10) / log(growth)
        assert abs(decade - theory) < 0.5, f"{name}: {decade} steps a decade, theory {theory}"
    assert max(escapes["Adam"] + escapes["RMSprop"]) <= 15, f"should leave at once: {escapes}"
    valley = {}
    for name in MAKE:  # each at the rate that comes closest
        tried = [(lr, descend(rosenbrock, (-1.5, 1.0), MAKE[name], lr, 500)) for lr in RATES]
        valley[name] = min(tried, key=lambda found: dist(found[1][-1], (1, 1)))
    left = {name: dist(trail[-1], (1, 1)) for name, (_, trail) in valley.items()}
    print("valley, left after 500 steps:", *(f"{n} {d:.3f}" for n, d in left.items()), sep="  ")
    rates, seeds = (RATES[1::2], 3) if quick else (RATES, 5)
    grid = {name: [on_digits(name, rate, seeds) for rate in rates] for name in MAKE}
    accuracy = {name: min(found)[1] for name, found in grid.items()}
    print("digits, accuracy:", *(f"{n} {100 * a:.1f}%" for n, a in accuracy.items()), sep="  ")
    assert max(accuracy.values()) - min(accuracy.values()) < 0.04, f"far apart: {accuracy}"
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        draw(bowls, escapes, valley, grid, out / "optimizers.png", film=not quick)
    return {"factors": factors, "bowls": bowls, "escapes": escapes, "accuracy": accuracy}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder for the pictures")
    parser.add_argument("--quick", action="store_true", help="fewer steps and seeds, no animation")
    arguments = parser.parse_args()
    main(arguments.out, arguments.quick)
