"""What reading a DICOM series costs beside pydicom reading its pixels alone.

    OMP_NUM_THREADS=1 python benchmarks/dicom_speed.py

Makes a series of 192 slices of 256 × 256 (with the elements a scanner writes, among them private ones of 60 kB) in a
temporary folder, and prints seconds of processor time, the best of five: pydicom's `pixel_array` of every file, `read`
of the folder (which finds the series, reads, sorts, scales, checks and hashes it), `read` of files already known, and
`read` of a zip. The limit is 2 × pydicom's time for the folder.
"""

from __future__ import annotations

import platform
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from anomri.io import find_images, read

SLICES, ROWS, COLUMNS = 192, 256, 256
ROOT = "1.2.826.0.1.3680043.8.498."


def seconds(work: Callable[[], object]) -> float:
    """Processor time of the fastest of five runs."""
    taken = []
    for _ in range(5):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken)


def write_series(folder: Path) -> None:
    """One classic MR image a slice."""
    rng = np.random.default_rng(0)
    for number in range(SLICES):
        one = Dataset()
        one.file_meta = FileMetaDataset()
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one.SOPClassUID, one.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", f"{ROOT}4.{number}"
        one.StudyInstanceUID, one.SeriesInstanceUID = f"{ROOT}1", f"{ROOT}2"
        one.Modality, one.Manufacturer, one.SeriesNumber, one.InstanceNumber = "MR", "SIEMENS", 3, number + 1
        one.ImageType, one.ScanningSequence, one.MRAcquisitionType = ["ORIGINAL", "PRIMARY", "M"], ["GR", "IR"], "3D"
        one.RepetitionTime, one.EchoTime, one.InversionTime, one.FlipAngle = 2300, 2.98, 900, 9
        one.PatientName, one.PatientID, one.StudyDate, one.StudyTime = "A^B", "1", "20200101", "120000"
        one.ImagePositionPatient, one.ImageOrientationPatient = [0, 0, number], [1, 0, 0, 0, 1, 0]
        one.PixelSpacing, one.SliceThickness = [1, 1], 1
        one.Rows, one.Columns, one.SamplesPerPixel, one.PhotometricInterpretation = ROWS, COLUMNS, 1, "MONOCHROME2"
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 12, 11, 0
        block = one.private_block(0x0029, "SOMEBODY", create=True)
        block.add_new(0x10, "OB", bytes(60_000))
        for element in range(0x20, 0x60):
            block.add_new(element, "LO", f"value {element}")
        one.PixelData = rng.integers(0, 4096, (ROWS, COLUMNS), dtype=np.uint16).tobytes()
        one["PixelData"].VR = "OW"
        one.save_as(folder / f"IM{number:04}", enforce_file_format=True)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "series"
        folder.mkdir()
        write_series(folder)
        files = sorted(folder.iterdir())
        with zipfile.ZipFile(Path(place) / "series.zip", "w", zipfile.ZIP_DEFLATED) as packed:
            for file in files:
                packed.write(file, file.name)
        (found,) = find_images([folder])
        rows = {
            "pydicom, pixels alone": lambda: [pydicom.dcmread(file).pixel_array for file in files],
            "anomri, the folder": lambda: read(folder),
            "anomri, known files": lambda: read(folder, members=found.members),
            "anomri, a zip": lambda: read(Path(place) / "series.zip"),
        }
        print(f"{platform.machine()}, Python {platform.python_version()}, pydicom {pydicom.__version__}\n")
        print("| what | seconds | ratio |\n| --- | --- | --- |")
        alone = None
        for name, work in rows.items():
            taken = seconds(work)
            alone = taken if alone is None else alone
            print(f"| {name} | {taken:.2f} | {taken / alone:.2f} |")


if __name__ == "__main__":
    main()
