"""`import lamina` loads the extension and little else."""

from __future__ import annotations

import os
import subprocess
import sys

HEAVY = ("numpy", "rich", "matplotlib", "safetensors", "click", "scipy", "sklearn", "tensorboard")


def in_a_process(code, **environment):
    """What code prints in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )
    return done.returncode, done.stdout.strip(), done.stderr


def loaded_by(statement):
    code = (
        "import sys; before = set(sys.modules)\n"
        f"{statement}\n"
        f"print(sorted({set(HEAVY)!r} & (set(sys.modules) - before)))"
    )
    status, out, err = in_a_process(code)
    assert status == 0, err
    return out


def test_import_loads_nothing_heavy():
    assert loaded_by("import lamina") == "[]"


def test_training_a_network_loads_nothing_heavy():
    assert (
        loaded_by(
            "import lamina as torch\n"
            "model = torch.nn.Linear(2, 1)\n"
            "optimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n"
            "model(torch.ones(3, 2)).mean().backward()\n"
            "optimizer.step(); repr(model); str(torch.ones(2)); model.weight.tolist()"
        )
        == "[]"
    )


def test_an_import_starts_no_threads():
    code = "import threading, os, lamina; print(len(os.listdir('/proc/self/task')))"
    if sys.platform == "linux":
        assert in_a_process(code)[1] == "1"


def test_the_environment_chooses_threads_and_instruction_set():
    code = "import lamina; print(lamina.get_num_threads(), lamina.cpu_info()['isa'])"
    assert in_a_process(code, LAMINA_NUM_THREADS="3", LAMINA_ISA="ref")[1] == "3 ref"
    assert in_a_process(code, OMP_NUM_THREADS="2", LAMINA_ISA="baseline")[1] == "2 baseline"
    both = {"OMP_NUM_THREADS": "2", "LAMINA_NUM_THREADS": "5"}
    assert in_a_process(code, **both)[1].startswith("5 ")


def test_a_wrong_choice_is_one_clear_error():
    code = (
        "import lamina\n"
        "try: lamina.ones(2).exp()\n"
        "except (RuntimeError, ValueError) as error: print(error)"
    )
    status, out, err = in_a_process(code, LAMINA_ISA="avx9000")
    text = out + err
    assert "avx9000" in text
    assert "baseline" in text
    assert "terminate called" not in text
    assert status in (0, 1)
