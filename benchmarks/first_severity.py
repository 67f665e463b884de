"""Is the first severity of every simulated kind invisible to brain volume, grey values and sharpness alone?

    python benchmarks/first_severity.py SCANS OUT.csv [--subjects 12] [--kinds KIND ...]

SCANS holds site A; its twelve development subjects are read and no others. The baselines B1 (volume), B2 (intensity)
and B3 (sharpness) are fitted on the clean scans of all other subjects. A case is visible to a baseline if it scores
higher than each of the twelve clean scans does when it is left out, and invisible if it is visible to none of the
three. A case that cannot be made, or that preparation refuses, counts as visible.

OUT.csv has a line a case: subject, kind, and what it is visible to. A run that was ended goes on where it was; the
shares of invisible cases are printed at the end.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from anomri import io
from anomri.core.prepared import Prepared
from anomri.core.scan import Scan
from anomri.datasets.site_a import DEVELOPMENT
from anomri.errors import AnomriError
from anomri.methods import Method, load_method, load_preset
from anomri.preparation import Recipe, prepare, recipe_named
from anomri.preparation.mask import stripped_mask
from anomri.simulate import ARTEFACTS, STRUCTURE, corrupt

BASELINES = ("baseline-volume", "baseline-intensity", "baseline-sharpness")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("scans", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--subjects", type=int, default=12)
    parser.add_argument("--kinds", nargs="*", default=[*STRUCTURE, *(k for k in ARTEFACTS if k != "flip")])
    given = parser.parse_args()
    recipe = recipe_named("brain-t1")
    scans = [io.read(given.scans / f"{subject}_T1w.nii.gz") for subject in DEVELOPMENT]
    clean = [prepare(scan, recipe) for scan in scans]
    fitted = [scorers([p for p in clean if p is not own]) for own in clean]
    limits = {
        name: max(score(models[name], own) for models, own in zip(fitted, clean, strict=True)) for name in BASELINES
    }
    print("limits", limits, flush=True)
    known = read_cases(given.out)
    for number, (scan, models) in enumerate(list(zip(scans, fitted, strict=True))[: given.subjects]):
        for kind in given.kinds:
            if (DEVELOPMENT[number], kind) in known:
                continue
            seen = " ".join(visible_to(scan, kind, number, models, limits, recipe))
            with given.out.open("a", newline="", encoding="utf-8") as file:
                csv.writer(file).writerow([DEVELOPMENT[number], kind, seen])
            print(DEVELOPMENT[number], kind, seen or "invisible", flush=True)
    known = read_cases(given.out)
    print("| kind | cases | invisible |\n|---|---|---|")
    for kind in given.kinds:
        cases = [seen for (subject, other), seen in known.items() if other == kind]
        print(f"| {kind} | {len(cases)} | {sum(not seen for seen in cases)} |")


def read_cases(path: Path) -> dict[tuple[str, str], str]:
    """What is known: by subject and kind, what a case is visible to."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {(row[0], row[1]): row[2] for row in csv.reader(file) if len(row) == 3}


def scorers(normals: list[Prepared]) -> dict[str, Method]:
    """The three baselines, fitted."""
    models = {name: load_method(name)(load_preset(name)[1].config) for name in BASELINES}
    for model in models.values():
        model.fit(normals, seed=0, fabric=None, resume=None)
    return models


def score(model: Method, prepared: Prepared) -> float:
    value = model.examine(prepared, seed=0).score
    assert value is not None
    return float(value)


def visible_to(
    scan: Scan, kind: str, seed: int, models: dict[str, Method], limits: dict[str, float], recipe: Recipe
) -> list[str]:
    """The baselines that see a case of severity 1."""
    try:
        made = corrupt(scan, kind, severity=1, seed=seed, brain=stripped_mask(scan.voxels))
        prepared = prepare(made.scan, recipe)
    except AnomriError as error:
        return [type(error).__name__]
    scores = {name: score(model, prepared) for name, model in models.items()}
    return [name for name, value in scores.items() if not np.isfinite(value) or value > limits[name]]


if __name__ == "__main__":
    main()
