"""The benchmarks' parts: what they compute and conclude, never how long anything takes."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest

np = pytest.importorskip("numpy")

ROOT = Path(__file__).resolve().parents[2]
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("the benchmarks are not beside the tests", allow_module_level=True)
sys.path.append(str(ROOT))

from benchmarks import harness, models, peers, recurrent, report  # noqa: E402
from benchmarks.cases import Case, GroupTarget, Target, Work  # noqa: E402
from benchmarks.peaks import Peaks  # noqa: E402
from benchmarks.suites import SUITES  # noqa: E402

BRIEF = harness.Plan(rounds=3, block=1e-4)
TINY = [case for suite in SUITES.values() for case in suite.cases(tiny=True)]
# torch-compile compiles for a minute; torch-fused is torch with another optimizer.
PEERS = ["lamina", "torch", "torch-fused", "jax", "numpy", "sklearn"]


@pytest.fixture(scope="module")
def columns():
    """Peers by name, and why the others are absent; threads as they were afterwards."""
    import lamina

    before = lamina.get_num_threads()
    found, absent = peers.load([n for n in peers.CHOICES if n != "torch-compile"], before)
    yield {peer.name: peer for peer in found}, absent
    lamina.set_num_threads(before)


@pytest.mark.parametrize("case", TINY, ids=lambda case: f"{case.suite}: {case.name}")
def test_lamina_is_right_in_every_case(case, columns):
    work = case.prepare(columns[0]["lamina"])
    assert work is not None
    harness.timer(work.statement, work.names).timeit(1)


@pytest.mark.parametrize("name", PEERS[1:])
def test_the_peers_that_are_here_are_right_too(name, columns):
    found, absent = columns
    if name in absent:
        pytest.skip(f"{name} is not installed")
    took_part = [case.prepare(found[name]) is not None for case in TINY if case.suite != "import"]
    assert any(took_part)


def toy(answer, expected=2.0, **options):
    """A case that every peer answers with `answer`."""
    return Case(
        "toy",
        "toy",
        make=lambda peer: Work("f(1)", lambda: [np.float32(answer)], {"f": lambda x: x + 1}),
        expected=lambda: [(expected, 1e-6)],
        **options,
    )


@pytest.mark.parametrize("answer", [2.001, math.nan, math.inf])
def test_a_wrong_result_is_refused(answer, columns):
    with pytest.raises(AssertionError, match="toy toy: result 0 of lamina is off"):
        toy(answer).prepare(columns[0]["lamina"])


def test_a_result_of_another_shape_is_refused(columns):
    with pytest.raises(AssertionError, match="has shape"):
        toy([2.0, 2.0]).prepare(columns[0]["lamina"])


def test_compare_gives_every_peer_its_calls_in_every_round():
    order = []

    def runner(name):
        return lambda: order.append(name)

    names = ["a", "b", "c"]
    compared = harness.compare({n: harness.timer(runner(n), {}) for n in names}, BRIEF)
    for name in names:
        sample = compared.samples[name]
        assert len(sample.seconds) == BRIEF.rounds
        assert sample.calls >= 1
        # calibration and warming come on top
        assert order.count(name) > sample.calls * BRIEF.rounds
        assert compared.ratio(name, name) == harness.Ratio(1.0, 0.0)
    turns = [b for a, b in zip([None, *order], order, strict=False) if a != b]
    # three for calibration; then each round starts one later than the round before
    assert turns[3:] == ["a", "b", "c", "b", "c", "a", "c", "a", "b"]


def test_a_call_longer_than_a_block_is_a_block():
    class Slow:
        def timeit(self, count):
            return 2.0 * count

    assert harness.calibrate(Slow(), 0.1) == 1


def test_calibration_fills_the_block():
    class Steady:
        def timeit(self, count):
            return 1e-6 * count

    assert harness.calibrate(Steady(), 0.1) == 100_000


def test_ratio_is_the_median_of_the_rounds_not_the_ratio_of_medians():
    base = harness.Sample([1.0, 2.0, 8.0], 1)
    peer = harness.Sample([3.0, 2.0, 8.0], 1)
    compared = harness.Comparison({"lamina": base, "torch": peer})
    assert compared.ratio("torch", "lamina").median == 1.0
    assert harness.spread([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("target", "value", "verdict"),
    [
        (Target(1.5, 2.0), 2.0, "aim met"),
        (Target(1.5, 2.0), 1.7, "floor met"),
        (Target(1.5, 2.0), 1.4, "missed"),
        (Target(0.95, None), 5.0, "floor met"),
        (Target(None, 85, "bytes", "percent"), 84.0, "missed"),
        (Target(0.5, 0.3, "lamina", "microseconds"), 0.2, "aim met"),
        (Target(0.5, 0.3, "lamina", "microseconds"), 0.4, "floor met"),
        (Target(0.5, 0.3, "lamina", "microseconds"), 0.6, "missed"),
        (GroupTarget("toy", 1.3, 1.6), 1.5, "floor met"),
    ],
)
def test_verdicts(target, value, verdict):
    assert target.verdict(value) == verdict


def compared_toy():
    """Lamina takes 1 ms, PyTorch 3 ms."""
    return harness.Comparison(
        {
            "lamina": harness.Sample([1e-3] * 3, 100),
            "torch": harness.Sample([3e-3] * 3, 33),
        }
    )


def test_a_row_states_ratio_share_of_the_peak_and_verdicts():
    targets = [Target(2.0, 4.0), Target(80, 88, "flops", "percent"), Target(4, None, "jax")]
    case = toy(2.0, flops=5e7, bytes=1e6, targets=targets)
    row = report.row(case, compared_toy(), Peaks(100.0, 10.0, "given"))
    assert row["peers"]["torch"]["ratio"] == pytest.approx(3.0)
    # 0.5 ms of arithmetic, 0.1 ms of traffic, 1 ms measured
    assert row["bound"] == "flops"
    assert row["percent"] == pytest.approx(50)
    assert [t["verdict"] for t in row["targets"]] == ["floor met", "missed", "not measured"]
    assert "torch / lamina 3, floor 2, aim 4" in report.lines(row)
    [group] = report.groups([GroupTarget("toy", 1.3, 1.6)], [row, row])
    assert group["value"] == pytest.approx(3.0)
    assert group["verdict"] == "aim met"


def test_render_writes_the_tables_between_the_marks(tmp_path):
    row = report.row(toy(2.0, targets=[Target(4.0, 5.0)]), compared_toy(), Peaks(1.0, 1.0, "given"))
    record = {
        "date": "today",
        "versions": {"lamina": "1"},
        "quick": True,
        "others": 0.5,
        "peaks": {"gflops": 1.0, "gbytes": 1.0, "source": "given"},
        "rows": [row],
        "groups": [],
    }
    described = {"cpu": "c", "cores": 2, "isa": "avx2", "threads": 2, "system": "s", "python": "3"}
    results = tmp_path / "benchmarks" / "results" / "avx2.json"
    report.save(results, described, "norm", record)
    report.save(results, described, "toy", record)
    assert list(json.loads(results.read_text())["suites"]) == ["norm", "toy"]
    page = tmp_path / "docs" / "performance.md"
    page.parent.mkdir()
    page.write_text("above\n<!-- results: start -->\nold\n<!-- results: end -->\nbelow\n")
    report.render(tmp_path)
    text = page.read_text()
    assert text.startswith("above\n")
    assert text.endswith("\nbelow\n")
    assert "old" not in text
    assert "others held 0.50 CPUs" in text
    assert "| toy | 1 ms | 1 ms | 0% |  | 3.00 ±0% | 4, 5: **missed** |" in text
    report.save(results, {**described, "cpu": "another"}, "norm", record)
    assert list(json.loads(results.read_text())["suites"]) == ["norm"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.0, "2 s"), (0.0123, "12.3 ms"), (4.56e-6, "4.56 us"), (3.1e-7, "310 ns")],
)
def test_seconds_have_three_digits_and_a_unit(value, text):
    assert report.seconds(value) == text


@pytest.mark.parametrize("activation", ["ReLU", "Tanh", "GELU"])
def test_the_reference_network_has_the_gradients_of_central_differences(activation):
    network = models.Network((3, 4, 4, 2), activation, batch_norm=activation != "Tanh")
    rng = np.random.default_rng(5)
    x, labels = network.data(rng, 5)
    model = models.NumpyNetwork(network, network.parameters(rng), np.float64)
    x = x.astype(np.float64)
    assert_differences(model, x, labels[0])


@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
def test_the_recurrent_reference_has_the_gradients_of_central_differences(cell):
    network = recurrent.Recurrent(cell, 2, 3, 4, 2)
    rng = np.random.default_rng(5)
    x, labels = network.data(rng, 5)
    model = recurrent.NumpyRecurrent(network, network.parameters(rng), np.float64)
    assert_differences(model, x.astype(np.float64), labels[0])


def assert_differences(model, x, y):
    grads = model.gradients(x, y)[1]
    step = 1e-6
    for parameter, grad in zip(model.parameters, grads, strict=True):
        flat = parameter.reshape(-1)
        for index in range(flat.size):
            kept = flat[index]
            flat[index] = kept + step
            above = model.gradients(x, y)[0]
            flat[index] = kept - step
            below = model.gradients(x, y)[0]
            flat[index] = kept
            # loss errs by some EPS of float64, over the step: 1e-9; curvature by step^2
            assert grad.reshape(-1)[index] == pytest.approx((above - below) / (2 * step), abs=1e-8)
