"""The training loop, its folder and its picture."""

import json
import math
import os
import struct
import sys

import lamina
import numpy as np
import pytest
from lamina import nn, optim
from lamina.datasets import moons
from lamina.train import (
    Experiment,
    History,
    RunFolder,
    Settings,
    Standardize,
    Trainer,
    accuracy,
    build_mlp,
    draw_curves,
)
from lamina.train.plot import finding
from lamina.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def data():
    return moons(n=200, noise=0.1)


def trainer(seed=0, **options):
    lamina.manual_seed(seed)
    return Trainer(build_mlp(2, 2, [16]), **options)


def weights(model):
    return {name: value.tolist() for name, value in model.state_dict().items()}


# ------------------------------------------------------------------------------ a lone sample


@pytest.mark.parametrize("n", [33, 65])
@pytest.mark.parametrize("wrap", [lambda d: d, lambda d: DataLoader(d, 32)])
def test_a_last_batch_of_one_joins_the_one_before(n, wrap):
    sizes = []

    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = build_mlp(2, 2, [4])

        def forward(self, x):
            if self.training:
                sizes.append(len(x))
            return self.inner(x)

    part = TensorDataset(lamina.randn(n, 2), lamina.arange(n) % 2)
    Trainer(Counting()).fit(wrap(part), part, epochs=2, batch_size=32, progress=None)
    one_epoch = [32] * (n // 32 - 1) + [33]
    assert sizes == one_epoch * 2


def test_batches_of_one_are_left_alone():
    x, y = lamina.randn(3, 2), lamina.tensor([0, 1, 0])
    model = nn.Linear(2, 2)
    seen = []
    model.register_forward_hook(lambda m, args, out: seen.append(len(out)))
    Trainer(model).fit((x, y), epochs=1, batch_size=1, progress=None)
    assert seen == [1, 1, 1]


# ------------------------------------------------------------------------------------ the loop


def test_fit_is_the_loop_written_by_hand(data):
    """The same batches through the plain loop give the same weights to the last bit."""
    fitted = trainer(3, optimizer="sgd", lr=0.1)
    history = fitted.fit(data.train, epochs=3, batch_size=32, seed=7, progress=None)

    plain = trainer(3).model
    optimizer = optim.SGD(plain.parameters(), lr=0.1, momentum=0.9)
    lamina.manual_seed(7)
    losses = []
    for _ in range(3):
        plain.train()
        total = 0.0
        for x, y in DataLoader(data.train, 32, shuffle=True):
            optimizer.zero_grad()
            loss = nn.CrossEntropyLoss()(plain(x), y)
            loss.backward()
            optimizer.step()
            total += len(x) * loss.item()
        losses.append(total / len(data.train))
    assert weights(fitted.model) == weights(plain)
    np.testing.assert_allclose(history["loss"], losses, rtol=1e-12)


def test_seed_repeats_the_training(data):
    runs = []
    for seed in (1, 1, 2):
        each = trainer(0)
        each.fit(data.train, epochs=2, seed=seed, progress=None)
        runs.append(weights(each.model))
    assert runs[0] == runs[1] != runs[2]


def test_history_and_evaluate(data):
    each = trainer(lr=0.01)
    history = each.fit(data.train, data.validation, epochs=25, seed=0, progress=None)
    assert len(history) == 25
    assert history["epoch"] == list(range(1, 26))
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert all(0 <= value <= 1 for value in history["accuracy"])
    assert all(value > 0 for value in history["seconds"] + history["samples_per_second"])
    measured = each.evaluate(data.validation)
    assert measured["loss"] == history["validation_loss"][-1]
    assert measured["accuracy"] == history["validation_accuracy"][-1]
    assert history["accuracy"][-1] > 0.85
    # In parts or whole, the mean over samples is the same to rounding of float32 batch means.
    assert each.evaluate(data.train, batch_size=17)["loss"] == pytest.approx(
        each.evaluate(data.train)["loss"], rel=1e-5
    )
    x, y = data.train.tensors
    share = float((each.predict(x).argmax(1).numpy() == y.numpy()).mean())
    assert each.evaluate(data.train)["accuracy"] == pytest.approx(share, rel=1e-12)
    with pytest.raises(KeyError, match="no 'los'"):
        history["los"]
    assert "25 epochs" in repr(history)


def test_modes(data):
    each = trainer()
    frozen = each.model[1]
    each.fit(data.train, epochs=1, progress=None)
    assert not any(module.training for module in each.model.modules())
    each.model.train()
    frozen.eval()
    before = weights(each.model)
    each.evaluate(data.test)
    each.predict(data.test.tensors[0])
    assert each.model.training
    assert not frozen.training
    assert weights(each.model) == before  # no running statistic moved


def test_predict_forms(data):
    each = trainer()
    x = data.test.tensors[0]
    whole = each.predict(x)
    assert not whole.requires_grad
    # Another batch size may add the 16 hidden values in another order: 16 roundings of values
    # below 1.
    parts = each.predict(x, batch_size=7).numpy()
    np.testing.assert_allclose(parts, whole.numpy(), rtol=0, atol=16 * 2**-23)
    doubles = each.predict(x.numpy().astype(np.float64))
    assert doubles.dtype == lamina.float32
    assert doubles.tolist() == whole.tolist()
    assert each.predict(x.tolist()).tolist() == whole.tolist()
    assert list(each.predict(x[:0]).shape) == [0, 2]


def test_forms_of_data(data):
    x, y = data.train.tensors

    class Items(Dataset):
        def __len__(self):
            return len(x)

        def __getitem__(self, index):
            return x[index], y[index]

    class Stream(IterableDataset):
        def __iter__(self):
            return iter(zip(x, y, strict=True))

    results = []
    for form in (
        data.train,
        (x, y),
        (x.numpy().astype(np.float64), y.numpy().astype(np.int32)),
        Items(),
        Stream(),
        DataLoader(data.train, 64),
    ):
        each = trainer()
        each.fit(form, epochs=1, batch_size=64, shuffle=False, progress=None)
        results.append(weights(each.model))
    assert all(result == results[0] for result in results)


def test_regression_and_own_metrics():
    x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
    each = Trainer(
        nn.Linear(1, 1),
        nn.MSELoss(),
        "sgd",
        lr=0.1,
        metrics={"off": lambda out, y: float((out - y).abs().max().item())},
    )
    history = each.fit((x, 3 * x + 1), epochs=300, progress=None)
    assert "accuracy" not in history
    assert history["off"][-1] < 0.01
    assert set(each.evaluate((x, 3 * x + 1))) == {"loss", "off"}


def test_schedules(data):
    n = len(DataLoader(data.train, 70))
    assert n == 2
    for name, rule in (
        ("constant", lambda done: 1),
        ("linear", lambda done: 1 - done),
        ("cosine", lambda done: (1 + math.cos(math.pi * done)) / 2),
    ):
        each = trainer(optimizer="sgd", lr=0.5, schedule=name)
        rates = []
        step = each.optimizer.step

        def recorded(*args, each=each, rates=rates, step=step):
            rates.append(each.optimizer.param_groups[0]["lr"])
            return step(*args)

        each.optimizer.step = recorded
        each.fit(data.train, epochs=3, batch_size=70, progress=None)
        assert rates == pytest.approx([0.5 * rule(i / 6) for i in range(6)], rel=1e-12)
        assert each.optimizer.param_groups[0]["lr"] == 0.5  # as it was


def test_keep_best(data):
    each = trainer(lr=0.01)
    states = []
    each.callbacks.append(lambda t, record: states.append(weights(t.model)) and None)
    # The last epochs are made worse on purpose.
    each.callbacks.append(
        lambda t, record: (
            t.optimizer.param_groups[0].update(lr=0.0) if record["epoch"] > 3 else None
        )
    )
    history = each.fit(data.train, data.validation, epochs=8, keep_best=True, progress=None)
    scores = [
        (r["validation_accuracy"], -r["validation_loss"], -r["epoch"]) for r in history.records
    ]
    assert history.best_epoch == -max(scores)[2]
    assert weights(each.model) == states[history.best_epoch - 1]
    with pytest.raises(ValueError, match="needs validation"):
        each.fit(data.train, keep_best=True)


def test_callbacks_can_stop(data):
    heard = []
    each = trainer(
        callbacks=[
            lambda t, record: record["epoch"] == 3,
            lambda t, record: heard.append(record["epoch"]),
        ]
    )
    assert len(each.fit(data.train, epochs=10, progress=None)) == 3
    assert heard == [1, 2, 3]


# -------------------------------------------------------------------------------- what goes wrong


def test_a_loss_that_diverges_says_where(data):
    each = trainer(optimizer="sgd", lr=0.05)
    calls = []

    def loss(output, target):
        calls.append(1)
        value = nn.CrossEntropyLoss()(output, target)
        return value * float("inf") if len(calls) == 5 else value

    each.loss = loss
    with pytest.raises(FloatingPointError) as caught:
        each.fit(data.train, epochs=4, batch_size=70, progress=None)
    assert "became inf in epoch 3, batch 1 of 2" in str(caught.value)
    assert "learning rate of 0.005 instead of 0.05" in str(caught.value)
    assert not each.model.training


def test_nan_in_the_inputs_is_told_apart(data):
    x, y = (t.clone() for t in data.train.tensors)
    x[3, 1] = float("nan")
    with pytest.raises(FloatingPointError, match="inputs of this batch hold NaN or Inf"):
        trainer().fit((x, y), epochs=1, progress=None)


def test_ctrl_c_keeps_what_was_learnt(data, tmp_path):
    each = trainer()
    calls = []
    loss = each.loss

    def interrupted(output, target):
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return loss(output, target)

    each.loss = interrupted
    out = tmp_path / "run"
    history = each.fit(data.train, epochs=9, batch_size=50, out=out, progress=None)
    assert history.interrupted
    assert len(history) == 2  # three batches an epoch: the eighth is in the third epoch
    assert not each.model.training
    saved = lamina.load(out / "model.safetensors")
    assert {k: v.tolist() for k, v in saved.items()} == weights(each.model)
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 2


def test_wrong_arguments(data):
    for options, text in (
        ({"optimizer": "adma"}, "one of sgd, rmsprop, adam, adamw, not 'adma'"),
        ({"schedule": "cos"}, "one of constant, linear, cosine"),
    ):
        with pytest.raises(ValueError, match=text):
            trainer(**options)
    model = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="lr and weight_decay cannot go with an optimizer"):
        Trainer(model, optimizer=optim.SGD(model.parameters(), lr=1), lr=1, weight_decay=0.1)
    each = trainer()
    x, y = data.train.tensors
    for call, error, text in (
        (lambda: each.fit(data.train, epochs=-1), ValueError, "epochs"),
        (lambda: each.fit(data.train, progress="loud"), ValueError, "progress"),
        (lambda: each.fit((x[:0], y[:0])), ValueError, "empty"),
        (lambda: each.fit((x, y[:-1])), ValueError, "as many rows"),
        (lambda: each.fit(7), TypeError, "not int"),
        (lambda: each.fit(TensorDataset(x)), ValueError, "must be a pair"),
        (lambda: each.fit(DataLoader([], 2)), ValueError, "no batch"),
        (lambda: each.evaluate(DataLoader([], 2)), ValueError, "no batch"),
    ):
        with pytest.raises(error, match=text):
            call()


# --------------------------------------------------------------------------------- the folder


def test_run_folder_of_fit(data, tmp_path):
    out = tmp_path / "deep" / "run"
    each = trainer()
    each.fit(data.train, data.validation, epochs=3, seed=0, out=out, progress=None)
    assert names(out) == [
        "config.json",
        "curves.png",
        "metrics.jsonl",
        "model.safetensors",
    ]
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert lines[-1]["validation_accuracy"] == each.evaluate(data.validation)["accuracy"]
    config = json.loads((out / "config.json").read_text())
    assert config["training"]["optimizer"] == "Adam"
    fresh = build_mlp(2, 2, [16])
    fresh.load_state_dict(lamina.load(out / "model.safetensors"))
    assert weights(fresh) == weights(each.model)
    with pytest.raises(FileExistsError, match="already holds a run"):
        each.fit(data.train, epochs=1, out=out, progress=None)


def test_folder_is_checked_before_training(data, tmp_path):
    (tmp_path / "file").write_text("x")
    each = trainer()
    before = weights(each.model)
    for bad in (tmp_path / "file", tmp_path / "file" / "run", "/proc/no/such"):
        with pytest.raises(OSError, match="cannot be written"):
            each.fit(data.train, epochs=1, out=bad, progress=None)
    assert weights(each.model) == before
    assert names(tmp_path) == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_folder_without_permission(data, tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError, match="cannot be written"):
            RunFolder.create(tmp_path / "run")
    finally:
        tmp_path.chmod(0o700)


def test_disk_that_fails_is_found_first_and_leaves_nothing(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="cannot be written: No space"):
        RunFolder.create(tmp_path / "a" / "b" / "run")
    assert names(tmp_path) == []


def test_numbered_folders(tmp_path):
    root = tmp_path / "runs"
    (root / "x-002").mkdir(parents=True)
    made = [RunFolder.numbered("x", root).path.name for _ in range(3)]
    assert made == ["x-001", "x-003", "x-004"]
    (tmp_path / "plain").write_text("")
    with pytest.raises(OSError, match="cannot be written"):
        RunFolder.numbered("x", tmp_path / "plain")


def test_a_folder_with_other_files_is_fine(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    folder = RunFolder.create(tmp_path)
    folder.write_config({"a": 1})
    folder.discard()
    assert names(tmp_path) == ["notes.txt"]


# -------------------------------------------------------------------------------- the picture


def records(epochs, **extra):
    history = History()
    for epoch in range(1, epochs + 1):
        history.append({"epoch": epoch, "loss": 1 / epoch, "accuracy": 1 - 0.3 / epoch, **extra})
    return history


@pytest.mark.parametrize("epochs", [1, 2, 30, 500])
def test_curves(epochs):
    pytest.importorskip("matplotlib")
    picture = draw_curves(records(epochs, validation_loss=0.2, validation_accuracy=0.9))
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", picture[16:24])
    assert (width, height) == (1500, 630)


def test_curves_show_what_was_measured():
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    drawn = []
    save = Figure.savefig
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Figure, "savefig", lambda self, *a, **k: drawn.append(self) or save(self, *a, **k)
        )
        draw_curves(records(3, validation_loss=0.2), "the title", {"accuracy": 0.8125})
    loss, right = drawn[0].axes
    assert drawn[0]._suptitle.get_text() == "the title"
    assert loss.get_xlabel() == right.get_xlabel() == "epoch"
    assert loss.get_ylabel().startswith("loss")
    assert right.get_ylabel() == "accuracy"
    assert [t.get_text() for t in loss.get_legend().get_texts()] == ["train", "validation"]
    assert [t.get_text() for t in right.get_legend().get_texts()] == [
        "train",
        "test, at the end: 81.2%",
    ]
    np.testing.assert_allclose(loss.lines[0].get_ydata(), [1, 1 / 2, 1 / 3])


def test_no_accuracy_and_a_loss_of_zero():
    pytest.importorskip("matplotlib")
    history = History()
    history.append({"epoch": 1, "loss": 0.0})
    width, _ = struct.unpack(">II", draw_curves(history)[16:24])
    assert width == 900


def test_finding():
    history = records(1, validation_accuracy=0.5)
    assert finding("a", history, {"accuracy": 0.98123}) == "a: 98.1% test accuracy after 1 epoch"
    assert finding("a", history) == "a: 50.0% validation accuracy after 1 epoch"
    assert finding("a", records(4)) == "a: 92.5% training accuracy after 4 epochs"


def test_without_matplotlib_it_says_so(data, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    folder = RunFolder.create(tmp_path)
    assert "pip install 'lamina[plot]'" in folder.write_curves(records(2))
    assert not (tmp_path / "curves.png").exists()


# ------------------------------------------------------------------------------------- progress


def test_lines_are_few_and_complete(data, capsys):
    trainer().fit(data.train, data.validation, epochs=100, batch_size=140, progress="lines")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 31
    assert lines[0].startswith("epoch   1/100  loss ")
    assert lines[-1].startswith("epoch 100/100")
    for word in ("accuracy", "validation", "samples/s"):
        assert word in lines[-1]


def test_the_bar_shows_what_it_should(data, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "120")
    trainer().fit(data.train, data.validation, epochs=3, progress="bar")
    out = capsys.readouterr().out
    for word in ("3/3", "loss", "acc", "val", "samples/s", "left"):
        assert word in out


def test_silence(data, capsys):
    trainer().fit(data.train, epochs=1, progress=None)
    assert capsys.readouterr() == ("", "")


# ------------------------------------------------------------------------- models and experiments


def test_build_mlp():
    kinds = [type(m).__name__ for m in build_mlp(3, 2, [5, 4], "tanh", True, 0.5)]
    assert kinds == ["Linear", "BatchNorm1d", "Tanh", "Dropout"] * 2 + ["Linear"]
    plain = build_mlp(3, 2, [5], batch_norm=False)
    assert plain[0].bias is not None
    assert build_mlp(3, 2, [5])[0].bias is None
    assert len(build_mlp(3, 2, [])) == 1
    for options, text in (
        ({"activation": "swish"}, "relu, leaky_relu"),
        ({"layers": [0]}, "positive"),
        ({"dropout": 1.0}, r"\[0, 1\)"),
    ):
        with pytest.raises(ValueError, match=text):
            build_mlp(3, 2, **options)


def test_standardize():
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((500, 4)) * [1e-3, 1, 1e4, 0] + [0, 5, -1e4, 7]).astype(np.float32)
    layer = Standardize.of(lamina.from_numpy(x))
    out = layer(lamina.from_numpy(x)).numpy()
    # float32 inputs: the mean is known to 1e-7 of the largest value, some 1e-6 deviations here.
    np.testing.assert_allclose(out.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(out.std(axis=0), [1, 1, 1, 0], atol=1e-5)
    assert set(layer.state_dict()) == {"mean", "scale"}


def test_settings():
    assert Settings("xor", layers=[3, 4]).layers == (3, 4)
    for options in (
        {"layers": (0,)},
        {"dropout": 1.0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"weight_decay": -1.0},
        {"epochs": 0},
        {"batch_size": 1},
        {"seed": -1},
    ):
        with pytest.raises(ValueError, match="must be"):
            Settings("xor", **options)


def test_experiment_opens_as_it_was(tmp_path):
    run = Experiment(Settings("moons", layers=(8,), epochs=2, seed=3), tmp_path / "m")
    test = run.train(progress=None)
    again = Experiment.open(tmp_path / "m")
    assert again.settings == run.settings
    assert weights(again.model) == weights(run.model)
    assert again.evaluate() == test
    assert again.evaluate("validation") == pytest.approx(
        {k: run.history[f"validation_{k}"][-1] for k in ("loss", "accuracy")}, rel=1e-12
    )
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert config["result"]["test_accuracy"] == test["accuracy"]
    assert config["samples"] == {"train": 700, "validation": 100, "test": 200}


def test_experiment_with_a_file(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    y = np.arange(300) % 3
    # The classes differ in a feature of size 1e-4 beside one of size 1e4.
    x = np.stack([1e-4 * (y + 0.1 * rng.standard_normal(300)), 1e4 * rng.random(300)], axis=1)
    np.savez(tmp_path / "f.npz", x=x, y=y)
    monkeypatch.chdir(tmp_path)
    run = Experiment(Settings("f.npz", layers=(16,), epochs=40))
    assert run.train(progress=None)["accuracy"] > 0.95
    monkeypatch.chdir("/")
    again = Experiment.open(tmp_path / "runs" / "f-001")
    assert again.evaluate(path=tmp_path / "f.npz")["accuracy"] > 0.95
    assert again.evaluate()["accuracy"] > 0.95
    assert np.mean(np.array(again.predict(tmp_path / "f.npz")) == y) > 0.95
    np.savez(tmp_path / "f.npz", x=x[:, :1], y=y)
    with pytest.raises(ValueError, match="n_features 1, but the run was trained with 2"):
        Experiment.open(tmp_path / "runs" / "f-001").evaluate()


def test_accuracy_of_a_batch():
    assert accuracy(lamina.tensor([[1.0, 0.0]] * 4), lamina.tensor([0, 0, 1, 0])) == 0.75


def test_digits_reach_97_percent(tmp_path):
    run = Experiment(Settings("digits"), tmp_path / "digits")
    assert run.train(progress=None)["accuracy"] > 0.97
