"""How well brains are cut out of heads: `python benchmarks/extraction.py DATA OUT [--part PART] [--seed SEED]`.

DATA is the folder with t1w_site_a, t1w_site_b and ms_mni. Four parts, each with truth of another kind:

simulated    site-A brains in made heads (`anomri.simulate.head`), by contrast and by thickness of slices
transplanted site-A brains in the emptied cavities of site-B heads: head and brain are real, only their seam is not
two-scans    T2w heads of site B (slices of 5 mm) beside the brain found in the T1w head of the same person, moved
             there rigidly: whether two scans agree, no truth
stripped     site A and ms_mni as they are: what of them does not pass untouched is said, there are no rows

OUT/extraction.csv has a row per scan and route: ``own`` is what `anomri` does, ``template`` (thresholds and morphology)
and ``network`` what either does with every head. Rows are written as they come; those already there are not made again.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from anomri.core.geometry import Geometry, apply_affine, carry
from anomri.core.scan import Scan
from anomri.core.score import smooth_inside
from anomri.errors import PreparationFailed
from anomri.extraction import extract
from anomri.extraction.extract import Route, find_brain
from anomri.extraction.judge import verify_mask
from anomri.io import array_scan, read
from anomri.metrics.overlap import dice, surface_distance_95_mm
from anomri.preparation.itk import one_thread, to_itk, world_matrix
from anomri.preparation.mask import stripped_mask
from anomri.preparation.orient import orient
from anomri.preparation.register import register
from anomri.simulate.head import CONTRASTS, head_around

Mask = NDArray[np.bool_]

PARTS = ("simulated", "transplanted", "two-scans", "stripped")
FIELDS = (
    *("part", "scan", "contrast", "slices_mm", "route"),
    *("dice", "surface_95_mm", "volume_ml", "true_ml", "refused", "s"),
)
# What is cut out of a head besides its brain, so that nothing of the brain is left behind, and the least share of the
# new brain that must fit in.
CAVITY_MM, FITS = 2.5, 0.995
ROUTES: dict[str, Route | None] = {"own": None, "template": "template", "network": "network"}
# Slices of simulated heads, mm; in plane about 1.7 mm.
SLICES_MM = (2.0, 5.0)


@dataclass(frozen=True, eq=False, slots=True)
class Case:
    """A head and the brain that is to be found in it."""

    part: str
    name: str
    contrast: str
    slices_mm: float
    scan: Scan
    brain: Mask


def main() -> None:
    """Parse the command line, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument("--scans", type=int, default=11, help="brains (and heads) a part")
    parser.add_argument("--seed", type=int, default=0, help="of the simulated heads")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    table = given.out / "extraction.csv"
    parts = given.part or PARTS
    made = {"simulated": partial(simulated, seed=given.seed), "transplanted": transplanted, "two-scans": two_scans}
    with one_thread():
        if "stripped" in parts:
            say_lost(given.data, given.scans)
        for part in (part for part in parts if part in made):
            rows = known(table)
            finished = {name for name in {row[1] for row in rows} if {(part, name, route) for route in ROUTES} <= rows}
            for case in made[part](given.data, given.scans, finished):
                for route in ROUTES:
                    if (part, case.name, route) not in rows:
                        append(table, measured(case, route))
    summarise(table)


def found(scan: Scan, route: Route | None) -> tuple[Mask, bool]:
    """Brain, and whether it is refused."""
    try:
        region, values = find_brain(scan, route=route)
    except PreparationFailed:
        return np.zeros(scan.voxels.shape, dtype=bool), True
    try:
        verify_mask(values)
    except PreparationFailed:
        return region.mask, True
    return region.mask, False


def measured(case: Case, route: str) -> dict[str, object]:
    """A row of the table."""
    started = time.process_time()
    mask, refused = found(case.scan, ROUTES[route])
    elapsed = time.process_time() - started
    spacing, ml = case.scan.geometry.spacing_mm, case.scan.geometry.voxel_ml
    return {
        "part": case.part,
        "scan": case.name,
        "contrast": case.contrast,
        "slices_mm": case.slices_mm,
        "route": route,
        "dice": round(dice(mask, case.brain), 4),
        "surface_95_mm": round(surface_distance_95_mm(mask, case.brain, spacing_mm=spacing), 2),
        "volume_ml": round(float(mask.sum()) * ml),
        "true_ml": round(float(case.brain.sum()) * ml),
        "refused": int(refused),
        "s": round(elapsed, 1),
    }


def simulated(data: Path, count: int, finished: set[str], *, seed: int) -> Iterator[Case]:
    """Site-A brains in made heads of each contrast, averaged to coarser voxels first."""
    for number, (path, contrast) in enumerate(product(brains(data, count), CONTRASTS)):
        for slices_mm in SLICES_MM:
            name = f"{path.name[:6]}-{contrast}-{slices_mm:g}"
            if name in finished:
                continue
            scan = read(path)
            brain, mask = coarser(scan, stripped_mask(scan.voxels), (1.7, 1.7, slices_mm))
            head = head_around(brain, mask, seed=1000 * seed + number, contrast=contrast)
            yield Case("simulated", name, contrast, slices_mm, head.scan, head.brain.mask)


def transplanted(data: Path, count: int, finished: set[str]) -> Iterator[Case]:
    """Site-A brains in site-B heads, pair by pair."""
    heads = sorted((data / "t1w_site_b").glob("*_T1w.nii.gz"))[:count]
    for brain_path, head_path in zip(brains(data, count), heads, strict=False):
        name = f"{brain_path.name[:6]}-in-{head_path.name[:6]}"
        if name not in finished:
            scan, brain = transplant(read(brain_path), read(head_path))
            yield Case("transplanted", name, "T1w", round(max(scan.geometry.spacing_mm), 2), scan, brain)


def transplant(brain: Scan, head: Scan) -> tuple[Scan, Mask]:
    """A brain in place of a head's own.

    The head's brain as found, grown by 2.5 mm, is emptied and filled with what lies at its edge: fluid and bone. The
    new brain comes through the template's world to where the old one was, shrunk until it fits, as bright as the old
    one was there, and takes its share of every voxel.
    """
    old, _ = find_brain(head)
    spacing = head.geometry.spacing_mm
    away = ndimage.distance_transform_edt(~old.mask, sampling=spacing)
    cavity = away <= CAVITY_MM
    rng = np.random.default_rng(0)
    fluid = np.percentile(head.voxels[cavity & ~old.mask], 15)
    values = head.voxels.copy()
    values[cavity] = np.abs(fluid * (1.0 + 0.2 * rng.standard_normal(int(cavity.sum()))))
    mask = stripped_mask(brain.voxels)
    there = np.linalg.inv(to_template(head, old.mask)) @ to_template(brain, mask)
    middle = apply_affine(head.geometry.affine, np.argwhere(old.mask).mean(axis=0)[None])[0]
    for size in np.arange(1.0, 0.8, -0.01):
        shrink = np.diag([size] * 3 + [1.0])
        shrink[:3, 3] = middle * (1.0 - size)
        share = carry(mask.astype(np.float32), brain.geometry, head.geometry, shrink @ there)
        if (share * cavity).sum() >= FITS * share.sum():
            break
    signal = carry(np.where(mask, brain.voxels, np.float32(0.0)), brain.geometry, head.geometry, shrink @ there)
    inside = share > 0.5
    level = smooth_inside(head.voxels, old.mask, tuple(20.0 / s for s in spacing))
    nearest = ndimage.distance_transform_edt(~old.mask, return_distances=False, return_indices=True)
    level = level[tuple(nearest)]
    own = smooth_inside(signal / np.maximum(share, 0.5), inside, tuple(20.0 / s for s in spacing))
    bright = np.where(inside, level / np.maximum(own, 1e-6), 0.0)
    bright = bright[tuple(ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True))]
    share = np.where(cavity, share, 0.0)
    values = values * (1.0 - share) + np.where(cavity, signal * bright, 0.0)
    scan = array_scan(values.astype(np.float32), head.geometry.affine, scan_id=f"{brain.scan_id}-in-{head.scan_id}")
    return scan, share > 0.5


def to_template(scan: Scan, mask: Mask) -> NDArray[np.float64]:
    """(4, 4) scan's world → template's."""
    voxels, inside, geometry = orient(scan.voxels, mask, scan.geometry)
    return register(np.where(inside, voxels, np.float32(0.0)), inside, geometry).world


def two_scans(data: Path, count: int, finished: set[str]) -> Iterator[Case]:
    """T2w heads with the brain of the T1w head of the same person."""
    for path in sorted((data / "t1w_site_b").glob("*_inplaneT2.nii.gz"))[:count]:
        if path.name[:6] not in finished:
            scan, other = read(path), read(path.with_name(path.name.replace("inplaneT2", "T1w")))
            brain, near = (find_brain(s, route="template")[0].mask for s in (other, scan))
            world = rigid(scan, near, other, brain)
            moved = carry(brain.astype(np.float32), other.geometry, scan.geometry, np.linalg.inv(world)) > 0.5
            yield Case("two-scans", path.name[:6], "T2w", round(max(scan.geometry.spacing_mm), 2), scan, moved)


def rigid(fixed: Scan, fixed_brain: Mask, moving: Scan, moving_brain: Mask) -> NDArray[np.float64]:
    """(4, 4) world of a scan → that of another of the same person, by mutual information in and around the brain."""
    images = [to_itk(np.minimum(s.voxels, np.percentile(s.voxels, 99.5)), s.geometry) for s in (fixed, moving)]
    near = ndimage.binary_dilation(fixed_brain, iterations=2)
    start = sitk.CenteredTransformInitializer(
        *(to_itk(b.astype(np.float32), s.geometry) for b, s in ((fixed_brain, fixed), (moving_brain, moving))),
        sitk.Euler3DTransform(),
        sitk.CenteredTransformInitializerFilter.MOMENTS,
    )
    search = sitk.ImageRegistrationMethod()
    search.SetMetricAsMattesMutualInformation(48)
    search.SetMetricFixedMask(to_itk(near.astype(np.uint8), fixed.geometry))
    search.SetInterpolator(sitk.sitkLinear)
    search.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-4, 200)
    search.SetOptimizerScalesFromPhysicalShift()
    search.SetInitialTransform(start, True)
    search.SetShrinkFactorsPerLevel([2, 1])
    search.SetSmoothingSigmasPerLevel([2.0, 1.0])
    search.Execute(*images)
    return world_matrix(sitk.Euler3DTransform(start))


def say_lost(data: Path, count: int) -> None:
    """Name the stripped scans that do not pass as preparation finds them."""
    for path in [*brains(data, count), *sorted((data / "ms_mni").glob("patient26_[FT]*.nii.gz"))]:
        scan = read(path)
        found = extract(scan)
        if not (found.stripped and np.array_equal(found.brain.mask, stripped_mask(scan.voxels))):
            print(f"LOST: {path.name}")


def brains(data: Path, count: int) -> list[Path]:
    """Site-A scans."""
    return sorted((data / "t1w_site_a").glob("sub-*_T1w.nii.gz"))[:count]


def coarser(scan: Scan, mask: Mask, spacing_mm: tuple[float, float, float]) -> tuple[Scan, Mask]:
    """A stripped scan averaged to about a spacing along X, Y and Z, and its mask."""
    voxels, inside, geometry = orient(scan.voxels, mask, scan.geometry)
    factors = [max(1, round(t / s)) for t, s in zip(spacing_mm, geometry.spacing_mm, strict=True)]
    shape = [n // f for n, f in zip(voxels.shape, factors, strict=True)]
    split = [part for n, f in zip(shape, factors, strict=True) for part in (n, f)]
    whole = tuple(slice(0, n * f) for n, f in zip(shape, factors, strict=True))
    share = inside[whole].reshape(split).mean(axis=(1, 3, 5), dtype=np.float32)
    total = np.where(inside, voxels, 0.0)[whole].reshape(split).mean(axis=(1, 3, 5), dtype=np.float32)
    affine = geometry.affine @ np.diag([*factors, 1.0])
    affine[:3, 3] = apply_affine(geometry.affine, (np.array([factors]) - 1) / 2.0)[0]
    kept = share > 0.5
    values = np.where(kept, total / np.maximum(share, 0.5), 0.0).astype(np.float32)
    return array_scan(values, Geometry(values.shape, affine).affine, scan_id=scan.scan_id), kept


def known(table: Path) -> set[tuple[str, str, str]]:
    """Part, scan and route of the rows that are there."""
    if not table.exists():
        return set()
    with table.open(encoding="utf-8") as file:
        return {(row["part"], row["scan"], row["route"]) for row in csv.DictReader(file)}


def append(table: Path, row: dict[str, object]) -> None:
    """Add a row to the table and show it."""
    new = not table.exists()
    with table.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)
    print(*row.values(), flush=True)


def summarise(table: Path) -> None:
    """Print median and 5th percentile of Dice by part, route, contrast and slices."""
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["slices_mm"] = row["slices_mm"] if row["part"] == "simulated" else ""
    by = ("part", "route", "contrast", "slices_mm")
    groups = sorted({tuple(row[name] for name in by) for row in rows})
    print("| part | route | contrast | slices, mm | n | Dice median (5th percentile) | surface 95 %, mm | refused |")
    print("|---|---|---|---|---|---|---|---|")
    for part, route, contrast, slices in groups:
        chosen = [row for row in rows if tuple(row[name] for name in by) == (part, route, contrast, slices)]
        overlaps = np.array([float(r["dice"]) for r in chosen])
        surface = np.median([float(r["surface_95_mm"]) for r in chosen])
        refused = sum(int(r["refused"]) for r in chosen)
        low = np.percentile(overlaps, 5)
        print(
            f"| {part} | {route} | {contrast} | {slices} | {len(chosen)} | {np.median(overlaps):.3f} ({low:.3f}) "
            f"| {surface:.1f} | {refused} |"
        )


if __name__ == "__main__":
    main()
