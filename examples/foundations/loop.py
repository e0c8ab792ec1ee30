"""The loop: forward, loss, backpropagate, update; by hand, then in four lines.

Claim. Backpropagation is the chain rule, nothing more. The script does one step of gradient descent
on a network 2-2-2 by hand, with every derivative written out, and again with Lamina's four lines:
the numbers agree to the last digits of float64, and with those published for this very network by
Matt Mazur ("A Step by Step Backpropagation Example", 2015): outputs 0.75136507 and 0.772928465,
loss 0.298371109, w5 from 0.40 to 0.35891648, and after 10,000 steps the loss 0.0000351085.
A gradient is also what central differences tend to, (L(w + h) - L(w - h)) / 2h. Their error is h^2
times a third derivative, plus the rounding of L over h: on log axes a V with slopes 2 and -1. Its
tip, near h = eps^(1/3) = 6e-6, is as good as differences get, some 11 digits: enough to check a
gradient with, at two runs of the network for each weight.

Look at the picture: left, what the one step computes; then the V, and the step ten thousand times.

Run it: python loop.py [--out DIR] [--quick]
"""

from __future__ import annotations

import argparse
from itertools import product
from math import exp, log10
from pathlib import Path
from typing import Any

import lamina
from lamina import Tensor, nn, optim

INPUT, TARGET = [0.05, 0.10], [0.01, 0.99]
W1, B1 = [[0.15, 0.20], [0.25, 0.30]], 0.35  # hidden: one row a unit
W2, B2 = [[0.40, 0.45], [0.50, 0.55]], 0.60  # output
LEARNING_RATE = 0.5
X, T = (lamina.tensor([values], dtype=lamina.float64) for values in (INPUT, TARGET))


def by_hand() -> dict[str, Any]:
    """One step in plain Python."""

    def sigmoid(z: float) -> float:
        return 1 / (1 + exp(-z))

    # Forward.
    hidden = [sigmoid(sum(w * x for w, x in zip(row, INPUT)) + B1) for row in W1]
    output = [sigmoid(sum(w * h for w, h in zip(row, hidden)) + B2) for row in W2]
    loss = sum(0.5 * (t - o) ** 2 for t, o in zip(TARGET, output))

    # Backward: dL/dz of each output unit, then of each hidden one, through the weights between.
    d_output = [(o - t) * o * (1 - o) for t, o in zip(TARGET, output)]
    arriving = [sum(d * w for d, w in zip(d_output, column)) for column in zip(*W2)]
    d_hidden = [a * h * (1 - h) for a, h in zip(arriving, hidden)]
    d_w2 = [[d * h for h in hidden] for d in d_output]  # dL/dz times what the weight multiplied
    d_w1 = [[d * x for x in INPUT] for d in d_hidden]

    # Update: every weight against its gradient.
    w2 = [w - LEARNING_RATE * d for row, ds in zip(W2, d_w2) for w, d in zip(row, ds)]
    w1 = [w - LEARNING_RATE * d for row, ds in zip(W1, d_w1) for w, d in zip(row, ds)]
    step = {"output": output, "loss": loss, "w1": w1, "w2": w2}
    return {**step, "hidden": hidden, "d_w1": d_w1, "d_w2": d_w2}


def network() -> nn.Sequential:
    """The same network in float64, with the same weights."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Sigmoid(), nn.Linear(2, 2), nn.Sigmoid()).double()
    with lamina.no_grad():
        for layer, weight, bias in ((model[0], W1, B1), (model[2], W2, B2)):
            layer.weight.copy_(lamina.tensor(weight, dtype=lamina.float64))
            layer.bias.fill_(bias)
    return model


def squares(output: Tensor) -> Tensor:
    """Half the sum of squared errors, as Mazur has it."""
    return 0.5 * nn.functional.mse_loss(output, T, reduction="sum")


def in_four_lines(steps: int) -> tuple[list[float], list[float]]:
    """The loss before each step; the last output, and the weights in the end, in one list."""
    model = network()
    weights = [model[0].weight, model[2].weight]  # Mazur leaves the biases as they are
    optimizer = optim.SGD(weights, lr=LEARNING_RATE)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()

        output = model(X)  # forward
        loss = squares(output)  # loss
        loss.backward()  # backpropagate
        optimizer.step()  # update

        losses.append(loss.item())
    return losses, lamina.cat([v.flatten() for v in (output, *weights)]).tolist()


def difference_error(h: float) -> float:
    """How far central differences are from the gradient: root mean square over all weights."""
    model = network()
    weights = list(model.parameters())
    squares(model(X)).backward()
    gradient = [d for weight in weights for d in weight.grad.flatten().tolist()]
    start = nn.utils.parameters_to_vector(weights).detach()
    error = 0.0
    for i, derivative in enumerate(gradient):
        losses = []
        for shift in (h, -h):
            moved = start + shift * lamina.eye(len(start), dtype=start.dtype)[i]
            nn.utils.vector_to_parameters(moved, weights)
            losses.append(squares(model(X)).item())
        error += ((losses[0] - losses[1]) / (2 * h) - derivative) ** 2 / len(gradient)
    return error**0.5


def draw(hand: dict[str, Any], hs: list[float], errors: list[float], losses: list[float]) -> Any:
    """The network with what the step computes, the V of the differences, the fall of the loss."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6), layout="constrained")
    axes = figure.subplot_mosaic("nv;nl")
    net, vee, fall, style = axes["n"], axes["v"], axes["l"], {"ha": "center", "va": "center"}
    for x, (weights, gradients) in enumerate(((W1, hand["d_w1"]), (W2, hand["d_w2"]))):
        for to, start in product((0, 1), (0, 1)):
            net.plot([x, x + 1], [-start, -to], color="grey", zorder=1)
            text = f"{weights[to][start]:.2f}\n{gradients[to][start]:+.4f}"
            at = (x + 0.36, -start + 0.36 * (start - to))
            net.text(*at, text, bbox={"color": "white", "pad": 0}, color="tab:red", **style)
    for (x, values), y in product(enumerate((INPUT, hand["hidden"], hand["output"])), (0, 1)):
        net.plot(x, -y, "o", ms=48, color="white", mec="black")
        net.text(x, -y, f"{values[y]:.4f}", color="tab:blue", **style)
    net.set(xlim=(-0.3, 2.3), ylim=(-1.2, 0.2), yticks=())
    net.set_title("One step: each weight w, and below it its gradient dL/dw")
    net.set_xticks((0, 1, 2), ("inputs", "hidden units", "outputs\n(wanted 0.01, 0.99)"))
    vee.loglog(hs, errors, "o-", ms=3)
    vee.set(xlabel="step h of the differences", ylabel="error of the gradient (rms)")
    vee.set_title(f"Differences for the gradient: {min(errors):.0e} off at the best h")
    vee.text(1e-12, 1e-8, "rounding:\nslope -1", ha="center")
    vee.text(1e-1, 1e-10, "third derivative:\nslope 2", ha="center")
    fall.loglog(range(1, len(losses) + 1), losses)
    fall.set(xlabel="step", ylabel="loss")
    fall.set_title(f"10,000 such steps: the loss falls from {losses[0]:.2f} to {losses[-1]:.1e}")
    return figure


def main(out: Path | None = None, quick: bool = False) -> dict[str, Any]:
    """Both versions of a step, ten thousand steps, differences at many h; return the numbers."""
    hand = by_hand()
    loss, others = in_four_lines(1)
    mine = [hand["loss"], *hand["output"], *hand["w1"], *hand["w2"]]
    difference = max(abs(a - b) for a, b in zip(mine, loss + others))
    losses, _ = in_four_lines(10_000)
    print("outputs ", *(f"{o:.9f}" for o in hand["output"]), f"w5 0.40 -> {hand['w2'][0]:.8f}")
    print(f"loss     {hand['loss']:.9f}, after 10,000 steps {losses[-1]:.10f}")
    print(f"by hand against four lines: largest difference {difference:.1e}")
    assert difference < 1e-15, f"by hand and in four lines differ by {difference:.1e}"
    assert abs(hand["loss"] - 0.298371109) < 5e-10, f"loss {hand['loss']:.9f}"
    assert abs(hand["w2"][0] - 0.35891648) < 5e-9, f"w5 becomes {hand['w2'][0]:.8f}"
    assert abs(losses[-1] - 0.0000351085) < 1e-10, f"loss {losses[-1]:.10f} after 10,000 steps"

    every = 3 if quick else 12  # a decade
    hs = [10 ** (-i / every) for i in range(13 * every + 1)]
    errors = [difference_error(h) for h in hs]
    best, best_h = min(zip(errors, hs))
    above = log10(errors[every] / errors[4 * every]) / 3  # between h = 1e-1 and 1e-4
    below = log10(errors[6 * every] / errors[13 * every]) / 7  # between h = 1e-6 and 1e-13
    print(f"differences: {best:.0e} off at h = {best_h:.0e}, slopes {above:.2f} and {below:.2f}")
    assert best < 1e-10, f"the best difference is {best:.1e} off"
    assert 1e-6 < best_h < 1e-4, f"the best h is {best_h:.1e}"
    assert abs(above - 2) < 0.05, f"slope {above:.2f} where truncation rules"
    assert abs(below + 1) < 0.2, f"slope {below:.2f} where rounding rules"

    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        draw(hand, hs, errors, losses).savefig(out / "loop.png", dpi=120)
    differences = {"best_error": best, "best_h": best_h, "slopes": [above, below]}
    return {**hand, "difference": difference, "last_loss": losses[-1], **differences}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder for the picture")
    parser.add_argument("--quick", action="store_true", help="fewer steps and seeds")
    arguments = parser.parse_args()
    main(arguments.out, arguments.quick)
