"""Loss landscapes: skip connections make a bowl of a deep net's narrow, crooked pit.

Claim. Around its trained weights a deep plain net has a sharp and non-convex loss; the same net
with skip connections, as large and trained to the same loss, a flatter and nearly convex one (Li,
Xu, Taylor, Studer, Goldstein, "Visualizing the Loss Landscape of Neural Nets", 2018). Asserted for
every seed on planes of filter-normalised random directions, where a step means the same for both
nets: the loss curves downward at more points, and rises higher. At the solution itself the largest
eigenvalue of the Hessian is asserted as a median: it is larger without skip connections for 20 of
20 seeds here, but with 30 layers for 17 of 20, and at a quarter of the loss for 7 of 10 of those.

What skip connections do not do is join the solutions of two seeds. On the straight way between them
(Goodfellow, Vinyals, Saxe, "Qualitatively characterizing neural network optimization problems",
2015) the loss of both nets comes near ln 10 = 2.3, that of guessing.

Look at the picture: the same 20 layers without and with "x +", colours and heights to one scale;
of seed 0, while the printed numbers are medians over all seeds.

Run it: python landscapes.py [--out DIR] [--quick]
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from math import log
from pathlib import Path
from statistics import median

import lamina
from lamina import datasets, landscape, nn, optim
from lamina.nn import functional as F

DEPTH, WIDTH, ENOUGH, SPAN = 20, 32, 0.02, 0.5
MEASURED = ("sharpness", "downward", "highest", "barrier")
X, Y = datasets.digits().train.tensors


class Deep(nn.Module):
    """`DEPTH` hidden ReLU layers of equal width, plain or with skip connections."""

    def __init__(self, skip: bool) -> None:
        super().__init__()
        self.skip = skip
        self.first, self.last = nn.Linear(64, WIDTH), nn.Linear(WIDTH, 10)
        self.hidden = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(DEPTH))
        for layer in self.hidden:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
            if skip:  # the branches add up: smaller ones keep the size of the signal
                layer.weight.data /= DEPTH**0.5

    def forward(self, x: lamina.Tensor) -> lamina.Tensor:
        """Logits of the ten digits."""
        x = F.relu(self.first(x))
        for layer in self.hidden:
            x = x + F.relu(layer(x)) if self.skip else F.relu(layer(x))
        return self.last(x)


def loss_of(model: nn.Module) -> lamina.Tensor:
    """The loss on all training digits, the function whose landscape this is."""
    return F.cross_entropy(model(X), Y)


def train(skip: bool, seed: int, epochs: int = 400) -> Deep:
    """A net trained until its loss is at most `ENOUGH`."""
    lamina.manual_seed(seed)
    model = Deep(skip)
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(epochs):
        for rows in lamina.randperm(len(Y)).split(128):
            optimizer.zero_grad()
            F.cross_entropy(model(X[rows]), Y[rows]).backward()
            optimizer.step()
        with lamina.no_grad():
            if loss_of(model).item() <= ENOUGH:
                return model
    raise AssertionError(f"seed {seed} is not at a loss of {ENOUGH} after {epochs} epochs")


def surroundings(model: Deep, seed: int, points: int) -> landscape.Plane:
    """The loss on a plane of two random directions, each filter moved by up to half its length."""
    first, second = (landscape.random_direction(model, 2 * seed + i) for i in range(2))
    return landscape.plane(model, loss_of, first, second, span=(-SPAN, SPAN), points=points)


def downward(plane: landscape.Plane) -> float:
    """Share of the points where the loss curves downward along an axis; 0 where it is convex."""
    z = plane.losses
    along = (z[:, 2:] - 2 * z[:, 1:-1] + z[:, :-2]) < 0
    across = (z[2:] - 2 * z[1:-1] + z[:-2]) < 0
    return (along.double().mean().item() + across.double().mean().item()) / 2


def measure(skip: bool, seeds: int, points: int) -> dict:
    """Train once a seed and look around; interpolate from each solution to the next."""
    models = [train(skip, seed) for seed in range(seeds)]
    planes = [surroundings(model, seed, points) for seed, model in enumerate(models)]
    tops = [landscape.top_eigenvalue(model, loss_of, tol=1e-2) for model in models]
    assert all(top.converged for top in tops)
    states = [model.state_dict() for model in models]
    ways = [landscape.interpolate(models[0], loss_of, *two) for two in pairwise(states)]
    return {
        "size": sum(p.numel() for p in models[0].parameters()),
        "planes": planes,
        "ways": ways,
        "sharpness": [top.value for top in tops],
        "downward": [downward(plane) for plane in planes],
        "highest": [plane.losses.max().item() for plane in planes],
        "barrier": [way.barrier for way in ways],
    }


def draw(nets: dict[str, dict], path: Path) -> None:
    """The first seed's planes to one scale, one way between two solutions, all eigenvalues."""
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(12, 7.2), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.15)
    levels = [10 ** (i / 4) for i in range(-8, 11)]  # 0.01 to 300
    flats = []
    for column, (name, net) in enumerate(nets.items()):
        plane, share, top = net["planes"][0], net["downward"][0], net["highest"][0]
        flats.append(figure.add_subplot(2, 3, 1 + column, aspect="equal"))
        colours = landscape.plot_contour(plane, flats[-1], log=True, levels=levels)
        flats[-1].set_title(f"Seed 0, {name}: {share:.0%} curves downward")
        deep = figure.add_subplot(2, 3, 4 + column, projection="3d")
        landscape.plot_surface(plane, deep, log=True)
        deep.set(title=f"Seed 0, {name}: rises to a loss of {top:.0f}", zlim=(-2, 2.5))
    figure.colorbar(colours, ax=flats, label="loss", shrink=0.8)
    between, sharp = figure.add_subplot(2, 3, 3), figure.add_subplot(2, 3, 6)
    for name, net in nets.items():
        way, tops = net["ways"][0], net["sharpness"]
        between.plot(way.coordinates.tolist(), way.losses.tolist(), label=name)
        sharp.plot(range(len(tops)), tops, "o", label=f"{name}, median {median(tops):.0f}")
    between.axhline(log(10), color="black", ls=":", label="guessing, ln 10")
    heights = ", ".join(f"{net['barrier'][0]:.1f}" for net in nets.values())
    between.set(title=f"Seeds 0 and 1: barriers {heights}", ylabel="loss", ylim=(0, 3.8),
                xlabel="way from one solution to the other")  # fmt: skip
    sharp.set(title="Plain is sharper at equal loss", xlabel="seed", xticks=range(len(tops)),
              ylabel="top Hessian eigenvalue", ylim=(0, 1500))  # fmt: skip
    for axes in (between, sharp):
        axes.legend(loc="upper right")
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main(out: Path | None = None, quick: bool = False) -> dict[str, dict]:
    """Both nets over several seeds; returns what was measured of each."""
    kinds = {"plain": False, "skip": True}
    nets = {n: measure(s, 3 if quick else 7, 15 if quick else 25) for n, s in kinds.items()}
    for name, net in nets.items():
        tops, share, highest, barrier = (median(net[key]) for key in MEASURED)
        print(f"{name:5} {net['size']:,} weights: top eigenvalue {tops:.0f}, curves downward at "
              f"{share:.1%}, rises to {highest:.0f}, barrier {barrier:.1f}")  # fmt: skip
    plain, skip = nets.values()
    ratio = median(a / b for a, b in zip(plain["sharpness"], skip["sharpness"]))
    count = len(plain["sharpness"])
    print(f"all medians over {count} seeds; the plain net is {ratio:.1f} times as sharp")
    assert ratio > 1.5, f"the plain net is only {ratio:.2f} times as sharp"
    for key in ("downward", "highest"):
        for a, b in zip(plain[key], skip[key]):
            assert a > 2 * b, f"{key}: {a:.3g} of the plain net is not twice {b:.3g} of the other"
    assert min(plain["barrier"] + skip["barrier"]) > 1, "two solutions without a barrier"
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        draw(nets, out / "landscapes.png")
    return {name: {key: net[key] for key in ("size", *MEASURED)} for name, net in nets.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder for the picture")
    parser.add_argument("--quick", action="store_true", help="fewer steps and seeds")
    arguments = parser.parse_args()
    main(arguments.out, arguments.quick)
