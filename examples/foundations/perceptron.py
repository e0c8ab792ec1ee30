"""The perceptron: y = sign(w . x + b), learned by Rosenblatt's rule.

Claim. On data that a line separates, the rule stops after at most (R / gamma)^2 mistakes, whatever
the order of the data: R is the length of the longest input, gamma the margin of any unit separator
(Novikoff, "On convergence proofs on perceptrons", 1962). On XOR no line is right on more than 3 of
the 4 points, so the rule never stops.

Look at the picture: every mistake moves the line; on the right the line can only choose which point
to get wrong.

Run it: python perceptron.py [--out DIR]
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import lamina

XOR_X = lamina.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
XOR_Y = lamina.tensor([-1.0, 1.0, 1.0, -1.0])


@dataclass
class Run:
    """What happened: the weights after each mistake, and the best count of right answers."""

    weights: list[list[float]]
    mistakes: int
    converged: bool
    best_correct: int


def with_bias(x: lamina.Tensor) -> lamina.Tensor:
    """Append a constant 1, so that the bias is one more weight."""
    return lamina.cat([x, lamina.ones(len(x), 1)], dim=1)


def rosenblatt(
    x: lamina.Tensor, y: lamina.Tensor, max_epochs: int, start: lamina.Tensor | None = None
) -> Run:
    """Go through the data until a whole pass makes no mistake: w += y x for each mistake."""
    inputs = with_bias(x)
    w = lamina.zeros(inputs.shape[1]) if start is None else start
    run = Run([w.tolist()], 0, False, 0)
    for _ in range(max_epochs):
        mistakes_before = run.mistakes
        for i in lamina.randperm(len(y)).tolist():
            if (y[i] * (w @ inputs[i])).item() <= 0:
                w = w + y[i] * inputs[i]
                run.weights.append(w.tolist())
                run.mistakes += 1
                correct = int((y * (inputs @ w) > 0).sum().item())
                run.best_correct = max(run.best_correct, correct)
        if run.mistakes == mistakes_before:
            run.converged = True
            break
    return run


def separable(n: int, margin: float) -> tuple[lamina.Tensor, lamina.Tensor, lamina.Tensor]:
    """Points at least `margin` away from a known line; the line as a unit vector with bias."""
    separator = lamina.tensor([2.0, -1.0, 0.3])
    separator = separator / (separator @ separator).sqrt()
    x = lamina.rand(4 * n, 2) * 4 - 2
    side = with_bias(x) @ separator
    keep = side.abs() > margin
    x, side = x[keep][:n], side[keep][:n]
    return x, side.sign(), separator


def novikoff_bound(x: lamina.Tensor, y: lamina.Tensor, separator: lamina.Tensor) -> float:
    """(R / gamma)^2 for a unit separator of the data."""
    inputs = with_bias(x)
    radius_squared = (inputs * inputs).sum(dim=1).max().item()
    gamma = (y * (inputs @ separator)).min().item()
    return float(radius_squared / gamma**2)


def draw(axes, x: lamina.Tensor, y: lamina.Tensor, run: Run, title: str) -> None:
    """The data, and the line after each mistake, the later the darker."""
    axes.scatter(*x.T.tolist(), c=y.tolist(), cmap="coolwarm", edgecolors="black", zorder=3)
    low, high = axes.get_xlim()
    bottom, top = axes.get_ylim()
    shown = run.weights[1:][-30:]
    for i, (w0, w1, b) in enumerate(shown):
        if w1 != 0:
            ends = [-(w0 * at + b) / w1 for at in (low, high)]
            alpha = 0.08 + 0.92 * ((i + 1) / len(shown)) ** 2
            axes.plot([low, high], ends, color="black", alpha=alpha)
    axes.set(xlim=(low, high), ylim=(bottom, top), xlabel="$x_1$", ylabel="$x_2$", title=title)


def main(out: Path | None = None, quick: bool = False) -> dict[str, float]:
    """Run both experiments; draw them into `out` when it is given. Returns the numbers."""
    lamina.manual_seed(0)
    x, y, separator = separable(60 if quick else 200, margin=0.1)
    run = rosenblatt(x, y, max_epochs=1000)
    bound = novikoff_bound(x, y, separator)
    print(f"separable data: {run.mistakes} mistakes, Novikoff's bound {bound:.0f}")

    # From a random start: from zero the weights stay integers, and most lines are out of reach.
    xor = rosenblatt(XOR_X, XOR_Y, max_epochs=100 if quick else 1000, start=lamina.randn(3))
    print(f"XOR: at best {xor.best_correct} of 4 right, {xor.mistakes} mistakes and counting")

    if out is not None:
        import matplotlib.pyplot as plt

        figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.5), layout="constrained")
        draw(left, x, y, run, f"Separable: done after {run.mistakes} mistakes (bound {bound:.0f})")
        draw(right, XOR_X, XOR_Y, xor, f"XOR: never more than {xor.best_correct} of 4")
        figure.savefig(out / "perceptron.png", dpi=120)
        plt.close(figure)
    return {
        "mistakes": run.mistakes,
        "bound": bound,
        "converged": run.converged,
        "xor_best": xor.best_correct,
        "xor_converged": xor.converged,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder for the picture")
    main(parser.parse_args().out)
