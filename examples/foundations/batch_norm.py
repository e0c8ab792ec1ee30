"""Batch normalization: a deep sigmoid net that hardly moves without it trains in a few dozen steps.

Claim. Normalizing the input of every activation over the batch lets a deep sigmoid net reach a
given loss in several times fewer steps, at learning rates that are too large without it (Ioffe and
Szegedy, "Batch normalization: accelerating deep network training by reducing internal covariate
shift", 2015). Steps to the loss, not the time of a step: a step costs more with the norm. The claim
is about medians over seeds, each net at every one of the same learning rates.

Two nets do without: one with the usual start for sigmoids (Xavier), and one whose weights are four
times larger, since the slope of the sigmoid is 1/4 at most. The second learns far sooner: much of
what the norm repairs is the scale of the start. Not all: the norm holds the scale during training,
too. Why it helps is less settled than that it does; the paper's reason, the shift of the inputs'
distributions, was put in doubt by Santurkar et al. ("How does batch normalization help
optimization?", 2018), who find a smoother loss instead.

Look at the picture: with the norm the net learns at every rate, and soonest; and the gradient that
reaches the first layer at the start, which is why.

Run it: python batch_norm.py [--out DIR] [--quick]
"""

from __future__ import annotations

import argparse
from math import inf
from pathlib import Path

import lamina
from lamina import datasets, nn, optim

DEPTH, WIDTH, GOAL = 5, 64, 0.5
RATES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
NETS = {"Xavier": (1.0, False), "4 x Xavier": (4.0, False), "batch norm": (1.0, True)}


def network(kind: str) -> nn.Sequential:
    """Sigmoid layers on the digits: the gain of the weights, and with or without the norm."""
    gain, norm = NETS[kind]
    model = nn.Sequential()
    for fan_in in [64] + [WIDTH] * (DEPTH - 1):
        model.append(nn.Linear(fan_in, WIDTH))
        nn.init.xavier_normal_(model[-1].weight, gain)
        nn.init.zeros_(model[-1].bias)
        if norm:
            model.append(nn.BatchNorm1d(WIDTH))
        model.append(nn.Sigmoid())
    return model.append(nn.Linear(WIDTH, 10))


def train(kind: str, rate: float, seed: int, steps: int, goal: float = 0.0) -> list[float]:
    """The loss at each step of SGD, until the mean of ten is `goal` or `steps` are over."""
    lamina.manual_seed(seed)
    x, y = datasets.digits().train.tensors
    model = network(kind)
    optimizer = optim.SGD(model.parameters(), lr=rate)
    losses: list[float] = []
    while len(losses) < steps and not (len(losses) >= 10 and sum(losses[-10:]) <= 10 * goal):
        batch = lamina.randint(0, len(y), (64,))
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def steps_to_goal(kind: str, rate: float, seeds: int, budget: int) -> float:
    """The median over the seeds; inf when it lies beyond the budget."""
    steps = []
    for seed in range(seeds):
        losses = train(kind, rate, seed, budget, GOAL)
        steps.append(len(losses) if len(losses) < budget else inf)
    return sorted(steps)[seeds // 2]


def gradient_sizes(kind: str) -> list[float]:
    """The root mean square of the loss's gradient in the weights of each layer, at the start."""
    lamina.manual_seed(0)
    x, y = datasets.digits().train.tensors
    model = network(kind)
    nn.functional.cross_entropy(model(x), y).backward()
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]
    return [layer.weight.grad.square().mean().sqrt().item() for layer in layers]


def draw(
    steps: dict[str, dict[float, float]], gradients: dict[str, list[float]], budget: int, path: Path
) -> None:
    """Steps by learning rate, the loss at the best rates, and the gradients at the start."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplot_mosaic("AA\nBC", figsize=(10, 7.5), layout="constrained")
    race, curves, start, ends = axes["A"], axes["B"], axes["C"], {}
    for i, kind in enumerate(NETS):
        style = {"color": f"C{i}", "marker": "osD"[i]}
        done = {rate: n for rate, n in steps[kind].items() if n < inf}
        race.loglog(done.keys(), done.values(), **style, label=kind)
        missed = [rate * 1.03 ** (2 * i - 1) for rate in steps[kind] if rate not in done]
        race.plot(missed, [1.5 * budget] * len(missed), ls="", fillstyle="none", **style)
        losses = lamina.tensor(train(kind, 1.0, 0, 300)).reshape(-1, 5).mean(dim=1).tolist()
        ends[kind] = sum(losses[-10:]) / 10
        curves.plot(range(3, 303, 5), losses, color=f"C{i}", label=kind)
        start.semilogy(range(1, DEPTH + 2), gradients[kind], **style, label=kind)
    race.axhline(budget, color="gray", ls=":")
    first, second, *_ = steps["Xavier"]
    race.text((first * second) ** 0.5, 1.5 * budget, "not reached", va="center", ha="center")
    race.set(xlabel="learning rate", ylabel=f"steps to loss {GOAL} (median)")
    norm, plain = (min(steps[kind].values()) for kind in ("batch norm", "4 x Xavier"))
    race.set_title(
        f"Batch norm: {norm} steps at its best rate, 4 x Xavier {plain}; it learns at every rate"
    )
    race.legend(loc="lower left")
    curves.axhline(GOAL, color="gray", ls=":")
    curves.set(
        xlabel="step of SGD at rate 1", ylabel="loss of one seed, mean of five steps", ylim=(0, 4)
    )
    norm, plain = (ends[kind] for kind in ("batch norm", "4 x Xavier"))
    curves.set_title(f"Last 50 steps: batch norm {norm:.2f}, 4 x Xavier {plain:.2f}")
    curves.legend(ncols=3, loc="upper center", fontsize=9)
    gain = gradients["batch norm"][0] / gradients["4 x Xavier"][0]
    start.set_title(f"Layer 1: batch norm's {gain:,.0f} times that of 4 x Xavier")
    start.set(xlabel="layer", ylabel="gradient at the start, RMS")
    start.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(out: Path | None = None, quick: bool = False) -> dict[str, object]:
    """Race the three nets at every rate; returns median steps, and gradients at the start."""
    seeds, budget, rates = (3, 600, (0.3, 1.0, 10.0)) if quick else (5, 2000, RATES)
    steps: dict[str, dict[float, float]] = {}
    for kind in NETS:
        steps[kind] = {rate: steps_to_goal(kind, rate, seeds, budget) for rate in rates}
        shown = "  ".join(f"rate {rate:g}: {n}" for rate, n in steps[kind].items())
        print(f"{kind:10}  steps to loss {GOAL}  {shown}")
    gradients = {kind: gradient_sizes(kind) for kind in NETS}
    for kind, sizes in gradients.items():
        print(f"{kind:10}  gradient at the start: first layer {sizes[0]:.1e}, last {sizes[-1]:.1e}")

    norm = steps["batch norm"]
    for kind in ("Xavier", "4 x Xavier"):
        for rate in rates:
            slower = steps[kind][rate]
            assert norm[rate] < slower, f"rate {rate}: norm {norm[rate]}, {kind} {slower} steps"
        best = min(steps[kind].values())
        assert 3 * min(norm.values()) <= best, f"norm {min(norm.values())}, {kind} {best} steps"
        assert steps[kind][rates[-1]] == inf, f"{kind} also learns at rate {rates[-1]}"
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        draw(steps, gradients, budget, out / "batch_norm.png")
    return {"steps": steps, "gradients": gradients}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder for the picture")
    parser.add_argument("--quick", action="store_true", help="fewer steps and seeds")
    arguments = parser.parse_args()
    main(arguments.out, arguments.quick)
