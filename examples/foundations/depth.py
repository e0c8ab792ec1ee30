"""Depth: a deep narrow network says in a few units what a shallow one needs exponentially many for.

Claim. The tent map f(x) = relu(2 relu(x) - 4 relu(x - 1/2)) folds [0, 1] once. Applied k times, by
2k layers of at most two ReLU units, it has 2^k - 1 turning points and is right on all 2^k points
(i / 2^k, i mod 2). A network of l layers of m <= 2^((k-3)/l - 1) units is wrong on at least 1/6 of
them, whatever its weights (Telgarsky, "Representation benefits of deep feedforward networks", 2015,
theorem 1.1): it is linear on at most (2m)^l pieces, and a piece crosses 1/2 at most once. The
script finds by dynamic programming the fewest mistakes with so few crossings: nearly half of the
points, far more than 1/6. One hidden layer with weights set by hand attains it.

That is what networks can represent, not what training finds: at equal parameter count, the median
start of one hidden layer fits four teeth best; the few deep ones that succeed are more exact.

Look at the picture: every two layers double the teeth; the best shallow network is near guessing
until its width nears 2^k; and what training makes of the same number of parameters.

Run it: python depth.py [--out DIR] [--quick]
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import lamina
from lamina import nn, optim

K = 10  # the tent map is shown on 2^10 points
WIDTHS = {1: 83, 2: 14, 3: 10, 5: 7}  # hidden layers: units in each; 246 to 253 parameters


def linear(weight: list[list[float]], bias: list[float]) -> nn.Linear:
    """A layer with these weights, in float64."""
    layer = nn.Linear(len(weight[0]), len(weight)).double().requires_grad_(False)
    layer.weight.copy_(lamina.tensor(weight))
    layer.bias.copy_(lamina.tensor(bias))
    return layer


def deep(k: int) -> nn.Sequential:
    """The tent map k times: 2k layers of two and one ReLU units."""
    layers: list[nn.Module] = []
    for _ in range(k):
        layers += [linear([[1.0], [1.0]], [0.0, -0.5]), nn.ReLU()]
        layers += [linear([[2.0, -4.0]], [0.0]), nn.ReLU()]
    return nn.Sequential(*layers)


def shallow(m: int, n: int) -> nn.Sequential:
    """One hidden layer of m units: m pieces, up and down through the first m + 1 of n points."""
    kinks = [-i / n for i in range(m)]
    slopes = [float(n)] + [2.0 * n * (-1) ** i for i in range(1, m)]
    return nn.Sequential(linear([[1.0]] * m, kinks), nn.ReLU(), linear([slopes], [0.0]))


def tent(x: lamina.Tensor, k: int) -> lamina.Tensor:
    """The tent map k times in closed form: how far 2^k x is from the nearest even number."""
    return 1 - (1 - (2**k * x) % 2).abs()


def mistakes(model: nn.Module, n: int) -> int:
    """How many of the points (i / n, i mod 2) the classifier f(x) >= 1/2 gets wrong."""
    i = lamina.arange(n)
    answer = model((i.double() / n).unsqueeze(1))[:, 0] >= 0.5
    return int((answer != (i % 2 == 1)).sum().item())


def fewest_mistakes(n: int) -> list[int]:
    """The least mistakes of any labelling of n alternating points that changes 0, 1, 2, ... times.

    Point by point: the best labelling that ends in a given label with c changes either had c of
    them and that label before, or c - 1 and the other label.
    """
    best = lamina.full((2, n), n)  # [last label, changes]
    best[:, 0] = 0
    never = lamina.full((2, 1), n)
    for i in range(n):
        best = lamina.minimum(best, lamina.cat([never, best.flip(0)[:, :-1]], dim=1))
        best[1 - i % 2] += 1  # the label that is wrong here
    return best.amin(dim=0).cummin(dim=0).values.tolist()


def train(depth: int, he: bool, seed: int) -> float:
    """The mean absolute error of a network trained on the tent map of four teeth."""
    lamina.manual_seed(seed)
    model = nn.Sequential()
    for fan_in, fan_out in pairwise([1] + [WIDTHS[depth]] * depth):
        model.extend([nn.Linear(fan_in, fan_out), nn.ReLU()])
    model.append(nn.Linear(WIDTHS[depth], 1))
    for layer in model[::2] if he else []:
        nn.init.kaiming_normal_(layer.weight)
    x = lamina.linspace(0, 1, 257).unsqueeze(1)
    y = tent(x, 3)
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, 3000)
    for _ in range(3000):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()
        schedule.step()
    return (model(x) - y).abs().mean().item()


def draw(best: list[int], trained: dict[int, list[float]], path: Path) -> None:
    """Folding, the best shallow networks, and what training found."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplot_mosaic("AA\nBC", figsize=(10.5, 7.5), layout="constrained")
    fold, error, spread = axes["A"], axes["B"], axes["C"]
    x = lamina.linspace(0, 1, 513, dtype=lamina.float64).unsqueeze(1)
    for k, width in ((1, 2.5), (3, 1.7), (6, 0.9)):
        label = f"{2 * k} layers: {2**k - 1} turning point{'s' * (k > 1)}"
        fold.plot(x[:, 0].tolist(), deep(k)(x)[:, 0].tolist(), lw=width, label=label)
    fold.set(title="Every two layers fold once more", xlabel="$x$", ylabel="output", ylim=(0, 1.2))
    fold.legend(loc="upper center", ncols=3)

    n = len(best)
    error.plot(range(1, n - 1), [b / n for b in best[2:]], label="one layer, best possible")
    by_hand = {2**i: mistakes(shallow(2**i, n), n) / n for i in range(K + 1)}
    error.plot(*zip(*by_hand.items()), "o", label="one layer, set by hand")
    error.plot(3 * K, 0, "*", ms=14, color="tab:red", label=f"{2 * K} layers, set by hand")
    error.plot([1, 2 ** (K - 4)], [1 / 6] * 2, "k", lw=3, label="theorem: at least 1/6")
    error.set_title(f"{n} points: {3 * K} deep units do, or about {n} in a layer")
    error.set(xscale="log", xlabel="units", ylabel="fraction of points wrong")
    error.legend(loc=(0.02, 0.46))

    for place, errors in enumerate(trained.values()):
        spread.semilogy([place] * len(errors), errors, "o", color="tab:blue", alpha=0.5)
        spread.plot(place, errors[len(errors) // 2], "_", ms=40, mew=2.5, color="tab:red")
    spread.set_xticks(range(len(trained)), [f"{d} x {WIDTHS[d]}" for d in trained])
    first, *_, last = (errors[len(errors) // 2] for errors in trained.values())
    spread.set_title(f"Trained: median error {first:.2f} shallow, {last:.2f} deep")
    spread.set(xlabel="hidden layers x units (about 250 parameters)", xlim=(-0.5, 3.5))
    spread.set(ylabel="mean absolute error on four teeth")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(out: Path | None = None, quick: bool = False) -> dict[str, object]:
    """The construction, the bound, and what training finds; returns the numbers."""
    n = 2**K
    x = (lamina.arange(8 * n + 1).double() / (8 * n)).unsqueeze(1)
    y = deep(K)(x)
    off = (y - tent(x, K)).abs().max().item()
    turns, wrong = int((y[:, 0].diff().sign().diff() != 0).sum().item()), mistakes(deep(K), n)
    print(f"{2 * K} layers, {3 * K} units: {wrong} of {n} points wrong, {turns} turning points")
    assert off == 0, f"the network should be the tent map exactly; it is off by {off}"
    assert turns == n - 1, f"{turns} turning points, not 2^{K} - 1"
    assert wrong == 0, f"the deep network gets {wrong} points wrong"

    best = fewest_mistakes(n)  # by the number of changes: at most one a piece
    least: dict[int, float] = {}
    for layers in (1, 2, 3):
        m = int(2 ** ((K - 3) / layers - 1))
        least[layers] = best[m + 1 if layers == 1 else (2 * m) ** layers] / n  # by pieces
        print(f"{layers} x {m:2} units: at least {least[layers]:.3f} wrong; theorem: 1/6")
        assert least[layers] >= 1 / 6, f"{layers} x {m} units reach {least[layers]:.3f} < 1/6"
    for m in (1, 2 ** (K - 4), n // 2, n - 1):
        by_hand, bound = mistakes(shallow(m, n), n), best[min(m + 1, n - 1)]
        assert bound <= by_hand <= bound + 1, f"{m} units by hand: {by_hand} wrong, best {bound}"

    starts = 5 if quick else 15
    trained: dict[int, list[float]] = {}
    for depth in WIDTHS:  # each at the better of two laws for the starting weights
        runs = [sorted(train(depth, he, seed) for seed in range(starts)) for he in (False, True)]
        trained[depth] = min(runs, key=lambda errors: errors[starts // 2])
        median, lowest = trained[depth][starts // 2], trained[depth][0]
        print(f"trained, {depth} x {WIDTHS[depth]:2}: median error {median:.3f}, best {lowest:.5f}")

    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        draw(best, trained, out / "depth.png")
    return {"off": off, "turns": turns, "wrong": wrong, "least": least, "trained": trained}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder for the picture")
    parser.add_argument("--quick", action="store_true", help="fewer seeds")
    arguments = parser.parse_args()
    main(arguments.out, arguments.quick)
