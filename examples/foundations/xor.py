"""XOR: what no line can do, one hidden layer of two units can.

Claim. A network 2-2-1 learns XOR, 4 of 4 (Rumelhart, Hinton and Williams, "Learning internal
representations by error propagation", 1986). It does so by moving the four points: in the space of
its hidden units a line separates them, so that the perceptron's rule, which never stops on the
inputs, stops there, within Novikoff's bound (R / gamma)^2.
Not every start gets there. With two hidden units about half end where the network gives two points
their right answer and can't tell the other two apart, or gives one and can't tell three: the best
it can do then is their share of ones, with the loss ln(2) / 2 or (3 ln 3 - 2 ln 2) / 4. From the
first, ten times as many steps lead nowhere; from the second, which is rare, a few still get away.
With more hidden units more starts succeed, with eight nearly all.

Look at the picture: left, a network's answer early in training; in the middle, the same grid where
its hidden layer put it, bent so that a line separates the ones: the output unit's (solid) and the
perceptron's (dashed). Right, the share of starts that succeed.

Run it: python xor.py [--out DIR] [--quick]
"""

from __future__ import annotations

import argparse
from math import log
from pathlib import Path
from typing import Any

import lamina
from lamina import Tensor, nn, optim

X = lamina.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
Y = lamina.tensor([[0.0], [1.0], [1.0], [0.0]])
SIGNS = (2 * Y - 1).flatten()
WIDTHS = (2, 3, 4, 8)
EARLY = 75  # the step of the picture, where the grid is not yet bent out of sight
# The mean loss with two points certain and two at probability 1/2, or one certain, three at 2/3.
STUCK = (log(2) / 2, (3 * log(3) - 2 * log(2)) / 4)


def train(seed: int, width: int, steps: int) -> tuple[nn.Sequential, float]:
    """A 2-`width`-1 network after `steps` of Adam on the four points, and its loss."""
    lamina.manual_seed(seed)
    model = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 1))
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(model(X), Y)
        loss.backward()
        optimizer.step()
    return model, loss.item()


@lamina.no_grad()
def solves(model: nn.Sequential) -> bool:
    """Whether all four answers are right."""
    return bool(((model(X) > 0) == (Y > 0.5)).all().item())


def with_bias(points: Tensor) -> Tensor:
    """Append a constant 1, so that the bias is one more weight."""
    return lamina.cat([points, lamina.ones(len(points), 1)], dim=1)


def rosenblatt(inputs: Tensor, max_mistakes: int = 10_000) -> tuple[list[float], int]:
    """The perceptron's rule: its line and its mistakes, `max_mistakes` when it did not stop."""
    w, mistakes = lamina.zeros(3), 0
    while mistakes < max_mistakes and (wrong := SIGNS * (inputs @ w) <= 0).any():
        first = wrong.nonzero()[0, 0]
        w, mistakes = w + SIGNS[first] * inputs[first], mistakes + 1
    return w.tolist(), mistakes


@lamina.no_grad()
def hidden_space(model: nn.Sequential) -> tuple[Tensor, Tensor, float, float]:
    """The four points in hidden space, the output unit's line there, its margin, the bound."""
    points = with_bias(model[:2](X))
    line = lamina.cat([model[2].weight.flatten(), model[2].bias])
    least = (SIGNS * (points @ line)).min()
    bound = (points * points).sum(dim=1).max() * (line.norm() / least) ** 2
    return points, line, (least / line[:2].norm()).item(), bound.item()


@lamina.no_grad()
def draw(model: nn.Sequential, shares: list[float]) -> Any:
    """The answer over the inputs, the hidden space with its lines, and the shares of success."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.5, 3.9), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12)
    left, middle, right = figure.subplots(1, 3)
    t = lamina.linspace(-0.25, 1.25, 61)
    grid = lamina.stack([t.expand(61, 61), t.unsqueeze(1).expand(61, 61)], dim=-1)
    answer, hidden = lamina.sigmoid(model(grid)).squeeze(-1), model[:2](grid)
    points, line, margin, _ = hidden_space(model)
    colours = {"cmap": "coolwarm", "vmin": 0, "vmax": 1}
    shown = left.pcolormesh(t.tolist(), t.tolist(), answer.tolist(), alpha=0.7, **colours)
    figure.colorbar(shown, ax=left, label="network's probability of 1")
    for family in (hidden[::6], hidden[:, ::6].transpose(0, 1)):
        for curve in family:
            middle.plot(*curve.T.tolist(), color="grey", lw=0.5)
    for axes, places in ((left, X), (middle, points[:, :2])):
        answers = Y.flatten().tolist()
        axes.scatter(*places.T.tolist(), c=answers, s=110, edgecolors="black", zorder=3, **colours)
        for (a, b), at, shift in zip(X.tolist(), places.tolist(), (12, -20, 12, 12)):
            style = {"ha": "center", "bbox": {"color": "white", "alpha": 0.6, "pad": 1}}
            place = {"xytext": (0, shift), "textcoords": "offset points"}
            axes.annotate(f"{a:.0f} xor {b:.0f}", at, **place, **style)
    lines = ("output unit's", "-", line.tolist()), ("perceptron's", "--", rosenblatt(points)[0])
    for name, style, (a, b, c) in lines:
        on_it = (-c * a / (a * a + b * b), -c * b / (a * a + b * b))
        middle.axline(on_it, slope=-a / (b or 1e-9), color="black", ls=style, label=name)
    middle.legend(loc="lower right", title="line")
    left.set(title="Inputs: no line separates XOR", xlabel="$x_1$", ylabel="$x_2$")
    middle.set(title=f"After {EARLY} steps a line does: margin {margin:.2f}")
    middle.set(xlabel="hidden unit 1", ylabel="hidden unit 2", xlim=(-1.35, 1.2), ylim=(-1.1, 1.3))
    bars = right.bar([str(width) for width in WIDTHS], [100 * share for share in shares])
    right.bar_label(bars, fmt="%.0f%%")
    right.set(title=f"{shares[0]:.0%} of the starts learn with 2 units", ylim=(0, 110))
    right.set(xlabel="hidden units", ylabel="starts that learn XOR (%)")
    return figure


def main(out: Path | None = None, quick: bool = False) -> dict[str, Any]:
    """Train from many starts and look at the first solution; return the numbers."""
    starts, steps = (50, 500) if quick else (200, 1000)
    runs = {width: [train(seed, width, steps) for seed in range(starts)] for width in WIDTHS}
    stuck = [loss for nets in runs.values() for model, loss in nets if not solves(model)]
    shares = [sum(solves(model) for model, _ in nets) / starts for nets in runs.values()]
    for width, share in zip(WIDTHS, shares):
        print(f"{width} hidden units: {share:4.0%} of {starts} starts get 4 of 4")
    furthest = max(min(abs(loss - at) for at in STUCK) for loss in stuck)
    print(f"{len(stuck)} of all {starts * len(WIDTHS)} starts do not: ", end="")
    print(f"loss {STUCK[0]:.4f} or {STUCK[1]:.4f}, to within {furthest:.4f}")
    assert 0.2 < shares[0] < 0.8, f"with two hidden units {shares[0]:.0%} of the starts succeed"
    assert shares == sorted(shares), f"shares of success by width: {shares}"
    assert shares[-1] > 0.95, f"with eight hidden units {shares[-1]:.0%} of the starts succeed"
    assert furthest < 2e-3, f"a start that fails is {furthest:.4f} away from both losses"
    first = next(seed for seed in range(starts) if solves(runs[2][seed][0]))
    lost = next(seed for seed in range(starts) if abs(runs[2][seed][1] - STUCK[0]) < 0.01)
    later = train(lost, 2, 10 * steps)[1]
    print(f"start {lost} after {10 * steps} steps: still {later:.4f}")
    assert abs(later - STUCK[0]) < 1e-3, f"loss {later:.4f} after ten times as many steps"

    points, _, margin, bound = hidden_space(runs[2][first][0])
    mistakes, input_mistakes = rosenblatt(points)[1], rosenblatt(with_bias(X))[1]
    print(f"hidden space, step {steps}: margin {margin:.2f}; ", end="")
    print(f"{mistakes} mistakes, Novikoff's bound {bound:.1f}")
    print(f"input space: {input_mistakes} mistakes and no end")
    assert margin > 0.1, f"the output unit's line has a margin of {margin:.3f}"
    assert mistakes <= bound, f"{mistakes} mistakes in hidden space, bound {bound:.1f}"
    assert input_mistakes == 10_000, f"the rule stopped on the inputs after {input_mistakes}"

    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        draw(train(first, 2, EARLY)[0], shares).savefig(out / "xor.png", dpi=120)
    numbers = {"shares": shares, "stuck": stuck, "stuck_later": later, "margin": margin}
    return {**numbers, "mistakes": mistakes, "bound": bound, "input_mistakes": input_mistakes}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder for the picture")
    parser.add_argument("--quick", action="store_true", help="fewer steps and seeds")
    arguments = parser.parse_args()
    main(arguments.out, arguments.quick)
