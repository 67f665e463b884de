"""How often the demo says what it should, over many seeds.

    python benchmarks/demo_seeds.py FIRST LAST WORK [--model demo-brain] [--jobs 2]

Scores the seven examples of each seed FIRST … LAST with the demo's model; writes WORK/demo_seeds.csv and prints, for
each kind of example, how many had each verdict. Seeds that are done are not scored again.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from anomri.models import Model
from anomri.pipeline import score
from anomri.pipeline.demo import examples

COLUMNS = ("seed", "name", "verdict", "p_value", "expected", "as_expected")


def judge(task: tuple[int, str, Path]) -> Path:
    """Score the examples of one seed into a file of their own."""
    seed, name, file = task
    if file.is_file():
        return file
    model = Model.load(name)
    rows = []
    for example in examples(seed):
        result = score(example.scan, model).result
        right = result.verdict in example.expected
        rows.append((seed, example.name, result.verdict, result.p_value, "|".join(sorted(example.expected)), right))
    part = file.with_suffix(".part")
    with part.open("w", newline="") as handle:
        csv.writer(handle).writerows(rows)
    part.rename(file)
    return file


def main() -> None:
    """Score, gather, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int)
    parser.add_argument("work", type=Path)
    parser.add_argument("--model", default="demo-brain")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    tasks = [(s, given.model, given.work / f"seed-{s}.csv") for s in range(given.first, given.last + 1)]
    rows: list[list[str]] = []
    with ProcessPoolExecutor(given.jobs, mp_context=get_context("spawn")) as pool:
        for file in pool.map(judge, tasks):
            with file.open(newline="") as handle:
                rows += list(csv.reader(handle))
    with (given.work / "demo_seeds.csv").open("w", newline="") as handle:
        table = csv.writer(handle)
        table.writerow(COLUMNS)
        table.writerows(rows)
    for name in dict.fromkeys(row[1] for row in rows):
        counts = Counter(row[2] for row in rows if row[1] == name)
        right = sum(row[5] == "True" for row in rows if row[1] == name)
        verdicts = ", ".join(f"{verdict} {count}" for verdict, count in sorted(counts.items()))
        sys.stdout.write(f"{name}: {right} of {sum(counts.values())} as expected ({verdicts})\n")


if __name__ == "__main__":
    main()
