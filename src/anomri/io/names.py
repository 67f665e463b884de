"""File names as the user gave them, turned into names that are safe to print, to write and to tell apart."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from itertools import dropwhile, groupby
from pathlib import Path

__all__ = [
    "MAX_SCAN_ID",
    "bids_entities",
    "bids_sequence",
    "claims_dicom",
    "is_archive_name",
    "is_hdf5_name",
    "is_header_name",
    "is_nifti_name",
    "is_picture_name",
    "is_safe_id",
    "is_sidecar_name",
    "is_volume_name",
    "may_be_dicom",
    "pair_names",
    "safe_id",
    "shown",
    "visible",
]

# Bytes in UTF-8, since file systems count them: 100 Latin letters, 50 Cyrillic ones, 33 Chinese ones.
MAX_SCAN_ID = 100
# With what a clash or a simulation adds to it.
MAX_FOLDER_NAME = 150
MAX_SHOWN = 256
NIFTI_ENDINGS = (".nii", ".nii.gz")
VOLUME_ENDINGS = (*NIFTI_ENDINGS, ".mgh", ".mgz", ".mgh.gz", ".mha", ".mhd", ".nrrd", ".nhdr")
HDF5_ENDINGS = (".h5", ".hdf5")
PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".npy", ".npz")
HEADER_ENDINGS = (".hdr", ".hdr.gz")
PAIR_ENDINGS = (".img", ".img.gz", ".IMG", ".img.GZ")
# What lies beside scans and never is one: descriptions, tables, texts, code, the voxels of MetaImage and NRRD.
SIDECAR_ENDINGS = (
    ".bval", ".bvec", ".csv", ".htm", ".html", ".ini", ".json", ".log", ".m", ".mat", ".md", ".pdf", ".py", ".raw",
    ".raw.gz", ".rst", ".sh", ".tsv", ".tsv.gz", ".txt", ".xls", ".xlsx", ".xml", ".yaml", ".yml", ".zraw",
)  # fmt: skip
SIDECAR_NAMES = ("authors", "changes", "copying", "license", "makefile", "readme", "thumbs.db")
DICOM_ENDINGS = (".dcm", ".dicom", ".ima")
ARCHIVE_ENDING = ".zip"
KNOWN_ENDINGS = (
    *VOLUME_ENDINGS, *HDF5_ENDINGS, ".hdr", ".img", *DICOM_ENDINGS, *PICTURE_ENDINGS, ARCHIVE_ENDING,
)  # fmt: skip
# Names that Windows keeps for devices, whatever their ending.
RESERVED = {"con", "prn", "aux", "nul", *(f"com{n}" for n in range(10)), *(f"lpt{n}" for n in range(10))}
# What anomri writes beside the folders of the scans, and what marks a folder of its own.
OUTPUTS = {"run.json", "result.json", "summary.csv", "index.html"}
# Unicode 16, Default_Ignorable_Code_Point among letters and marks: they are drawn as nothing.
INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0") | {
    chr(code) for start, end in ((0xFE00, 0xFE0F), (0xE0100, 0xE01EF)) for code in range(start, end + 1)
}
# BIDS 1.10, suffixes of anatomical images that name one contrast.
BIDS_SEQUENCES = ("FLAIR", "PDw", "T1w", "T2starw", "T2w")


def is_nifti_name(name: str) -> bool:
    """Whether a file name ends as a NIfTI file's does."""
    return name.lower().endswith(NIFTI_ENDINGS)


def is_volume_name(name: str) -> bool:
    """Whether a file name ends as that of a file that holds a volume does."""
    return name.lower().endswith(VOLUME_ENDINGS)


def is_hdf5_name(name: str) -> bool:
    """Whether a file name ends as that of an HDF5 file does, which need not hold an image."""
    return name.lower().endswith(HDF5_ENDINGS)


def is_picture_name(name: str) -> bool:
    """Whether a file name ends as that of a single slice does."""
    return name.lower().endswith(PICTURE_ENDINGS)


def claims_dicom(name: str) -> bool:
    """Whether a file name ends as DICOM files do that have an ending."""
    return name.lower().endswith(DICOM_ENDINGS)


def may_be_dicom(name: str) -> bool:
    """Whether a DICOM file may have this name; most have no ending, or that of a UID, a number."""
    last = name.rpartition("/")[2].rpartition(".")
    return claims_dicom(name) or not last[1] or last[2].isdecimal()


def is_sidecar_name(name: str) -> bool:
    """Whether a file name is that of what lies beside scans and is none, so that nobody misses it."""
    last = name.rpartition("/")[2].lower()
    return last.endswith(SIDECAR_ENDINGS) or last in SIDECAR_NAMES


def is_header_name(name: str) -> bool:
    """Whether a file name ends as that of a header does whose voxels lie in a second file."""
    return name.lower().endswith(HEADER_ENDINGS)


def pair_names(header: str) -> tuple[str, ...]:
    """The names that the second file of a pair may have, by that of its header."""
    stem = header
    for ending in (".gz", ".hdr"):
        stem = stem[: -len(ending)] if stem.lower().endswith(ending) else stem
    return tuple(stem + ending for ending in PAIR_ENDINGS)


def is_archive_name(name: str) -> bool:
    """Whether a file name ends as that of a zip archive does."""
    return name.lower().endswith(ARCHIVE_ENDING)


def safe_id(path: Path) -> str:
    """The file's own name without its ending: letters and digits of any script, ``_``, ``.`` and ``-``.

    Anything else becomes ``-``. Composed as Unicode says (NFC), so that a name is the same on every system. At most
    `MAX_SCAN_ID` bytes (a longer name is cut and ends in a hash of the whole), never empty, never hidden, never a
    device name of Windows, never the name of a file that anomri writes beside it.
    """
    stem = path.name
    if stem.lower().endswith(".gz"):
        stem = stem[:-3]
    for ending in KNOWN_ENDINGS:
        if stem.lower().endswith(ending):
            stem = stem[: -len(ending)]
            break
    parts = groupby(unicodedata.normalize("NFC", stem), _is_safe)
    safe = _trimmed("".join("".join(part) if kept else "-" for kept, part in parts)) or "scan"
    if safe.split(".", 1)[0].lower() in RESERVED or safe.lower() in OUTPUTS:
        safe = f"scan-{safe}"
    if len(safe.encode()) > MAX_SCAN_ID:
        digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]
        cut = safe.encode()[: MAX_SCAN_ID - 9].decode(errors="ignore")
        safe = f"{cut}-{digest}"
    return safe


def is_safe_id(name: str) -> bool:
    """Whether a name may name a folder: of the alphabet of `safe_id`, in its form, not hidden, not too long."""
    return (
        0 < len(name.encode(errors="replace")) <= MAX_FOLDER_NAME
        and all(map(_is_safe, name))
        and unicodedata.normalize("NFC", name) == name
        and name[0] not in "-."
        and not _is_mark(name[0])
    )


def bids_sequence(path: Path) -> str | None:
    """The contrast that a BIDS name states (``sub-01_T1w.nii.gz`` → ``T1w``), None for any other name."""
    suffix = safe_id(path).rsplit("_", 1)[-1]
    return suffix if suffix in BIDS_SEQUENCES else None


def bids_entities(path: Path) -> str:
    """The subject and session that the folders of a path name as in BIDS, ``sub-01_ses-2``; empty where they do not."""
    found: dict[str, str] = {}
    for part in (*path.parts[:-1], path.name.removesuffix(ARCHIVE_ENDING)):
        entity, _, label = part.partition("-")
        if entity in ("sub", "ses") and label.isascii() and label.isalnum():
            found[entity] = part
    return "_".join(found[entity] for entity in ("sub", "ses") if entity in found)


def shown(text: str | os.PathLike[str]) -> str:
    """A name as it may stand in a message: `visible`, and at most 256 characters long."""
    kept = visible(os.fspath(text))
    return kept if len(kept) <= MAX_SHOWN else kept[: MAX_SHOWN - 1] + "…"


def visible(text: str) -> str:
    """A text in which nothing can steer a terminal or hide.

    Control characters, line breaks, text-direction marks, zero-width characters and bytes that are not UTF-8 are
    shown as Python escapes.
    """
    return "".join(c if c == " " or _is_visible(c) else c.encode("unicode_escape").decode("ascii") for c in text)


def _is_visible(character: str) -> bool:
    # Cc control, Cf format (direction marks, zero width), Cs lone surrogate, Zl and Zp line and paragraph separator.
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _is_safe(character: str) -> bool:
    # L letters, M the marks some scripts spell their vowels with, Nd digits.
    kind = unicodedata.category(character)
    return character in "_.-" or ((kind[0] in "LM" or kind == "Nd") and character not in INVISIBLE)


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")


def _trimmed(name: str) -> str:
    """Without what would hide a name, look like an option, or hang on the character before it."""
    return "".join(dropwhile(lambda c: c in "-." or _is_mark(c), name)).rstrip("-.")
