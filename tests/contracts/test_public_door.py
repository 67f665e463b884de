"""`import anomri` opens one door: few names, sorted, typed, and nothing behind it loaded before it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import anomri

DOOR = Path(anomri.__file__)


def test_the_door_is_sorted_and_small():
    assert list(anomri.__all__) == sorted(anomri.__all__)
    assert len(set(anomri.__all__)) == len(anomri.__all__) <= 15


@pytest.mark.parametrize("name", anomri.__all__)
def test_every_public_name_resolves_to_a_class_or_function(name: str):
    assert callable(getattr(anomri, name))
    assert name in dir(anomri)


def test_type_checkers_see_the_same_names():
    block = next(node for node in ast.parse(DOOR.read_text(encoding="utf-8")).body if isinstance(node, ast.If))
    seen = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == anomri._HOMES
    assert sorted(seen) == list(anomri.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'scores'"):
        anomri.scores  # noqa: B018


def test_the_version_is_that_of_the_installed_package():
    from importlib.metadata import version

    assert anomri.__version__ == version("anomri")


def test_importing_anomri_imports_nothing_heavy():
    code = "import sys, anomri; print(sorted({m.partition('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(ast.literal_eval(done.stdout))
    assert not loaded & {
        "numpy",
        "scipy",
        "torch",
        "nibabel",
        "SimpleITK",
        "nilearn",
        "sklearn",
        "pydantic",
        "matplotlib",
    }
