"""A method of another package, found by its entry point."""

from __future__ import annotations

from importlib import metadata

import pytest

from anomri.errors import ModelError
from anomri.methods import METHODS, Entry, all_entries, entry_of, load_method, load_preset
from anomri.methods.zatlas import ZAtlas

THEIRS = Entry("anomri.methods.zatlas", "ZAtlas", ("zatlas-tiny",), "somebody's own")
NO_ENTRY = "not an entry"


def installed(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    point = metadata.EntryPoint(name, f"{__name__}:{value}", "anomri.methods")
    monkeypatch.setattr(metadata.EntryPoint, "load", lambda self: globals()[self.attr])
    monkeypatch.setattr(metadata, "entry_points", lambda group: [point] if group == "anomri.methods" else [])


def test_a_method_of_an_installed_package_is_used_like_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "theirs", "THEIRS")
    assert list(all_entries()) == [*METHODS, "theirs"]
    assert entry_of("theirs") is THEIRS
    assert load_method("theirs") is ZAtlas
    assert load_preset("theirs")[0] == "zatlas-tiny"


def test_a_package_cannot_take_the_name_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "zatlas", "THEIRS")
    with pytest.raises(ModelError, match="taken"):
        all_entries()


def test_an_entry_point_that_is_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "theirs", "NO_ENTRY")
    with pytest.raises(ModelError, match="no Entry"):
        entry_of("theirs")
