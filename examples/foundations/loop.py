"""The loop: forward, loss, backpropagate, update; by hand, then in four lines.

Claim. Backpropagation is the chain rule, nothing more. The script does one step of gradient descent
on a network 2-2-2 by hand, with every derivative written out, and again with Lamina's four lines:
the numbers agree to the last digits of float64, and with those published for this very network by
Matt Mazur ("A Step by Step Backpropagation Example", 2015): outputs 0.75136507 and 0.772928465,
loss 0.298371109, w5 from 0.40 to 0.35891648.

Look at the picture: the same step, ten thousand times.

Run it: python loop.py [--out DIR]
"""

from __future__ import annotations

import argparse
from math import exp
from pathlib import Path

import lamina
from lamina import nn, optim

INPUT, TARGET = [0.05, 0.10], [0.01, 0.99]
W1, B1 = [[0.15, 0.20], [0.25, 0.30]], 0.35  # hidden: one row a unit
W2, B2 = [[0.40, 0.45], [0.50, 0.55]], 0.60  # output
LEARNING_RATE = 0.5


def by_hand() -> dict[str, list[float] | float]:
    """One step in plain Python."""

    def sigmoid(z: float) -> float:
        return 1 / (1 + exp(-z))

    # Forward.
    hidden = [sigmoid(sum(w * x for w, x in zip(row, INPUT)) + B1) for row in W1]
    output = [sigmoid(sum(w * h for w, h in zip(row, hidden)) + B2) for row in W2]
    loss = sum(0.5 * (t - o) ** 2 for t, o in zip(TARGET, output))

    # Backward: dL/dz of each output unit, then of each hidden one, through the weights between.
    d_output = [(o - t) * o * (1 - o) for t, o in zip(TARGET, output)]
    d_hidden = [
        sum(d * W2[k][j] for k, d in enumerate(d_output)) * h * (1 - h)
        for j, h in enumerate(hidden)
    ]

    # Update: every weight against its gradient, dL/dz times what the weight was multiplied with.
    w2 = [[w - LEARNING_RATE * d * h for w, h in zip(row, hidden)] for row, d in zip(W2, d_output)]
    w1 = [[w - LEARNING_RATE * d * x for w, x in zip(row, INPUT)] for row, d in zip(W1, d_hidden)]
    return {"output": output, "loss": loss, "w1": [*w1[0], *w1[1]], "w2": [*w2[0], *w2[1]]}


def network() -> nn.Sequential:
    """The same network in float64, with the same weights."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Sigmoid(), nn.Linear(2, 2), nn.Sigmoid()).double()
    with lamina.no_grad():
        for layer, weight, bias in ((model[0], W1, B1), (model[2], W2, B2)):
            layer.weight.copy_(lamina.tensor(weight, dtype=lamina.float64))
            layer.bias.fill_(bias)
    return model


def in_four_lines(steps: int) -> tuple[dict[str, list[float] | float], list[float]]:
    """What the first step gives, and the loss before each of `steps`."""
    x = lamina.tensor([INPUT], dtype=lamina.float64)
    target = lamina.tensor([TARGET], dtype=lamina.float64)
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=LEARNING_RATE)
    losses: list[float] = []
    first: dict[str, list[float] | float] = {}
    for step in range(steps):
        optimizer.zero_grad()

        output = model(x)  # forward
        loss = 0.5 * nn.functional.mse_loss(output, target, reduction="sum")  # loss
        loss.backward()  # backpropagate
        optimizer.step()  # update

        losses.append(loss.item())
        if step == 0:
            first = {
                "output": output.flatten().tolist(),
                "loss": loss.item(),
                "w1": model[0].weight.flatten().tolist(),
                "w2": model[2].weight.flatten().tolist(),
            }
    return first, losses


def main(out: Path | None = None, quick: bool = False) -> dict[str, object]:
    """Both versions of one step, and their largest difference."""
    hand = by_hand()
    four, losses = in_four_lines(100 if quick else 10_000)
    pairs = []
    for key, value in hand.items():
        other = four[key]
        pairs += zip(value, other) if isinstance(value, list) else [(value, other)]
    difference = max(abs(a - b) for a, b in pairs)

    print("outputs      ", *(f"{o:.9f}" for o in hand["output"]))
    print(f"loss          {hand['loss']:.9f}")
    print(f"w5            0.40 -> {hand['w2'][0]:.8f}")
    print(f"by hand against four lines: largest difference {difference:.1e}")
    print(f"loss after {len(losses)} steps: {losses[-1]:.9f}")

    if out is not None:
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
        axes.loglog(range(1, len(losses) + 1), losses)
        fall = f"loss {losses[0]:.2f} to {losses[-1]:.1e}"
        title = f"The same four lines, {len(losses):,} times: {fall}"
        axes.set(title=title, xlabel="step", ylabel="loss")
        axes.grid(alpha=0.3)
        figure.savefig(out / "loop.png", dpi=120)
        plt.close(figure)
    return {**hand, "difference": difference, "losses": losses}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder for the picture")
    main(parser.parse_args().out)
