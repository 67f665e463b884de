"""A folder appears whole or not at all, and nothing that belongs to somebody else is lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from anomri.errors import EnvironmentProblem
from anomri.io.write import write_folder

OLD, NEW = {"a": b"old a", "b": b"old b"}, {"a": b"new a", "c": b"new c"}


def content(folder: Path) -> dict[str, bytes]:
    return {f.name: f.read_bytes() for f in folder.iterdir() if f.is_file()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_folder(tmp_path / "new" / "model", OLD, replaces=())
    return tmp_path / "new" / "model"


def test_old_files_go_and_those_of_somebody_else_stay(folder):
    (folder / "notes.txt").write_bytes(b"mine")
    (folder / "more").mkdir()
    (folder / "more" / "x").write_bytes(b"x")
    write_folder(folder, NEW, replaces=OLD)
    assert content(folder) == {**NEW, "notes.txt": b"mine"}
    assert (folder / "more" / "x").read_bytes() == b"x"
    assert [f.name for f in folder.parent.iterdir()] == ["model"]


@pytest.mark.parametrize("calls", range(1, 6))
def test_a_failure_at_any_rename_leaves_the_old_folder_as_it_was(folder, monkeypatch, calls):
    renames = []

    def failing(plain):
        def rename(self, target):
            renames.append(self)
            # Once only: putting the old folder back must work.
            if len(renames) == calls:
                raise OSError(28, "no space")
            return plain(self, target)

        return rename

    monkeypatch.setattr(Path, "rename", failing(Path.rename))
    monkeypatch.setattr(Path, "replace", failing(Path.replace))
    if calls > 4:
        write_folder(folder, NEW, replaces=OLD)
        assert content(folder) == NEW
        return
    with pytest.raises(EnvironmentProblem) as error:
        write_folder(folder, NEW, replaces=OLD)
    assert error.value.code == "disk_full"
    assert content(folder) == OLD
    assert [f.name for f in folder.parent.iterdir()] == ["model"]


def test_a_reader_at_any_step_sees_one_of_the_two_and_no_mixture(folder, monkeypatch):
    seen = []

    def watched(plain):
        def rename(self, target):
            result = plain(self, target)
            seen.append(content(folder) if folder.exists() else None)
            return result

        return rename

    monkeypatch.setattr(Path, "rename", watched(Path.rename))
    monkeypatch.setattr(Path, "replace", watched(Path.replace))
    write_folder(folder, NEW, replaces=OLD)
    assert seen == [OLD, OLD, None, NEW]


def test_a_link_to_a_folder_stays_one_and_the_mode_is_kept(folder, tmp_path):
    folder.chmod(0o750)
    link = tmp_path / "link"
    link.symlink_to(folder)
    write_folder(link, NEW, replaces=OLD)
    assert link.is_symlink()
    assert content(folder) == NEW
    assert folder.stat().st_mode & 0o777 == 0o750


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_parent_that_may_not_be_written_is_said(folder):
    folder.parent.chmod(0o500)
    try:
        with pytest.raises(EnvironmentProblem) as error:
            write_folder(folder, NEW, replaces=OLD)
    finally:
        folder.parent.chmod(0o700)
    assert error.value.code == "permission"
    assert content(folder) == OLD
