"""What a finished result costs to report: the page, the PDF, and the DICOM objects.

    OMP_NUM_THREADS=1 python benchmarks/results_speed.py RESULT

RESULT is a result folder with its images. A series of the same grid is written beside it, in a temporary folder. Prints
seconds of processor and of wall time, each the better of two runs in one process; the limit is 5 s for all together.
"""

from __future__ import annotations

import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from anomri.core.geometry import Geometry
from anomri.core.outcome import Outcome
from anomri.dicom import dicom_results, read_source, write_dicom
from anomri.io.members import members_sha256
from anomri.report.folder import outcome_of
from anomri.report.page import scan_page
from anomri.report.pdf import scan_pdf

ROOT = "1.2.826.0.1.3680043.8.498."


def main() -> None:
    outcome = outcome_of(Path(sys.argv[1]))
    assert outcome.heatmap is not None
    grid = outcome.heatmap.geometry
    with tempfile.TemporaryDirectory() as folder:
        series, out = Path(folder) / "series", Path(folder) / "out"
        write_series(series, grid)
        # The series has no voxels of the scan: it is known by its bytes.
        digest = members_sha256(series, sorted(file.name for file in series.iterdir()))
        scored = outcome.result.input.model_copy(update={"format": "dicom", "sha256": digest})
        outcome = replace(outcome, result=outcome.result.model_copy(update={"input": scored}))
        rows = [
            ("report.html", *seconds(lambda: scan_page(outcome))),
            ("report.pdf", *seconds(lambda: scan_pdf(outcome))),
            ("DICOM, written", *seconds(lambda: as_dicom(outcome, series, out))),
        ]
    print(f"{platform.platform()}, {grid.shape[0]} × {grid.shape[1]} × {grid.shape[2]} voxels\n")
    print("| what | processor s | wall s |\n|---|---|---|")
    for name, processor, wall in [*rows, ("together", sum(r[1] for r in rows), sum(r[2] for r in rows))]:
        print(f"| {name} | {processor:.2f} | {wall:.2f} |")


def as_dicom(outcome: Outcome, series: Path, out: Path) -> None:
    """All objects but the PDF, whose making has its own row."""
    source = read_source(series, outcome)
    write_dicom(dicom_results(outcome, source, created=datetime(2026, 11, 27), pdf=b"%PDF"), out)


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Processor and wall time, the better of two runs each."""
    taken = []
    for _ in range(2):
        start = time.process_time(), time.perf_counter()
        work()
        taken.append((time.process_time() - start[0], time.perf_counter() - start[1]))
    return min(t[0] for t in taken), min(t[1] for t in taken)


def write_series(folder: Path, grid: Geometry) -> None:
    """An empty series on a grid."""
    folder.mkdir()
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ grid.affine
    unit = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    for z in range(grid.shape[2]):
        image: Any = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.SOPClassUID, image.SOPInstanceUID = MRImageStorage, f"{ROOT}4.{z + 1}"
        image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = (f"{ROOT}{n}" for n in (1, 2, 3))
        image.Modality, image.ImageType = "MR", ["ORIGINAL", "PRIMARY", "M"]
        image.ImagePositionPatient = [f"{v:.9g}" for v in (affine @ [0, 0, z, 1])[:3]]
        image.ImageOrientationPatient = [f"{v:.9g}" for v in unit[:, :2].T.ravel()]
        image.PixelSpacing = [f"{grid.spacing_mm[axis]:.9g}" for axis in (1, 0)]
        image.SliceThickness = f"{grid.spacing_mm[2]:.9g}"
        image.Rows, image.Columns = grid.shape[1], grid.shape[0]
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated = image.BitsStored = 16
        image.HighBit, image.PixelRepresentation = 15, 0
        image.PixelData = bytes(2 * grid.shape[0] * grid.shape[1])
        image.save_as(folder / f"{z:04}.dcm", enforce_file_format=True)


if __name__ == "__main__":
    main()
