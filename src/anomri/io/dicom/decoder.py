"""Decodes compressed pixels; run as a process of its own by `pixels`, with limits it sets itself before it begins.

Standard input: a line of JSON that says what comes, then the encapsulated pixel data of each file. Standard output: the
frames of each file as little-endian integers. Status 3 where a file cannot be decoded.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def main() -> int:
    """Answer one request."""
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    task = json.loads(sys.stdin.buffer.readline())
    decoder = get_decoder(UID(task["syntax"]))
    limit(task["memory_bytes"], task["seconds"])
    for options in task["files"]:
        encoded = sys.stdin.buffer.read(options.pop("n_bytes"))
        try:
            for frame in frames(decoder, encoded, options):
                sys.stdout.buffer.write(frame)
        # Decoders raise whatever they stumble over.
        except Exception:
            return 3
        sys.stdout.buffer.flush()
    return 0


def frames(decoder: Any, encoded: bytes, options: dict[str, int]) -> list[bytes]:
    """The decoded frames of one file, each of exactly the size that its header promises."""
    import numpy as np

    width = options["bits_allocated"] // 8
    kind = np.dtype(f"<{'i' if options['pixel_representation'] else 'u'}{width}")
    answer = []
    for array, _ in decoder.iter_array(
        encoded,
        raw=True,
        samples_per_pixel=1,
        photometric_interpretation="MONOCHROME2",
        pixel_keyword="PixelData",
        **options,
    ):
        if array.shape != (options["rows"], options["columns"]) or array.dtype.itemsize > width:
            raise ValueError("not the shape or the width that the header states")
        answer.append(array.astype(kind).tobytes())
    if len(answer) != options["number_of_frames"]:
        raise ValueError("not as many frames as the header states")
    return answer


def limit(memory_bytes: int, seconds: int) -> None:
    """Let the system end this process where it takes more."""
    try:
        import resource
    except ImportError:
        # Windows has no such limits; there the time alone is watched, by the parent.
        return
    for kind, most in ((resource.RLIMIT_AS, memory_bytes), (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_CORE, 0)):
        try:
            resource.setrlimit(kind, (most, most))
        except (ValueError, OSError):
            # macOS does not limit the address space.
            continue


if __name__ == "__main__":
    sys.exit(main())
