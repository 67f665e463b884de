"""Every kind of bad file that users have, and what must become of each: one table, written beside sound scans."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
from PIL import Image

__all__ = ["MARKUP", "SKIPPED", "Bad", "bad_inputs", "write_bad_inputs"]

FIELDS = nib.Nifti1Header().template_dtype
MARKUP = "<script>alert(1)<"
# What a walk passes over and tells of.
SKIPPED = ("link-out.nii", "pipe.nii")


@dataclass(frozen=True, eq=False, slots=True)
class Bad:
    """One bad input.

    Parameters
    ----------
    content : of the file, or what makes it at its path.
    becomes : its verdict; ``judged`` for those that are good enough for one.
    says : stands in its reason, or where it is judged in a note; empty where there is nothing to say.
    """

    content: bytes | Callable[[Path], object]
    becomes: Literal["unreadable", "out_of_scope", "judged"]
    says: str = ""


def bad_inputs(sound: bytes) -> dict[str | bytes, Bad]:
    """The table, by path within the folder.

    Parameters
    ----------
    sound : a plain NIfTI-1 file, little-endian, of a whole brain in float32.
    """
    packed = gzip.compress(sound, 1, mtime=0)
    text = b"these are words, not an image\n" * 40
    values = np.frombuffer(sound[352:], "<f4")
    shape = tuple(int(n) for n in np.frombuffer(sound[:348], FIELDS)[0]["dim"][1:4])
    planes = values.reshape(shape[::-1])
    middle = planes[shape[2] // 2]
    small = planes * (np.abs(np.arange(shape[2]) - shape[2] // 2) < 5)[:, None, None]
    some = np.flatnonzero(values)[:: max(1, np.count_nonzero(values) // 10)][:10]
    peak = float(np.quantile(values[values > 0], 0.99))

    def with_fields(**fields: Any) -> bytes:
        return _header(sound, fields) + sound[348:]

    def with_values(changed: np.ndarray) -> bytes:
        return sound[:352] + changed.astype("<f4").tobytes()

    def grid(*spacing: float) -> dict[str, Any]:
        rows = np.diag(spacing)
        return {"qform_code": 0} | {f"srow_{axis}": [*row, 0] for axis, row in zip("xyz", rows, strict=True)}

    refused: dict[str, tuple[bytes, str]] = {
        "empty.nii": (b"", "empty"),
        "packed-nothing.nii.gz": (gzip.compress(b"", mtime=0), "empty"),
        "text.nii": (text, "not_nifti"),
        "packed-text.nii.gz": (gzip.compress(text), "not_nifti"),
        "cut.nii": (sound[: len(sound) // 2], "truncated"),
        "cut-in-the-header.nii": (sound[:200], "truncated"),
        "cut.nii.gz": (packed[: len(packed) // 2], "truncated"),
        "cut-in-the-trailer.nii.gz": (packed[:-3], "truncated"),
        "checksum.nii.gz": (packed[:-8] + bytes(4) + packed[-4:], "checksum"),
        "flipped-bits.nii.gz": (packed[:5000] + bytes(255 - b for b in packed[5000:5020]) + packed[5020:], "checksum"),
        "bomb.nii.gz": (_bomb(sound), "compression_bomb"),
        "bomb-of-nothing.nii.gz": (_bomb(b""), "not_nifti"),
        "declares-gigabytes.nii": (with_fields(dim={1: 700, 2: 700, 3: 700}), "truncated"),
        "declares-terabytes.nii": (with_fields(dim={1: 32767, 2: 32767, 3: 32767}), "too_large"),
        "negative-size.nii": (with_fields(dim={1: -8}), "bad_header"),
        "no-dimension.nii": (with_fields(dim={0: 0}), "bad_header"),
        "nine-dimensions.nii": (with_fields(dim={0: 9}), "bad_header"),
        "infinite-slope.nii": (with_fields(scl_slope=np.inf), "bad_header"),
        "offset-beyond-all-files.nii": (with_fields(vox_offset=1e30), "bad_header"),
        "extension-beyond-its-place.nii": (
            with_fields(vox_offset=384)[:348] + b"\1\0\0\0" + bytes([255] * 32) + sound[352:],
            "bad_header",
        ),
        "complex.nii": (with_fields(datatype=32, bitpix=64), "unsupported_type"),
        "colours.nii": (with_fields(datatype=128, bitpix=24), "unsupported_type"),
        "zeros.nii": (with_values(0 * values), "no_signal"),
        "constant.nii": (with_values(np.full(values.size, 7.5)), "no_signal"),
        "two-percent-nan.nii": (with_values(_every(values, 50, np.nan)), "nonfinite"),
        "too-large-for-float32.nii": (with_fields(scl_slope=3e38), "nonfinite"),
        "nan-affine.nii": (with_fields(srow_x=np.nan), "geometry"),
        "singular-affine.nii": (with_fields(srow_z=0), "geometry"),
        "header-without-image.nii": (with_fields(magic=b"ni1"), "truncated"),
    }
    no_scan: dict[str, tuple[bytes, str]] = {
        "few-slices.nii": (with_fields(dim={3: 5}), "too_thin"),
        "bold.nii": (with_fields(dim={0: 4, 3: shape[2] // 2, 4: 2}), "not_one_volume"),
        "micrometres.nii": (with_fields(**grid(1e-3, 1e-3, 1e-3)), "units"),
        "metres.nii": (with_fields(**grid(1e3, 1e3, 1e3)), "units"),
        "sform-beside-qform.nii": (with_fields(qform_code=1, qoffset_x=40.0), "geometry_conflict"),
        "sheared.nii": (with_fields(**grid(3, 3, 3) | {"srow_x": [3, 0.1, 0, 0]}), "sheared"),
        "single-slice.nii": (_header(sound, {"dim": {3: 1}}) + sound[348:352] + middle.tobytes(), "single slice"),
        "thick-slices.nii": (with_fields(**grid(3, 3, 6)), "6.0 mm apart"),
        "head.nii": (with_values(1 + np.random.default_rng(0).random(values.size)), "more than any brain"),
        "knee.nii": (with_values(small), "less than any adult brain"),
    }
    judged: dict[str, tuple[bytes, str]] = {
        "coarse.nii": (sound, ""),
        "plain-named-gz.nii.gz": (sound, "the file is not gzip, unlike its name"),
        "packed-named-plain.nii": (packed, "the file is gzip, unlike its name"),
        "big-endian.nii": (_swapped(sound), ""),
        "one-volume-in-four-dimensions.nii": (with_fields(dim={0: 4, 4: 1}), ""),
        "ten-nan.nii": (with_values(_at(values, some, np.nan)), "10 values that were NaN"),
        "clipped.nii": (with_values(np.minimum(values, peak)), "saturated"),
        "trailing-bytes.nii": (sound + b"more", "bytes after the end of the image"),
    }
    # Names are what is bad about these, so their content is what costs least.
    names: list[str | bytes] = [
        "=cmd()|x.nii",
        f"{MARKUP}.nii",
        "new\nline\x1b[31m\u202e.nii",
        b"not-\xff-utf8.nii",
        "CON.nii",
        "脑.nii",
        "n" * 240 + ".nii",
        "a/same.nii",
        "b/same.nii",
        "b/SAME.nii.gz",
    ]
    picture = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 50)).astype(np.uint8)).save(picture, "PNG")
    png = picture.getvalue()
    return {
        **{name: Bad(content, "unreadable", f"({code})") for name, (content, code) in refused.items()},
        **{name: Bad(content, "out_of_scope", says) for name, (content, says) in no_scan.items()},
        **{name: Bad(content, "judged", says) for name, (content, says) in judged.items()},
        **{name: Bad(text, "unreadable", "(not_nifti)") for name in names},
        "nowhere.nii": Bad(lambda path: path.symlink_to("gone.nii"), "unreadable", "(no_file)"),
        "circle.nii": Bad(lambda path: path.symlink_to("circle.nii"), "unreadable", "(read_failed)"),
        # Beside volumes pictures are previews: these must be named on the command line.
        "slice.png": Bad(png, "out_of_scope", "single slice"),
        "cut.png": Bad(png[:-200], "unreadable", "(damaged)"),
        "notes.txt": Bad(text, "unreadable", "(unknown_format)"),
    }


def write_bad_inputs(folder: Path, table: Mapping[str | bytes, Bad]) -> dict[Path, Bad]:
    """Write the table and what a walk must pass over; the bad inputs by the path they got."""
    written = {}
    for name, bad in table.items():
        path = folder / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(bad.content):
            bad.content(path)
        else:
            path.write_bytes(bad.content)
        written[path] = bad
    outside = folder.parent / "outside.nii"
    outside.write_bytes(b"x")
    (folder / "link-out.nii").symlink_to(outside)
    (folder / "a" / "up").symlink_to("..")
    os.mkfifo(folder / "pipe.nii")
    (folder / "folder.nii").mkdir()
    (folder / ".hidden.nii").write_bytes(b"x")
    return written


def _header(sound: bytes, fields: Mapping[str, Any]) -> bytes:
    header = np.frombuffer(sound[:348], FIELDS).copy()
    for name, value in fields.items():
        if isinstance(value, dict):
            for index, item in value.items():
                header[name][0, index] = item
        else:
            header[name][0] = value
    return header.tobytes()


def _swapped(sound: bytes) -> bytes:
    header = np.frombuffer(sound[:348], FIELDS)
    return header.byteswap().tobytes() + sound[348:352] + np.frombuffer(sound[352:], "<f4").byteswap().tobytes()


def _bomb(start: bytes) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    pieces = [packer.compress(start), *(packer.compress(bytes(10_000_000)) for _ in range(10)), packer.flush()]
    return b"".join(pieces)


def _at(values: np.ndarray, places: np.ndarray, value: float) -> np.ndarray:
    changed = values.copy()
    changed[places] = value
    return changed


def _every(values: np.ndarray, step: int, value: float) -> np.ndarray:
    return _at(values, np.arange(0, values.size, step), value)
