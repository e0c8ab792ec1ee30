"""Why training converges: a step below 2/L falls for sure, and nets train at that very edge.

Claim. If the curvature of a loss is nowhere above L, a step of gradient descent along the gradient
g lowers it by at least lr (1 - lr L/2) |g|^2, which is positive for lr < 2/L: the descent lemma
(Nesterov, "Introductory Lectures on Convex Optimization", 2004, section 1.2.3). Asserted for every
step on a quadratic and on logistic regression, whose L are known; above 2/L the quadratic diverges.

Nothing bounds the curvature of a net. Full-batch gradient descent raises the sharpness, the largest
eigenvalue of the Hessian, until it is 2/lr, and stays there, "at the edge of stability"; the loss
goes on falling, though not at every step (Cohen, Kaur, Li, Kolter, Talwalkar, "Gradient Descent on
Neural Networks Typically Occurs at the Edge of Stability", 2021). Asserted as medians over seeds.

Look at the picture: on top the lemma at work; below, the sharpness of two nets under ceilings that
are not in the loss but in the learning rate, and their losses.

Run it: python convergence.py [--out DIR] [--quick]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median

import lamina
from lamina import datasets, nn, optim
from lamina.landscape import top_eigenvalue
from lamina.nn import functional as F

RATES = {0.25: 2800, 0.5: 1400}  # the net's learning rates, and how many steps of each
EVERY = 20  # steps between two measurements of the sharpness
Function = Callable[[lamina.Tensor], lamina.Tensor]


def descend(
    f: Function, size: int, bound: float, multiple: float, steps: int
) -> tuple[list[float], list[float]]:
    """Losses of gradient descent with lr = multiple/L, and each fall over what is promised."""
    w, lr, losses, promised = lamina.ones(size, dtype=lamina.float64), multiple / bound, [], []
    for _ in range(steps):
        loss = f(w.requires_grad_())
        (g,) = lamina.autograd.grad(loss, w)
        losses.append(loss.item())
        promised.append(lr * (1 - lr * bound / 2) * (g @ g).item())
        w = (w - lr * g).detach()
    falls = [now - then for now, then in pairwise(losses)]
    for fall, least, now in zip(falls, promised, losses):
        assert fall >= least - 1e-12 * now, f"lr = {multiple}/L: a fall of {fall} under {least}"
    return losses, [fall / least for fall, least in zip(falls, promised)]


def problems() -> dict[str, tuple[Function, int, float]]:
    """Two losses in float64, the number of their parameters, and L."""
    curvatures = lamina.linspace(0.02, 1, 50, dtype=lamina.float64)
    x, digit = datasets.digits().train.tensors
    alike = (digit == 3) | (digit == 8)
    x, y = x[alike].double(), (digit[alike] == 8).double()
    # sigmoid' <= 1/4, so no curvature of logistic regression is above the largest eigenvalue of
    # x^T x / 4n, which is the Hessian of this loss, wherever the model is:
    model = nn.Linear(64, 1, bias=False).double()
    found = top_eigenvalue(model, lambda model: model(x).square().mean() / 8, tol=1e-9)
    bound = found.value + found.residual
    return {
        "quadratic": (lambda w: (curvatures * w * w).sum() / 2, 50, 1.0),
        "logistic": (lambda w: F.binary_cross_entropy_with_logits(x @ w, y), 64, bound),
    }


def train(lr: float, steps: int, seed: int) -> tuple[list[float], list[float]]:
    """Full-batch gradient descent on 500 digits: all losses, and the sharpness on the way."""
    x, y = (part[:500] for part in datasets.digits().train.tensors)
    x, target = x - x.mean(dim=0), F.one_hot(y, 10).float()
    lamina.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(),
                          nn.Linear(32, 10))  # fmt: skip
    optimizer = optim.SGD(model.parameters(), lr=lr)

    def loss_of(model: nn.Module) -> lamina.Tensor:
        return (model(x) - target).square().sum(dim=1).mean() / 2

    losses, sharpness = [], []
    for step in range(steps):
        if step % EVERY == 0:
            sharpness.append(top_eigenvalue(model, loss_of, tol=1e-2).value)
        optimizer.zero_grad()
        loss = loss_of(model)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, sharpness


def edge(lr: float, losses: list[float], sharpness: list[float]) -> tuple[float, ...]:
    """Sharpness over 2/lr, first and late; then how often the loss rises, and how far it falls."""
    relative = [lr / 2 * value for value in sharpness]
    arrival = next((i for i, value in enumerate(relative) if value >= 1), 0)
    late = losses[EVERY * arrival :]
    rises = sum(then > now for now, then in pairwise(late)) / len(late)
    return relative[0], median(relative[-len(relative) // 3 :]), rises, late[0] / late[-1]


def draw(falls: dict, kept: dict, nets: dict, edges: dict, path: Path) -> None:
    """Losses of the quadratic, falls over promises, and one net for each learning rate."""
    import matplotlib.pyplot as plt

    figure, grid = plt.subplots(2, 2, figsize=(11, 8), layout="constrained")
    bowl, lemma, sharp, loss = grid.flat
    for multiple, losses in falls.items():
        bowl.semilogy(losses, "--" if multiple > 2 else "-", label=f"lr = {multiple:g}/L")
    for name, ratios in kept.items():
        lemma.semilogx(range(1, len(ratios) + 1), ratios, label=f"{name}, lr = 1/L")
    lemma.axhline(1, color="black", ls=":", label="promised by the lemma")
    for color, (lr, (losses, sharpness)) in zip(("tab:blue", "tab:orange"), nets.items()):
        sharp.plot(range(0, len(losses), EVERY), sharpness, color=color, label=f"lr = {lr}")
        sharp.axhline(2 / lr, color=color, lw=1, ls="--", label=f"2/lr = {2 / lr:g}")
        loss.semilogy(losses, color=color, lw=0.8, label=f"lr = {lr}")
    least = min(map(min, kept.values()))
    ends = " and ".join(f"{end:.2f}" for _, end, _, _ in edges.values())
    rises = " and ".join(f"{rises:.0%}" for _, _, rises, _ in edges.values())
    for axes, title, ylabel in (
        (bowl, "Quadratic: falls at any lr below 2/L, grows above", "loss"),
        (lemma, f"lr = 1/L: each fall is {least:.2f} times the promise or more", "fall / promise"),
        (sharp, f"Net: sharpness climbs to {ends} times 2/lr", "sharpness (top eigenvalue)"),
        (loss, f"At the edge {rises} of steps rise, yet it falls", "loss"),
    ):
        axes.set(title=title, xlabel="step", ylabel=ylabel)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=9)
    lemma.set_ylim(0.9, 2.1)
    sharp.set_ylim(0, None)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(out: Path | None = None, quick: bool = False) -> dict[str, object]:
    """Hold the lemma against both problems, then train to the edge; returns the numbers."""
    smallest, falls, kept, edges, nets = {}, {}, {}, {}, {}
    steps = 200 if quick else 1000
    asked = problems()
    for name, (f, size, bound) in asked.items():
        found = {by: descend(f, size, bound, by, steps) for by in (0.5, 1.0, 1.9)}
        smallest[name] = min(min(ratios) for _, ratios in found.values())
        kept[name] = found[1.0][1]
        falls[name] = {by: losses[:100] for by, (losses, _) in found.items()}
        kept_by = f"no fall under {smallest[name]:.2f} times the promise"
        print(f"{name:20} L = {bound:.2f}, lr from 0.5/L to 1.9/L: {kept_by}")
    above, _ = descend(*asked["quadratic"], 2.05, 100)
    growth = above[-1] / above[-2]
    print(f"quadratic            lr = 2.05/L: the loss grows by {growth:.4f} a step")
    assert growth > 1, f"lr = 2.05/L: the loss changes by {growth:.4f} a step, and should grow"

    for lr, steps in RATES.items():
        runs = [train(lr, steps, seed) for seed in range(3 if quick else 5)]
        nets[lr], seeds = runs[0], [edge(lr, *run) for run in runs]
        edges[lr] = start, end, rises, fall = [median(numbers) for numbers in zip(*seeds)]
        print(f"net, lr = {lr:<10} sharpness from {start:.2f} to {end:.2f} times 2/lr; then "
              f"{rises:.0%} of steps rise, loss to 1/{fall:.1f}")  # fmt: skip
        assert start < 0.8, f"lr {lr}: sharpness starts at {start:.2f} times 2/lr, not below"
        assert 0.9 < end < 1.15, f"lr {lr}: sharpness ends at {end:.2f} times 2/lr, not there"
        assert rises > 0.1, f"lr {lr}: the loss rises on {rises:.0%} of steps; no edge"
        assert fall > 1.5, f"lr {lr}: at the edge the loss falls to 1/{fall:.2f} only"
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        draw({**falls["quadratic"], 2.05: above}, kept, nets, edges, out / "convergence.png")
    return {"smallest": smallest, "L": asked["logistic"][2], "growth": growth, "edges": edges}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder for the picture")
    parser.add_argument("--quick", action="store_true", help="fewer steps and seeds")
    arguments = parser.parse_args()
    main(arguments.out, arguments.quick)
