"""What anomri costs: time and memory of the commands a user runs, each as its own process.

    python benchmarks/limits.py SCANS WORK [--throughput 12]

SCANS holds 1 mm scans of site A. Writes WORK/limits.md. Absolute figures hold for the machine named in it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

ANOMRI = str(Path(sys.executable).with_name("anomri"))


def run(*arguments: str) -> tuple[float, float]:
    """Wall seconds of one command, and the largest resident set of any child so far in GB."""
    start = time.perf_counter()
    done = subprocess.run([ANOMRI, *arguments], check=False, capture_output=True, text=True)
    if done.returncode not in (0, 3):
        raise SystemExit(done.stderr)
    elapsed = time.perf_counter() - start
    return elapsed, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--throughput", type=int, default=12, help="scans of the one-worker against two-worker run")
    given = parser.parse_args()
    scans = sorted(given.scans.glob("*_T1w.nii.gz"))
    given.work.mkdir(parents=True, exist_ok=True)
    lines = [
        f"Machine: {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}.",
        "",
        "| what | measured |",
        "|---|---|",
    ]

    help_s = min(run("--help")[0] for _ in range(5))
    lines.append(f"| `anomri --help` | {help_s:.2f} s |")

    one = fresh(given.work / "one")
    seconds, memory = run("score", "-i", str(scans[0]), "-o", str(one), "--jobs", "1")
    lines.append(f"| one 1 mm brain, file to report, one worker of one thread | {seconds:.1f} s, {memory:.2f} GB |")
    lines += stages(one)

    paces = {}
    for jobs in (1, 2):
        out = fresh(given.work / f"jobs-{jobs}")
        inputs = [part for scan in scans[: given.throughput] for part in ("-i", str(scan))]
        paces[jobs], memory = run("score", *inputs, "-o", str(out), "--jobs", str(jobs))
        lines.append(f"| {given.throughput} scans, {jobs} worker(s) | {paces[jobs]:.0f} s, {memory:.2f} GB a process |")
    lines.append(f"| throughput of two workers against one | {paces[1] / paces[2]:.2f} × |")

    demo, _ = run("demo", "-o", str(fresh(given.work / "demo")))
    lines.append(f"| `anomri demo` | {demo:.0f} s |")
    (given.work / "limits.md").write_text("\n".join(lines) + "\n")
    sys.stdout.write("\n".join(lines) + "\n")


def fresh(folder: Path) -> Path:
    """An output folder with nothing in it."""
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def stages(out: Path) -> list[str]:
    """The split of one scan's time, from its run.json."""
    record = json.loads((out / "run.json").read_text())
    (scan,) = record["scans"].values() if isinstance(record["scans"], dict) else record["scans"]
    return [f"| – {name} | {seconds:.2f} s |" for name, seconds in scan["stages_s"].items()]


if __name__ == "__main__":
    main()
