"""The perceptron: y = sign(w . x + b), learned by moving the line at every mistake.

Claim. On data that a line separates, Rosenblatt's rule stops after at most (R / gamma)^2 mistakes,
whatever the order of the data: R is the length of the longest input, gamma the margin of any unit
separator (Novikoff, "On convergence proofs on perceptrons", 1962). There is no better bound of that
kind: n orthogonal inputs cost exactly n = (R / gamma)^2 mistakes.
On XOR the rule never stops. Lines realise 14 of the 16 ways to label its points (Cover,
"Geometrical and Statistical Properties of Systems of Linear Inequalities", 1965); the nearest has
3 of 4 right. XOR and its opposite are missing because sum y_i (x_i, 1) = 0: whatever w is, the four
numbers y_i w . (x_i, 1) add up to 0, so they can't all be positive.

Look at the picture: every mistake moves the line between red (1) and blue (-1), the later the
darker. Left, it comes to rest; in the middle, it can only choose which point to get wrong. Right,
points at random cost far fewer mistakes than the bound, the orthogonal inputs as many.

Run it: python perceptron.py [--out DIR] [--quick]
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path
from typing import Any

import lamina
from lamina import Tensor

XOR_X = lamina.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
XOR_Y = lamina.tensor([-1.0, 1.0, 1.0, -1.0])
MARGINS = (0.02, 0.05, 0.1, 0.2, 0.4)


def with_bias(x: Tensor) -> Tensor:
    """Append a constant 1, so that the bias is one more weight."""
    return lamina.cat([x, lamina.ones(len(x), 1)], dim=1)


def rosenblatt(inputs: Tensor, y: Tensor, max_epochs: int, w: Tensor) -> tuple[list[Tensor], bool]:
    """Do w += y x at each mistake until a pass has none: every w, and whether it stopped."""
    history = [w]
    for _ in range(max_epochs):
        mistakes_before = len(history)
        for i in lamina.randperm(len(y)).tolist():
            if (y[i] * (w @ inputs[i])).item() <= 0:
                w = w + y[i] * inputs[i]
                history.append(w)
        if len(history) == mistakes_before:
            return history, True
    return history, False


def separable(n: int, margin: float) -> tuple[Tensor, Tensor, Tensor]:
    """`n` points at least `margin` away from a random line; the line as a unit vector with bias."""
    separator = lamina.randn(3) * lamina.tensor([1.0, 1.0, 0.3])
    separator = separator / separator.norm()
    x = lamina.rand(20 * n, 2) * 4 - 2
    side = with_bias(x) @ separator
    keep = side.abs() > margin
    return x[keep][:n], side[keep][:n].sign(), separator


def novikoff_bound(inputs: Tensor, y: Tensor, separator: Tensor) -> float:
    """(R / gamma)^2 for a unit separator of the data."""
    gamma = (y * (inputs @ separator)).min().item()
    return float((inputs * inputs).sum(dim=1).max().item() / gamma**2)


def realisable() -> set[tuple[float, ...]]:
    """The ways to label the four points that some line realises; a few lines give them all."""
    lines = product((-1.0, 0.0, 1.0), (-1.0, 0.0, 1.0), (-1.5, -0.5, 0.5, 1.5))
    return {tuple((with_bias(XOR_X) @ lamina.tensor(w)).sign().tolist()) for w in lines}


def draw_lines(axes: Any, x: Tensor, y: Tensor, history: list[Tensor], title: str) -> None:
    """The data, and the line a x1 + b x2 + c = 0 after each mistake, the later the darker."""
    from matplotlib import cm, colors

    axes.scatter(*x.T.tolist(), c=y.tolist(), cmap="coolwarm", s=35, edgecolors="black", zorder=3)
    colour = cm.ScalarMappable(colors.Normalize(1, len(history) - 1), cmap="viridis_r")
    for i, (a, b, c) in enumerate([w.tolist() for w in history[1:]], 1):
        if a or b:
            on_it = (-c * a / (a * a + b * b), -c * b / (a * a + b * b))
            width = 3 if i == len(history) - 1 else 1
            axes.axline(on_it, slope=-a / (b or 1e-9), color=colour.to_rgba(i), lw=width)
    frame = (x.min().item() - 0.4, x.max().item() + 0.4)
    axes.set(xlim=frame, ylim=frame, xlabel="$x_1$", ylabel="$x_2$", title=title)
    axes.figure.colorbar(colour, ax=axes, label="line after mistake number")


def draw(runs: list[Any], tight: list[Any], xor_history: list[Tensor]) -> Any:
    """Lines on separable data, lines on XOR, and mistakes against the bound."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.5, 3.8), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    lamina.manual_seed(3)
    x, y, _ = separable(40, 0.1)
    history, _ = rosenblatt(with_bias(x), y, 1000, lamina.zeros(3))
    draw_lines(left, x, y, history, f"Separable: at rest after {len(history) - 1} mistakes")
    draw_lines(middle, XOR_X, XOR_Y, xor_history[:13], "XOR: no rest, never more than 3 of 4")
    for margin in MARGINS:
        points = [(bound, mistakes) for m, bound, mistakes in runs if m == margin]
        right.plot(*zip(*points), "o", ms=4, label=f"margin {margin}")
    right.plot(*zip(*tight), "ks", label="orthogonal")
    right.plot([2, 3e4], [2, 3e4], "k--", label="the bound")
    right.set(xscale="log", yscale="log", xlabel="Novikoff's bound $(R/\\gamma)^2$")
    right.set(ylabel="mistakes until the rule stops", title="Up to the bound, never above")
    right.legend(fontsize=8)
    return figure


def main(out: Path | None = None, quick: bool = False) -> dict[str, Any]:
    """Run on separable data, orthogonal inputs and XOR; return the numbers."""
    lamina.manual_seed(0)
    runs = []  # margin, bound, mistakes
    for margin in MARGINS:
        for _ in range(4 if quick else 20):
            x, y, separator = separable(50 if quick else 100, margin)
            inputs = with_bias(x)
            history, stopped = rosenblatt(inputs, y, 10_000, lamina.zeros(3))
            bound, mistakes = novikoff_bound(inputs, y, separator), len(history) - 1
            assert stopped, f"the rule did not stop at margin {margin}"
            assert mistakes <= bound, f"{mistakes} mistakes at margin {margin}, bound {bound:.0f}"
            runs.append((margin, bound, mistakes))
        _, bound, mistakes = max((r for r in runs if r[0] == margin), key=lambda r: r[2])
        print(f"margin {margin:4}: at most {mistakes:2} mistakes, Novikoff's bound {bound:5.0f}")

    tight = []  # n, mistakes
    for n in (4, 16, 64):  # the separator y / sqrt(n) has the margin 1 / sqrt(n), and R is 1
        history, _ = rosenblatt(lamina.eye(n), lamina.randn(n).sign(), 10, lamina.zeros(n))
        tight.append((n, len(history) - 1))
        assert tight[-1] == (n, n), f"{n} orthogonal inputs cost {tight[-1][1]} mistakes"
    print(f"orthogonal:  all {tight[-1][1]} mistakes on {n} inputs, Novikoff's bound {n}")

    # From a random start: from zero the weights stay integers, and most lines are out of reach.
    epochs = 100 if quick else 1000
    xor_history, xor_stopped = rosenblatt(with_bias(XOR_X), XOR_Y, epochs, lamina.randn(3))
    best = max(int((XOR_Y * (with_bias(XOR_X) @ w) > 0).sum().item()) for w in xor_history)
    labellings = realisable()
    nearest = max(sum(a == b for a, b in zip(s, XOR_Y.tolist())) for s in labellings)
    obstacle = (XOR_Y @ with_bias(XOR_X)).tolist()
    print(f"XOR: {len(xor_history) - 1} mistakes in {epochs} passes, at best {best} of 4 right")
    print(f"lines realise {len(labellings)} of 16 labellings, the nearest has {nearest} of 4 right")
    assert not xor_stopped, "the rule stopped on XOR"
    assert best == 3, f"the rule had {best} of 4 right"
    assert obstacle == [0, 0, 0], f"the sum of y (x, 1) is {obstacle}"
    assert len(labellings) == 14, f"{len(labellings)} labellings realised"
    assert nearest == 3, f"a line has {nearest} of 4 right"

    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        draw(runs, tight, xor_history).savefig(out / "perceptron.png", dpi=120)
    return {
        "runs": runs,
        "tight": tight,
        "xor_best": best,
        "xor_stopped": xor_stopped,
        "labellings": sorted(labellings),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder for the picture")
    parser.add_argument("--quick", action="store_true", help="fewer steps and seeds")
    arguments = parser.parse_args()
    main(arguments.out, arguments.quick)
