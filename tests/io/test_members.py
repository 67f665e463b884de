"""Archives are read where they lie, in memory; what an archive of images never holds is refused."""

from __future__ import annotations

import stat
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from anomri.errors import InputError
from anomri.io import find_images, read
from anomri.io.members import MAX_MEMBERS, is_zip, members_sha256
from dicom_slices import series, write

AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A sound archive of one series."""
    voxels = np.random.default_rng(0).integers(0, 99, (16, 16, 10)).astype(np.int16)
    write(tmp_path / "series", series(voxels, AFFINE))
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted((tmp_path / "series").iterdir()):
            packed.write(file, file.name)
    return tmp_path / "x.zip"


def refusal(path: Path) -> str:
    before = sorted(path.parent.rglob("*"))
    (found,) = find_images([path])
    with pytest.raises(InputError) as caught:
        read(found.path, members=found.members)
    assert sorted(path.parent.rglob("*")) == before
    return caught.value.code


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "C:\\x", "..\\x", "\\x"])
def test_an_entry_that_leads_out_of_the_archive_is_refused_and_nothing_is_written(archive, name):
    with zipfile.ZipFile(archive, "a") as packed:
        packed.writestr(zipfile.ZipInfo(name), "x")
    assert refusal(archive) == "unsafe_archive"


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(archive, mode):
    entry = zipfile.ZipInfo("link")
    entry.external_attr = (mode | 0o644) << 16
    with zipfile.ZipFile(archive, "a") as packed:
        packed.writestr(entry, "/etc/passwd")
    assert refusal(archive) == "unsafe_archive"


@pytest.mark.parametrize(
    ("name", "method"), [("more.zip", zipfile.ZIP_STORED), ("more.tar", zipfile.ZIP_STORED), ("x", zipfile.ZIP_BZIP2)]
)
def test_nested_archives_and_unusual_compression_are_refused(archive, name, method):
    with zipfile.ZipFile(archive, "a") as packed:
        packed.writestr(name, "x", compress_type=method)
    assert refusal(archive) == "unsafe_archive"


def test_an_encrypted_entry_is_refused(archive):
    content = archive.read_bytes()
    # The first bit of the flags, in the local and in the central header of the first entry.
    at, there = content.index(b"PK\x03\x04") + 6, content.index(b"PK\x01\x02") + 8
    for place in (at, there):
        content = content[:place] + bytes([content[place] | 1]) + content[place + 1 :]
    archive.write_bytes(content)
    assert refusal(archive) == "unsafe_archive"


def test_more_entries_than_a_study_has_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("anomri.io.members.MAX_MEMBERS", 10)
    assert MAX_MEMBERS == 100_000
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        for number in range(11):
            packed.writestr(str(number), "x")
    assert refusal(tmp_path / "x.zip") == "unsafe_archive"


@pytest.mark.parametrize(("offset", "value", "sound"), [(16, 1, False), (24, 300, False), (24, 1 << 30, True)])
def test_a_wrong_checksum_or_size_is_noticed_and_a_larger_size_believed_by_nobody(archive, offset, value, sound):
    content = bytearray(archive.read_bytes())
    # Of the first entry in the directory: its checksum, its size.
    place = content.index(b"PK\x01\x02") + offset
    content[place : place + 4] = value.to_bytes(4, "little")
    archive.write_bytes(content)
    codes = set()
    for one in find_images([archive]):
        try:
            read(one.path, members=one.members)
        except InputError as error:
            codes.add(error.code)
    assert codes <= {"checksum", "damaged", "truncated", "missing_slices"}
    assert bool(codes) is not sound


@pytest.mark.usefixtures("archive")
def test_a_bomb_is_refused_by_what_comes_out_of_it(tmp_path):
    content = (tmp_path / "series/IM0000").read_bytes()
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("IM0000", content + bytes(200 << 20))
    assert (tmp_path / "bomb.zip").stat().st_size < 1 << 20
    assert refusal(tmp_path / "bomb.zip") == "too_large"


def test_what_an_archive_unpacks_to_in_all_has_a_limit(archive, tmp_path, monkeypatch):
    monkeypatch.setattr("anomri.io.members.FREE_BYTES", 1 << 20)
    assert len(find_images([archive])) == 1
    content = (tmp_path / "series/IM0000").read_bytes()
    pixels = content.rindex(b"\xe0\x7f\x10\x00OW")
    private = b"\xe1\x7f\x10\x10OB\0\0" + (1 << 20).to_bytes(4, "little") + bytes(1 << 20)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for number in range(12):
            # Before the pixels, where it is no trailing data that is refused anyway.
            before = private.replace(b"\xe1\x7f", b"\xd1\x7f", 1)
            packed.writestr(f"IM{number:04}", content[:pixels] + before + content[pixels:])
    assert refusal(tmp_path / "bomb.zip") == "compression_bomb"


def test_an_archive_of_volumes_says_that_it_has_to_be_unpacked(archive, tmp_path):
    with zipfile.ZipFile(tmp_path / "x_T1w.zip", "w") as packed:
        packed.writestr("a/x_T1w.nii.gz", "x")
    with pytest.raises(InputError) as caught:
        read(tmp_path / "x_T1w.zip")
    assert (caught.value.code, caught.value.remedy) == ("unknown_format", "Unpack it and give its files.")
    with zipfile.ZipFile(archive, "a") as packed:
        packed.writestr("x.nii", "x")
    told: list[str] = []
    assert len(find_images([archive], report=told.append)) == 1
    assert any("passed over 1 volumes in it; unpack it" in line for line in told)


def test_a_cut_archive_is_damaged_and_one_without_images_is_of_no_known_format(archive, tmp_path):
    archive.write_bytes(archive.read_bytes()[:-40])
    assert refusal(archive) == "damaged"
    with zipfile.ZipFile(tmp_path / "text.zip", "w") as packed:
        packed.writestr("x.txt", "text")
    assert refusal(tmp_path / "text.zip") == "unknown_format"


def test_what_macos_adds_to_an_archive_is_passed_over(archive):
    with zipfile.ZipFile(archive, "a") as packed:
        packed.writestr("__MACOSX/._IM0000.dcm", "x")
        packed.writestr("._IM0000.dcm", "x")
        packed.writestr(".hidden/IM0000.dcm", "x")
    assert len(find_images([archive])) == 1


def test_archives_of_arrays_are_not_taken_for_archives_of_images(tmp_path, archive):
    np.savez(tmp_path / "x.npz", a=np.ones(3))
    assert not is_zip(tmp_path / "x.npz")
    assert is_zip(archive)
    assert not is_zip(tmp_path)
    assert not is_zip(tmp_path / "none")


def test_the_digest_of_members_is_that_of_their_content_in_a_folder_and_in_an_archive(archive, tmp_path):
    names = [file.name for file in sorted((tmp_path / "series").iterdir())]
    assert members_sha256(archive, names) == members_sha256(tmp_path / "series", names) != ""
    assert members_sha256(tmp_path / "series", [*names, "gone"]) == ""
    assert read(archive).source.sha256 == members_sha256(archive, names)


def test_an_archive_among_others_in_a_folder_gives_its_series(archive, tmp_path):
    (tmp_path / "in").mkdir()
    archive.rename(tmp_path / "in/sub-03.zip")
    with zipfile.ZipFile(tmp_path / "in/code.zip", "w") as packed:
        packed.writestr("x.txt", "text")
    told: list[str] = []
    (found,) = find_images([tmp_path / "in"], report=told.append)
    assert found.path == tmp_path / "in/sub-03.zip"
    assert found.scan_id.startswith("sub-03_series-007-")
    assert any("code.zip: passed over" in line for line in told)


def test_two_entries_of_one_name_are_one(tmp_path):
    with warnings.catch_warnings(), zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        warnings.simplefilter("ignore")
        packed.writestr("x.dcm", "one")
        packed.writestr("x.dcm", "two")
    assert refusal(tmp_path / "x.zip") == "not_dicom"
