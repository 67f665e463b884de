"""Does the fast way to a score find what the published way finds? Both, with the same weights, on the same scans.

    python benchmarks/fast_against_published.py METHOD PROTOCOL SCANS WORK OUT.csv [--preset P] [--seed 0]

METHOD is ``tokens`` or ``itermask``, in its small preset unless another is named; SCANS holds the protocol's scans;
WORK is the ``--work`` of an `anomri benchmark PROTOCOL` that has trained the method: its folds are used as they are.
The published way takes a pass at every step of IterMask's phase A; of the tokens it takes 100 random masks, the
published number of healing steps, and the mirror image. What the maps are measured against in normals (γ, and the
spread of the tokens' maps) was measured the fast way and serves both, which can only favour the fast one.

OUT.csv has a row a scan and seed; rows that are there are not made again, and a table of another method or protocol is
refused (not one of another preset or training: begin a new table for it). Scans that preparation refuses are left out:
no way to a score sees them. At the end: AUROC of both ways and their paired difference over the scans that every seed
in the table has, with intervals over subjects and seeds.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from anomri.benchmark.folds import split
from anomri.benchmark.preparing import load_ready, prepare_cases
from anomri.benchmark.protocol import MethodRow, read_protocol
from anomri.benchmark.run import all_cases
from anomri.methods import load_method, load_preset
from anomri.methods.method import Placeable
from anomri.metrics.bootstrap import bootstrap_difference, bootstrap_interval
from anomri.metrics.detection import auroc_of
from anomri.pipeline.ensemble import fit_branches
from anomri.training.fabric import choose_device, make_fabric

COLUMNS = ("method", "protocol", "seed", "case", "subject", "abnormal", "fast", "published")
# The published brain's.
TOKENS = load_preset("tokens", "tokens-brain")[1].config.model_dump(include={"passes", "steps", "mirrored"})
PUBLISHED = {"itermask": {"path": "published"}, "tokens": {"surprisal": "monte-carlo", **TOKENS}}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("method", choices=sorted(PUBLISHED))
    parser.add_argument("protocol")
    for name in ("scans", "work", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--preset")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    given = parser.parse_args()
    protocol = read_protocol(given.protocol)
    recipe = protocol.recipe_of(protocol.recipe)
    row = MethodRow(name=given.method, methods=(given.method,), presets=(given.preset or f"{given.method}-small",))
    cases = all_cases(protocol, {protocol.data[0].set: given.scans})
    ready = prepare_cases(cases, recipe, given.work / "prepared", jobs=1, report=print)
    own = (given.method, protocol.name, str(given.seed))
    lines = lines_of(given.out)
    if any((line["method"], line["protocol"]) != own[:2] for line in lines):
        raise SystemExit(f"{given.out} holds rows of another method or protocol")
    known = {line["case"] for line in lines if line["seed"] == own[2]}
    for fold in split(protocol, ready):
        tests = [one for one in fold.test if one.file is not None and one.case.case_id not in known]
        if not tests:
            continue
        fitted = fit_branches(
            row.specs(),
            [load_ready(one) for one in fold.train],
            seed=given.seed,
            fabric=make_fabric(given.device),
            folder=given.work / "branches",
            recipe_sha256=recipe.sha256,
        )
        (fast,) = fitted.methods.values()
        kind = load_method(given.method)
        settings = row.specs()[0].config.model_dump() | PUBLISHED[given.method]
        published = kind.restore(kind.config_type.model_validate(settings), fast.state())
        for each in (fast, published):
            if isinstance(each, Placeable):
                each.to(choose_device(given.device))
        for one in tests:
            prepared = load_ready(one)
            scores = [repr(float(each.examine(prepared, seed=given.seed).score)) for each in (fast, published)]
            append(given.out, (*own, one.case.case_id, one.case.subject, str(int(one.case.abnormal)), *scores))
    compare(lines_of(given.out))


def lines_of(out: Path) -> list[dict[str, str]]:
    """The rows that are there."""
    if not out.exists():
        return []
    with out.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def append(out: Path, row: tuple[str, ...]) -> None:
    """Add a row; the first one brings the head of the table."""
    new = not out.exists()
    with out.open("a", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, row] if new else [row])


def compare(lines: list[dict[str, str]]) -> None:
    """Print AUROC and their paired difference."""
    seeds: dict[str, dict[str, dict[str, str]]] = {}
    for line in lines:
        seeds.setdefault(line["seed"], {})[line["case"]] = line
    first, *others = seeds.values()
    cases = [case for case in first if all(case in other for other in others)]
    abnormal = np.array([first[case]["abnormal"] == "1" for case in cases])
    subjects = [first[case]["subject"] for case in cases]
    scores = {
        way: np.array([[float(each[case][way]) for case in cases] for each in seeds.values()])
        for way in ("fast", "published")
    }
    rng = np.random.default_rng(0)
    print(f"{len(cases)} scans, {abnormal.sum()} of them abnormal, {len(seeds)} seeds")
    for way, values in scores.items():
        found = bootstrap_interval(values, abnormal, subjects, auroc_of, rng=rng)
        print(f"{way}: AUROC {found.estimate:.3f} ({found.low:.3f}–{found.high:.3f})")
    gap = bootstrap_difference(scores["fast"], scores["published"], abnormal, subjects, auroc_of, rng=rng)
    print(f"fast less published: {gap.estimate:+.3f} ({gap.low:+.3f} to {gap.high:+.3f})")


if __name__ == "__main__":
    main()
