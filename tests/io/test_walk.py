"""Folders are walked the same way each time, inside their own walls, and every scan gets its own safe name."""

import logging
import os
import re
import shutil
import time
import unicodedata
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomri.errors import InputError
from anomri.io import find_images, read
from anomri.io.names import MAX_SCAN_ID, is_safe_id, safe_id, shown


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def found(inputs, **options):
    return [f.path for f in find_images(inputs, **options)]


def test_images_are_found_sorted_and_nothing_else_is(tmp_path):
    touch(tmp_path, "b/x.nii.gz", "a/y.nii", "a/z.NII.GZ", "a/notes.txt", ".hidden/x.nii", "a/.x.nii", "x.nii.bak")
    assert found([tmp_path]) == [tmp_path / "a/y.nii", tmp_path / "a/z.NII.GZ", tmp_path / "b/x.nii.gz"]


def test_pictures_are_found_where_no_volume_is(tmp_path):
    touch(tmp_path, "slices/b.JPG", "slices/a.png", "slices/c/d.tif", "slices/e.npy", "slices/notes.txt")
    touch(tmp_path, "volumes/x.nii", "volumes/preview.png")
    names = [path.name for path in found([tmp_path / "slices"])]
    assert names == ["a.png", "b.JPG", "d.tif", "e.npy"]
    assert found([tmp_path / "volumes"]) == [tmp_path / "volumes/x.nii"]
    assert [path.name for path in found([tmp_path / "volumes"], include="*.png")] == ["preview.png"]
    assert safe_id(tmp_path / "slices/b.JPG") == "b"


def test_a_header_with_its_voxels_beside_it_is_found_and_one_without_is_said(tmp_path):
    touch(tmp_path, "a.hdr", "a.img", "b.HDR", "b.img.gz", "alone.hdr", "c.img")
    heard = []
    scans = find_images([tmp_path], report=heard.append)
    assert [(scan.path.name, scan.scan_id) for scan in scans] == [("a.hdr", "a"), ("b.HDR", "b")]
    assert heard == [f"{tmp_path}: 2 files of unknown kind were passed over (alone.hdr, c.img)"]


def test_the_voxels_of_a_pair_alone_are_refused_with_what_to_give(tmp_path):
    nib.save(nib.Nifti1Pair(np.arange(1000, dtype=np.int16).reshape(10, 10, 10), np.eye(4)), tmp_path / "pair.img")
    with pytest.raises(InputError) as caught:
        read(tmp_path / "pair.img")
    assert (caught.value.code, caught.value.remedy) == ("unknown_format", "Give the .hdr file of the same name.")
    (found_alone,) = find_images([tmp_path])
    assert read(found_alone.path).geometry.shape == (10, 10, 10)


def test_where_nothing_is_a_scan_the_message_says_what_was_there(tmp_path):
    touch(tmp_path, "IM0000", "x.dat", "y.bin", "README", "a.json", "table.tsv")
    with pytest.raises(InputError, match=r"3 files of unknown kind were passed over \(IM0000, x.dat, y.bin\)"):
        find_images([tmp_path])


def test_what_lies_beside_scans_as_a_rule_is_passed_over_in_silence(tmp_path):
    touch(
        tmp_path, "README", "CHANGES", "dataset_description.json", "participants.tsv", "sub-1/x.nii.gz", "sub-1/x.json"
    )
    heard = []
    assert len(find_images([tmp_path], report=heard.append)) == 1
    assert heard == []


def test_files_are_taken_as_they_are_and_once(tmp_path):
    touch(tmp_path, "odd.dat", "a/x.nii")
    files = [tmp_path / "odd.dat", tmp_path / "a/x.nii", tmp_path, tmp_path / "odd.dat"]
    assert found(files) == [tmp_path / "odd.dat", tmp_path / "a/x.nii"]


@pytest.mark.parametrize("pattern", ["*_T1w.nii.gz", "**/*_T1w.nii.gz", "sub-*/anat/*T1w*"])
def test_a_pattern_takes_the_place_of_the_endings(tmp_path, pattern):
    touch(
        tmp_path, "sub-1/anat/sub-1_T1w.nii.gz", "sub-1/anat/sub-1_T2w.nii.gz", "sub-1/anat/sub-1_T1w_mask.nii.gz.txt"
    )
    names = [path.name for path in found([tmp_path], include=pattern)]
    assert "sub-1_T1w.nii.gz" in names
    assert "sub-1_T2w.nii.gz" not in names


def test_a_pattern_with_two_stars_matches_at_the_root(tmp_path):
    touch(tmp_path, "x_T1w.nii.gz")
    assert len(found([tmp_path], include="**/*_T1w.nii.gz")) == 1


def test_folders_that_anomri_wrote_are_passed_over_unless_they_are_the_root(tmp_path):
    touch(tmp_path, "run.json", "x.nii", "out/run.json", "out/sub-1/heatmap.nii.gz", "r/result.json", "r/maps/z.nii")
    assert found([tmp_path]) == [tmp_path / "x.nii"]


def test_links_stay_inside_the_folder_and_one_that_leads_nowhere_is_a_scan_that_cannot_be_read(tmp_path, caplog):
    root, outside = touch(tmp_path / "root", "store/x.nii"), touch(tmp_path / "outside", "y.nii", "z/w.nii")
    (root / "a.nii").symlink_to(outside / "y.nii")
    (root / "b").symlink_to(outside)
    (root / "c.nii").symlink_to("store/x.nii")
    (root / "d.nii").symlink_to("nowhere")
    (root / "e.nii").symlink_to("e.nii")
    with caplog.at_level(logging.WARNING):
        assert found([root]) == [root / "c.nii", root / "d.nii", root / "e.nii"]
    assert "skipped 2 links that lead out of the folder (a.nii, b)" in caplog.text


def test_a_cycle_of_links_ends(tmp_path):
    root = touch(tmp_path / "root", "a/b/x.nii")
    (root / "a/b/up").symlink_to("../..")
    (root / "a/b/self").symlink_to(".")
    (root / "other").symlink_to("a")
    assert found([root]) == [root / "a/b/x.nii"]


def test_a_fifo_is_not_an_image_and_is_said(tmp_path, caplog):
    touch(tmp_path, "x.nii")
    os.mkfifo(tmp_path / "f.nii")
    with caplog.at_level(logging.WARNING):
        assert found([tmp_path]) == [tmp_path / "x.nii"]
    assert "skipped 1 pipes, sockets or devices (f.nii)" in caplog.text
    heard = []
    find_images([tmp_path], report=heard.append)
    assert heard == [f"{tmp_path}: skipped 1 pipes, sockets or devices (f.nii)"]


def test_of_thousands_that_are_passed_over_ten_are_named(tmp_path):
    root = touch(tmp_path / "root", "x.nii")
    for number in range(12):
        (root / f"out\x1b{number:02d}.nii").symlink_to(tmp_path)
    heard = []
    find_images([root], report=heard.append)
    (line,) = heard
    assert "skipped 12 links" in line
    assert line.endswith("out\\x1b09.nii, ...)")


def test_the_walk_goes_32_levels_deep_and_no_deeper(tmp_path, caplog):
    deep = "/".join("d" * 33)
    touch(tmp_path, deep[:63] + "/in.nii", deep + "/out.nii")
    assert [path.name for path in found([tmp_path])] == ["in.nii"]
    assert "deeper than 32" in caplog.text


def test_no_scan_and_no_such_path_are_refused(tmp_path):
    for inputs, code in (
        ([tmp_path], "no_scans"),
        ([], "no_scans"),
        ([tmp_path / "no"], "no_file"),
        ([Path("a\0")], "no_file"),
    ):
        with pytest.raises(InputError) as caught:
            find_images(inputs)
        assert caught.value.code == code


def test_a_folder_that_may_not_be_listed_costs_only_itself(tmp_path, caplog, monkeypatch):
    touch(tmp_path, "x.nii", "closed/y.nii")
    listing = os.scandir

    def refuse(folder):
        if Path(folder).name == "closed":
            raise PermissionError(13, "Permission denied")
        return listing(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    assert found([tmp_path]) == [tmp_path / "x.nii"]
    assert "cannot be listed" in caplog.text
    with pytest.raises(InputError, match="cannot be listed"):
        find_images([tmp_path / "closed"])


def test_names_that_agree_get_a_hash_each_whatever_their_case(tmp_path):
    touch(tmp_path, "a/scan.nii", "b/scan.nii.gz", "c/SCAN.nii", "d/other.nii")
    names = [f.scan_id for f in find_images([tmp_path])]
    assert len({name.casefold() for name in names}) == 4
    assert names[3] == "other"
    assert all(re.fullmatch(r"(scan|SCAN)-[0-9a-f]{8}", name) for name in names[:3])
    assert names == [f.scan_id for f in find_images([tmp_path])]


def test_a_name_does_not_depend_on_how_the_folder_was_typed_nor_where_it_stands(tmp_path, monkeypatch):
    root = touch(tmp_path / "root", "a/scan.nii", "b/scan.nii")
    (tmp_path / "link").symlink_to(root)
    monkeypatch.chdir(tmp_path / "root" / "a")
    typed = [root, Path("../../root"), Path(".."), tmp_path / "link", tmp_path / "root" / "a" / ".."]
    names = {tuple(f.scan_id for f in find_images([path])) for path in typed}
    shutil.move(root, tmp_path / "moved")
    names.add(tuple(f.scan_id for f in find_images([tmp_path / "moved"])))
    assert len(names) == 1


def test_a_file_given_by_itself_has_one_name_however_it_was_typed(tmp_path, monkeypatch):
    touch(tmp_path, "a/scan.nii", "b/scan.nii")
    (tmp_path / "link").symlink_to("a")
    monkeypatch.chdir(tmp_path)
    pairs = (
        ["a/scan.nii", "b/scan.nii"],
        ["b/scan.nii", tmp_path / "link/scan.nii"],
        ["./b/../a/scan.nii", "b/scan.nii"],
    )
    assert len({frozenset(f.scan_id for f in find_images(list(map(Path, pair)))) for pair in pairs}) == 1


def test_files_that_lie_alike_in_two_folders_keep_apart(tmp_path):
    touch(tmp_path, "one/a/scan.nii", "two/a/scan.nii")
    assert len({f.scan_id for f in find_images([tmp_path / "one", tmp_path / "two"])}) == 2


def test_a_link_that_the_system_does_not_let_one_read_is_passed_over(tmp_path, monkeypatch):
    touch(tmp_path, "root/x.nii", "closed/y.nii")
    (tmp_path / "root" / "exe").symlink_to(tmp_path / "closed")
    whole = os.path.realpath

    def refuse(path):
        if Path(path).name == "exe":
            raise PermissionError(13, "Permission denied")
        return whole(path)

    monkeypatch.setattr(os.path, "realpath", refuse)
    assert [path.name for path in found([tmp_path / "root"])] == ["x.nii"]


def test_what_may_not_be_reached_is_not_called_missing(tmp_path, monkeypatch):
    def refuse(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(InputError, match="cannot be reached"):
        find_images([tmp_path / "closed" / "x.nii"])


@pytest.mark.parametrize("name", ["run.json", "Result.json", "index.html", "summary.csv"])
def test_no_scan_is_called_what_anomri_writes(tmp_path, name):
    touch(tmp_path, f"{name}.nii.gz", "other.nii")
    scans = find_images([tmp_path])
    assert {scan.scan_id for scan in scans} == {"other", f"scan-{name}"}


def test_broken_names_are_found_and_named_safely(tmp_path):
    raw = [
        b"new\nline.nii",
        b"esc\x1b[2J.nii",
        b"not-\xff-utf8.nii",
        "rtl\u202e.nii".encode(),
        b"=cmd().nii",
        b"...nii",
    ]
    for name in raw:
        (tmp_path / os.fsdecode(name)).touch()
    scans = find_images([tmp_path])
    # A name that begins with a dot is hidden.
    assert len(scans) == len(raw) - 1
    assert len({scan.scan_id for scan in scans}) == len(scans)
    for scan in scans:
        assert re.fullmatch(r"[A-Za-z0-9_.-]+", scan.scan_id)
        assert is_safe_id(scan.scan_id)
        assert shown(scan.path).isprintable()


@pytest.mark.parametrize(
    ("name", "scan_id"),
    [
        ("sub-01_T1w.nii.gz", "sub-01_T1w"), ("x.v2.nii", "x.v2"), ("x.hdr", "x"), ("plain", "plain"),
        ("CON.nii", "scan-CON"),
        ("nul.a.nii", "scan-nul.a"), ("äöü.nii", "äöü"), ("-x-.nii", "x"), ("a b.nii", "a-b"), (".nii.gz", "scan"),
        ("a - (b).nii", "a---b"), ("Müller 脑 МРТ.nii", "Müller-脑-МРТ"), ("स्कैन-१.nii", "स्कैन-१"), ("½².nii", "scan"),
        ("e\u0301.nii", "é"), ("\u0301e.nii", "e"), ("a\u3164b\ufe0f.nii", "a-b"), ("=1\u0338.nii", "1\u0338"),
    ],
)  # fmt: skip
def test_the_scan_name_is_the_file_name_without_its_ending(name, scan_id):
    assert safe_id(Path(name)) == scan_id


@given(name=st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=300))
def test_every_scan_name_is_safe(name):
    safe = safe_id(Path("folder") / name)
    assert all(c in "_.-" or c.isalnum() or unicodedata.combining(c) or unicodedata.category(c)[0] == "M" for c in safe)
    assert unicodedata.normalize("NFC", safe) == safe
    assert safe[0] not in ".-"
    assert not unicodedata.category(safe[0]).startswith("M")
    assert len(safe.encode()) <= MAX_SCAN_ID
    assert is_safe_id(safe)
    # An ending of its own, which is cut off again.
    assert safe_id(Path(f"{safe}.nii.gz")) == safe
    assert len(shown(name)) <= 256


@given(name=st.text(st.characters(max_codepoint=127, exclude_characters="/\0"), min_size=1, max_size=90))
def test_a_name_in_plain_letters_keeps_them_and_nothing_else(name):
    # The rule in one line, for the names that need none of the exceptions.
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.") or "scan"
    if not re.match(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", plain, re.IGNORECASE):
        assert safe_id(Path(f"{name}.nii")) in (plain, f"scan-{plain}")


@pytest.mark.parametrize("name", ["", ".x", "-x", "a/b", "a b", "\u0301x", "e\u0301", "x" * 151, "脑" * 51, "a\ud800"])
def test_what_would_hide_leave_or_confuse_is_no_safe_name(name):
    assert not is_safe_id(name)


def test_long_names_that_differ_only_at_their_end_stay_apart():
    for letter, least in (("x", MAX_SCAN_ID), ("脑", MAX_SCAN_ID - 2)):
        a, b = safe_id(Path(letter * 200 + "1.nii")), safe_id(Path(letter * 200 + "2.nii"))
        assert a != b
        assert least <= len(a.encode()) <= MAX_SCAN_ID
        assert a.startswith(letter)


def test_names_that_differ_in_how_a_letter_is_composed_are_kept_apart(tmp_path):
    touch(tmp_path, "\u00e9.nii", "e\u0301.nii")
    names = [scan.scan_id for scan in find_images([tmp_path])]
    assert len(set(names)) == 2
    assert all(re.fullmatch("é-[0-9a-f]{8}", name) for name in names)


def test_thousands_of_other_files_take_no_time(tmp_path):
    for number in range(3000):
        (tmp_path / f"f{number}.txt").touch()
    touch(tmp_path, "x.nii")
    start = time.perf_counter()
    assert len(find_images([tmp_path])) == 1
    assert time.perf_counter() - start < 1
