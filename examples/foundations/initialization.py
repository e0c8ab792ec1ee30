"""Initialization: the scale of the first weights decides whether 30 layers can learn at all.

Claim. In a ReLU net of width n with independent normal weights of variance v, each layer multiplies
the second moment of its input by n v / 2 on average over the weights, and on the way back that of
the gradient by the same: half of the units are off. So He's v = 2 / n keeps both at 1 through any
depth (He et al., "Delving deep into rectifiers", 2015). Xavier's v = 1 / n, made for tanh (Glorot
and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010),
halves them: 2^-30 after 30 layers. Half of He's standard deviation leaves 4^-30, twice makes 4^30.
Of these only He's net learns by gradient descent, each at its best learning rate.

The average hides something: in one net the factor of a layer has a variance of 5 / n about its
mean, and 30 of them add up. That is the measure of what is sampling error here.

Look at the picture: lines are theory, dots are measured. Single nets wander; their mean is right.

Run it: python initialization.py [--out DIR] [--quick]
"""

from __future__ import annotations

import argparse
from math import inf, isfinite, sqrt
from pathlib import Path

import lamina
from lamina import datasets, nn, optim

DEPTH, WIDTH = 30, 256
# Each law by its variance against He's, which is the factor of a layer: n v / 2.
LAWS = {"He": 1.0, "Xavier": 1 / 2, "too small": 1 / 4, "too large": 4.0}
RATES = (1e-10, 1e-3, 1e-2, 1e-1)  # the first for gradients of 4^30


def draw_weights(weight: lamina.Tensor, law: str) -> lamina.Tensor:
    """Fill a weight matrix by one of the laws."""
    if law == "He":
        return nn.init.kaiming_normal_(weight, nonlinearity="relu")
    if law == "Xavier":
        return nn.init.xavier_normal_(weight)
    return nn.init.normal_(weight, std=sqrt(LAWS[law] * 2 / weight.shape[1]))


def unit_moment(rows: int) -> lamina.Tensor:
    """Random vectors of second moment 1."""
    x = lamina.randn(rows, WIDTH)
    return x / (x * x).mean(dim=1, keepdim=True).sqrt()


def signal(law: str, nets: int) -> tuple[lamina.Tensor, lamina.Tensor]:
    """Second moments [net, layers passed] of the activations, and of the gradient going back."""
    forward, backward = [], []
    for _ in range(nets):
        activations = [unit_moment(1).requires_grad_()]
        for _ in range(DEPTH):
            weight = draw_weights(lamina.empty(WIDTH, WIDTH), law)
            activations.append(lamina.relu(activations[-1] @ weight.T))
        gradients = lamina.autograd.grad(activations[-1], activations, unit_moment(1))
        forward.append(lamina.cat(activations).detach().square().mean(dim=1))
        backward.append(lamina.cat(gradients[::-1]).square().mean(dim=1))
    return lamina.stack(forward), lamina.stack(backward)


def train(law: str, rate: float, seed: int, steps: int) -> list[float]:
    """The loss at every step of plain SGD on the digits: 30 hidden layers of 128 ReLU units."""
    lamina.manual_seed(seed)
    x, y = datasets.digits().train.tensors
    model = nn.Sequential()
    for fan_in in [64] + [128] * (DEPTH - 1):
        model.extend([nn.Linear(fan_in, 128), nn.ReLU()])
    model.append(nn.Linear(128, 10))
    for layer in model[::2]:
        draw_weights(layer.weight, law)
        nn.init.zeros_(layer.bias)
    optimizer = optim.SGD(model.parameters(), lr=rate)
    losses = []
    for _ in range(steps):
        batch = lamina.randint(0, len(y), (64,))
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
        loss.backward()
        optimizer.step()
        losses.append(loss.item() if isfinite(loss.item()) else inf)
    return losses


def final(losses: list[float]) -> float:
    """The mean loss of the last 20 steps."""
    return sum(losses[-20:]) / 20


def draw(moments: dict[str, tuple[lamina.Tensor, lamina.Tensor]], curves, path: Path) -> None:
    """What was measured on the theory's lines, single nets, and the training curves."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(10, 7.5), layout="constrained")
    passed = list(range(DEPTH + 1))
    for way, what in enumerate(("the signal", "the gradient, too")):
        ax = axes[0, way]
        for i, (law, factor) in enumerate(LAWS.items()):
            mean = moments[law][way].mean(dim=0).tolist()
            ax.semilogy(passed, [factor**layer for layer in passed], color=f"C{i}", lw=1)
            ax.semilogy(passed, mean, ".", color=f"C{i}", label=f"{law}: {mean[-1]:.1e}")
        he = moments["He"][way].mean(dim=0)[-1].item()
        ax.set_title(f"He keeps {what}: {he:.2f} after {DEPTH} layers")
        ax.set(xlabel="layers passed", ylabel="second moment, mean of the nets")
        ax.legend(loc="lower left", fontsize=9)

    single, training = axes[1]
    ends, order = moments["He"][0][:, -1].sort()
    drawn = order[:: (len(ends) - 1) // 6].tolist()[:6] + order[-1:].tolist()  # the extremes, too
    single.semilogy(passed, moments["He"][0][drawn].T.tolist(), color="C0", lw=0.8)
    mean = moments["He"][0].mean(dim=0).tolist()
    single.semilogy(passed, mean, "k", lw=2.5, label=f"mean of {len(moments['He'][0])} nets")
    single.set_title(
        f"{len(ends)} He nets end between {ends[0]:.2f} and {ends[-1]:.1f}; {len(drawn)} drawn"
    )
    single.set(xlabel="layers passed", ylabel="second moment of each net")
    single.legend()

    for i, law in enumerate(LAWS):
        runs = lamina.tensor(curves[law]).reshape(len(curves[law]), -1, 10).mean(dim=2)
        label = f"{law}: {runs[:, -2:].mean(dim=1).median().item():.3g}"
        steps = range(5, 10 * runs.shape[1], 10)
        training.plot(steps, runs.T.tolist(), f"C{i}", lw=5 if law == "Xavier" else 1.5)
        training.plot([], [], f"C{i}", label=label)
    training.set(xlabel="step of SGD, best rate for each", ylabel="loss, mean of ten steps")
    training.set(title="Only He's net learns the digits", ylim=(0, 3.2))
    training.legend(loc="lower left", title="median at the end")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(out: Path | None = None, quick: bool = False) -> dict[str, dict[str, float]]:
    """Measure both directions and train; returns factors, second moments and losses by law."""
    lamina.manual_seed(0)
    nets, seeds, steps = (24, 1, 200) if quick else (120, 3, 300)
    rates = RATES[::2] if quick else RATES
    # The factors of a layer are independent, mean LAWS[law], relative variance 5 / n: by the law
    # of large numbers over all layers and nets, and for the product of 30 over the nets.
    error = sqrt(5 / WIDTH / (DEPTH * nets))
    end_error = sqrt(((1 + 5 / WIDTH) ** DEPTH - 1) / nets)
    moments = {law: signal(law, nets) for law in LAWS}
    curves = {}
    result: dict[str, dict[str, float]] = {"forward": {}, "backward": {}, "end": {}, "loss": {}}
    for law, factor in LAWS.items():
        for way, q in zip(("forward", "backward"), moments[law]):
            measured = (q[:, 1:] / q[:, :-1]).mean().item()
            end = q[:, -1].mean().item() / factor**DEPTH
            what = f"{law}, {way}: {measured / factor:.4f} of theory a layer, {end:.2f} after all"
            assert abs(measured / factor - 1) < 4 * error, f"{what}; error {error:.4f}"
            assert abs(end - 1) < 4 * end_error, f"{what}; error {end_error:.2f}"
            result[way][law] = measured
        result["end"][law] = moments[law][0][:, -1].mean().item()

        tried = [[train(law, rate, s, steps) for s in range(seeds)] for rate in rates]
        curves[law] = min(tried, key=lambda runs: sorted(map(final, runs))[seeds // 2])
        result["loss"][law] = sorted(map(final, curves[law]))[seeds // 2]
        print(f"{law:9}  a layer: forward {result['forward'][law]:.4f}, backward "
              f"{result['backward'][law]:.4f}  after {DEPTH}: {result['end'][law]:.1e}  "
              f"trained to loss {result['loss'][law]:.3g}")  # fmt: skip
    guess = 2.3026
    assert result["loss"]["He"] < 0.75 * guess, f"He's net should learn: {result['loss']['He']:.2f}"
    for law in ("Xavier", "too small", "too large"):
        loss = result["loss"][law]
        assert loss > 0.95 * guess, f"{law} should not learn, its loss is {loss:.2f}"

    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        draw(moments, curves, out / "initialization.png")
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder for the picture")
    parser.add_argument("--quick", action="store_true", help="fewer steps and seeds")
    arguments = parser.parse_args()
    main(arguments.out, arguments.quick)
