from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

FAKE_SCORER_LIVES_IN = Path(__file__).parents[1] / "runs"


@pytest.fixture(autouse=True)
def _workers_find_the_fake_scorer(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(FAKE_SCORER_LIVES_IN)
    yield
    sys.modules.pop("fake_scorer", None)


@pytest.fixture
def dataset(tmp_path: Path) -> Callable[[Mapping[str, str]], Path]:
    """A data set whose images say what the fake scorer is to do with them, by their place without ``_T1w.nii.gz``."""

    def make(commands: Mapping[str, str], *, description: Mapping[str, object] | None = None) -> Path:
        root = tmp_path / "study"
        root.mkdir(exist_ok=True)
        described = {"Name": "Made", "BIDSVersion": "1.10.0"} if description is None else description
        (root / "dataset_description.json").write_text(json.dumps(described))
        for place, command in commands.items():
            file = root / f"{place}_T1w.nii.gz"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(command)
        return root

    return make


@pytest.fixture
def files() -> Callable[[Path], dict[str, bytes]]:
    """Every file of derivatives with its bytes, the logs apart."""

    def read(folder: Path) -> dict[str, bytes]:
        found = sorted(path for path in folder.rglob("*") if path.is_file() and path.parent.name != "logs")
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}

    return read


@pytest.fixture
def complaints() -> Callable[[Path], list[str]]:
    """The errors that the BIDS validator finds in a data set."""

    def validate(folder: Path) -> list[str]:
        program = Path(sys.executable).with_name("bids-validator-deno")
        if not program.exists():
            pytest.skip("the BIDS validator is not installed")
        command = [str(program), "--format", "json", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        issues = json.loads(done.stdout)["issues"]["issues"]
        return sorted(f"{i['code']} {i.get('subCode')} {i.get('location')}" for i in issues if i["severity"] == "error")

    return validate
