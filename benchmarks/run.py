"""Time Lamina against the libraries that are installed.

python benchmarks/run.py                        every suite; about a quarter of an hour
python benchmarks/run.py step norm --quick      two suites, coarsely
LAMINA_ISA=avx2 python benchmarks/run.py        with another table of kernels
python benchmarks/run.py --render               docs/performance.md from the results
"""

from __future__ import annotations

import argparse
import gc
import sys
import warnings
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# As a script, Python looks for modules in this folder; they live in the package that it is.
sys.path[0] = str(ROOT)

from benchmarks import peers as peers_module  # noqa: E402

NAMES = ("matmul", "pointwise", "norm", "optim", "overhead", "step", "import")


def main() -> int:
    """Measure, print, save; 1 where Lamina computed something wrong."""
    args = parse()
    # Before NumPy or any peer is imported: they read it once.
    peers_module.prepare_environment(args.threads)
    from benchmarks import report

    if args.render:
        report.render(ROOT)
        return 0
    wanted = args.peers.split(",") if args.peers else list(peers_module.CHOICES)
    found, absent = peers_module.load(wanted, args.threads)
    machine = report.machine(found[0].module, args.threads)
    print(", ".join(f"{key} {value}" for key, value in machine.items()))
    print("peers: " + ", ".join(f"{peer.name} {peer.version}" for peer in found))
    for name, reason in absent.items():
        print(f"  {name} is absent: {reason}")
    if "torch" in [peer.name for peer in found]:
        warnings.filterwarnings("ignore", module=r"torch\.")

    out = args.out
    if out is None and not (args.quick or args.case):
        out = ROOT / "benchmarks" / "results" / f"{machine['isa']}.json"
    wrong = 0
    for suite in args.suites:
        record = measure(suite, found, args)
        record["absent"] = absent
        wrong += sum(row["wrong"] for row in record["rows"])
        if out is not None:
            report.save(out, machine, suite, record)
    if out is not None:
        print(f"saved to {out}")
    return 1 if wrong else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "suites",
        nargs="*",
        metavar="SUITE",
        help=f"{', '.join(NAMES)}; default all",
    )
    parser.add_argument(
        "--peers",
        metavar="A,B",
        help=f"of {','.join(peers_module.CHOICES)}; default all that are installed",
    )
    parser.add_argument("--case", metavar="TEXT", help="only cases whose name contains TEXT")
    parser.add_argument(
        "--quick", action="store_true", help="3 rounds of 30 ms instead of 7 of 100"
    )
    parser.add_argument("--threads", type=int, default=2, help="of every peer; default 2")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="JSON; suites that it holds already and that are not measured now stay. "
        "Default benchmarks/results/ISA.json, but nothing with --quick or --case",
    )
    parser.add_argument(
        "--render", action="store_true", help="only write the docs from benchmarks/results"
    )
    args = parser.parse_args()
    for name in args.suites:
        if name not in NAMES:
            parser.error(f"no suite is named {name!r}; there are {', '.join(NAMES)}")
    args.suites = args.suites or list(NAMES)
    for name in args.peers.split(",") if args.peers else ():
        if name not in peers_module.CHOICES:
            parser.error(f"no peer is named {name!r}; there are {', '.join(peers_module.CHOICES)}")
    return args


def measure(suite: str, found: list[peers_module.Peer], args: argparse.Namespace) -> dict[str, Any]:
    """One suite, as `report.save` keeps it: peaks, a row for each case, means."""
    from benchmarks import harness, report
    from benchmarks.peaks import Meter
    from benchmarks.suites import SUITES

    module = SUITES[suite]
    cases = [case for case in module.cases() if not args.case or args.case in case.name]
    meter = Meter(args.threads)
    peaks = meter.measure()
    meter.close()
    print(
        f"\n{suite}: peaks {peaks.gflops:.0f} GFLOP/s, {peaks.gbytes:.1f} GB/s ({peaks.source})",
        flush=True,
    )
    rows, others = [], harness.Others()
    for case in cases:
        clocks, notes, wrong = {}, [], False
        for peer in found:
            try:
                work = case.prepare(peer)
            except Exception as reason:  # one peer's failure is a note, not the end of the run
                notes.append(f"{peer.name}: {type(reason).__name__}: {reason}")
                wrong = wrong or peer.name == "lamina"
                continue
            if work is not None:
                clocks[peer.name] = harness.timer(work.statement, work.names)
        if wrong:
            row = report.failed(case, notes)
        else:
            compared = harness.compare(clocks, harness.QUICK if args.quick else harness.FULL)
            row = report.row(case, compared, peaks, notes)
        rows.append(row)
        print(report.lines(row), flush=True)
        clocks.clear()
        gc.collect()
    groups = [] if args.case else report.groups(module.GROUPS, rows)
    for group in groups:
        print(report.group_line(group))
    taken = others.cpus()
    if taken is not None and taken > report.QUIET:
        print(f"  ! others held {taken:.2f} CPUs on average: measure again on an idle machine")
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "versions": {peer.name: peer.version for peer in found},
        "quick": args.quick,
        "others": taken,
        "peaks": {"gflops": peaks.gflops, "gbytes": peaks.gbytes, "source": peaks.source},
        "rows": rows,
        "groups": groups,
    }


if __name__ == "__main__":
    sys.exit(main())
