from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from anomri.io.walk import Found

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _workers_find_the_fake_scorer(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Spawned processes take the search path over from their parent.
    monkeypatch.syspath_prepend(HERE)
    yield
    sys.modules.pop("fake_scorer", None)


@pytest.fixture
def scans(tmp_path: Path) -> Callable[[Mapping[str, str]], list[Found]]:
    """Files that say what the fake scorer is to do with them, by scan id."""

    def make(commands: Mapping[str, str]) -> list[Found]:
        folder = tmp_path / "in"
        folder.mkdir(exist_ok=True)
        for name, command in commands.items():
            (folder / f"{name}.txt").write_text(command)
        return [Found(folder / f"{name}.txt", name) for name in commands]

    return make


@pytest.fixture
def tree() -> Callable[[Path], dict[str, bytes]]:
    """Every file below a folder with its bytes, ``run.json`` apart."""

    def read(folder: Path) -> dict[str, bytes]:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.name != "run.json"}

    return read
