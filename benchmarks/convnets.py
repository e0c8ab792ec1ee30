"""The convolutional networks that are trained, written once for every library that speaks PyTorch.

Their reference is a run of Lamina in float64, which PyTorch's results have to agree with too.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from benchmarks.models import LABELS, Parameters, torch_trainer

CLASSES = 10


@dataclass(frozen=True)
class ConvNetwork:
    """A network for square images.

    Parameters
    ----------
    kind : str
        "CNN": two convolutions of 5x5 with ReLU and max pooling, then two linear layers;
        "ResNet-8": a convolution of 3x3 and three basic blocks (He et al., 2016), of which the last
        two halve the image and double the channels, then the average of each channel.
    channels, width : int
        Of the images, and of the first convolution.
    size : int
        Side of the images.
    hidden : int
        Features between the CNN's linear layers.
    """

    kind: Literal["CNN", "ResNet-8"]
    channels: int
    size: int
    width: int = 16
    hidden: int = 128

    @property
    def name(self) -> str:
        return f"{self.kind} {self.channels}x{self.size}x{self.size}"

    def model(self, torch: Any) -> Any:
        """The network in Lamina or PyTorch, whichever `torch` is."""
        return (_cnn if self.kind == "CNN" else _resnet)(torch, self)

    def parameters(self, rng: np.random.Generator) -> Parameters:
        """Every parameter in the order of the model's, in float32.

        Weights are uniform by their fan-in, scales of batch norm near 1, shifts and biases near 0.
        """
        import lamina

        found: Parameters = []
        for name, parameter in self.model(lamina).named_parameters():
            shape = tuple(parameter.shape)
            if len(shape) > 1:
                bound = (3.0 / np.prod(shape[1:])) ** 0.5
                value = rng.uniform(-bound, bound, shape)
            else:
                value = 0.1 * rng.standard_normal(shape) + name.endswith("weight")
            found.append(value.astype(np.float32))
        return found

    def data(self, rng: np.random.Generator, batch: int) -> tuple[Any, list[Any]]:
        """Images and the sets of labels [batch] in int64."""
        x = rng.standard_normal((batch, self.channels, self.size, self.size), np.float32)
        return x, [rng.integers(0, CLASSES, batch) for _ in range(LABELS)]

    def flops(self, batch: int) -> float:
        """Count a training step's, products only: forward, and both backward but for the images."""
        side, wide = self.size, self.width
        if self.kind == "CNN":
            first = self.channels * wide * 25 * side**2
            rest = wide * 2 * wide * 25 * (side // 2) ** 2
            features = 2 * wide * (side // 4) ** 2
            rest += features * self.hidden + self.hidden * CLASSES
        else:
            first = self.channels * wide * 9 * side**2
            rest = 2 * wide * wide * 9 * side**2
            for stage in (1, 2):
                out, pixels = wide << stage, (side >> stage) ** 2
                rest += pixels * out * (out // 2 * (9 + 1) + out * 9)
            rest += 4 * wide * CLASSES
        return 2.0 * batch * (2 * first + 3 * rest)


def _cnn(torch: Any, network: ConvNetwork) -> Any:
    nn, wide = torch.nn, network.width
    features = 2 * wide * (network.size // 4) ** 2
    return nn.Sequential(
        nn.Conv2d(network.channels, wide, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(wide, 2 * wide, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(features, network.hidden),
        nn.ReLU(),
        nn.Linear(network.hidden, CLASSES),
    )


def _resnet(torch: Any, network: ConvNetwork) -> Any:
    nn = torch.nn

    def normed(fan_in: int, fan_out: int, kernel: int, stride: int) -> tuple[Any, Any]:
        conv = nn.Conv2d(fan_in, fan_out, kernel, stride, kernel // 2, bias=False)
        return conv, nn.BatchNorm2d(fan_out)

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self, fan_in: int, fan_out: int, stride: int) -> None:
            super().__init__()
            first, second = normed(fan_in, fan_out, 3, stride), normed(fan_out, fan_out, 3, 1)
            self.body = nn.Sequential(*first, nn.ReLU(), *second)
            same = stride == 1 and fan_in == fan_out
            shortcut = [nn.Identity()] if same else normed(fan_in, fan_out, 1, stride)
            self.shortcut = nn.Sequential(*shortcut)
            self.relu = nn.ReLU()

        def forward(self, x: Any) -> Any:
            return self.relu(self.body(x) + self.shortcut(x))

    wide = network.width
    return nn.Sequential(
        *normed(network.channels, wide, 3, 1),
        nn.ReLU(),
        Block(wide, wide, 1),
        Block(wide, 2 * wide, 2),
        Block(2 * wide, 4 * wide, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * wide, CLASSES),
    )


def run_in_float64(
    network: ConvNetwork, parameters: Parameters, x: Any, labels: list[Any], steps: int
) -> tuple[Parameters, list[float]]:
    """Gradients of the first set of labels, and the losses of some steps, of Lamina in float64."""
    import lamina

    wide = [p.astype(np.float64) for p in parameters]
    trainer = torch_trainer(lamina, network, wide, x.astype(np.float64), labels)
    assert trainer.gradients is not None
    gradients = trainer.gradients()
    return gradients, [float(trainer.step()) for _ in range(steps)]


def moved(parameters: Parameters, relative: float) -> Parameters:
    """The parameters, each a random part of `relative` of itself away."""
    rng = np.random.default_rng(1)
    return [p.astype(np.float64) * (1 + relative * rng.uniform(-1, 1, p.shape)) for p in parameters]


def longest_sums(parameters: Parameters, batch: int, size: int) -> float:
    """Say how many roundings a result of a forward and a backward pass has, about.

    For each layer the root of how many terms its sums have, both ways, and of all pixels.
    """
    fans = [float(np.prod(p.shape[1:])) for p in parameters if p.ndim > 1]
    pixels = float(batch * size * size)
    return 2 * sum(f**0.5 for f in itertools.chain(fans, [pixels]))
