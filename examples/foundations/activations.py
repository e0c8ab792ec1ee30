"""Activations: a unit hands gradient back multiplied by f'(z), so f' decides what can be learned.

Claim. Autograd gives the closed forms: sigmoid' = s (1 - s) <= 1/4, tanh' = 1 - tanh^2 <= 1, ReLU'
= 0 or 1, GELU' = Phi(z) + z phi(z) <= 1.129, at sqrt(2) (Hendrycks and Gimpel, "Gaussian Error
Linear Units", 2016). From them follows:
Depth. With orthogonal weights sigmoid loses a factor of 4 or more at every layer, over 20 layers
4^19 = 3e11 or more; tanh, and ReLU and GELU with weights sqrt(2) larger, lose 10 or so at most.
Saturation. The larger the weights, the more units of sigmoid and tanh have |f'| < 0.01, as many as
the normal law says; of ReLU it is one half at any scale.
Sparsity. With symmetric weights ReLU turns half of the units off, with a bias b in front of a
standard normal z the share Phi(-b) (Glorot, Bordes and Bengio, "Deep Sparse Rectifier Neural
Networks", 2011).
Dead units. Too large a learning rate pushes z below 0 for every input. The gradient of such a unit
is exactly 0: it stays as it is whatever the rate becomes. That of LeakyReLU is not.

Look at the picture: above, the functions, their derivatives, and gradient on its way back; below,
the shares of units that are saturated, off, and dead.

Run it: python activations.py [--out DIR] [--quick]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from math import atanh, erf, exp, pi, sqrt
from pathlib import Path
from statistics import median
from typing import Any

import lamina
from lamina import Tensor, datasets, nn, optim

F = nn.functional


def normal_below(z: float) -> float:
    """Phi(z), the share of a standard normal law below z."""
    return (1 + erf(z / sqrt(2))) / 2


# The function, its derivative in plain Python, and the scale of weights that suits it.
ACTIVATIONS: dict[str, Any] = {
    "sigmoid": (lamina.sigmoid, lambda z: exp(-z) / (1 + exp(-z)) ** 2, 1.0),
    "tanh": (lamina.tanh, lambda z: 4 / (exp(z) + exp(-z)) ** 2, 1.0),
    "ReLU": (F.relu, lambda z: float(z > 0), sqrt(2)),
    "GELU": (F.gelu, lambda z: normal_below(z) + z * exp(-z * z / 2) / sqrt(2 * pi), sqrt(2)),
}
SCALES, BIASES, RATES = (0.5, 1, 2, 4, 8, 16, 32), (-3, -2, -1, 0, 1, 2, 3), (0.1, 0.3, 1, 3, 10)
DEPTH, WIDTH = 20, 128


def derivative(f: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """f'(z) by autograd."""
    z = z.detach().requires_grad_()
    return lamina.autograd.grad(f(z).sum(), z)[0]


def share(condition: Tensor) -> float:
    """How many of the elements are true, from 0 to 1."""
    return float(condition.float().mean().item())


def gradient_norms(name: str, seed: int) -> list[float]:
    """The norm of the gradient for each layer's z, from the last layer (1) to the first."""
    lamina.manual_seed(seed)
    f, _, gain = ACTIVATIONS[name]
    x, zs = lamina.randn(32, WIDTH, dtype=lamina.float64).requires_grad_(), []
    for _ in range(DEPTH):
        weight = nn.init.orthogonal_(lamina.empty(WIDTH, WIDTH, dtype=lamina.float64), gain)
        zs.append(x @ weight.T)
        x = f(zs[-1])
    norms = [g.norm().item() for g in lamina.autograd.grad((x * lamina.randn_like(x)).sum(), zs)]
    return [norm / norms[-1] for norm in reversed(norms)]


def layer_of(std: float, bias: float) -> Tensor:
    """What a layer with normal weights gives for normal inputs x and -x, before the activation."""
    x = lamina.randn(1000, WIDTH)
    weight = lamina.randn(WIDTH, WIDTH) * std / sqrt(WIDTH)
    return F.linear(lamina.cat([x, -x]), weight) + bias


def train(activation: Any, rates: list[float], seed: int) -> tuple[Tensor, float, Tensor]:
    """SGD on the digits, one step a rate: dead units, their largest gradient, the weights."""
    x, y = datasets.digits().train.tensors
    lamina.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 100), activation(), nn.Linear(100, 10))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    for rate in [*rates, 0.0]:  # the step of 0 only leaves its gradient behind
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    dead, weight = (model[0](x) <= 0).all(dim=0), model[0].weight
    return dead, max(weight.grad[dead].abs().flatten().tolist(), default=0.0), weight.detach()


def draw(norms: Any, saturated: Any, off: list[float], dead: list[float]) -> Any:
    """Functions, derivatives, gradients by depth; saturation, sparsity, death."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.5, 7.5), layout="constrained")
    axes = figure.subplots(2, 3).flatten()
    z, back = lamina.linspace(-4, 4, 401), range(DEPTH)
    for i, (name, (f, _, _)) in enumerate(ACTIVATIONS.items()):
        style = {"label": name, "color": f"C{i}", "ls": ("-", "--", "-.", ":")[i], "lw": 2}
        axes[0].plot(z.tolist(), f(z).tolist(), **style)
        axes[1].plot(z.tolist(), derivative(f, z).tolist(), **style)
        axes[2].semilogy(back, norms[name], **style)
        axes[3].semilogx(SCALES, saturated[name], **style)
    axes[0].set_ylim(-1.1, 2.5)
    axes[2].semilogy(back, [4.0**-i for i in back], color="grey", label="bound for sigmoid")
    axes[4].plot(z.tolist(), [normal_below(-b) for b in z.tolist()], "grey", label="law")
    axes[4].plot(BIASES, off, "C2o", label="ReLU")
    axes[5].semilogx(RATES, dead, "C2o-", label="ReLU")
    left = f"Sigmoid leaves {norms['sigmoid'][-1]:.0e} of the gradient"
    texts = (
        ("z", "f(z)", "Sigmoid and tanh level off, two do not"),
        ("z", "f'(z)", "Their slopes: sigmoid's is 1/4 at most"),
        ("layers back", "norm of gradient", left),
        ("standard deviation of z", "units with |f'| < 0.01", "Saturated: more where z is large"),
        ("bias", "units that give 0", f"Off: {off[3]:.0%} of ReLU's without a bias"),
        ("learning rate", "units off for every input", f"Dead: {dead[-1]:.0%} at rate 10"),
    )
    for i, (xlabel, ylabel, title) in enumerate(texts):
        axes[i].set(xlabel=xlabel, ylabel=("share of " if i > 2 else "") + ylabel, title=title)
        axes[i].grid(alpha=0.3)
        axes[i].legend(fontsize=8)
    return figure


def main(out: Path | None = None, quick: bool = False) -> dict[str, Any]:
    """Measure derivatives, depth, saturation, sparsity and death; return the numbers."""
    seeds, steps = (range(2), 50) if quick else (range(5), 100)
    z = lamina.linspace(-6, 6, 1201, dtype=lamina.float64)
    peaks, norms, saturated = {}, {}, {}
    for name, (f, closed, _) in ACTIVATIONS.items():
        slopes = derivative(f, z)
        error = max(abs(a - closed(b)) for a, b in zip(slopes.tolist(), z.tolist()))
        assert error < 1e-14, f"{name}': autograd and closed form differ by {error:.1e}"
        peaks[name] = slopes.max().item()
        runs = [gradient_norms(name, seed) for seed in seeds]
        norms[name] = [median(layer) for layer in zip(*runs)]
        saturated[name] = [share(derivative(f, layer_of(s, 0)).abs() < 0.01) for s in SCALES]
        print(f"{name:7} f' <= {peaks[name]:.3f}; gradient left after 20 layers ", end="")
        print(f"{norms[name][-1]:.1e}; {saturated[name][4]:.0%} saturated at scale {SCALES[4]}")
        if name == "sigmoid":
            assert all(run[i] <= 0.25**i for run in runs for i in range(DEPTH)), f"sigmoid: {runs}"
        else:
            assert norms[name][-1] > 0.05, f"{name} keeps {norms[name][-1]:.1e} of the gradient"
    # |z| beyond which s (1 - s) < 0.01 or 1 - tanh^2 < 0.01, and how often z is there.
    for name, edge in (("sigmoid", 2 * atanh(sqrt(0.96))), ("tanh", atanh(sqrt(0.99)))):
        for scale, found in zip(SCALES, saturated[name]):
            law = 2 * normal_below(-edge / scale)
            assert abs(found - law) < 0.03, f"{name}: {found:.3f} saturated, by the law {law:.3f}"

    off = [share(F.relu(layer_of(1, bias)) == 0) for bias in BIASES]
    print("ReLU gives 0:", *(f"{x:.1%} at bias {b}" for x, b in zip(off[1:6], BIASES[1:])))
    for bias, found in zip(BIASES, off):
        assert abs(found - normal_below(-bias)) < 0.02, f"{found:.3f} of ReLU's off at bias {bias}"
    assert abs(off[3] - 0.5) < 1e-6, f"{off[3]:.7f} off over x and -x, not one of each pair"

    runs = [[train(nn.ReLU, [rate] * steps, seed) for seed in seeds] for rate in RATES]
    dead = [median(share(run[0]) for run in of_rate) for of_rate in runs]
    gone, _, before = runs[3][0]
    still, _, after = train(nn.ReLU, [RATES[3]] * steps + [0.1] * steps, 0)
    revived = int((gone & ~still).sum().item())
    leaky = train(nn.LeakyReLU, [RATES[3]] * steps, 0)[1]
    print(f"dead after {steps} steps:", *(f"{d:.0%} at rate {r}" for r, d in zip(RATES, dead)))
    print(f"revived by {steps} more steps at rate 0.1: {revived}")
    assert dead[0] < 0.1 < 0.5 < dead[3], f"dead by learning rate: {dead}"
    assert all(run[1] == 0 for of_rate in runs for run in of_rate), "a dead unit has a gradient"
    assert (before[gone] == after[gone]).all(), f"dead units moved, {revived} are back"
    assert leaky > 0, "LeakyReLU has no gradient where z < 0"

    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        draw(norms, saturated, off, dead).savefig(out / "activations.png", dpi=120)
    numbers = {"peaks": peaks, "norms": norms, "saturated": saturated, "off": off, "dead": dead}
    return {**numbers, "revived": revived, "leaky": leaky}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder for the picture")
    parser.add_argument("--quick", action="store_true", help="fewer steps and seeds")
    arguments = parser.parse_args()
    main(arguments.out, arguments.quick)
