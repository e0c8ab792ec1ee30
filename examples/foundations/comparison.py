"""Deep learning against traditional learning: who wins depends on the data, and on how much of it.

Claim. On the raw pixels of clothes a CNN beats logistic regression, a support vector machine, a
random forest and gradient boosting: it alone knows that pixels have neighbours. An MLP, which does
not know it, is no better than the best of them. On small tables, given most of the rows, no network
wins: the best traditional method is as good as an MLP or better, to within 1% of the test set.
(Trees do badly on tables this small; on larger ones they beat nets: Grinsztajn, Oyallon, Varoquaux,
"Why do tree-based models still outperform deep learning on typical tabular data?", 2022.)

Every method keeps one setting for all data, chosen on clothes; a point is the median over random
splits. Diabetes: did the illness progress more than in half of the patients? Digits are pixels,
8x8, but may be read as a table too: there the best of both kinds are level.

Look at the picture: test error against the number of training samples, networks drawn thick.

Run it: python comparison.py [--out DIR] [--quick] (needs scikit-learn)
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from statistics import median

import lamina
from lamina import datasets, nn
from lamina.train import Trainer

TRADITIONAL = ("logistic regression", "SVC", "random forest", "gradient boosting")
IMAGES = ("clothes", "digits")
SIZES = {"clothes": (100, 500, 2000, 5000), "digits": (100, 300, 1000), "wine": (30, 60, 120),
         "breast cancer": (50, 100, 200, 350), "diabetes": (50, 100, 200, 350)}  # fmt: skip


def load_all() -> dict[str, tuple]:
    """NumPy arrays of inputs (n, features) and labels (n,)."""
    try:
        from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
    except ModuleNotFoundError:
        text = 'comparison needs scikit-learn: pip install "lamina[sklearn]"'
        raise ModuleNotFoundError(text, name="sklearn") from None
    x, progress = load_diabetes(return_X_y=True)
    found = {
        "digits": load_digits(return_X_y=True),
        "breast cancer": load_breast_cancer(return_X_y=True),
        "wine": load_wine(return_X_y=True),
        "diabetes": (x, progress > median(progress)),
    }
    try:
        clothes = datasets.fashion_mnist().train.tensors
    except OSError as absent:
        print(f"without clothes: {absent}")
        return found
    return {"clothes": tuple(part.numpy() for part in clothes), **found}


def split(name: str, x, y, n: int, seed: int) -> tuple:
    """Training and test arrays, standardized: tables by column, pixels all alike."""
    lamina.manual_seed(seed)
    order = lamina.randperm(len(x)).numpy()
    train, test = order[:n], order[n : n + 3000]
    axis = None if name in IMAGES else 0
    center, scale = x[train].mean(axis), x[train].std(axis)
    x_train, x_test = (((x[rows] - center) / scale).astype("float32") for rows in (train, test))
    return x_train, y[train].astype("int64"), x_test, y[test].astype("int64")


def mlp(features: int, classes: int) -> nn.Sequential:
    """Two hidden layers."""
    return nn.Sequential(
        *(nn.Linear(features, 128), nn.ReLU(), nn.Dropout(0.2)),
        *(nn.Linear(128, 128), nn.ReLU(), nn.Dropout(0.2)),
        nn.Linear(128, classes),
    )


def cnn(features: int, classes: int) -> nn.Sequential:
    """Two layers of filters, then a hidden one."""
    side = round(features**0.5)
    return nn.Sequential(
        nn.Unflatten(1, (1, side, side)),
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Dropout(0.4)),
        *(nn.Linear(32 * (side // 4) ** 2, 128), nn.ReLU(), nn.Dropout(0.4)),
        nn.Linear(128, classes),
    )


def network(make: Callable[..., nn.Sequential], data: tuple, seed: int, quick: bool) -> float:
    """Accuracy of a network on the test set."""
    x, y, x_test, y_test = map(lamina.from_numpy, data)
    model = make(x.shape[1], int(y.max()) + 1)
    trainer = Trainer(model, optimizer="adamw", weight_decay=0.1, schedule="cosine")
    epochs = max(20, min(200, (16_000 if quick else 64_000) // len(x)))  # as many steps for few
    trainer.fit((x, y), epochs=epochs, batch_size=32, seed=seed, progress=None)
    return trainer.evaluate((x_test, y_test))["accuracy"]


def traditional(name: str, data: tuple, seed: int) -> float:
    """Accuracy of one of scikit-learn's methods on the test set."""
    from sklearn import ensemble, linear_model, svm

    x, y, x_test, y_test = data
    if name == "logistic regression":
        model = linear_model.LogisticRegression(C=0.1, tol=1e-3, max_iter=1000)
    elif name == "SVC":
        model = svm.SVC(C=10)
    elif name == "random forest":
        model = ensemble.RandomForestClassifier(100, random_state=seed)
    else:
        model = ensemble.HistGradientBoostingClassifier(
            learning_rate=0.2, max_iter=50, max_leaf_nodes=12, max_bins=32, min_samples_leaf=5,
            max_features=min(1.0, 80 / x.shape[1]), random_state=seed,
        )  # fmt: skip
    return model.fit(x, y).score(x_test, y_test)


def errors(name: str, x, y, sizes: tuple[int, ...], seeds: int, quick: bool) -> dict:
    """Median share of the test set that each method gets wrong, for each number of samples."""
    makers = {"MLP": mlp, "CNN": cnn} if name in IMAGES else {"MLP": mlp}
    found: dict[str, list[float]] = {method: [] for method in (*TRADITIONAL, *makers)}
    for n in sizes:
        splits = [(split(name, x, y, n, seed), seed) for seed in range(seeds)]
        for method in TRADITIONAL:
            scores = [traditional(method, data, seed) for data, seed in splits]
            found[method].append(1 - median(scores))
        for method, make in makers.items():
            scores = [network(make, data, seed, quick) for data, seed in splits]
            found[method].append(1 - median(scores))
    return found


def draw(axes, sizes: tuple[int, ...], found: dict, name: str, left: int) -> None:
    """A panel: error against size, a line a method, styled so that equal ones are all seen."""
    for i, (method, values) in enumerate(found.items()):
        style = {"marker": "osv^DX"[i], "ms": 12 - i, "fillstyle": "none", "zorder": 3}
        style |= {"lw": 5, "alpha": 0.5} if i > 3 else {"ls": (3 * i, (4, 8)), "lw": 1.8}
        axes.plot(sizes, [100 * value for value in values], color=f"C{i}", label=method, **style)
    least = min(values[-1] for values in found.values())
    best = [method for method, values in found.items() if values[-1] < least + 1e-6]
    who = f"{best[0]} best" if len(best) == 1 else f"{len(best)} level"
    axes.set(xscale="log", xlabel="training samples", ylabel="test error (%)", ylim=(0, None))
    axes.set_title(f"{name.capitalize()}: {who}, {100 * least:.1f}% of {min(3000, left):,}")
    axes.set_xticks(sizes, [f"{n:,}" for n in sizes])
    axes.minorticks_off()
    axes.grid(alpha=0.3)


def main(out: Path | None = None, quick: bool = False) -> dict[str, dict]:
    """Compare on every data set; returns the errors by data set and method, small sizes first."""
    data = load_all()
    from threadpoolctl import threadpool_limits  # scikit-learn needs it, so it is there

    result, sizes = {}, SIZES
    if quick:
        sizes = {name: (every[0], min(every[-1], 1200)) for name, every in SIZES.items()}
    for name, (x, y) in data.items():
        seeds = (1 if quick else 3) if name == "clothes" else (3 if quick else 5)
        with threadpool_limits(1):  # its threads would wait longer for each other than they work
            result[name] = found = errors(name, x, y, sizes[name], seeds, quick)
        last = (f"{method} {100 * values[-1]:.1f}" for method, values in found.items())
        print(f"{name}, {sizes[name][-1]:,} samples, error in %:", ", ".join(last))
        best, mlp_error = min(found[method][-1] for method in TRADITIONAL), found["MLP"][-1]
        if name == "clothes":
            assert found["CNN"][-1] < best, f"clothes: CNN {found['CNN'][-1]:.3f}, best {best:.3f}"
        else:
            assert best < mlp_error + 0.01, f"{name}: MLP {mlp_error:.3f}, traditional {best:.3f}"

    if out is not None:
        from matplotlib.figure import Figure

        out.mkdir(parents=True, exist_ok=True)
        figure = Figure(figsize=(12.4, 7.6), layout="constrained")
        panels = dict(zip([*data, "legend"], figure.subplots(2, 3).flat))
        for name, (x, _) in data.items():
            draw(panels[name], sizes[name], result[name], name, len(x) - sizes[name][-1])
        panels["legend"].axis("off")
        panels["legend"].legend(handles=list(panels["digits"].lines), loc="center", fontsize=12)
        figure.savefig(out / "comparison.png", dpi=120)
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder for the picture")
    parser.add_argument("--quick", action="store_true", help="fewer steps and seeds")
    arguments = parser.parse_args()
    main(arguments.out, arguments.quick)
