"""A small benchmark in a process of its own, for tests that end it: ``small_run.py SITE OUT UNTIL``; says each step."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import cast

from anomri.benchmark import preparing, report, run
from anomri.benchmark.protocol import Lesions, MethodRow, Protocol
from anomri.pipeline.brain import FoundBrain
from small_benchmark import ROWS, fake_prepare, small_protocol

__all__ = ["lesion_protocol"]

RANDOM = MethodRow(name="B0 random", methods=("baseline-constant",), presets=("baseline-random",), baseline=True)


def lesion_protocol() -> Protocol:
    """One lesion, one row."""
    return small_protocol(
        artefacts=None, lesions=Lesions(volumes_ml=(2.0,), contrasts=(3.0,), signs=("bright",)), methods=ROWS[:1]
    )


def main() -> None:
    """Run it."""
    site, out, until = sys.argv[1:]
    preparing.prepare = fake_prepare
    preparing.brain_of = lambda _scan, _recipe: FoundBrain(None, None, False, ())  # type: ignore[assignment]
    report.curves = lambda _protocol, _table: []
    run.rows_of = lambda protocol: (*protocol.methods, RANDOM)
    run.run_benchmark(
        lesion_protocol(),
        {"t1w-site-a": Path(site)},
        Path(out),
        until=cast("run.Stage", until),
        report=lambda line: print(line, flush=True),
    )


if __name__ == "__main__":
    main()
