"""Rows of results: as lines, as JSON, as the table and the plot of docs/performance.md."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.cases import BASE, Case, GroupTarget
from benchmarks.harness import Comparison
from benchmarks.peaks import Peaks

Row = dict[str, Any]
_START, _END = "<!-- results: start -->", "<!-- results: end -->"
# CPUs that others may hold before the report says so.
QUIET = 0.05
_ISAS = ("avx512", "avx2", "baseline", "ref")


def machine(lamina: Any, threads: int) -> dict[str, Any]:
    """What the numbers belong to."""
    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "isa": lamina.cpu_info()["isa"],
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def row(case: Case, compared: Comparison, peaks: Peaks, notes: Sequence[str] = ()) -> Row:
    """One case: seconds a call and ratios for each peer, share of the peak, verdicts."""
    base = compared.samples[BASE]
    times = {}
    for peer, sample in compared.samples.items():
        ratio = compared.ratio(peer, BASE)
        times[peer] = {
            "min": sample.best,
            "median": sample.median,
            "spread": sample.spread,
            "calls": sample.calls,
            "ratio": ratio.median,
            "ratio_spread": ratio.spread,
        }
    least = {"flops": case.flops / (peaks.gflops * 1e9), "bytes": case.bytes / (peaks.gbytes * 1e9)}
    bound = max(least, key=lambda kind: least[kind])
    percents = {kind: 100 * seconds / base.median for kind, seconds in least.items()}
    targets = []
    for target in case.targets:
        if target.kind == "percent":
            value: float | None = percents[target.peer]
        elif target.kind == "microseconds":
            value = 1e6 * base.median
        else:
            value = times[target.peer]["ratio"] if target.peer in times else None
        targets.append(
            {
                "kind": target.kind,
                "peer": target.peer,
                "floor": target.floor,
                "aim": target.aim,
                "value": value,
                "verdict": "not measured" if value is None else target.verdict(value),
            }
        )
    return {
        "suite": case.suite,
        "name": case.name,
        "wrong": False,
        "peers": times,
        "bound": bound if least[bound] > 0 else None,
        "percent": percents[bound] if least[bound] > 0 else None,
        "targets": targets,
        "notes": list(notes),
    }


def failed(case: Case, notes: Sequence[str]) -> Row:
    """The row of a case in which Lamina failed or computed something wrong."""
    return {
        "suite": case.suite,
        "name": case.name,
        "wrong": True,
        "peers": {},
        "bound": None,
        "percent": None,
        "targets": [],
        "notes": list(notes),
    }


def groups(targets: Sequence[GroupTarget], rows: Sequence[Row]) -> list[Row]:
    """The geometric means that a suite is asked for."""
    found = []
    for target in targets:
        ratios = [r["peers"][target.peer]["ratio"] for r in rows if target.peer in r["peers"]]
        if ratios:
            mean = statistics.geometric_mean(ratios)
            found.append(
                {
                    "peer": target.peer,
                    "cases": len(ratios),
                    "lowest": min(ratios),
                    "floor": target.floor,
                    "aim": target.aim,
                    "value": mean,
                    "verdict": target.verdict(mean),
                }
            )
    return found


def save(path: Path, described: dict[str, Any], suite: str, record: dict[str, Any]) -> None:
    """Put a suite into the file, beside the other suites of the same machine."""
    data: dict[str, Any] = {"machine": described, "suites": {}}
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        if before["machine"] == described:
            data = before
    data["suites"][suite] = record
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def seconds(value: float) -> str:
    """Three digits and a unit, such as ``12.3 us``."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= scale:
            return (
                f"{value / scale:.3g} {unit}" if value < 1000 * scale else f"{value / scale:.0f} s"
            )
    return f"{value * 1e9:.3g} ns"


def lines(one: Row) -> str:
    """A case for the terminal, one line for each peer."""
    share = f"  {one['percent']:.0f}% of peak {one['bound']}" if one["percent"] else ""
    text = [f"  {one['name']}{share}"]
    for peer, t in one["peers"].items():
        text.append(
            f"    {peer:<14} min {seconds(t['min']):>9}  median {seconds(t['median']):>9}  "
            f"spread {t['spread']:6.1%}  ratio {t['ratio']:7.3f} ({t['ratio_spread']:.1%})"
        )
    text += [f"    {_target(target)}" for target in one["targets"]]
    text += [f"    ! {note}" for note in one["notes"]]
    return "\n".join(text)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _target(target: Row) -> str:
    what = {
        "ratio": f"{target['peer']} / lamina",
        "microseconds": "microseconds",
        "percent": f"% of peak {target['peer']}",
    }[target["kind"]]
    return (
        f"{target['verdict']}: {what} {_number(target['value'])}, "
        f"floor {_number(target['floor'])}, aim {_number(target['aim'])}"
    )


def group_line(group: Row) -> str:
    return (
        f"  {group['verdict']}: geometric mean of {group['peer']} / lamina over {group['cases']} "
        f"cases {group['value']:.3g}, floor {group['floor']:.3g}, aim {group['aim']:.3g}; "
        f"lowest {group['lowest']:.3g}"
    )


def render(root: Path) -> None:
    """Write the tables into docs/performance.md, and the plot of the widest ISA measured."""
    folder = root / "benchmarks" / "results"
    found = [folder / f"{isa}.json" for isa in _ISAS if (folder / f"{isa}.json").exists()]
    if not found:
        raise SystemExit(f"no results in {folder}: measure first, python benchmarks/run.py")
    results = [json.loads(path.read_text(encoding="utf-8")) for path in found]
    page = root / "docs" / "performance.md"
    text = page.read_text(encoding="utf-8")
    head, rest = text.split(_START)
    tail = rest.split(_END)[1]
    image = draw(results[0], root / "docs" / "images" / "performance.png")
    parts = [f"![{image}](images/performance.png)\n"] if image else []
    parts += [markdown(result) for result in results]
    page.write_text(f"{head}{_START}\n\n" + "\n".join(parts) + f"\n{_END}{tail}", encoding="utf-8")
    print(f"wrote {page}")


def markdown(result: dict[str, Any]) -> str:
    """All suites of one machine and ISA."""
    m = result["machine"]
    text = [
        f"## {m['isa']}\n",
        "{cpu}, {cores} cores, {threads} threads, {system}, Python {python}.\n".format(**m),
    ]
    for suite, record in result["suites"].items():
        peaks = record["peaks"]
        versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
        coarse = ", coarse" if record["quick"] else ""
        if (record["others"] or 0) > QUIET:
            coarse += f", **others held {record['others']:.2f} CPUs meanwhile**"
        text.append(
            f"### {suite} ({m['isa']})\n\n{record['date']}{coarse}; {versions}. Peaks: "
            f"{peaks['gflops']:.0f} GFLOP/s, {peaks['gbytes']:.1f} GB/s ({peaks['source']}).\n"
        )
        text += [f"{group_line(group).strip()}.\n" for group in record["groups"]]
        text.append(_table(record["rows"]))
    return "\n".join(text)


def _table(rows: Sequence[Row]) -> str:
    present = {name for one in rows for name in one["peers"]}
    order = ("torch", "torch-fused", "torch-compile", "jax", "numpy", "sklearn")
    peers = [name for name in order if name in present]
    head = ["case", "min", "median", "spread", "of peak", *peers, "floor, aim"]
    text = ["| " + " | ".join(head) + " |", "| --- " + "| ---: " * (len(head) - 2) + "| --- |"]
    for one in rows:
        if one["wrong"]:
            text.append(f"| {one['name']} | **wrong**: {'; '.join(one['notes'])} |")
            continue
        base = one["peers"][BASE]
        share = f"{one['percent']:.0f}% {one['bound']}" if one["percent"] else ""
        cells = [one["name"], seconds(base["min"]), seconds(base["median"])]
        cells += [f"{base['spread']:.0%}", share]
        for name in peers:
            t = one["peers"].get(name)
            cells.append(f"{t['ratio']:.2f} ±{t['ratio_spread'] / 2:.0%}" if t else "")
        cells.append("; ".join(_verdict(target) for target in one["targets"]))
        text.append("| " + " | ".join(cells) + " |")
    return "\n".join(text) + "\n"


def _verdict(target: Row) -> str:
    unit = {"ratio": "", "microseconds": " us", "percent": "%"}[target["kind"]]
    asked = ", ".join(
        "-" if target[key] is None else f"{target[key]:g}{unit}" for key in ("floor", "aim")
    )
    other = f" ({target['peer']})" if target["peer"] not in ("torch", BASE) else ""
    verdict = target["verdict"]
    return f"{asked}{other}: " + (f"**{verdict}**" if verdict == "missed" else verdict)


def draw(result: dict[str, Any], path: Path, peer: str = "torch") -> str | None:
    """Bars of the ratio to a peer, one a case; returns the finding, None without matplotlib."""
    bars = [
        (suite, one["name"], one["peers"][peer]["ratio"])
        for suite, record in result["suites"].items()
        if suite != "import"
        for one in record["rows"]
        if peer in one["peers"]
    ]
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot, ticker
    except ImportError:
        print("no plot: matplotlib is not installed")
        return None
    if not bars:
        return None
    faster = sum(ratio >= 1 for *_, ratio in bars)
    mean = statistics.geometric_mean([ratio for *_, ratio in bars])
    title = (
        f"Lamina is faster than PyTorch eager in {faster} of {len(bars)} cases; "
        f"geometric mean {mean:.2f}x"
    )
    half = (len(bars) + 1) // 2
    columns = [bars[:half], bars[half:]] if len(bars) > 24 else [bars]
    size = (6.2 * len(columns), 1.2 + 0.17 * half * 2 / len(columns))
    figure, axes = pyplot.subplots(1, len(columns), figsize=size, sharex=True, squeeze=False)
    for axis, column in zip(axes[0], columns, strict=True):
        places = range(len(column))
        # Blue and orange of Okabe and Ito's palette, which colour-blind readers tell apart.
        colors = ["#0072B2" if ratio >= 1 else "#D55E00" for *_, ratio in column]
        widths = [ratio - 1 for *_, ratio in column]
        axis.barh(places, widths, left=1.0, color=colors, height=0.75)
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter(ticker.NullFormatter())
        axis.axvline(1.0, color="#333333", linewidth=1)
        axis.set_yticks(places, [f"{suite}: {name}" for suite, name, _ in column], fontsize=6.5)
        axis.set_ylim(len(column) - 0.4, -0.6)
        for place, (*_, ratio) in zip(places, column, strict=True):
            left = ratio < 1
            axis.annotate(
                f"{ratio:.2f}",
                (ratio, place),
                xytext=(-2 if left else 2, 0),
                textcoords="offset points",
                ha="right" if left else "left",
                va="center",
                fontsize=6,
            )
        axis.margins(x=0.12)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=11)
    figure.supxlabel("time of PyTorch eager / time of Lamina, median of rounds", fontsize=9)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
    return title
