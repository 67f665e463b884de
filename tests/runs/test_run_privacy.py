"""No output but ``run.json`` holds any part of an input's path."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from anomri.core.geometry import Geometry
from anomri.io.walk import Found
from anomri.io.write import write_nifti
from anomri.runs.run import RunSummary, run

PATIENT = "PATIENT_NAME_XYZ"
HEADER_BYTES = 348


def broken_files(folder: Path) -> list[Found]:
    """One sound scan, and one of every kind of file that cannot be read."""
    folder.mkdir(parents=True)
    values = np.random.default_rng(0).normal(size=(12, 11, 10)).astype(np.float32)
    write_nifti(folder / "sound.nii", values, Geometry(values.shape, np.eye(4)))
    sound = (folder / "sound.nii").read_bytes()
    packed = gzip.compress(sound, mtime=0)
    stored = np.frombuffer(sound, np.uint8)

    def with_field(at: int, value: bytes) -> bytes:
        changed = stored.copy()
        changed[at : at + len(value)] = np.frombuffer(value, np.uint8)
        return changed.tobytes()

    paired = with_field(344, b"ni1\0")
    for name, content in {
        "text.nii": b"a letter about somebody",
        "unknown.img": b"a letter about somebody",
        "empty.nii.gz": b"",
        "packed-nothing.nii.gz": gzip.compress(b"", mtime=0),
        "cut.nii": sound[:2000],
        "cut.nii.gz": packed[: len(packed) // 2],
        "damaged.nii.gz": packed[:200] + bytes(50) + packed[250:],
        "checksum.nii.gz": packed[:-8] + bytes(8),
        "cut-header.nii": sound[:100],
        "magic.nii": with_field(344, b"xxxx"),
        "sizes.nii": with_field(42, bytes(2)),
        "type.nii": with_field(70, b"\x80\0"),
        "geometry.nii": with_field(280, bytes(48)),
        "nan.nii": with_field(352, np.full(1000, np.nan, "<f4").tobytes()),
        "no-signal.nii": sound[:352] + bytes(len(sound) - 352),
        "lonely.hdr": paired[:HEADER_BYTES],
        "forbidden.nii": b"",
    }.items():
        (folder / name).write_bytes(content)
    (folder / "forbidden.nii").chmod(0)
    (folder / "folder.nii").mkdir()
    (folder / "nowhere.nii").symlink_to(folder / "gone.nii")
    (folder / "circle.nii").symlink_to(folder / "circle.nii")
    os.mkfifo(folder / "pipe.nii")
    if Path("/proc/self/mem").exists():
        (folder / "fails.nii").symlink_to("/proc/self/mem")
    paths = [*sorted(folder.iterdir()), folder / "missing.nii"]
    return [Found(path, path.name.replace(".", "_")) for path in paths]


def judged(found: list[Found], out: Path, **more: Path) -> RunSummary:
    return run(found, "fake", out, jobs=1, scorer="reading_scorer:open_reading", **more)


@pytest.mark.slow
def test_no_output_names_a_folder_and_moving_the_scans_changes_no_byte(
    tmp_path: Path, tree: Callable[[Path], dict[str, bytes]], capfd: pytest.CaptureFixture[str]
) -> None:
    found = broken_files(tmp_path / PATIENT)
    summary = judged(found, tmp_path / "out")
    assert summary.counts() == {"pass": 1, "unreadable": len(found) - 1}
    assert summary.troubles == {}
    assert len({result.reason for result in summary.results}) > 12
    outputs = tree(tmp_path / "out")
    assert {"summary.csv", "index.html", "text_nii/result.json", "text_nii/report.html"} <= set(outputs)
    for name, content in outputs.items():
        for part in (PATIENT, *tmp_path.parts[1:]):
            assert part.encode() not in content, (name, part)
    assert PATIENT in (tmp_path / "out" / "run.json").read_text()
    assert PATIENT not in capfd.readouterr().out

    elsewhere = broken_files(tmp_path / "elsewhere" / "again")
    judged(elsewhere, tmp_path / "moved")
    assert tree(tmp_path / "moved") == outputs


def test_a_mask_that_cannot_be_read_costs_its_row_and_is_blamed(
    tmp_path: Path, tree: Callable[[Path], dict[str, bytes]]
) -> None:
    found = [scan for scan in broken_files(tmp_path / PATIENT) if scan.scan_id == "sound_nii"]
    (result,) = judged(found, tmp_path / "out", mask=tmp_path / PATIENT / "cut.nii.gz").results
    assert result.verdict == "unreadable"
    assert result.reason.startswith("the mask cannot be used: ")
    assert not any(PATIENT.encode() in content for content in tree(tmp_path / "out").values())
