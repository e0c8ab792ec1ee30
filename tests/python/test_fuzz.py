"""What nobody would write is refused, not a crash: fuzz_ops.py, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("fuzz_ops.py")


def test_calls_of_everything_with_any_arguments(tmp_path):
    pytest.importorskip("hypothesis", reason="needs hypothesis")
    log = tmp_path / "call"
    done = subprocess.run(
        [sys.executable, PROGRAM],
        capture_output=True,
        text=True,
        env={**os.environ, "LAMINA_FUZZ_LOG": str(log)},
        timeout=3600,
    )
    if done.returncode:
        last = log.read_text(errors="replace").rstrip() if log.exists() else ""
        pytest.fail(f"exit {done.returncode}, running\n{last}\n{done.stderr[-6000:]}")
    counts = json.loads(done.stdout)
    print(done.stdout)
    assert counts["calls"] >= 12 * counts["rows"] > 0
    # Arguments that are refused by their type alone would test little.
    assert counts["outcomes"]["returned"] > counts["calls"] / 3
