"""What the project's texts promise: links that lead somewhere, and nothing of the machine they were written on."""

from __future__ import annotations

import importlib
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
# Absolute paths of somebody's machine; /tmp and the like stand in examples rightly.
MACHINE = re.compile(r"(?<![\w.])/(?:home|root|Users|opt|mnt|work|srv)/\w")
SKIPPED = {".git", ".venv", "build", "dist", "site", "node_modules"}


def documents() -> list[Path]:
    return sorted(p for p in ROOT.rglob("*.md") if not SKIPPED & set(p.relative_to(ROOT).parts))


def texts() -> list[Path]:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    kinds = {".md", ".py", ".toml", ".yml", ".cff", ".json", ".csv", ".jinja", ".txt", ""}
    return [ROOT / n for n in tracked.stdout.split("\0") if n and Path(n).suffix in kinds and (ROOT / n).is_file()]


def anchors(path: Path) -> set[str]:
    """Anchors of a document's headings, as MkDocs and GitHub both make them for plain headings."""
    headings = re.findall(r"^#+\s+(.*)$", FENCE.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", h.lower()).strip()) for h in headings}


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_resolves(path: Path):
    broken = []
    for target in LINK.findall(FENCE.sub("", path.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        if not there.exists() or (anchor and there.suffix == ".md" and anchor not in anchors(there)):
            broken.append(target)
    assert not broken


def test_no_text_names_a_machine():
    named = {}
    for path in texts():
        if path == Path(__file__):
            continue
        hits = MACHINE.findall(path.read_text(encoding="utf-8", errors="replace"))
        if hits:
            named[str(path.relative_to(ROOT))] = hits
    assert not named


def test_the_documentation_lists_every_page():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = {str(p.relative_to(ROOT / "docs")) for p in (ROOT / "docs").rglob("*.md")}
    assert pages == set(re.findall(r"[\w./-]+\.md", navigation))


def test_every_method_has_a_page():
    from anomri.methods import METHODS

    pages = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "docs" / "methods").glob("*.md"))
    assert not [name for name in METHODS if f"`{name}`" not in pages]


def test_torch_is_pinned_without_a_build_and_everything_installed_is_pinned():
    pins = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")
    )
    assert re.fullmatch(r"[\d.]+", pins["torch"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    names = {re.match(r"[\w-]+", requirement)[0].lower() for requirement in wanted} - {"anomri"}
    assert names <= set(pins)


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_python_examples_compile_and_use_public_names_only(path: Path):
    import anomri

    for block in re.findall(r"^```python\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        compile(block, str(path), "exec")
        # A name from a module of its own is public where that module says so.
        for module, names in re.findall(r"^from (anomri(?:\.\w+)+) import ([\w, ]+)$", block, re.MULTILINE):
            assert set(names.split(", ")) <= set(importlib.import_module(module).__all__)
        rest = re.sub(r"^from anomri(?:\.\w+)+ import .*$", "", block, flags=re.MULTILINE)
        used = set(re.findall(r"\banomri\.([A-Za-z]\w*)", rest)) | set(re.findall(r"^from anomri import (\w+)", rest))
        assert used <= set(anomri.__all__)


def test_the_citation_names_the_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
