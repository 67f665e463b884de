"""Remake a bundled model: `scripts/train-bundled NAME WORK [SCANS]`.

brain-t1     from the 60 scans of site A in the folder SCANS (``sub-XX_T1w.nii.gz`` and ``participants.tsv``)
             six trainings of a network of 13 to 19 minutes of one core each
brain-t1-45  the same without the locked subjects; it is for measuring and is not bundled
demo-brain   from simulated normals made on the spot

Everything made on the way is kept in WORK; the same command run again after a kill goes on where it stopped.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from anomri.datasets.site_a import SUBJECTS, is_locked
from anomri.io.participants import read_participants, subject_of
from anomri.io.write import write_nifti
from anomri.pipeline import FitInput, ModelCardText, fit
from anomri.pipeline.demo import demo_normal, tissue_maps

BUNDLED = Path(__file__).parents[1] / "src" / "anomri" / "models" / "bundled"
DEMO_NORMALS = 400
DEMO_METHODS = ("zatlas", "iqm1c")
BRAIN_METHODS = ("iqm1c", "dae")

BRAIN_T1 = ModelCardText(
    cohort=(
        "60 adults of 19–55 years from one scanner (OpenNeuro ds002748, CC0), skull-stripped T1w at "
        "0.87 × 0.87 × 1 mm: 17 healthy controls and 43 with mild depression, which leaves nothing visible on T1w."
    ),
    validation=(
        "Cross-validated by subject on 45 of the subjects with simulated defects, and, by the same recipe fitted "
        "without them, on the 15 others; see docs/benchmarks, also for scans of other scanners and with real lesions, "
        "which it does not find."
    ),
    expects="A skull-stripped T1w scan of an adult brain, about 1 mm, from the scanner it was calibrated on.",
    licence="Apache-2.0; trained on CC0 data",
)
DEMO_BRAIN = ModelCardText(
    cohort=f"{DEMO_NORMALS} simulated brains drawn from the ICBM tissue maps; no person among them.",
    validation="The demo's own examples over twenty seeds; see docs/benchmarks. It rightly finds every real scan odd.",
    expects="A scan made by the demo's simulator.",
    licence="Apache-2.0",
    single_site=False,
)


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=["brain-t1", "brain-t1-45", "demo-brain"])
    parser.add_argument("work", type=Path, help="folder for everything made on the way")
    parser.add_argument("scans", type=Path, nargs="?", help="folder of site A, for brain-t1")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    if given.name == "demo-brain":
        methods, card, rate = DEMO_METHODS, DEMO_BRAIN, 0.01
        inputs = simulated(given.work / "demo-normals", given.jobs)
    else:
        methods, card, rate = BRAIN_METHODS, BRAIN_T1, 0.05
        inputs = site_a(given.scans, locked=given.name == "brain-t1")
    made = given.work / given.name
    fit(
        methods,
        inputs,
        made,
        name=given.name,
        work=given.work / f"{given.name}.fit",
        card=card,
        jobs=given.jobs,
        half=True,
        alarm_rate=rate,
        report=lambda line: print(line, file=sys.stderr),
    )
    if given.name != "brain-t1-45":
        shutil.rmtree(BUNDLED / given.name, ignore_errors=True)
        shutil.copytree(made, BUNDLED / given.name)


def site_a(folder: Path, *, locked: bool) -> list[FitInput]:
    """The scans of site A, with or without the locked subjects."""
    participants = read_participants(folder / "participants.tsv")
    subjects = [s for s in SUBJECTS if locked or not is_locked(s)]
    names = [f"{s}_T1w" for s in subjects]
    return [
        FitInput(folder / f"{name}.nii.gz", name, subject_of(name), participants.covariates(name)) for name in names
    ]


def simulated(folder: Path, jobs: int) -> list[FitInput]:
    """The demo's normals as files; those that exist are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"sim-{number:04d}" for number in range(DEMO_NORMALS)]
    missing = [
        (number, folder / f"{n}.nii.gz") for number, n in enumerate(names) if not (folder / f"{n}.nii.gz").is_file()
    ]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for path in pool.map(_simulate_one, missing):
            print(f"made {path.name}", file=sys.stderr)
    return [FitInput(folder / f"{name}.nii.gz", name, name) for name in names]


def _simulate_one(task: tuple[int, Path]) -> Path:
    number, path = task
    scan = demo_normal(tissue_maps(), number).scan
    write_nifti(path, scan.voxels, scan.geometry)
    return path


if __name__ == "__main__":
    main()
