"""Nothing is pickled or unpickled, and nothing that unpickles on the way is called."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
# Attribute calls that pickle or unpickle, by the name of what they are called on.
CALLS = {("torch", "load"), ("torch", "save"), ("fabric", "load"), ("fabric", "save"), ("fabric", "load_raw")}


def python_files() -> list[Path]:
    scripts = [p for p in (ROOT / "scripts").iterdir() if p.is_file() and "python" in p.read_text().split("\n", 1)[0]]
    return sorted([*(ROOT / "src").rglob("*.py"), *scripts, *(ROOT / "scripts").rglob("*.py")])


def offences(source: str) -> list[str]:
    """Every place in `source` where something is pickled or unpickled."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.partition(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found += [node.module] if node.module.partition(".")[0] in MODULES else []
            found += [f"{node.module}.{a.name}" for a in node.names if (node.module, a.name) in CALLS]
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                owner = getattr(node.func.value, "id", getattr(node.func.value, "attr", ""))
                found += [f"{owner}.{node.func.attr}"] if (owner, node.func.attr) in CALLS else []
            found += ["allow_pickle" for k in node.keywords if k.arg == "allow_pickle" and not _is_false(k.value)]
    return found


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


@pytest.mark.parametrize("path", python_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_pickled(path: Path):
    assert offences(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import dump",
        "import torch\ntorch.load('x.pt', weights_only=True)",
        "self.fabric.save(path, state)",
        "from torch import load",
        "np.load('x.npy', allow_pickle=True)",
        "np.load('x.npy', allow_pickle=flag)",
    ],
)
def test_the_scan_finds_what_it_looks_for(source: str):
    assert offences(source)
