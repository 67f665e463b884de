"""Small made folders of data sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

MakeTree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path) -> MakeTree:
    """Makes a folder of empty files, and of sheets with the text given."""

    def make(*paths: str, sheets: Mapping[str, str] | None = None) -> Path:
        root = tmp_path / "set"
        for name, text in {**dict.fromkeys(paths, ""), **(sheets or {})}.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return root

    return make
