"""A word planted wherever a file may name a person appears in no byte that anomri writes."""

from __future__ import annotations

import base64
import gzip
import json
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from anomri.io.write import write_nifti
from anomri.pipeline import FitInput
from anomri.pipeline.gather import gather
from brains import QUICK, made_brain

# One in what files hold, one in the names of their folders: only the latter may stand in run.json and on the terminal.
FIELD, FOLDER = "ZQXFIELD", "ZQXFOLDER"
TEXT_FIELDS = ("data_type", "db_name", "descrip", "aux_file", "intent_name")


def planted(sound: bytes) -> bytes:
    """A NIfTI file, gzip, with the word in every text field of its header, in an extension, and in its gzip header."""
    header = np.frombuffer(sound[:348], nib.Nifti1Header().template_dtype).copy()
    for name in TEXT_FIELDS:
        header[name] = FIELD.encode()
    note = (f"<name>{FIELD}</name>" * 3).encode()
    note += bytes(-(len(note) + 8) % 16)
    extension = struct.pack("<ii", len(note) + 8, 6) + note
    header["vox_offset"] = 352 + len(extension)
    packed = BytesIO()
    with gzip.GzipFile(filename=FIELD, mode="wb", compresslevel=1, fileobj=packed) as file:
        file.write(header.tobytes() + b"\1\0\0\0" + extension + sound[352:])
    return packed.getvalue()


def layers(content: bytes) -> Iterator[bytes]:
    """A file's bytes, and what is packed in them: gzip, base64 in a page, the two upon one another, texts of a PNG."""
    yield content
    for wbits in (31, 15, -15):
        try:
            inflated = zlib.decompressobj(wbits).decompress(content)
        except zlib.error:
            continue
        if inflated:
            yield from layers(inflated)
            break
    for found in re.finditer(rb"[A-Za-z0-9+/]{64,}={0,2}", content):
        text = found.group().rstrip(b"=")
        # One letter over is no part of it.
        yield from layers(base64.b64decode(text[: len(text) - (len(text) % 4 == 1)] + b"==="))
    for chunk in re.finditer(rb"zTXt[^\x00]*\x00\x00|iTXt[^\x00]*\x00\x01\x00[^\x00]*\x00[^\x00]*\x00", content):
        yield zlib.decompressobj().decompress(content[chunk.end() :])


def holds(content: bytes, word: str) -> bool:
    spelled = (word.encode(), word.encode("utf-16-le"), word.encode("utf-16-be"), word.lower().encode())
    return any(spelling in layer for layer in layers(content) for spelling in spelled)


@dataclass(frozen=True)
class Run:
    """What a run printed, and its output folder."""

    ended: subprocess.CompletedProcess[bytes]
    out: Path


def score(out: Path, *arguments: object) -> Run:
    command = [sys.executable, "-m", "anomri", "score", "--model", "demo-brain", "--jobs", "1", "-o", str(out)]
    return Run(subprocess.run([*command, *map(str, arguments)], capture_output=True, check=False), out)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """A run over a folder with a table of participants, and one of a single scan with a mask."""
    root = tmp_path_factory.mktemp("markers")
    folder = root / FOLDER / f"sub-{FOLDER}"
    folder.mkdir(parents=True)
    brain = made_brain(50)
    write_nifti(root / "scan.nii", brain.scan.voxels, brain.scan.geometry)
    write_nifti(root / "mask.nii", brain.brain.astype(np.uint8), brain.scan.geometry)
    scan, mask = (planted((root / name).read_bytes()) for name in ("scan.nii", "mask.nii"))
    (folder / "sub-01_T1w.nii.gz").write_bytes(scan)
    (folder / "cut.nii.gz").write_bytes(scan[: len(scan) // 2])
    (folder / "words.nii").write_bytes(FIELD.encode() * 40)
    (folder / "mask.nii.gz").write_bytes(mask)
    png, info = BytesIO(), PngImagePlugin.PngInfo()
    info.add_text("Patient", FIELD)
    info.add_itxt("Remark", FIELD, zip=True)
    exif = Image.Exif()
    exif[0x010E], exif[0x013B] = FIELD, FIELD
    values = np.random.default_rng(0).integers(0, 255, (40, 40)).astype(np.uint8)
    Image.fromarray(values).save(png, "PNG", pnginfo=info, exif=exif)
    (folder / "slice.png").write_bytes(png.getvalue())
    table = folder / "participants.tsv"
    table.write_text(f"participant_id\tage\tsex\tname\nsub-01\t31\tF\t{FIELD}\nsub-{FIELD}\t40\tM\t{FIELD}\n")
    every = [folder / "slice.png", folder]
    return (
        score(root / "out", "-i", *every, "--participants", table),
        score(root / "masked", "-i", folder / "sub-01_T1w.nii.gz", "--mask", folder / "mask.nii.gz"),
    )


@pytest.mark.slow
class TestAPlantedWord:
    def test_reaches_scans_that_are_judged_and_scans_that_are_not(self, runs):
        verdicts = {p.parent.name: json.loads(p.read_text())["verdict"] for p in runs[0].out.glob("*/result.json")}
        assert verdicts["sub-01_T1w"] in ("pass", "warn", "fail")
        assert (verdicts["cut"], verdicts["words"], verdicts["slice"]) == ("unreadable", "unreadable", "out_of_scope")
        assert (runs[1].out / "sub-01_T1w" / "heatmap.nii.gz").exists()

    def test_stands_in_no_byte_of_any_output(self, runs):
        for run in runs:
            files = [path for path in run.out.rglob("*") if path.is_file()]
            assert len(files) > 8
            assert not [path for path in files if holds(path.read_bytes(), FIELD)]
            assert [path.name for path in files if holds(path.read_bytes(), FOLDER)] == ["run.json"]
            assert not [path for path in run.out.rglob("*") if FIELD in path.name or FOLDER in path.name]

    def test_is_printed_nowhere(self, runs):
        assert not [run for run in runs if holds(run.ended.stdout + run.ended.stderr, FIELD)]


def test_what_a_fit_keeps_of_a_scan_holds_no_word_of_its_header(tmp_path):
    brain = made_brain(50).scan
    write_nifti(tmp_path / "scan.nii", brain.voxels, brain.geometry)
    path = tmp_path / FOLDER / "scan.nii.gz"
    path.parent.mkdir()
    path.write_bytes(planted((tmp_path / "scan.nii").read_bytes()))
    given = [FitInput(path, "scan", "somebody")]
    gather(given, QUICK, tmp_path / "work", jobs=1, report=lambda _line: None)
    (kept,) = (tmp_path / "work").iterdir()
    assert not holds(kept.read_bytes(), FIELD)
    assert not holds(kept.read_bytes(), FOLDER)


def test_the_search_finds_a_word_wherever_it_is_packed(tmp_path):
    word = FIELD.encode()
    noise = np.random.default_rng(0).bytes(99)
    page = b"<script>" + base64.b64encode(gzip.compress(noise + word)) + b"</script>"
    info = PngImagePlugin.PngInfo()
    info.add_itxt("Remark", FIELD, zip=True)
    png = BytesIO()
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(png, "PNG", pnginfo=info)
    assert not holds(noise, FIELD)
    for content in (noise + word, gzip.compress(gzip.compress(word)), page, gzip.compress(page), png.getvalue()):
        assert holds(content, FIELD)
    (tmp_path / "x.nii.gz").write_bytes(planted(bytes(352)))
    assert FIELD in str(nib.Nifti1Header(gzip.decompress((tmp_path / "x.nii.gz").read_bytes())[:348], check=False))
