"""XOR: what one line can't do, one hidden layer of two units can.

Claim. A network 2-2-1 learns XOR, 4 of 4. It does so by moving the four points: in the space of its
hidden units a line separates them, so that the perceptron's rule, which never stops on the inputs,
stops there.

Not every start gets there: with two hidden units some end in a local minimum. The script counts how
many of the starts it tries succeed, and shows the first that does.

Look at the picture: on the left the inputs, with the network's answer as colour; on the right the
same four points where the hidden layer put them, and a line between them.

Run it: python xor.py [--out DIR]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import lamina
from lamina import nn, optim

X = lamina.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
Y = lamina.tensor([[0.0], [1.0], [1.0], [0.0]])


def train(seed: int, steps: int = 500) -> nn.Sequential:
    """A 2-2-1 network after `steps` of Adam on the four points."""
    lamina.manual_seed(seed)
    model = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1))
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    loss_fn = nn.BCEWithLogitsLoss()
    for _ in range(steps):
        optimizer.zero_grad()
        loss_fn(model(X), Y).backward()
        optimizer.step()
    return model


@lamina.no_grad()
def correct(model: nn.Sequential) -> int:
    """How many of the four answers are right."""
    return int(((model(X) > 0) == (Y > 0.5)).sum().item())


def separating_line(points: lamina.Tensor, max_epochs: int = 10_000) -> list[float] | None:
    """Rosenblatt's rule; None when it has not stopped after `max_epochs`."""
    inputs = lamina.cat([points, lamina.ones(len(points), 1)], dim=1)
    labels = (2 * Y - 1).flatten()
    w = lamina.zeros(3)
    for _ in range(max_epochs):
        wrong = labels * (inputs @ w) <= 0
        if not wrong.any():
            return w.tolist()
        first = wrong.nonzero()[0, 0]
        w = w + labels[first] * inputs[first]
    return None


@lamina.no_grad()
def draw(model: nn.Sequential, hidden: lamina.Tensor, line: list[float], path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.5), layout="constrained")
    n = 120
    t = lamina.linspace(-0.5, 1.5, n)
    grid = lamina.stack([t.expand(n, n), t.unsqueeze(1).expand(n, n)], dim=-1)
    answer = lamina.sigmoid(model(grid.reshape(-1, 2))).reshape(n, n)
    box = (-0.5, 1.5, -0.5, 1.5)
    shown = left.imshow(
        answer.tolist(), origin="lower", extent=box, cmap="coolwarm", vmin=0, vmax=1
    )
    figure.colorbar(shown, ax=left, label="network's probability of 1")
    for axes, points in ((left, X), (right, hidden)):
        axes.scatter(*points.T.tolist(), c=Y.flatten().tolist(), cmap="coolwarm", s=120,
                     edgecolors="black", zorder=3)  # fmt: skip
        for (a, b), (p, q) in zip(X.tolist(), points.tolist()):
            axes.annotate(f"{a:.0f} xor {b:.0f}", (p, q), xytext=(9, 6), textcoords="offset points")
    left.set(title="Inputs: no line separates XOR", xlabel="$x_1$", ylabel="$x_2$")
    w0, w1, b = line
    ends = [-1.6, 1.6]
    if abs(w1) > abs(w0):
        right.plot(ends, [-(w0 * at + b) / w1 for at in ends], "k--")
    else:
        right.plot([-(w1 * at + b) / w0 for at in ends], ends, "k--")
    right.set(title="Hidden layer: one line does", xlabel="hidden unit 1", ylabel="hidden unit 2",
              xlim=(-1.3, 1.5), ylim=(-1.3, 1.3))  # fmt: skip
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(out: Path | None = None, quick: bool = False) -> dict[str, float]:
    """Train from several starts; returns how many solved XOR, and what the solved one shows."""
    models = [train(seed) for seed in range(5 if quick else 20)]
    solved = [model for model in models if correct(model) == 4]
    print(f"XOR with two hidden units: {len(solved)} of {len(models)} starts get 4 of 4")
    model = solved[0]
    with lamina.no_grad():
        hidden = model[:2](X)
    line = separating_line(hidden)
    print(f"hidden space: {'separable' if line else 'not separable'} by the perceptron's rule")
    print(f"input space: {'separable' if separating_line(X, 1000) else 'not separable'}")
    if out is not None and line is not None:
        draw(model, hidden, line, out / "xor.png")
    return {
        "correct": correct(model),
        "solved": len(solved),
        "starts": len(models),
        "hidden_separable": line is not None,
        "input_separable": separating_line(X, 1000) is not None,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder for the picture")
    main(parser.parse_args().out)
