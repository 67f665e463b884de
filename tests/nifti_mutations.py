"""NIfTI files that are sound but for one to three things: header, extensions, voxels, bytes, or their gzip layer."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np

__all__ = ["mutated"]

DTYPES = {1: nib.Nifti1Header().template_dtype, 2: nib.Nifti2Header().template_dtype}
TYPES = {"u1": 2, "i2": 4, "i4": 8, "f4": 16, "f8": 64, "i1": 256, "u2": 512, "u4": 768, "i8": 1024, "u8": 1280}
OTHER_TYPES = (0, 1, 32, 77, 128, 1536, 1792, 2048, 2304, -1, 255)
NUMBERS = (
    0, 1, -1, 2, 3, 7, 8, 9, 15, 16, 127, 128, 255, 256, 347, 348, 352, 540, 544, 32767, 32768, 65535, 2**31 - 1,
    2**31, 2**63 - 1, -(2**31), 0.5, 1e-45, 1e-3, 20.001, 1e3, 1e30, -1e30, 3e38, np.nan, np.inf, -np.inf,
)  # fmt: skip
# Code of an extension that holds a text.
COMMENT = 6
MAGICS = (b"n+1\0", b"ni1\0", b"n+2\0", b"ni2\0", b"n+3\0", b"n+1", b"\0\0\0\0", b"N+1\0", b"\r\n\x1a\n")
BOUNDS = (0, 1, 2, 4, 8, 10, 18, 40, 108, 344, 347, 348, 351, 352, 353, 360, 539, 540, 543, 544, 545)


@dataclass(slots=True)
class _File:
    """The parts of a file before they are joined."""

    version: int
    order: str
    header: np.ndarray
    flags: bytes
    extensions: list[tuple[int, bytes]]
    body: bytes
    paired: bool


def mutated(rng: np.random.Generator) -> dict[str, bytes]:
    """A NIfTI file, or a pair of them, broken in up to three places; one in ten is sound."""
    file = _sound(rng)
    breaks = int(rng.choice(4, p=(0.1, 0.45, 0.3, 0.15)))
    places = rng.choice(3, size=breaks, p=(0.55, 0.25, 0.2))
    for _ in range(np.count_nonzero(places == 0)):
        _pick(rng, PARTS)(file, rng)
    head, body = _joined(file)
    contents = [head, body] if file.paired else [head + body]
    for _ in range(np.count_nonzero(places == 1)):
        at = rng.integers(len(contents))
        contents[at] = _pick(rng, BYTES)(contents[at], rng)
    layered = rng.random() < 0.4 or bool((places == 2).any())
    if layered:
        contents = [_packed(content, rng) for content in contents]
    for _ in range(np.count_nonzero(places == 2)):
        at = rng.integers(len(contents))
        contents[at] = _pick(rng, LAYERS)(contents[at], rng)
    # A name that says gzip or does not, rightly or wrongly.
    gz = ".gz" if layered != (rng.random() < 0.1) else ""
    if not file.paired:
        return {f"x.nii{gz}": contents[0]}
    files = {f"x.hdr{gz}": contents[0], f"x.img{gz}": contents[1]}
    if rng.random() < 0.1:
        del files[f"x.img{gz}"]
    return files


def _pick(rng: np.random.Generator, choices: Sequence[Callable[..., Any]]) -> Callable[..., Any]:
    return choices[rng.integers(len(choices))]


def _sound(rng: np.random.Generator) -> _File:
    version, order = int(rng.integers(1, 3)), "<>"[rng.integers(2)]
    shape = tuple(int(n) for n in rng.integers(8, 12, 3))
    if rng.random() < 0.1:
        shape = (*shape[:2], 1)
    kind = _pick(rng, list(TYPES))
    header = np.zeros(1, DTYPES[version].newbyteorder(order))
    fields = header[0]
    fields["sizeof_hdr"] = 348 if version == 1 else 540
    paired = bool(rng.random() < 0.1)
    fields["magic"] = (b"ni" if paired else b"n+") + str(version).encode()
    if version == 2:
        fields["eol_check"] = (13, 10, 26, 10)
    fields["dim"] = [int(rng.integers(3, 8)), *shape, 1, 1, 1, 1]
    fields["datatype"], fields["bitpix"] = TYPES[kind], int(kind[1]) * 8
    spacing = rng.uniform(0.5, 3, 3)
    fields["pixdim"] = [_pick(rng, (1, -1, 0)), *spacing, 1, 1, 1, 1]
    fields["scl_slope"], fields["scl_inter"] = _pick(rng, ((1, 0), (0, 0), (np.nan, 0), (0.5, -3)))
    fields["xyzt_units"] = _pick(rng, (0, 2, 10))
    sform, qform = _pick(rng, ((1, 1), (1, 0), (0, 1), (0, 0), (2, 3)))
    fields["sform_code"], fields["qform_code"] = sform, qform
    direction = -1.0 if fields["pixdim"][0] < 0 else 1.0
    rows = np.diag(spacing * (1, 1, direction))
    for axis, row, offset in zip("xyz", rows, rng.uniform(-90, 90, 3), strict=True):
        fields[f"srow_{axis}"] = [*row, offset]
        fields[f"qoffset_{axis}"] = offset
    extensions = [_extension(rng) for _ in range(rng.integers(4))] if rng.random() < 0.3 else []
    body = rng.integers(0, 250, int(np.prod(shape))).astype(order + kind)
    file = _File(version, order, header, b"\1\0\0\0" if extensions else bytes(4), extensions, body.tobytes(), paired)
    fields["vox_offset"] = 0 if paired else len(_joined(file)[0])
    return file


def _extension(rng: np.random.Generator) -> tuple[int, bytes]:
    content = rng.bytes(int(rng.integers(4)) * 16 + 8)
    return len(content) + 8, content


def _joined(file: _File) -> tuple[bytes, bytes]:
    blocks = b"".join(struct.pack(f"{file.order}ii", size, COMMENT) + content for size, content in file.extensions)
    return file.header.tobytes() + file.flags + blocks, file.body


# Parts: what is broken says so in its own fields.


def _odd(dtype: np.dtype[Any], rng: np.random.Generator) -> Any:
    if dtype.kind == "S":
        return rng.bytes(dtype.itemsize)
    if dtype.kind == "f":
        return NUMBERS[rng.integers(len(NUMBERS))] if rng.random() < 0.8 else rng.normal() * 10.0 ** rng.integers(-9, 9)
    limits = np.iinfo(dtype)
    number = np.nan_to_num(NUMBERS[rng.integers(len(NUMBERS))], posinf=float(limits.max), neginf=float(limits.min))
    if rng.random() < 0.2:
        return rng.integers(limits.min, limits.max, dtype=dtype.newbyteorder("="), endpoint=True)
    return int(min(max(int(number), limits.min), limits.max))


def _set(file: _File, name: str, value: Any, index: int | None = None) -> None:
    with np.errstate(all="ignore"):
        if index is None:
            file.header[name][0] = value
        else:
            file.header[name][0, index] = value


def _break_field(file: _File, rng: np.random.Generator) -> None:
    names = file.header.dtype.names
    name = names[rng.integers(len(names))]
    base, shape = file.header.dtype[name].base, file.header.dtype[name].shape
    _set(file, name, _odd(base, rng), int(rng.integers(shape[0])) if shape else None)


def _break_sizes(file: _File, rng: np.random.Generator) -> None:
    for index in rng.choice(8, size=rng.integers(1, 4), replace=False):
        _set(file, "dim", _odd(file.header.dtype["dim"].base, rng), int(index))


def _break_type(file: _File, rng: np.random.Generator) -> None:
    _set(file, "datatype", _pick(rng, (*TYPES.values(), *OTHER_TYPES)))
    if rng.random() < 0.5:
        _set(file, "bitpix", _pick(rng, (1, 8, 16, 24, 32, 64, 128, 0, -8)))


def _break_grid(file: _File, rng: np.random.Generator) -> None:
    names = ("pixdim", "srow_x", "srow_y", "srow_z", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_z")
    name = names[rng.integers(len(names))]
    base, shape = file.header.dtype[name].base, file.header.dtype[name].shape
    value = _odd(base, rng) if rng.random() < 0.6 else float(rng.normal())
    _set(file, name, value, int(rng.integers(shape[0])) if shape else None)


def _break_offset(file: _File, rng: np.random.Generator) -> None:
    here = int(file.header["vox_offset"][0])
    _set(file, "vox_offset", _pick(rng, (here + int(rng.integers(-20, 20)), here + 0.5, 2**20, 2**40, -here, 0, 349)))


def _break_magic(file: _File, rng: np.random.Generator) -> None:
    _set(file, "magic", MAGICS[rng.integers(len(MAGICS))])


def _break_extensions(file: _File, rng: np.random.Generator) -> None:
    file.flags = _pick(rng, (b"\1\0\0\0", b"\xff\xff\xff\xff", b"\0\1\0\0", bytes(3), b""))
    size = int(_pick(rng, (0, 7, 8, 15, 16, 24, -1, -(2**31), 2**31 - 1, 1 << 20)))
    file.extensions.insert(int(rng.integers(len(file.extensions) + 1)), (size, rng.bytes(int(rng.integers(24)))))


def _break_body(file: _File, rng: np.random.Generator) -> None:
    kind = rng.integers(5)
    if kind == 0:
        file.body = file.body[: rng.integers(len(file.body) + 1)]
    elif kind == 1:
        file.body += bytes(int(_pick(rng, (1, 16, 1 << 16, (1 << 20) + 1))))
    elif kind == 2:
        file.body = bytes([rng.integers(256)]) * len(file.body)
    else:
        # Every other bit pattern is a NaN, an infinity, or no number of the size that is usual.
        body = bytearray(file.body)
        for _ in range(int(rng.integers(1, 40))):
            at = int(rng.integers(len(body)))
            body[at : at + 8] = b"\xff" * min(8, len(body) - at)
        file.body = bytes(body)


PARTS = (
    _break_field, _break_field, _break_sizes, _break_type, _break_grid, _break_grid, _break_offset, _break_magic,
    _break_extensions, _break_body,
)  # fmt: skip


# Bytes: damage that knows nothing of the format.


def _cut(content: bytes, rng: np.random.Generator) -> bytes:
    if rng.random() < 0.5:
        return content[: BOUNDS[rng.integers(len(BOUNDS))]]
    return content[: rng.integers(len(content) + 1)]


def _flip(content: bytes, rng: np.random.Generator) -> bytes:
    out = bytearray(content)
    end = len(out) if rng.random() < 0.5 else min(len(out), 360)
    for _ in range(rng.integers(1, 6)):
        if end:
            out[rng.integers(end)] ^= 1 << rng.integers(8)
    return bytes(out)


def _overwrite(content: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(len(content) + 1))
    noise = rng.bytes(int(rng.integers(1, 64)))
    return content[:at] + noise + content[at + len(noise) :]


def _splice(content: bytes, rng: np.random.Generator) -> bytes:
    a, b = sorted(rng.integers(len(content) + 1, size=2))
    return content[:a] + content[b:] if rng.random() < 0.5 else content[:b] + content[a:]


BYTES = (_cut, _flip, _flip, _overwrite, _splice)


# Layers: gzip as RFC 1952 has it, and as it should not be.


def _packed(content: bytes, rng: np.random.Generator) -> bytes:
    parts = [content]
    if rng.random() < 0.2:
        at = int(rng.integers(len(content) + 1))
        parts = [content[:at], content[at:]]
    return b"".join(_member(part, rng) for part in parts)


def _member(content: bytes, rng: np.random.Generator) -> bytes:
    flags, extra = 0, b""
    if rng.random() < 0.2:
        flags |= 4
        extra += struct.pack("<H", 5) + rng.bytes(5)
    if rng.random() < 0.2:
        flags |= 8
        extra += b"name\0"
    if rng.random() < 0.1:
        flags |= 16
        extra += b"remark\0"
    head = b"\x1f\x8b\x08" + bytes([flags]) + rng.bytes(4) + b"\0\xff" + extra
    if rng.random() < 0.1:
        head = head[:3] + bytes([flags | 2]) + head[4:]
        head += struct.pack("<H", zlib.crc32(head) & 0xFFFF)
    packer = zlib.compressobj(int(rng.integers(0, 10)), wbits=-15)
    return head + packer.compress(content) + packer.flush() + struct.pack("<II", zlib.crc32(content), len(content))


def _break_trailer(content: bytes, rng: np.random.Generator) -> bytes:
    return content[:-8] + _flip(content[-8:], rng)


def _break_gzip_head(content: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(12))
    return content[:at] + rng.bytes(1) + content[at + 1 :]


def _append(content: bytes, rng: np.random.Generator) -> bytes:
    return content + _pick(
        rng, (b"\0" * 512, b"\x1f\x8b", b"\x1f\x8b\x08\0", _member(b"", rng) * 40, _member(rng.bytes(99), rng), b"junk")
    )


def _pack_again(content: bytes, rng: np.random.Generator) -> bytes:
    return _member(content, rng)


def _bomb(content: bytes, rng: np.random.Generator) -> bytes:
    return content + zlib.compress(bytes(int(rng.integers(1 << 20, 3 << 20))), 1, wbits=31)


LAYERS = (_cut, _flip, _splice, _break_trailer, _break_gzip_head, _append, _pack_again, _bomb)
