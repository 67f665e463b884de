"""Pictures of single slices: values as stored, upright in the world, and damage gives no error but ours."""

from __future__ import annotations

import contextlib
import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from anomri.core.geometry import orientation_code
from anomri.core.region import Region
from anomri.errors import AnomriError, InputError
from anomri.io import read, read_mask
from anomri.io.guard import DEFAULT_MAX_VOXELS

ROWS, COLUMNS = 40, 30


def grey(kind: str = "uint8") -> np.ndarray:
    """(rows, columns), no symmetry."""
    top = {"uint8": 256, "uint16": 60_000}.get(kind, 1000)
    return np.random.default_rng(3).integers(0, top, (ROWS, COLUMNS)).astype(kind)


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(*arrays: np.ndarray, compressed: bool = False, **named: np.ndarray) -> bytes:
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, *arrays, **named)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_grey_values_are_kept_to_the_last_bit(tmp_path, kind, dtype):
    (tmp_path / "x.dat").write_bytes(saved(Image.fromarray(grey(dtype)), kind))
    scan = read(tmp_path / "x.dat")
    assert scan.source.format == kind.lower()
    np.testing.assert_array_equal(scan.voxels[:, :, 0].T, grey(dtype))


@pytest.mark.parametrize("dtype", ["uint8", ">u2", "int16", "float32", "float64", "bool"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_are_rows_and_columns(tmp_path, dtype, order):
    array = np.asarray(np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS) % 100, dtype=dtype, order=order)
    for name, given_array in (("a", array), ("b", array[None])):
        (tmp_path / name).write_bytes(npy(given_array))
        if dtype == "bool":
            with pytest.raises(InputError, match="distinct"):
                read(tmp_path / name)
        else:
            np.testing.assert_array_equal(read(tmp_path / name).voxels[:, :, 0].T, array.astype("f4"))


def test_a_picture_stands_upright_and_says_what_it_does_not_know(tmp_path):
    Image.fromarray(grey()).save(tmp_path / "x.png")
    scan = read(tmp_path / "x.png")
    assert scan.geometry.shape == (COLUMNS, ROWS, 1)
    assert scan.geometry.spacing_mm == (1.0, 1.0, 1.0)
    # Viewers show axial slices with the patient's right on the left and the front on top.
    assert orientation_code(scan.geometry.affine) == scan.source.orientation == "LPS"
    np.testing.assert_allclose(scan.geometry.affine @ [(COLUMNS - 1) / 2, (ROWS - 1) / 2, 0, 1], [0, 0, 0, 1])
    assert any("1 mm a pixel is assumed" in note for note in scan.source.notes)


def test_the_same_picture_is_the_same_image_whatever_holds_it(tmp_path):
    for name, content in (
        ("a", saved(Image.fromarray(grey()), "PNG")),
        ("b", saved(Image.fromarray(grey()), "TIFF", compression="tiff_lzw")),
        ("c", npy(grey())),
        ("d", saved(Image.fromarray(np.repeat(grey()[..., None], 3, axis=2)), "PNG")),
        ("e", npz(grey())),
        ("f", npz(slice=grey(), compressed=True)),
    ):
        (tmp_path / name).write_bytes(content)
    assert len({read(tmp_path / name).source.image_sha256 for name in "abcdef"}) == 1


def test_palettes_and_transparency_leave_the_colours(tmp_path):
    palette = Image.fromarray(grey()).convert("P")
    palette.info["transparency"] = 0
    layered = Image.merge("LA", (Image.fromarray(grey()), Image.fromarray(255 - grey())))
    for name, picture in (("p", palette), ("la", layered), ("rgba", layered.convert("RGBA"))):
        (tmp_path / name).write_bytes(saved(picture, "PNG"))
        scan = read(tmp_path / name)
        np.testing.assert_array_equal(scan.voxels[:, :, 0].T, grey())
        assert "transparency was dropped" in scan.source.notes


def test_coloured_text_is_noticed_and_becomes_its_luminance(tmp_path):
    colours = np.repeat(grey()[..., None], 3, axis=2)
    colours[3, 4:9] = (255, 255, 0)
    Image.fromarray(colours).save(tmp_path / "x.png")
    scan = read(tmp_path / "x.png")
    assert any(note.startswith("5 pixels are coloured") for note in scan.source.notes)
    assert scan.voxels[4, 3, 0] == pytest.approx(0.886 * 255, rel=1e-5)
    np.testing.assert_allclose(scan.voxels[:, 10:, 0].T, grey()[10:], rtol=1e-5)


def test_colours_of_16_bits_are_noticed(tmp_path):
    rows = np.random.default_rng(1).integers(0, 60_000, (ROWS, COLUMNS, 3)).astype(">u2")
    raw = b"".join(b"\0" + row.tobytes() for row in rows)

    header = struct.pack(">IIBBBBB", COLUMNS, ROWS, 16, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    (tmp_path / "x.png").write_bytes(content)
    assert "16-bit colours were read with 8 bits" in read(tmp_path / "x.png").source.notes


def test_a_photograph_that_says_how_it_was_held_is_turned(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6  # the first row is the right-hand side
    (tmp_path / "x.png").write_bytes(saved(Image.fromarray(grey()), "PNG", exif=turned))
    scan = read(tmp_path / "x.png")
    np.testing.assert_array_equal(scan.voxels[:, :, 0].T, np.rot90(grey(), -1))
    assert "the picture was turned as its EXIF data say" in scan.source.notes


def test_a_mask_of_a_picture_lies_on_its_scan(tmp_path):
    Image.fromarray(grey()).save(tmp_path / "x.png")
    mask = grey() > 100
    Image.fromarray(mask).save(tmp_path / "x_mask.png")
    region = read_mask(tmp_path / "x_mask.png", read(tmp_path / "x.png"))
    assert isinstance(region, Region)
    np.testing.assert_array_equal(region.mask[:, :, 0].T, mask)


def zipped(*members: tuple[str, bytes], size: int | None = None) -> bytes:
    """An archive; `size` is what its directory says of the last member."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    content = file.getvalue()
    if size is not None:
        at = content.rindex(b"PK\x01\x02") + 24
        content = content[:at] + struct.pack("<I", size) + content[at + 4 :]
    return content


def frames(kind: str) -> bytes:
    pictures = [Image.fromarray(np.roll(grey(), n)) for n in range(3)]
    return saved(pictures[0], kind, save_all=True, append_images=pictures[1:])


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def bomb() -> bytes:
    """A PNG of 60 bytes that declares 16 gigapixels."""
    header = struct.pack(">IIBBBBB", 1 << 17, 1 << 17, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(9)))


PNG, JPEG = saved(Image.fromarray(grey()), "PNG"), saved(Image.fromarray(grey()), "JPEG")
BAD = {
    "animated PNG": (frames("PNG"), "not_one_volume"),
    "many pages": (frames("TIFF"), "not_one_volume"),
    "bomb": (bomb(), "too_large"),
    "cut PNG": (PNG[:-200], "damaged"),
    "cut JPEG": (JPEG[:-200], "damaged"),
    "nothing but a signature": (PNG[:8], "damaged"),
    "JPEG of nothing": (b"\xff\xd8\xff\xe0", "damaged"),
    "TIFF of nothing": (b"II*\0\x08\0\0\0", "damaged"),
    "flipped bits": (PNG[:100] + bytes(255 - b for b in PNG[100:110]) + PNG[110:], "damaged"),
    "few values": (saved(Image.fromarray(grey() // 128), "PNG"), "no_signal"),
    "seven rows": (saved(Image.fromarray(grey()[:7]), "PNG"), "too_thin"),
    "a volume": (npy(np.zeros((10, 11, 12))), "not_one_volume"),
    "colours as an array": (npy(np.zeros((10, 11, 3))), "not_one_volume"),
    "a line": (npy(np.zeros(100)), "not_one_volume"),
    "a number": (npy(np.float64(3.0)), "not_one_volume"),
    "objects": (npy(np.array([[{}] * 10] * 10)), "unsupported_type"),
    "complex": (npy(np.zeros((10, 10), complex)), "unsupported_type"),
    "words": (npy(np.array([["a"] * 10] * 10)), "unsupported_type"),
    "cut array": (npy(grey())[:-1], "truncated"),
    "more than the array": (npy(grey()) + bytes(1 << 21), "too_large"),
    "array without header": (b"\x93NUMPY\x01\0", "bad_header"),
    "array with half a header": (npy(grey()).replace(b"}", b"("), "bad_header"),
    "array of another version": (b"\x93NUMPY\x07\0" + npy(grey())[8:], "bad_header"),
    "two arrays": (npz(grey(), grey()), "not_one_volume"),
    "a volume in an archive": (npz(np.zeros((10, 11, 12))), "not_one_volume"),
    "objects in an archive": (npz(np.array([[{}] * 10] * 10)), "unsupported_type"),
    "an archive cut off": (npz(grey())[:-40], "damaged"),
    "an archive with a flipped bit": (npz(grey())[:300] + b"\0" + npz(grey())[301:], "damaged"),
    "a member that is no array": (zipped(("x.npy", b"text")), "bad_header"),
    "a member cut off": (zipped(("x.npy", npy(grey())[:-1])), "truncated"),
    "a member that goes on": (zipped(("x.npy", npy(grey()) + bytes(50 << 20))), "too_large"),
    "a member larger than its directory says": (zipped(("x.npy", npy(grey())), size=200), "damaged"),
    "an archive of something else": (zipped(("x.txt", b"text")), "unknown_format"),
    "NaN": (npy(np.where(grey() > 128, np.nan, grey())), "nonfinite"),
}


@pytest.mark.parametrize(("content", "code"), BAD.values(), ids=BAD)
def test_what_is_no_single_picture_is_refused(code_of, content, code):
    assert code_of(content, "x.png") == code


def test_a_few_nan_are_set_to_0_and_told(tmp_path):
    values = grey("float32")
    values[5, 6] = np.nan
    (tmp_path / "x.npy").write_bytes(npy(values))
    scan = read(tmp_path / "x.npy")
    assert scan.voxels[6, 5, 0] == 0
    assert any("NaN" in note for note in scan.source.notes)


def test_the_limit_on_pixels_is_the_callers(tmp_path, code_of):
    assert code_of(PNG, "x.png", max_voxels=ROWS * COLUMNS - 1) == "too_large"
    (tmp_path / "x.png").write_bytes(PNG)
    assert read(tmp_path / "x.png", max_voxels=ROWS * COLUMNS).voxels.size == ROWS * COLUMNS
    assert DEFAULT_MAX_VOXELS > 1 << 28


def test_text_in_a_picture_that_unpacks_to_much_is_refused(code_of):
    info = PngImagePlugin.PngInfo()
    info.add_text("x", "0" * (1 << 22), zip=True)
    assert code_of(saved(Image.fromarray(grey()), "PNG", pnginfo=info), "x.png") == "damaged"


@given(
    kind=st.sampled_from(["png", "jpeg", "npy", "npz", "tiff"]),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
    keep=st.floats(0.05, 1),
)
@settings(max_examples=150, deadline=None)
def test_damage_anywhere_is_an_error_of_ours_or_none(tmp_path_factory, kind, changes, keep):
    content = bytearray(
        {
            "png": PNG,
            "jpeg": JPEG,
            "npy": npy(grey()),
            "npz": npz(grey()),
            "tiff": saved(Image.fromarray(grey("uint16")), "TIFF"),
        }[kind]
    )
    for at, value in changes:
        content[int(at * len(content))] = value
    path = Path(tmp_path_factory.getbasetemp()) / "fuzzed"
    path.write_bytes(content[: max(1, int(keep * len(content)))])
    with contextlib.suppress(AnomriError):
        assert np.isfinite(read(path).voxels).all()
