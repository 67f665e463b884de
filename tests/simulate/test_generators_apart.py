"""What corrupts for training shares no function with what corrupts for tests."""

from __future__ import annotations

import ast
from pathlib import Path
from types import CodeType

import anomri

SOURCE = Path(anomri.__file__).parent
# What the two sides may both stand on: types, files, errors and measures, none of which changes an image.
COMMON = {"anomri.core", "anomri.errors", "anomri.io", "anomri.metrics"}
# Where networks and their training data are made.
TRAINED = ("training", "methods", "extraction")
# Shorter functions are alike because there is one way to write them.
SHORTEST = 60


def modules(folder: str) -> list[Path]:
    return sorted((SOURCE / folder).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Modules of anomri that a file imports anywhere, type-checking blocks and functions included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.startswith("anomri")}


def reachable(folder: str) -> set[str]:
    """Every module of anomri that a folder's files reach through imports."""
    seen: set[str] = set()
    waiting = [name for path in modules(folder) for name in imported(path)]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        base = SOURCE.joinpath(*name.split(".")[1:])
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if path.is_file():
                waiting += imported(path)
    return seen


def functions(folder: str) -> dict[tuple[object, ...], str]:
    """What every function of a folder does (names and constants, not only steps), with where it stands."""
    found = {}
    for path in modules(folder):
        waiting = [compile(path.read_text(encoding="utf-8"), str(path), "exec")]
        while waiting:
            code = waiting.pop()
            inner = [part for part in code.co_consts if isinstance(part, CodeType)]
            waiting += inner
            if code.co_name != "<module>" and len(code.co_code) >= SHORTEST:
                plain = tuple(repr(part) for part in code.co_consts[1:] if not isinstance(part, CodeType))
                found[(code.co_code, code.co_names, plain)] = f"{path.relative_to(SOURCE)}:{code.co_name}"
    return found


def test_nothing_that_is_trained_reaches_the_simulators():
    for folder in TRAINED:
        assert not {name for name in reachable(folder) if name.startswith("anomri.simulate")}


def test_the_simulators_stand_on_nothing_that_training_owns():
    strangers = {".".join(name.split(".")[:2]) for name in reachable("simulate")} - COMMON - {"anomri.simulate"}
    assert not strangers


def test_no_function_stands_on_both_sides():
    simulators = functions("simulate")
    for folder in TRAINED:
        shared = [(where, simulators[code]) for code, where in functions(folder).items() if code in simulators]
        assert not shared
