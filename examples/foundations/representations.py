"""Layer by layer a network makes its input easier to read: edges, then parts, then objects.

Claim. Train a linear classifier, a probe, on what each layer of a trained CNN puts out: its test
accuracy rises from the pixels to the last layer (Alain and Bengio, "Understanding intermediate
layers using linear classifier probes", 2016). All probes get as many features, drawn at random, and
so rise by what these say, not by their number. Before training the last layer is worse to read. On
drawn shapes the first filters turn from noise into edges (Zeiler and Fergus, "Visualizing and
understanding convolutional networks", 2014), nearly twice as oriented; some end as blobs.

Look at the picture: drawn shapes above, Fashion-MNIST (digits where it is absent) below. Filters,
the most oriented first; what some see in four inputs; probes, each seed a thin line. Depth adds
nearly all to shapes, little to clothes, which pixels tell apart nearly as well.

Run it: python representations.py [--out DIR] [--quick]
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import lamina
from lamina import Tensor, datasets, nn, optim
from lamina.nn import functional as F
from lamina.train import Trainer

DEPTHS = ["pixels", "layer 1", "layer 2", "layer 3"]


def drawn(n: int, size: int = 28) -> tuple[Tensor, Tensor]:
    """Outlines of circles, squares, triangles, crosses; place, size and angle vary, with noise."""
    label = lamina.arange(n) % 4
    left, top, radius, turn = lamina.rand(4, n, 1, 1)
    radius, turn = 5 + 4 * radius, 2 * math.pi * turn
    pixel = lamina.arange(size).float()
    dx, dy = pixel - (10 + 7 * left), pixel.unsqueeze(1) - (10 + 7 * top)
    x = (dx * turn.cos() + dy * turn.sin()) / radius
    y = (dy * turn.cos() - dx * turn.sin()) / radius
    r = (x * x + y * y).sqrt()
    circle = (r - 0.9).abs()
    square = (lamina.maximum(x.abs(), y.abs()) - 0.8).abs()
    triangle = (lamina.maximum(y, 0.866 * x.abs() - 0.5 * y) - 0.6).abs()
    cross = lamina.maximum(lamina.minimum(x.abs(), y.abs()), r - 1)
    distance = radius * lamina.stack([circle, square, triangle, cross])[label, lamina.arange(n)]
    return ((1.3 - distance).clamp(0, 1) + 0.3 * lamina.randn(n, size, size)).unsqueeze(1), label


def images(name: str, quick: bool) -> tuple[Tensor, ...]:
    """Images (n, 1, side, side) and labels to train, and the same to test."""
    lamina.manual_seed(0)
    if name == "shapes":
        return *drawn(4000 if quick else 8000), *drawn(2000)
    try:
        data, size = datasets.fashion_mnist(), (-1, 1, 28, 28)
    except OSError:  # it is not there
        data, size = datasets.digits(), (-1, 1, 8, 8)
    (x, y), (x_test, y_test) = data.train.tensors, data.test.tensors
    some = lamina.randperm(len(x))[: 4000 if quick else 16000]
    return x[some].reshape(size), y[some], x_test[:4000].reshape(size), y_test[:4000]


def network(side: int) -> nn.Sequential:
    """Three layers of filters, each halving the image, and a linear one."""
    layers = [
        nn.Sequential(nn.Conv2d(inputs, outputs, k, padding=k // 2), nn.ReLU(), nn.MaxPool2d(2))
        for inputs, outputs, k in ((1, 16, 5), (16, 32, 3), (32, 32, 3))
    ]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * (side // 8) ** 2, 10))


def probe(x: Tensor, y: Tensor, x_test: Tensor, y_test: Tensor) -> float:
    """Test accuracy of multinomial logistic regression: convex, so no luck is in it."""
    x, x_test = ((part - x.mean(dim=0)) / (x.std(dim=0) + 1e-3) for part in (x, x_test))
    linear = nn.Linear(x.shape[1], 10)
    optimizer = optim.LBFGS(linear.parameters(), max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(linear(x), y) + 1e-3 * linear.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return (linear(x_test).argmax(dim=1) == y_test).float().mean().item()


def probes(model: nn.Sequential, data: tuple[Tensor, ...]) -> list[float]:
    """A probe for the pixels and for each layer, all with as many features as the last one has."""
    x, y, x_test, y_test = data[0][:8000], data[1][:8000], *data[2:]
    with lamina.no_grad():
        found = [(model[:k](x).flatten(1), model[:k](x_test).flatten(1)) for k in range(4)]
    some = [lamina.randperm(a.shape[1])[: found[-1][0].shape[1]] for a, _ in found]
    return [probe(a[:, i], y, b[:, i], y_test) for (a, b), i in zip(found, some)]


@lamina.no_grad()
def orientation(filters: Tensor) -> Tensor:
    """1 for a filter that answers to gratings of one orientation only, 0 if all are alike to it."""
    t = lamina.arange(filters.shape[-1]) - (filters.shape[-1] - 1) / 2
    angle = lamina.arange(24).reshape(24, 1, 1) * (math.pi / 24)
    frequency = lamina.linspace(0.1, 0.5, 9).reshape(9, 1, 1, 1)  # periods a pixel
    phase = 2 * math.pi * frequency * (t * angle.cos() + t.unsqueeze(1) * angle.sin())
    waves = lamina.cat([phase.cos(), phase.sin()])
    energy = lamina.einsum("waij,nij->nwa", waves, filters[:, 0]).square().sum(dim=1)
    x, y = energy @ (2 * angle.flatten()).cos(), energy @ (2 * angle.flatten()).sin()
    return (x * x + y * y).sqrt() / energy.sum(dim=1)


def study(name: str, seeds: int, quick: bool) -> tuple[dict[str, Tensor], nn.Sequential, tuple]:
    """Probes and orientation of each seed, before and after training; the last network and data."""
    rows: dict[str, list[list[float]]] = {"as it started": [], "trained": []}
    data = images(name, quick)
    for seed in range(seeds):
        lamina.manual_seed(seed)
        model = network(data[0].shape[-1])
        for when, found in rows.items():
            if when == "trained":
                trainer = Trainer(model, optimizer="adamw", weight_decay=0.1, schedule="cosine")
                epochs = 6 if len(data[0]) > 2000 else 60
                trainer.fit(data[:2], epochs=epochs, seed=seed, progress=None)
            found.append([*probes(model, data), orientation(model[0][0].weight).mean().item()])
    return {when: lamina.tensor(found) for when, found in rows.items()}, model, data


def mosaic(tiles: Tensor) -> list[list[float]]:
    """Tiles (rows, columns, side, side) as one image, with gaps; each tile's largest value is 1."""
    tiles = F.pad(tiles / tiles.abs().amax(dim=(2, 3), keepdim=True), (1, 1, 1, 1), value=math.nan)
    return tiles.movedim(2, 1).flatten(0, 1).flatten(1).tolist()


@lamina.no_grad()
def draw(axes, name: str, medians: dict, rows: dict, model: nn.Sequential, data: tuple) -> None:
    """A row of the picture: filters, what some of them see in four inputs, probes."""
    filters = model[0][0].weight[orientation(model[0][0].weight).argsort(descending=True)]
    axes[0].imshow(mosaic(filters.reshape(4, 4, 5, 5)), cmap="coolwarm", vmin=-1, vmax=1,
                   interpolation="nearest")  # fmt: skip
    a, b = (found[-1] for found in medians.values())
    axes[0].set(title=f"{name}: filters' orientation {a:.2f} to {b:.2f}", xticks=[], yticks=[])
    side, four = data[2].shape[-1], [0, 1, 2, 3] if name == "Shapes" else [1, 5, 8, 9]
    columns = [lamina.stack([data[2][data[3] == label][0].clamp(min=0) for label in four])]
    for maps in (model[:depth](columns[0]) for depth in (1, 2, 3)):
        liveliest = maps.std(dim=(0, 2, 3)).argsort(descending=True)[:2]
        columns.append(F.interpolate(maps[:, liveliest], size=(side, side)))
    axes[1].imshow(mosaic(lamina.cat(columns, dim=1)), cmap="gray", interpolation="nearest")
    axes[1].set_xticks([(side + 2) * at for at in (0.5, 2, 4, 6)], ["input", *DEPTHS[1:]])
    axes[1].set(title="Two maps of each layer, ever coarser", yticks=[])
    for (when, found), style in zip(rows.items(), ("C1s--", "C0o-")):
        axes[2].plot((100 * found[:, :4]).T.tolist(), style[:2], alpha=0.3, linewidth=1)
        axes[2].plot([100 * value for value in medians[when][:4]], style, label=when)
    first, *_, last, _ = (100 * value for value in medians["trained"])
    title = f"Probes: {first:.0f}% right on pixels, {last:.0f}% on layer 3"
    axes[2].set(title=title, ylabel="test accuracy of the probe (%)")
    axes[2].set_xticks(range(4), DEPTHS)
    axes[2].legend()


def main(out: Path | None = None, quick: bool = False) -> dict[str, dict[str, list[float]]]:
    """Medians over the seeds: accuracies of the probes by depth, orientation of the filters."""
    print(f"{'accuracy of probes':22}", *(f"{depth:>8}" for depth in DEPTHS), "  orientation")
    studies, result = {}, {}
    for name in ("shapes", "clothes"):
        rows, *_ = studies[name] = study(name, 2 if quick else 3, quick)
        result[name] = {when: found.median(dim=0).values.tolist() for when, found in rows.items()}
        for when, values in result[name].items():
            print(f"{f'{name}, {when}':22}", *(f"{value:8.3f}" for value in values))
        pixels, first, _, last, oriented = result[name]["trained"]
        *_, start, noise = result[name]["as it started"]
        assert pixels < first < last, f"{name}: {pixels:.3f}, {first:.3f}, {last:.3f} do not rise"
        assert start + 0.01 < last, f"{name}: last layer {last:.3f}, without training {start:.3f}"
        oriented_now = oriented > 1.3 * noise or name == "clothes"
        assert oriented_now, f"{name}: orientation {noise:.2f}, after training {oriented:.2f}"

    if out is not None:
        from matplotlib.figure import Figure

        out.mkdir(parents=True, exist_ok=True)
        figure = Figure(figsize=(12.4, 7.4), layout="constrained")
        for axes, (name, kept) in zip(figure.subplots(2, 3), studies.items()):
            draw(axes, name.capitalize(), result[name], *kept)
        figure.savefig(out / "representations.png", dpi=120)
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder for the picture")
    parser.add_argument("--quick", action="store_true", help="fewer steps and seeds")
    arguments = parser.parse_args()
    main(arguments.out, arguments.quick)
