"""The built wheel is whole: it works outside the clone, with the bundled models and the report's templates in it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = folder.glob("anomri-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_holds_every_tracked_file_of_the_package(unpacked: Path):
    listed = subprocess.run(["git", "ls-files", "-z", "src"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    tracked = {name.removeprefix("src/") for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}
    assert tracked <= {str(p.relative_to(unpacked)) for p in unpacked.rglob("*") if p.is_file()}


def test_the_wheel_works_outside_the_clone(unpacked: Path, tmp_path: Path):
    # With what bans the network, see tests/conftest.py.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(unpacked), os.environ["PYTHONPATH"]])}
    done = subprocess.run(
        [sys.executable, "-m", "anomri", "models", "--json"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "demo-brain" in done.stdout
    assert "brain-t1" in done.stdout
