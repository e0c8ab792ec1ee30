"""A network is a composition f = f_n o ... o f_1; without activations it is one matrix.

Claim. A stack of linear layers of any depth computes W x + b for a single W and b, which we
multiply out by hand: the two agree to 1e-12 in float64. With an activation between the layers no
matrix does: for an affine f, f(x) + f(-x) = 2 f(0) for every x, and the stack with ReLU breaks
that at once.

Look at the picture: along a line through the input space the first stack draws a straight line at
any depth, the second bends more often the deeper it is.

Run it: python composition.py [--out DIR]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import lamina
from lamina import nn

WIDTH = 16
DEPTHS = (1, 2, 4, 8, 16)


def stack(depth: int, activation: bool) -> nn.Sequential:
    """`depth` layers of the same width, with or without ReLU between them."""
    layers: list[nn.Module] = []
    for i in range(depth):
        if activation and i > 0:
            layers.append(nn.ReLU())
        layers.append(nn.Linear(WIDTH, WIDTH).double())
        nn.init.kaiming_normal_(layers[-1].weight)
    return nn.Sequential(*layers)


@lamina.no_grad()
def multiplied_out(model: nn.Sequential) -> tuple[lamina.Tensor, lamina.Tensor]:
    """The W and b of the whole stack: W2 (W1 x + b1) + b2 = (W2 W1) x + (W2 b1 + b2)."""
    w = lamina.eye(WIDTH, dtype=lamina.float64)
    b = lamina.zeros(WIDTH, dtype=lamina.float64)
    for layer in model:
        if isinstance(layer, nn.Linear):
            w = layer.weight @ w
            b = layer.weight @ b + layer.bias
    return w, b


def worst(difference: lamina.Tensor, scale: lamina.Tensor) -> float:
    """The largest difference, relative to the largest value it should have."""
    return float((difference.abs().max() / scale.abs().max()).item())


@lamina.no_grad()
def compare(depth: int, activation: bool) -> tuple[float, float]:
    """Distance of a stack from its product of matrices, and from being affine at all."""
    model = stack(depth, activation)
    x = lamina.randn(64, WIDTH, dtype=lamina.float64)
    w, b = multiplied_out(model)
    y = model(x)
    one_matrix = worst(y - (x @ w.T + b), y)
    zero = model(lamina.zeros(1, WIDTH, dtype=lamina.float64))
    symmetry = worst(y + model(-x) - 2 * zero, y)
    return one_matrix, symmetry


@lamina.no_grad()
def along_a_line(model: nn.Sequential, steps: int = 400) -> tuple[list[float], list[float]]:
    """The first output on the way from -u to u, scaled to fit one picture."""
    t = lamina.linspace(-1, 1, steps, dtype=lamina.float64)
    direction = lamina.randn(1, WIDTH, dtype=lamina.float64)
    y = model(t.unsqueeze(1) * direction)[:, 0]
    return t.tolist(), (y / y.abs().max()).tolist()


def main(out: Path | None = None, quick: bool = False) -> dict[str, float]:
    """Compare both stacks at every depth; returns the worst and best distances."""
    lamina.manual_seed(0)
    depths = DEPTHS[:3] if quick else DEPTHS
    linear, bent = [], []
    for depth in depths:
        linear.append(compare(depth, activation=False))
        line = f"depth {depth:2}: without activations one matrix to {linear[-1][0]:.1e}"
        if depth > 1:
            bent.append(compare(depth, activation=True))
            line += f"; with ReLU off by {bent[-1][0]:.2f}, not affine by {bent[-1][1]:.2f}"
        print(line)

    if out is not None:
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharey=True)
        titles = ("Without activations: straight at any depth", "With ReLU: more bends with depth")
        for ax, activation, title in zip(axes, (False, True), titles):
            for depth in depths[1:]:
                lamina.manual_seed(depth)
                ax.plot(*along_a_line(stack(depth, activation)), label=f"{depth} layers")
            ax.set(title=title, xlabel="position on a line through the inputs")
            ax.legend()
        axes[0].set_ylabel("first output (scaled)")
        figure.savefig(out / "composition.png", dpi=120)
        plt.close(figure)
    return {
        "one_matrix_error": max(error for error, _ in linear),
        "relu_distance": min(error for error, _ in bent),
        "relu_asymmetry": min(asymmetry for _, asymmetry in bent),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder for the picture")
    main(parser.parse_args().out)
