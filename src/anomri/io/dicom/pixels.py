"""From the bytes of a pixel element to values: uncompressed ones here, compressed ones in a process of their own.

Decoders of JPEG, JPEG-LS and JPEG 2000 are native code that reads what strangers wrote. They run in a child with limits
on memory and time, so that a file which breaks one costs its own scan.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomri.errors import InputError
from anomri.io.dicom.elements import BIG_ENDIAN, NATIVE
from anomri.io.dicom.header import Instance, Plane, Stored
from anomri.io.dicom.problems import bad_header, truncated

__all__ = ["check_stored", "decoded", "native", "require_decoder", "values_of"]

DECODER = Path(__file__).with_name("decoder.py")
ALLOCATED = (8, 16, 32)
GREY = ("MONOCHROME1", "MONOCHROME2")
# The process itself takes the first of these; the rest is what decoders need beside the image.
MEMORY_BYTES, MEMORY_PER_BYTE = 2 << 30, 16
SECONDS, SECONDS_PER_MB = 30.0, 1.0
FAILED = 3


def check_stored(instance: Instance) -> None:
    """Refuse pixels that are no grey values.

    Raises
    ------
    InputError : colour, floats or another width (`unsupported_type`), bits that contradict one another (`bad_header`).
    """
    stored = instance.stored
    what = None
    if stored.samples != 1 or stored.photometric not in GREY:
        what = "colours"
    elif instance.pixels is not None and instance.pixels.number != 0x0010:
        what = "floating-point values"
    elif stored.allocated not in ALLOCATED:
        what = f"values of {stored.allocated} bits"
    if what is not None:
        raise InputError(
            f"the image holds {what}", remedy="Give a scan of real numbers (magnitude).", code="unsupported_type"
        )
    if not 1 <= stored.stored <= stored.high_bit + 1 <= stored.allocated:
        raise bad_header(f"{stored.stored} bits up to bit {stored.high_bit} do not fit into {stored.allocated}")
    if min(instance.rows, instance.columns) < 1:
        raise bad_header(f"the header declares {instance.columns} × {instance.rows} pixels")


def require_decoder(syntax: str) -> None:
    """Refuse a transfer syntax that no installed decoder reads.

    Raises
    ------
    InputError : `transfer_syntax`.
    """
    if syntax in NATIVE:
        return
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    known = re.fullmatch(r"[0-9]+(\.[0-9]+)+", syntax) is not None and len(syntax) <= 64
    name = UID(syntax).name if known else "an unknown transfer syntax"
    try:
        available = get_decoder(UID(syntax)).is_available if known else None
    except NotImplementedError:
        available = None
    if available is None:
        raise InputError(
            f"the pixels are stored as {name}, which pydicom does not read",
            remedy="Export them uncompressed (Explicit VR Little Endian).",
            code="transfer_syntax",
        )
    if not available:
        permissive = "J2K" in name or "JPEG 2000" in name or "JPEG-LS" in name
        remedy = (
            "Install it: pip install 'anomri[dicom]'."
            if permissive
            else "Export them uncompressed, or install pylibjpeg-libjpeg, whose licence is the GPL."
        )
        raise InputError(
            f"the pixels are stored as {name}, and its decoder is not installed", remedy=remedy, code="transfer_syntax"
        )


def native(content: bytes | bytearray, instance: Instance) -> tuple[NDArray[Any], bool]:
    """Uncompressed pixels: (frames, rows, columns) of integers, and whether bits outside the stored ones were set.

    Raises
    ------
    InputError : fewer bytes than the header promises (`truncated`).
    """
    stored = instance.stored
    if len(content) < instance.n_bytes:
        raise truncated(f"the pixels take {instance.n_bytes} bytes and {len(content)} are there")
    kind = _kind(stored, ">" if instance.syntax == BIG_ENDIAN else "<")
    raw = np.frombuffer(content, dtype=kind, count=instance.n_bytes // kind.itemsize)
    frames = raw.reshape(len(instance.planes), instance.rows, instance.columns)
    low, high = _range(stored)
    aligned = stored.high_bit == stored.stored - 1
    # Most files set no bit that they do not use.
    if stored.stored == stored.allocated or (aligned and low <= frames.min() and frames.max() <= high):
        return frames, False
    # To the top and back down: what lies above the high bit is dropped, and the sign is taken from it.
    kept = (frames.astype(kind.newbyteorder("=")) << (stored.allocated - 1 - stored.high_bit)) >> (
        stored.allocated - stored.stored
    )
    return kept, aligned


def decoded(encoded: Sequence[bytes | bytearray], instances: Sequence[Instance]) -> Iterator[NDArray[Any]]:
    """Compressed pixels of files of one transfer syntax: (frames, rows, columns) of integers, file by file.

    Raises
    ------
    InputError : the data are damaged (`damaged`), the decoder died on them (`crashed`) or takes too long (`timed_out`).
    """
    total = sum(instance.n_bytes for instance in instances)
    seconds = SECONDS + SECONDS_PER_MB * total / (1 << 20)
    task = {
        "syntax": instances[0].syntax,
        "memory_bytes": MEMORY_BYTES + MEMORY_PER_BYTE * max(instance.n_bytes for instance in instances),
        "seconds": int(seconds) + 1,
        "files": [_options(instance, len(part)) for instance, part in zip(instances, encoded, strict=True)],
    }
    # Neither the folder it is started in nor that of the script is searched for modules.
    command = [sys.executable, "-P", str(DECODER)]
    pipe = subprocess.PIPE
    expired = threading.Event()
    child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)

    def expire() -> None:
        expired.set()
        child.kill()

    timer = threading.Timer(seconds, expire)
    timer.start()
    try:
        with child:
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write(json.dumps(task).encode() + b"\n")
            for part, instance in zip(encoded, instances, strict=True):
                # The child reads a file to its end before it answers, so that neither waits for the other.
                child.stdin.write(part)
                child.stdin.flush()
                answer = child.stdout.read(instance.n_bytes)
                if len(answer) < instance.n_bytes:
                    raise _failure(child, expired, seconds)
                values = np.frombuffer(answer, dtype=_kind(instance.stored, "<"))
                yield values.reshape(len(instance.planes), instance.rows, instance.columns)
    except BrokenPipeError as error:
        raise _failure(child, expired, seconds) from error
    finally:
        timer.cancel()
        child.kill()


def values_of(stored: NDArray[Any], how: Stored, plane: Plane) -> NDArray[Any]:
    """Stored values scaled, and turned over where low ones mean bright.

    Returns
    -------
    (rows, columns) float32, or the integers as stored where they are the values.

    Raises
    ------
    InputError : a value does not fit float32 (`nonfinite`).
    """
    if how.photometric == "MONOCHROME1":
        stored = sum(_range(how)) - stored.astype(np.int64)
    if (plane.slope, plane.intercept) == (1.0, 0.0):
        return stored
    with np.errstate(all="ignore"):
        values = (stored.astype(np.float64) * plane.slope + plane.intercept).astype(np.float32)
    if not np.isfinite(values).all():
        raise InputError("a value does not fit float32", remedy="Rescale the image.", code="nonfinite")
    return values


def _kind(stored: Stored, order: str) -> np.dtype[Any]:
    return np.dtype(f"{order}{'i' if stored.signed else 'u'}{stored.allocated // 8}")


def _range(how: Stored) -> tuple[int, int]:
    """The smallest and the largest value that so many bits hold."""
    low = -(1 << (how.stored - 1)) if how.signed else 0
    return low, low + (1 << how.stored) - 1


def _options(instance: Instance, n_bytes: int) -> dict[str, int]:
    stored = instance.stored
    return {
        "n_bytes": n_bytes,
        "number_of_frames": len(instance.planes),
        "rows": instance.rows,
        "columns": instance.columns,
        "bits_allocated": stored.allocated,
        "bits_stored": stored.stored,
        "pixel_representation": int(stored.signed),
    }


def _failure(child: subprocess.Popen[bytes], expired: threading.Event, seconds: float) -> InputError:
    status = child.wait()
    if expired.is_set():
        return InputError(
            f"decoding the pixels took longer than {seconds:.0f} s",
            remedy="Export them uncompressed.",
            code="timed_out",
        )
    if status == FAILED:
        return InputError(
            "the compressed pixels are damaged, or not what the header says",
            remedy="Copy or export the series again.",
            code="damaged",
        )
    cause = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    return InputError(
        f"the decoder died on the compressed pixels ({cause})", remedy="Export them uncompressed.", code="crashed"
    )
