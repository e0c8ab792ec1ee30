"""Every example of examples/foundations runs, and what it claims holds."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

# Mazur's weights after the first step.
W1_AFTER = [0.149780716, 0.19956143, 0.24975114, 0.29950229]
W2_AFTER = [0.35891648, 0.408666186, 0.511301270, 0.561370121]

FOLDER = Path(__file__).parents[2] / "examples" / "foundations"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"foundations_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    return module


def run(name: str, out: Path) -> dict:
    pytest.importorskip("matplotlib")
    result = load(name).main(out, quick=True)
    picture = out / f"{name}.png"
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    return result


def test_every_example_is_tested():
    prefix = "test_claim_"
    tested = {name.removeprefix(prefix) for name in globals() if name.startswith(prefix)}
    assert tested == {path.stem for path in FOLDER.glob("*.py")}


def test_claim_perceptron(tmp_path):
    result = run("perceptron", tmp_path)
    assert result["converged"]
    assert 0 < result["mistakes"] <= result["bound"]
    assert result["xor_best"] == 3
    assert not result["xor_converged"]


def test_claim_composition(tmp_path):
    result = run("composition", tmp_path)
    assert result["one_matrix_error"] < 1e-12
    # ReLU throws about half of the signal away: far from any matrix, not by rounding.
    assert result["relu_distance"] > 0.1
    assert result["relu_asymmetry"] > 0.1


def test_claim_xor(tmp_path):
    result = run("xor", tmp_path)
    assert result["correct"] == 4
    assert result["hidden_separable"]
    assert not result["input_separable"]


def test_claim_loop(tmp_path):
    """The numbers are Mazur's, to the digits that he prints."""
    result = run("loop", tmp_path)
    assert result["output"] == pytest.approx([0.75136507, 0.772928465], abs=5e-9)
    assert result["loss"] == pytest.approx(0.298371109, abs=5e-10)
    assert result["w2"] == pytest.approx(W2_AFTER, abs=5e-9)
    assert result["w1"] == pytest.approx(W1_AFTER, abs=5e-9)
    assert result["difference"] < 1e-15
    assert result["losses"][-1] < result["losses"][0]
