"""Do the fast ways to a score find what the published way finds? All of them, with the same weights, on the same scans.

    python benchmarks/fast_against_published.py METHOD PROTOCOL SCANS WORK OUT.csv [--preset P] [--folds K] [--seed 0]

METHOD is ``tokens`` or ``itermask``, in its small preset unless another is named; SCANS holds the protocol's scans;
WORK is the ``--work`` of an `anomri benchmark PROTOCOL`: what it has prepared and trained is used as it is, the rest is
made. ``--folds`` asks for fewer trainings than the protocol, of fewer scans each.

Published: of IterMask, a pass at every step of its phase A; of the tokens, the published brain's score, 100 random
masks, six steps of healing, the mirror image. Fast: ``preset`` as the preset reads; ``default`` the default score of
the published brain's preset, which differs in its masks alone, and the same ``not mirrored``. What the maps are
measured against in normals (γ, and the spread of the tokens' maps) was measured the preset's way and serves all ways,
which can only favour the fast ones.

OUT.csv has a row a scan, seed and way; rows that are there are not made again, and a table of another method or
protocol is refused (not one of another preset, number of folds or training: begin a new table for it). Scans that
preparation refuses are left out: no way to a score sees them. At the end: AUROC of every way and its paired difference
from the published one over the scans that every seed in the table has, with intervals over subjects and seeds.
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

COLUMNS = ("method", "protocol", "seed", "case", "subject", "abnormal", "way", "score")
PUBLISHED = "published"
DEFAULT = load_preset("tokens", "tokens-brain")[1].config.model_dump(
    include={"surprisal", "groups", "sets", "passes", "rate", "patterns", "steps", "mirrored", "reference"}
)
WAYS: dict[str, dict[str, dict[str, object]]] = {
    "itermask": {"preset": {}, PUBLISHED: {"path": "published"}},
    "tokens": {
        "preset": {},
        "default, not mirrored": DEFAULT | {"mirrored": False},
        "default": DEFAULT,
        PUBLISHED: DEFAULT | {"surprisal": "monte-carlo"},
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("method", choices=sorted(WAYS))
    parser.add_argument("protocol")
    for name in ("scans", "work", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--preset")
    parser.add_argument("--folds", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    given = parser.parse_args()
    protocol = read_protocol(given.protocol)
    if given.folds is not None:
        protocol = protocol.model_copy(update={"folds": given.folds})
    recipe = protocol.recipe_of(protocol.recipe)
    row = MethodRow(name=given.method, methods=(given.method,), presets=(given.preset or f"{given.method}-small",))
    cases = all_cases(protocol, {protocol.data[0].set: given.scans})
    ready = prepare_cases(cases, recipe, given.work / "prepared", jobs=1, report=print)
    own = (given.method, protocol.name, str(given.seed))
    lines = lines_of(given.out)
    if any((line["method"], line["protocol"]) != own[:2] for line in lines):
        raise SystemExit(f"{given.out} holds rows of another method or protocol")
    known = {(line["case"], line["way"]) for line in lines if line["seed"] == own[2]}
    ways = WAYS[given.method]
    for fold in split(protocol, ready):
        tests = [one for one in fold.test if one.file is not None]
        if all((one.case.case_id, way) in known for one in tests for way in ways):
            continue
        fitted = fit_branches(
            row.specs(),
            [load_ready(one) for one in fold.train],
            seed=given.seed,
            fabric=make_fabric(given.device),
            folder=given.work / "branches",
            recipe_sha256=recipe.sha256,
        )
        (method,) = fitted.methods.values()
        kind, state = load_method(given.method), method.state()
        settings = row.specs()[0].config.model_dump()
        readers = {
            way: kind.restore(kind.config_type.model_validate(settings | changes), state)
            for way, changes in ways.items()
        }
        for reader in readers.values():
            if isinstance(reader, Placeable):
                reader.to(choose_device(given.device))
        for one in tests:
            prepared, scan = load_ready(one), one.case
            for way, reader in readers.items():
                if (scan.case_id, way) not in known:
                    score = repr(float(reader.examine(prepared, seed=given.seed).score))
                    append(given.out, (*own, scan.case_id, scan.subject, str(int(scan.abnormal)), way, score))
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
    """Print AUROC and the paired differences."""
    seeds: dict[str, dict[str, dict[str, float]]] = {}
    about = {line["case"]: (line["abnormal"] == "1", line["subject"]) for line in lines}
    for line in lines:
        seeds.setdefault(line["seed"], {}).setdefault(line["case"], {})[line["way"]] = float(line["score"])
    ways = list(dict.fromkeys(line["way"] for line in lines))
    cases = [case for case in about if all(len(scores.get(case, {})) == len(ways) for scores in seeds.values())]
    abnormal = np.array([about[case][0] for case in cases])
    subjects = [about[case][1] for case in cases]
    found = {way: np.array([[scores[case][way] for case in cases] for scores in seeds.values()]) for way in ways}
    rng = np.random.default_rng(0)
    print(f"{len(cases)} scans, {abnormal.sum()} of them abnormal, {len(seeds)} seeds")
    for way in ways:
        auroc = bootstrap_interval(found[way], abnormal, subjects, auroc_of, rng=rng)
        print(f"{way}: AUROC {auroc.estimate:.3f} ({auroc.low:.3f}–{auroc.high:.3f})", end="")
        if way == PUBLISHED:
            print()
            continue
        gap = bootstrap_difference(found[way], found[PUBLISHED], abnormal, subjects, auroc_of, rng=rng)
        print(f", less published {gap.estimate:+.3f} ({gap.low:+.3f} to {gap.high:+.3f})")


if __name__ == "__main__":
    main()
