"""Do the fast ways to a score find what the published way finds? All of them, with the same weights, on the same scans.

    python benchmarks/fast_against_published.py METHOD PROTOCOL SCANS WORK OUT.csv [--preset P] [--folds K] [--seed 0]

METHOD is ``tokens`` or ``itermask``, in its small preset unless another is named; SCANS holds the protocol's scans;
WORK is the ``--work`` of an `anomri benchmark PROTOCOL`: what it has prepared and trained is used as it is, the rest is
made. ``--folds`` asks for fewer trainings than the protocol, of fewer scans each.

Published: of IterMask, a pass at every step of its phase A; of the tokens, the surprisal of 100 random masks, and
healing in six steps of the slice and of its mirror image. Fast: ``preset``, as the preset reads; for the tokens also
``default``, the published way with the exact cover in place of random masks, and the same ``not mirrored``. All else is
the preset's, for every way: pooling, how two maps become a score, and what they are measured against in normals (γ, and
the spread of the tokens' maps), which the preset measured by its own reading.

OUT.csv has a row a scan, seed and way; rows that are there are not made again. Scans that cannot be prepared are left
out: no way to a score sees them. At the end: AUROC of every way and its paired difference from the published one over
the scans that every seed in the table has, with intervals over subjects and seeds; seeds are drawn for either way by
itself, so that with several of them the interval of a difference is wider than it has to be.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from anomri.benchmark.folds import split
from anomri.benchmark.preparing import load_ready, prepare_cases
from anomri.benchmark.protocol import MethodRow, Protocol, read_protocol
from anomri.benchmark.run import all_cases
from anomri.methods import load_preset
from anomri.methods.method import Placeable
from anomri.metrics.bootstrap import bootstrap_difference, bootstrap_interval
from anomri.metrics.detection import auroc_of
from anomri.pipeline.ensemble import fit_branches
from anomri.training.fabric import choose_device, make_fabric

# What all rows of a table share, then what tells them apart.
SHARED = ("method", "protocol", "preset", "folds")
COLUMNS = (*SHARED, "seed", "case", "subject", "abnormal", "way", "score")
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
        protocol = Protocol.model_validate(protocol.model_dump() | {"folds": given.folds})
    recipe = protocol.recipe_of(protocol.recipe)
    row = MethodRow(name=given.method, methods=(given.method,), presets=(given.preset or f"{given.method}-small",))
    (spec,) = row.specs()
    ways = {way: type(spec.config).model_validate(dict(spec.config) | own) for way, own in WAYS[given.method].items()}
    if ways["preset"] == ways[PUBLISHED] or getattr(spec.config, "surprisal", "") == "autoregressive":
        parser.error(f"{spec.preset} has no fast way to compare with the published one")
    shared = (given.method, protocol.name, spec.preset, str(protocol.folds))
    lines = lines_of(given.out)
    for line in lines:
        if (found := tuple(line[name] for name in SHARED)) != shared:
            parser.error(f"{given.out} holds rows of {found}, not of {shared}")
    known = {(line["case"], line["way"]) for line in lines if line["seed"] == str(given.seed)}
    cases = all_cases(protocol, {protocol.data[0].set: given.scans})
    ready = prepare_cases(cases, recipe, given.work / "prepared", jobs=1, report=print)
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
        readers = {way: type(method).restore(config, method.state()) for way, config in ways.items()}
        for reader in readers.values():
            if isinstance(reader, Placeable):
                reader.to(choose_device(given.device))
        for one in tests:
            prepared, case = load_ready(one), one.case
            for way, reader in readers.items():
                if (case.case_id, way) in known:
                    continue
                score = float(reader.examine(prepared, seed=given.seed).score)
                if np.isnan(score):
                    raise SystemExit(f"{case.case_id}, {way}: no score")
                own = (str(given.seed), case.case_id, case.subject, str(int(case.abnormal)), way, repr(score))
                append(given.out, (*shared, *own))
    compare(lines_of(given.out))


def lines_of(out: Path) -> list[dict[str, str]]:
    """The rows that are there."""
    text = out.read_text(encoding="utf-8") if out.exists() else ""
    if not text:
        return []
    lines = csv.DictReader(text.splitlines())
    if tuple(lines.fieldnames or ()) != COLUMNS or not text.endswith("\n"):
        raise SystemExit(f"{out} is no table of this script, or its last row is torn: take it away, or the row")
    return list(lines)


def append(out: Path, row: tuple[str, ...]) -> None:
    """Add a row; the first one brings the head of the table."""
    with out.open("a", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, row] if file.tell() == 0 else [row])


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
    left = f"{len(about) - len(cases)} left out, which some seed or way lacks"
    print(f"{len(cases)} scans, {abnormal.sum()} of them abnormal, {len(seeds)} seeds; {left}")
    if PUBLISHED not in ways or not 0 < abnormal.sum() < len(cases):
        raise SystemExit("too few for a comparison")
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
