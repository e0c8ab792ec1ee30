"""Optimizers: what momentum and adaptive steps buy, on three surfaces and on real data.

Claim. On a bowl of curvatures L and mu = L / kappa, gradient descent at rate 1/L gets closer by the
factor 1 - mu/L a step at worst, and by just that along the flat axis. Momentum, set for the bowl,
does by r = (sqrt(kappa) - 1) / (sqrt(kappa) + 1), its distance falling like t r^t (Polyak, "Some
methods of speeding up the convergence of iteration methods", 1964). RMSprop (Tieleman and Hinton,
2012) and Adam (Kingma and Ba, "Adam: a method for stochastic optimization", 2015) divide every
coordinate of the gradient by its usual size: kappa is nothing to them while the bowl's axes are
those of the parameters; turn the bowl by 45 degrees, and it counts again. Near a saddle SGD, with
momentum or without, multiplies its distance every step; a step of fixed size is away at once. On
the digits, each at its best rate of a grid, all four end within four points of each other, one or
two as a rule; what differs is that rate: at the one that suits SGD, Adam learns nothing.

Look at the picture: slope 1 and slope 1/2 on the bowl; and how far apart the best rates on the
digits lie. optimizers.gif shows the race down Rosenbrock's valley (not in the quick form).

Run it: python optimizers.py [--out DIR] [--quick]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from math import hypot, inf, log, sqrt
from pathlib import Path

import lamina
from lamina import datasets, nn, optim
from lamina.train import Trainer

Trail = list[tuple[float, float]]
MAKE = {
    "SGD": optim.SGD,
    "momentum": partial(optim.SGD, momentum=0.9),
    "RMSprop": optim.RMSprop,
    "Adam": optim.Adam,
}
RATES = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0]
DISTANCES = [10.0**-i for i in range(1, 9)]  # of the start from the saddle
START = (1.3, 2.1)  # on the bowl


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


def bowl(kappa: float, turned: bool = False) -> Callable:
    """Curvature 1 along x and 1 / kappa along y, or the same along the diagonals."""
    if turned:
        return lambda x, y: bowl(kappa)((x + y) / sqrt(2), (x - y) / sqrt(2))
    return lambda x, y: (x * x + y * y / kappa) / 2


def saddle(x: lamina.Tensor, y: lamina.Tensor) -> lamina.Tensor:
    """Flat at the origin; down along y to minima at y = +-sqrt(2)."""
    return x * x - y * y + y**4 / 4


def rosenbrock(x: lamina.Tensor, y: lamina.Tensor) -> lamina.Tensor:
    """A bent valley with a flat floor, and the minimum at (1, 1)."""
    return (1 - x) ** 2 + 100 * (y - x * x) ** 2


def near(x: float, y: float) -> bool:
    """10^4 times closer to the bottom of the bowl than at the start."""
    return hypot(x, y) <= 1e-4 * hypot(*START)


def theory_on_bowl(kappa: int) -> tuple[dict[str, float], float, float]:
    """Steps of SGD and of Polyak's momentum, and the factors they come closer by, checked."""
    theory, r = 1 - 1 / kappa, (sqrt(kappa) - 1) / (sqrt(kappa) + 1)
    polyak, rate = partial(optim.SGD, momentum=r**2), (1 + r) ** 2
    sgd = descend(bowl(kappa), START, optim.SGD, 1.0, 20 * kappa, near)
    momentum = descend(bowl(kappa), START, polyak, rate, 20 * kappa, near)
    steps = {"SGD": len(sgd) - 1, "momentum": len(momentum) - 1}
    factors = [hypot(*after) / hypot(*before) for before, after in pairwise(sgd)]
    worst, last = max(factors), factors[-1]
    assert theory - 1e-9 < last <= worst < theory + 1e-12, f"SGD by {worst}, {last}, not {theory}"
    long = descend(bowl(kappa), START, polyak, rate, 400)
    fast = (hypot(*long[400]) / hypot(*long[200]) / 2) ** (1 / 200)  # without the t of t r^t
    assert abs(fast / r - 1) < 1e-3, f"momentum by {fast}, theory {r}"
    assert steps["SGD"] > sqrt(kappa) * steps["momentum"], f"momentum gains too little: {steps}"
    return steps, last, fast


def adaptive_on_bowl(name: str, kappa: int, turned: bool) -> float:
    """Steps at the best rate; inf when no rate is near after 3,000."""
    f = bowl(kappa, turned)
    trails = [descend(f, START, MAKE[name], rate, 3000, near) for rate in RATES]
    return min((len(trail) - 1 for trail in trails if near(*trail[-1])), default=inf)


def off_saddle(name: str, y: float) -> int:
    """Steps at a rate of 0.05 from (1, y) until |y| > 1/2."""
    trail = descend(saddle, (1.0, y), MAKE[name], 0.05, 1000, there=lambda x, y: abs(y) > 0.5)
    return len(trail) - 1


def down_valley(name: str) -> tuple[float, Trail]:
    """The rate that comes lowest in Rosenbrock's valley in 500 steps, and its trail."""
    tried = [(rate, descend(rosenbrock, (-1.5, 1.0), MAKE[name], rate, 500)) for rate in RATES]
    return min(tried, key=lambda t: rosenbrock(*lamina.tensor(t[1][-1])).nan_to_num(inf).item())


def on_digits(name: str, rate: float, seeds: int) -> tuple[float, float]:
    """Validation loss and test accuracy after 20 epochs, mean of the seeds."""
    data, loss, accuracy = datasets.digits(), 0.0, 0.0
    for seed in range(seeds):
        lamina.manual_seed(seed)
        model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        trainer = Trainer(model, optimizer=MAKE[name](model.parameters(), lr=rate))
        trainer.fit(data.train, epochs=20, seed=seed, progress=None)
        loss += trainer.evaluate(data.validation)["loss"] / seeds
        accuracy += trainer.evaluate(data.test)["accuracy"] / seeds
    return loss, accuracy


def draw_valley(ax, valley: dict[str, tuple[float, Trail]], steps: int) -> None:
    """The trails after so many steps."""
    ax.clear()
    u, v = lamina.meshgrid(lamina.linspace(-2, 2, 80), lamina.linspace(-1, 3, 80), indexing="xy")
    height = (rosenbrock(u, v) + 0.5).log10().tolist()
    ax.contourf(u.tolist(), v.tolist(), height, levels=7, cmap="Greys_r", alpha=0.4)
    for i, (name, (rate, trail)) in enumerate(valley.items()):
        ax.plot(*zip(*trail[: steps + 1]), f"C{i}", lw=1, label=f"{name}, rate {rate:g}")
        ax.plot(*trail[steps], f"C{i}o", markeredgecolor="black")
    ax.plot(1, 1, "k*", ms=11)
    ax.set(xlim=(-2, 2), ylim=(-1, 3), xlabel="$x$", ylabel="$y$")
    left, best = min((hypot(t[steps][0] - 1, t[steps][1] - 1), n) for n, (_, t) in valley.items())
    ax.set_title(f"Valley, {steps} steps: {best} is closest, {left:.2f} to go")
    ax.legend(loc="upper center", ncols=2, fontsize=8)


def draw(bowls, escapes, valley, grid, path: Path, film: bool) -> None:
    """Steps on the bowl and off the saddle, trails in the valley, the digits by learning rate."""
    import matplotlib.pyplot as plt
    from matplotlib.animation import FuncAnimation, PillowWriter

    figure, axes = plt.subplots(2, 2, figsize=(10, 7.5), layout="constrained")
    steps, leave, trails, rates = axes.flat
    for name, style in zip(bowls[10], ("C0o-", "C1o-", "C2o-", "C2o--", "C3o-", "C3o--")):
        steps.loglog(list(bowls), [taken[name] for taken in bowls.values()], style, label=name)
    kappa = max(bowls)
    gain = bowls[kappa]["SGD"] / bowls[kappa]["momentum"]
    steps.set_title(f"Bowl: momentum gains a factor {gain:.0f} at kappa {kappa:,}")
    steps.set(xlabel="kappa (no dot: not in 3,000 steps)", ylabel="steps to 1e-4 of the distance")
    tops = {name: min(found.items(), key=lambda item: item[1]) for name, found in grid.items()}
    for i, (name, (best, (_, accuracy))) in enumerate(tops.items()):
        leave.semilogx(DISTANCES, escapes[name], f"C{i}o-", label=name)
        label = f"{name}: {accuracy:.1%} at {best:g}"
        accuracies = [a for _, a in grid[name].values()]
        rates.semilogx(list(grid[name]), accuracies, f"C{i}o-", label=label)
    leave.set_title(f"Saddle: SGD needs {escapes['SGD'][-1]} steps, Adam {escapes['Adam'][-1]}")
    leave.set(xlabel="distance of the start from the saddle", ylabel="steps to leave, rate 0.05")
    far = max(best for best, _ in tops.values()) / min(best for best, _ in tops.values())
    rates.set_title(f"Digits: alike, at best rates {far:.0f}-fold apart")
    rates.set(xlabel="learning rate", ylabel="test accuracy, mean of the seeds")
    for ax in (steps, leave, rates):
        ax.legend(fontsize=9)
    draw_valley(trails, valley, 500)
    figure.savefig(path, dpi=120)
    if film:
        figure, ax = plt.subplots(figsize=(5, 4), layout="constrained")
        frames = [min(n * n, 500) for n in range(24)]  # slow at first, where much happens
        movie = FuncAnimation(figure, lambda n: draw_valley(ax, valley, n), frames)
        movie.save(path.with_suffix(".gif"), PillowWriter(fps=3), dpi=90)
    plt.close("all")


def main(out: Path | None = None, quick: bool = False) -> dict[str, object]:
    """Race the four on each surface and on the digits; returns the numbers."""
    bowls, factors = {}, {}
    for kappa in (10, 100, 1000) if quick else (10, 100, 1000, 10_000):
        bowls[kappa], *factors[kappa] = theory_on_bowl(kappa)
        for name in ("RMSprop", "Adam"):
            bowls[kappa][name] = adaptive_on_bowl(name, kappa, turned=False)
            bowls[kappa][f"{name}, turned"] = adaptive_on_bowl(name, kappa, turned=True)
        by = "SGD by {:.6f} a step, momentum by {:.4f}".format(*factors[kappa])
        print(f"bowl, kappa {kappa}: {by}; steps", bowls[kappa])
    for name in ("RMSprop", "Adam"):
        steps = [taken[name] for taken in bowls.values()]
        assert max(steps) < 1.05 * min(steps), f"{name} should not see kappa on its axes: {steps}"
        steps = [taken[f"{name}, turned"] for taken in bowls.values()]
        assert steps[2] > 2 * steps[0], f"{name} should see kappa across its axes: {steps}"

    # Near the saddle y' = (1 + 2 lr) y; with momentum b, y'' = (1 + b + 2 lr) y' - b y. At lr 0.05
    # and b 0.9 that is 1.1 a step, and the larger root of g^2 - 2 g + 0.9.
    escapes = {name: [off_saddle(name, y) for y in DISTANCES] for name in MAKE}
    print("saddle, from 1e-8 away:", {name: steps[-1] for name, steps in escapes.items()})
    for name, growth in (("SGD", 1.1), ("momentum", 1 + sqrt(0.1))):
        decade, theory = (escapes[name][-1] - escapes[name][1]) / 6, log(10) / log(growth)
        assert abs(decade - theory) < 0.5, f"{name}: {decade} steps a decade, theory {theory}"
    slowest = max(escapes["Adam"] + escapes["RMSprop"])
    assert slowest <= 15, f"steps of fixed size should leave at once, not after {slowest}"

    valley = {name: down_valley(name) for name in MAKE}
    print("valley, where 500 steps lead:", {name: trail[-1] for name, (_, trail) in valley.items()})
    rates, seeds = (RATES[1::2], 3) if quick else (RATES, 5)
    grid = {name: {rate: on_digits(name, rate, seeds) for rate in rates} for name in MAKE}
    accuracy = {name: min(found.values())[1] for name, found in grid.items()}
    print("digits:", {name: f"{a:.1%}" for name, a in accuracy.items()})
    spread = max(accuracy.values()) - min(accuracy.values())
    assert spread < 0.04, f"at their best rates the optimizers differ by {spread:.1%}: {accuracy}"
    assert grid["Adam"][1.0][1] < 0.3, f"Adam at rate 1: {grid['Adam'][1.0][1]:.1%}"
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
