"""The import contracts hold, and each of them breaks when it is violated."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"]
    # With what bans the network, see tests/conftest.py.
    path = os.pathsep.join([str(root / "src"), os.environ["PYTHONPATH"]])
    environment = {**os.environ, "PYTHONPATH": path, "NO_COLOR": "1", "COLUMNS": "200"}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the package's modules and of the contracts."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=lambda folder, names: _not_python(Path(folder), names))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def _not_python(folder: Path, names: list[str]) -> list[str]:
    return [n for n in names if n == "__pycache__" or not ((folder / n).is_dir() or n.endswith(".py"))]


def plant(path: Path, line: str) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")


def test_the_contracts_hold(tree: Path):
    done = lint_imports(tree)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("core/scan.py", "from anomri.io import read", "A layer imports only"),
        ("quality/planted.py", "from anomri.metrics import detection", "A layer imports only"),
        ("planted/__init__.py", "", "A layer imports only"),
        ("core/scan.py", "import torch", "torch only"),
        ("report/planted.py", "import torch.nn", "torch only"),
        ("preparation/planted.py", "import nibabel", "nibabel, pydicom and highdicom only"),
        ("runs/planted.py", "import pydicom", "nibabel, pydicom and highdicom only"),
        ("runs/planted.py", "import highdicom", "nibabel, pydicom and highdicom only"),
        ("pipeline/planted.py", "import rich.progress", "typer and rich only"),
        ("runs/planted.py", "import matplotlib.pyplot", "matplotlib and jinja2 only"),
        ("methods/planted.py", "from anomri.methods.zatlas import ZAtlas", "Methods never import one another"),
        ("methods/planted.py", "from anomri.simulate import lesions", "What corrupts for training"),
        ("extraction/planted.py", "from anomri.simulate import anatomy", "What corrupts for training"),
        ("extraction/planted.py", "from anomri.methods import method", "A layer imports only"),
        ("runs/planted.py", "from anomri import Scan", "Nobody inside imports from the one door"),
    ],
)
def test_a_planted_violation_breaks_its_contract(tree: Path, file: str, line: str, contract: str):
    plant(tree / "src" / "anomri" / file, line)
    done = lint_imports(tree)
    assert done.returncode == 1, done.stdout + done.stderr
    broken = [entry for entry in done.stdout.splitlines() if entry.startswith(contract) and " BROKEN" in entry]
    assert broken, done.stdout
