"""The command line: what it prints, what it leaves, and how it says no."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import lamina
import numpy as np
import pytest
from click.testing import CliRunner
from lamina.cli import _foundations, main
from lamina.train import RunFolder

FAST = ["--epochs", "2", "--layers", "8"]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lamina_command(*args):
    result = CliRunner().invoke(main, [str(arg) for arg in args], prog_name="lamina")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def refused(*args, text, code=2):
    """Check that a call fails with one sentence on stderr that matches, and nothing on stdout."""
    result = lamina_command(*args)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("lamina")
    assert "Traceback" not in result.stderr
    assert re.search(text, result.stderr), result.stderr
    return result


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run on moons."""
    out = tmp_path_factory.mktemp("runs") / "moons"
    result = lamina_command("train", "moons", "--layers", "16", "--epochs", "12", "--out", out)
    assert result.exit_code == 0, result.output
    return out


# ---------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["trian", "digits"], r"unknown command 'trian'; did you mean 'train'\?"),
        (["train", "digit"], r"unknown dataset 'digit'; did you mean 'digits'\? \(known: digits,"),
        (["train", "qqq"], r"unknown dataset 'qqq' \(known:"),
        (["train"], r"Missing argument 'DATASET'"),
        (["train", "xor", "--epoch", "3"], r"--epoch.*--epochs"),
        (["train", "xor", "--activation", "rleu"], r"'rleu' is unknown; did you mean 'relu'\?"),
        (["train", "xor", "--optimizer", "adm"], r"did you mean 'adam'\?"),
        (["train", "xor", "--schedule", "cosin"], r"did you mean 'cosine'\?"),
        (["train", "xor", "--layers", "8,x"], r"'8,x' is not a list of widths"),
        (["train", "xor", "--layers", "8,0"], r"layers must be positive"),
        (["train", "xor", "--layers", "8,-1"], r"layers must be positive"),
        (["train", "xor", "--epochs", "0"], r"epochs must be at least 1"),
        (["train", "xor", "--epochs", "many"], r"'many' is not a valid integer"),
        (["train", "xor", "--batch-size", "1"], r"batch size must be at least 2"),
        (["train", "xor", "--lr", "0"], r"learning rate must be positive"),
        (["train", "xor", "--lr", "nan"], r"learning rate must be positive"),
        (["train", "xor", "--lr", "inf"], r"learning rate must be positive"),
        (["train", "xor", "--weight-decay", "-1"], r"weight decay must be at least 0"),
        (["train", "xor", "--dropout", "1"], r"dropout must be in \[0, 1\)"),
        (["train", "xor", "--threads", "0"], r"--threads.*0"),
        (["train", "xor", "--seed", "-1"], r"seed must be"),
        (["train", "absent.npz"], r"absent\.npz: No such file"),
        (["train", "."], r"\.: Is a directory"),
        (["train", "xor", "extra"], r"extra"),
        (["evaluate", "absent"], r"absent is not a folder of a run"),
        (["evaluate", "."], r"has no config\.json"),
        (["predict", "absent", "x.npy"], r"absent is not a folder of a run"),
        (["predict", ".", "x.npy", "--out", "labels.doc"], r"labels\.doc: labels are written as"),
        (["info", "--all"], r"--all"),
        (
            ["foundations", "xro"],
            r"'xro' is unknown; did you mean 'xor'\? \(known: perceptron, xor,",
        ),
        (["foundations", "xor", "--slow"], r"--slow"),
        (["foundations", "xor", "--out", "/proc/no"], r"/proc/no"),
        (["--debog"], r"--debog"),
    ],
)
def test_wrong_calls(place, args, text):
    refused(*args, text=text)
    assert names(place) == []


X, Y = np.random.default_rng(0).standard_normal((30, 2)), np.arange(30) % 3
nan = X.copy()
nan[4, 1] = nan[7, 0] = np.nan


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"hello", r"d\.npz: is not a NumPy file"),
        (b"", r"d\.npz: is not a NumPy file"),
        ({"x": nan, "y": Y}, r"2 values that are NaN or infinite, the first in row 4, column 1"),
        ({"x": X}, "no array 'y'"),
        ({"x": X, "y": Y - 1}, r"10 labels out of range .* the first -1 in row 0"),
        ({"x": X, "y": Y * 100}, r"labels out of range 0 … 29 .* 100 in row 1"),
        ({"x": X, "y": Y * 2}, r"label 1 occurs 0 times"),
        ({"x": X, "y": Y / 2}, "must hold integer labels"),
        ({"x": X, "y": np.array(["a"] * 30)}, "must hold integer labels"),
        ({"x": X[:9], "y": Y}, "9 rows but y has 30"),
    ],
)
def test_wrong_data(place, content, text):
    if isinstance(content, bytes):
        (place / "d.npz").write_bytes(content)
    else:
        np.savez(place / "d.npz", **content)
    refused("train", "d.npz", "--out", "deep/run", text=text)
    assert names(place) == ["d.npz"]


def test_fashion_mnist_where_it_is_not(place, monkeypatch):
    monkeypatch.setenv("LAMINA_DATA", str(place))
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setattr("lamina.datasets.fashion._SYSTEM", place)
    refused("train", "fashion-mnist", text=r"not in .*fashion_mnist\(download=True\) fetches it")
    assert names(place) == []


def test_folders_that_cannot_be_written(place):
    (place / "file").write_text("x")
    for out in ("file", "file/run", "/proc/no/run"):
        refused("train", "xor", *FAST, "--out", out, text="cannot be written")
    (place / "runs").write_text("a file where the runs should go")
    refused("train", "xor", *FAST, text=r"runs/xor-001 cannot be written")
    assert names(place) == ["file", "runs"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_folder_without_permission(place):
    (place / "locked").mkdir(mode=0o500)
    refused("train", "xor", *FAST, "--out", "locked/run", text="Permission denied")


def test_an_existing_run_is_not_overwritten(run):
    before = {name: (run / name).read_bytes() for name in names(run)}
    refused("train", "moons", *FAST, "--out", run, text="already holds a run")
    assert {name: (run / name).read_bytes() for name in names(run)} == before


def copy_of(run, place):
    copy = place / "copy"
    copy.mkdir()
    for name in names(run):
        (copy / name).write_bytes((run / name).read_bytes())
    return copy


def test_a_model_cut_at_any_byte(run, place):
    copy = copy_of(run, place)
    model = copy / RunFolder.MODEL
    whole = model.read_bytes()
    np.save(place / "x.npy", np.zeros((1, 2)))
    ends = sorted({*range(0, len(whole), 97), 7, 8, 9, len(whole) - 1})
    for end in ends:
        model.write_bytes(whole[:end])
        refused("predict", copy, "x.npy", text=r"copy/model\.safetensors: (cut|damaged)")
    model.write_bytes(whole[:-1])
    refused("evaluate", copy, text=r"model\.safetensors")


def test_a_damaged_config(run, place):
    copy = copy_of(run, place)
    config = copy / RunFolder.CONFIG
    good = json.loads(config.read_text())
    for text, content in (
        ("is damaged", b"{"),
        ("is damaged", b"\xff"),
        ("holds no table", b"[1]"),
        ("does not describe a run", b"{}"),
        ("does not describe a run", json.dumps({**good, "settings": {"colour": 1}}).encode()),
        ("does not describe a run", json.dumps({**good, "n_features": "two"}).encode()),
        (r"does not fit config\.json", json.dumps({**good, "n_features": 5}).encode()),
    ):
        config.write_bytes(content)
        refused("evaluate", copy, text=text)
    config.unlink()
    refused("evaluate", copy, text=r"has no config\.json")


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("x.npy", np.zeros((3, 5)), r"x\.npy has 5 features, but the model takes 2"),
        ("x.npy", np.array([[1, np.inf]]), r"1 values .* row 0, column 1"),
        ("x.npy", np.zeros(3), r"shape \[3\]"),
        ("x.npy", b"not an array", "is not a NumPy file"),
        ("x.csv", b"1,2\n3,four\n", r"line 2 is not numbers"),
        ("x.csv", b"1,2\n3\n", r"line 2 has 1 values, but the first row has 2"),
        ("x.csv", b"a,b\n", "has no row of numbers"),
        ("x.csv", b"\xff\xfe\x00", "is not a CSV"),
        ("x.csv", b"1,nan\n", "NaN"),
        ("x.csv", b"1,2,3\n", "3 features, but the model takes 2"),
    ],
)
def test_wrong_inputs_for_predict(run, place, name, content, text):
    if isinstance(content, bytes):
        (place / name).write_bytes(content)
    else:
        np.save(place / name, content)
    refused("predict", run, name, "--out", "labels.csv", text=text)
    assert names(place) == [name]


def test_two_arrays_without_an_x(run, place):
    np.savez(place / "two.npz", a=X, b=X)
    refused("predict", run, "two.npz", text=r"needs one array, or one called 'x' \(it holds a, b\)")
    refused("predict", run, "absent.npy", text=r"absent\.npy: No such file")


def test_a_failure_on_the_way_is_exit_1(place, monkeypatch):
    monkeypatch.setattr("lamina.train.trainer.Trainer.evaluate", lambda *_: 1 / 0)
    result = lamina_command("train", "xor", *FAST)
    assert result.exit_code == 1
    assert result.stderr == "lamina train: division by zero\n"
    monkeypatch.setenv("LAMINA_DEBUG", "1")
    assert "Traceback" in lamina_command("train", "xor", *FAST).stderr


def test_divergence_is_exit_1_and_names_the_run(place):
    np.savez(place / "d.npz", x=X, y=Y)
    result = lamina_command(
        "train", "d.npz", "--optimizer", "sgd", "--lr", "1e30", "--no-batch-norm", *FAST[2:],
        "--epochs", "50",
    )  # fmt: skip
    assert result.exit_code == 1
    assert re.search(r"the loss became (nan|inf) in epoch \d+, batch \d+ of 1", result.stderr)
    assert "try a learning rate of 1e+29" in result.stderr
    assert "runs/d-001" in result.stderr


# ----------------------------------------------------------------------------------- it works


def test_train_prints_lines_and_leaves_a_run(place):
    result = lamina_command("train", "xor", "--seed", "4", *FAST)
    assert result.exit_code == 0
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[0].startswith("epoch 1/2  loss ")
    last = re.fullmatch(r"test accuracy (\d+\.\d)%; the run is in runs/xor-001", lines[-1])
    config = json.loads((place / "runs/xor-001/config.json").read_text())
    assert f"{100 * config['result']['test_accuracy']:.1f}" == last[1]
    assert config["settings"]["layers"] == [8]
    assert config["settings"]["seed"] == 4
    files = ["config.json", "curves.png", "metrics.jsonl", "model.safetensors"]
    assert names(place / "runs/xor-001") == files
    lamina_command("train", "xor", "--seed", "4", *FAST)
    assert names(place / "runs") == ["xor-001", "xor-002"]
    models = [(place / f"runs/xor-00{i}/model.safetensors").read_bytes() for i in (1, 2)]
    assert models[0] == models[1]


def test_every_option_arrives(place):
    result = lamina_command(
        "train", "spirals", "--layers", "6,5", "--activation", "gelu", "--no-batch-norm",
        "--dropout", "0.25", "--optimizer", "rmsprop", "--lr", "0.002", "--weight-decay", "0.03",
        "--schedule", "linear", "--epochs", "1", "--batch-size", "50", "--seed", "9",
        "--threads", "1", "--out", "here",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    config = json.loads((place / "here/config.json").read_text())
    assert config["threads"] == 1
    assert config["settings"] == {
        "dataset": "spirals", "layers": [6, 5], "activation": "gelu", "batch_norm": False,
        "dropout": 0.25, "optimizer": "rmsprop", "learning_rate": 0.002, "weight_decay": 0.03,
        "schedule": "linear", "epochs": 1, "batch_size": 50, "seed": 9,
    }  # fmt: skip


@pytest.fixture(autouse=True)
def _keep_threads():
    threads = lamina.get_num_threads()
    yield
    lamina.set_num_threads(threads)


def test_evaluate(run, place):
    result = lamina_command("evaluate", run)
    config = json.loads((run / "config.json").read_text())["result"]
    shown = f"test loss {config['test_loss']:.4f}, accuracy {100 * config['test_accuracy']:.1f}%\n"
    assert result.stdout == shown
    assert lamina_command("evaluate", run, "--part", "train").stdout.startswith("train loss")
    np.savez(place / "d.npz", x=np.array([[0.0, 1.0], [1.0, -0.5]]), y=[0, 1])
    result = lamina_command("evaluate", run, "--data", "d.npz")
    assert re.fullmatch(r"d\.npz loss \d\.\d{4}, accuracy \d+\.\d%\n", result.stdout)
    np.savez(place / "d.npz", x=np.zeros((2, 2)), y=[0, 2])
    refused("evaluate", run, "--data", "d.npz", text=r"out of range 0 … 1, the first 2 in row 1")


def test_predict_reads_and_writes_every_format(run, place):
    x = np.array([[0.0, 1.0], [1.0, -0.5], [-0.9, 0.2]])
    np.savez(place / "x.npz", x=x, other=x)
    np.savez(place / "alone.npz", inputs=x)
    np.save(place / "x.npy", x.astype(np.float32))
    (place / "x.csv").write_text("".join(f"{a},{b}\n" for a, b in x))
    (place / "named.csv").write_text(
        "\ufeffwidth,height\r\n" + "".join(f"{a}, {b}\r\n" for a, b in x)
    )
    printed = {n: lamina_command("predict", run, n).stdout for n in names(place)}
    assert len(printed) == 5
    assert set(printed.values()) == {"0\n1\n0\n"}  # far inside the first, second, first moon
    for name in ("labels.npy", "labels.csv", "labels.txt"):
        result = lamina_command("predict", run, "x.npy", "--out", name)
        assert result.stdout == f"3 labels are in {name}\n"
    assert np.load(place / "labels.npy").tolist() == [0, 1, 0]
    assert (place / "labels.csv").read_text() == "0\n1\n0\n"
    np.save(place / "one.npy", x[1])
    assert lamina_command("predict", run, "one.npy").stdout == "1\n"


def test_info():
    lines = dict(line.split(None, 1) for line in lamina_command("info").stdout.splitlines())
    assert lines["lamina"].startswith(lamina.__version__)
    assert lines["isa"].split()[0] in lines["isa"].split("available: ")[1]
    assert int(lines["threads"].split()[0]) >= 1
    assert re.match(r"no: .{5,}|yes: ", lines["cuda"])
    assert lines["numpy"] == np.__version__


def test_help_and_version():
    for args in (
        ["--help"],
        ["train", "-h"],
        ["evaluate", "-h"],
        ["predict", "-h"],
        ["info", "-h"],
        ["foundations", "-h"],
    ):
        result = lamina_command(*args)
        assert result.exit_code == 0
        assert result.stdout.startswith("Usage: lamina")
    assert lamina_command("--version").stdout == f"lamina {lamina.__version__}\n"
    assert "train" in lamina_command().output
    options = lamina_command("train", "--help").stdout
    for name in ("layers", "activation", "no-batch-norm", "dropout", "optimizer", "lr", "threads",
                 "weight-decay", "epochs", "batch-size", "seed", "out"):  # fmt: skip
        assert f"--{name}" in options


# ---------------------------------------------------------------------------------- foundations


def test_foundations_are_the_folder():
    """Each script is in the table, and each name of the table has one, with a sentence on top."""
    here = Path(__file__).parents[2] / "examples" / "foundations"
    assert sorted(_foundations.NAMES) == sorted(path.stem for path in here.glob("*.py"))
    lines = lamina_command("foundations").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(_foundations.NAMES)
    for name, line in zip(_foundations.NAMES, lines, strict=True):
        shown = line.removeprefix(name).strip()
        assert shown.endswith(".")
        assert _foundations.script(name).read_text().startswith(f'"""{shown}\n')


SCRIPTS = {
    "holds": "print('quick' if quick else 'full')\n"
    "    if out: (out / 'holds.png').write_bytes(b'picture')",
    "fails": "assert 1 > 2, 'got 1 where the theory says 2'",
    "breaks": "1 / 0",
    "needs": "raise ModuleNotFoundError('needs numpax: pip install numpax')",
}


@pytest.fixture
def scripts(place, monkeypatch):
    """A folder of scripts in the place of the real ones."""
    folder = place / "scripts"
    folder.mkdir()
    for name, body in SCRIPTS.items():
        text = f'"""About {name}.\n\nMore."""\n\n\ndef main(out=None, quick=False):\n    {body}\n'
        (folder / f"{name}.py").write_text(text)
    monkeypatch.setattr(_foundations, "script", lambda name: folder / f"{name}.py")
    monkeypatch.setattr(_foundations, "NAMES", tuple(SCRIPTS))
    monkeypatch.setattr(main.commands["foundations"].params[0].type, "choices", [*SCRIPTS, "all"])
    monkeypatch.setattr(_foundations, "find_spec", lambda name: object())  # with matplotlib
    return place


def test_one_of_the_foundations(scripts):
    result = lamina_command("foundations", "holds")
    assert (result.exit_code, result.stderr) == (0, "")
    first, last = result.stdout.splitlines()
    assert first == "full"
    assert re.fullmatch(r"holds: \d+\.\d s; the picture is foundations/holds\.png", last)
    assert (scripts / "foundations/holds.png").read_bytes() == b"picture"
    result = lamina_command("foundations", "holds", "--quick", "--out", "deep/er")
    assert result.stdout.startswith("quick\n")
    assert (scripts / "deep/er/holds.png").is_file()
    file = "deep/er/holds.png"
    refused("foundations", "holds", "--out", file, text=f"{file} is a file, not a folder$")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("fails", "^lamina foundations: the claim does not hold: got 1 where the theory says 2$"),
        ("breaks", "^lamina foundations: division by zero$"),
        ("needs", "^lamina foundations: needs numpax: pip install numpax$"),
    ],
)
def test_one_of_the_foundations_that_fails(scripts, monkeypatch, name, text):
    refused("foundations", name, text=text, code=1)
    monkeypatch.setenv("LAMINA_DEBUG", "1")
    assert "Traceback" in lamina_command("foundations", name).stderr


def test_all_the_foundations(scripts, monkeypatch):
    result = lamina_command("foundations", "all", "--quick", "--out", "pictures")
    assert (result.exit_code, result.stderr) == (1, "")
    lines = [line for line in result.stdout.splitlines() if line]
    assert [line.partition(":")[0] for line in lines[:-1]] == [
        "holds", "quick", "holds", "fails", "fails", "breaks", "breaks", "needs", "needs",
    ]  # fmt: skip
    assert lines[0] == "holds: About holds."
    assert lines[4] == "fails: failed: the claim does not hold: got 1 where the theory says 2"
    assert lines[6] == "breaks: failed: ZeroDivisionError: division by zero"
    assert lines[8] == "needs: skipped: needs numpax: pip install numpax"
    assert re.fullmatch(
        r"1 of 4 claims hold; failed: fails, breaks; skipped: needs; \d+ s; "
        r"the pictures are in pictures",
        lines[9],
    )
    monkeypatch.setenv("LAMINA_DEBUG", "1")
    assert "AssertionError" in lamina_command("foundations", "all").stderr
    monkeypatch.setattr(_foundations, "NAMES", ("holds", "needs"))
    assert lamina_command("foundations", "all").exit_code == 0  # nothing failed


def test_foundations_without_matplotlib(scripts, monkeypatch):
    monkeypatch.setattr(_foundations, "find_spec", lambda name: None)
    result = lamina_command("foundations", "holds")
    assert result.exit_code == 0
    first, _, last = result.stdout.splitlines()
    assert 'pip install "lamina[plot]"' in first
    assert re.fullmatch(r"holds: \d+\.\d s", last)
    assert names(scripts) == ["scripts"]
    assert "pictures are" not in lamina_command("foundations", "all").stdout


# -------------------------------------------------------------------------------- real processes


def test_a_foundation_in_a_real_process(tmp_path):
    running = process("foundations", "loop", "--quick", cwd=tmp_path)
    out, err = running.communicate(timeout=120)
    assert (running.returncode, err) == (0, "")
    assert "0.298371109" in out  # Mazur's loss
    assert out.splitlines()[-1].endswith("the picture is foundations/loop.png")
    assert (tmp_path / "foundations/loop.png").read_bytes().startswith(b"\x89PNG")


def process(*args, cwd, **options):
    command = [sys.executable, "-m", "lamina", *map(str, args)]
    return subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def test_a_real_process(tmp_path):
    good = process("train", "xor", *FAST, cwd=tmp_path)
    out, err = good.communicate(timeout=120)
    assert (good.returncode, err) == (0, "")
    assert out.splitlines()[-1].endswith("the run is in runs/xor-001")
    bad = process("train", "xro", cwd=tmp_path)
    out, err = bad.communicate(timeout=120)
    assert (bad.returncode, out) == (2, "")
    assert err.startswith("lamina train: unknown dataset 'xro'; did you mean 'xor'?")
    assert names(tmp_path) == ["runs"]


def test_ctrl_c(tmp_path):
    running = process("train", "xor", "--epochs", "100000", "--layers", "8", cwd=tmp_path)
    assert running.stdout.readline().startswith("epoch      1/100000")
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=120)
    assert running.returncode == 130, err
    assert re.search(r"interrupted after \d+ of 100000 epochs\ntest accuracy", out)
    again = process("evaluate", "runs/xor-001", cwd=tmp_path)
    out, err = again.communicate(timeout=120)
    assert again.returncode == 0, err


def test_kill_leaves_a_run_that_can_be_read(tmp_path):
    running = process("train", "xor", "--epochs", "100000", "--layers", "8", cwd=tmp_path)
    model = tmp_path / "runs/xor-001/model.safetensors"
    deadline = time.monotonic() + 120
    while not model.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    running.kill()
    running.communicate()
    again = process("evaluate", "runs/xor-001", cwd=tmp_path)
    _, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    for line in (tmp_path / "runs/xor-001/metrics.jsonl").read_text().splitlines():
        json.loads(line)


def test_a_reader_that_leaves(run, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((100_000, 2)))
    running = process("predict", run, "x.npy", cwd=tmp_path)
    assert running.stdout.readline() in ("0\n", "1\n")
    running.stdout.close()
    assert running.stderr.read() == ""
    assert running.wait(120) in (0, 1)  # versions of click differ
    running.stderr.close()


def test_help_is_light(tmp_path):
    code = (
        "import sys; sys.argv = ['lamina', '--help']\n"
        "from lamina.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'rich', 'matplotlib', 'safetensors'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
