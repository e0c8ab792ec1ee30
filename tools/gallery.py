"""Draws the pictures of docs/foundations, and keeps what the scripts print beside them.

`python tools/gallery.py [NAME ...]` runs the full form of these scripts of examples/foundations, by
default of all, and writes docs/images/foundations/NAME.png, perhaps NAME.gif, and NAME.txt.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lamina.cli._foundations import NAMES

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "examples" / "foundations"
PICTURES = ROOT / "docs" / "images" / "foundations"
LARGEST = {".png": 250_000, ".gif": 500_000}  # bytes: the repository keeps every version


def draw(name: str) -> str:
    """Run one script and keep its picture and its words; returns what is wrong with them."""
    script = SCRIPTS / f"{name}.py"
    done = subprocess.run(
        [sys.executable, script, "--out", PICTURES], stdout=subprocess.PIPE, check=False, text=True
    )
    if done.returncode:
        return f"{name}.py failed"
    (PICTURES / f"{name}.txt").write_text(done.stdout, encoding="utf-8")
    print(f"{name}:\n{done.stdout}", flush=True)
    sizes = {path: path.stat().st_size for path in PICTURES.glob(f"{name}.[pg]*")}
    heavy = {path: size for path, size in sizes.items() if size > LARGEST[path.suffix]}
    return "\n".join(f"{path.name} has {size:,} bytes: draw less" for path, size in heavy.items())


def main(names: list[str]) -> None:
    """Draw these, or all."""
    unknown = set(names) - set(NAMES)
    if unknown:
        raise SystemExit(f"no script {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    PICTURES.mkdir(parents=True, exist_ok=True)
    wrong = [draw(name) for name in names or NAMES]
    if any(wrong):
        raise SystemExit("\n".join(filter(None, wrong)))


if __name__ == "__main__":
    main(sys.argv[1:])
