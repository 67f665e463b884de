"""What every command promises: help with an example, a short help line, and a page in the reference that is current."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from anomri.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "reference" / "cli"
COMMANDS = typer.main.get_command(app).commands


def test_the_commands_are_those_of_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert {"score", "fit", "calibrate", "demo", "methods", "models", "info"} <= set(COMMANDS)
    assert not [name for name in COMMANDS if f"| `anomri {name}" not in readme]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_help_with_an_example(name: str):
    command = COMMANDS[name]
    assert command.help
    assert f"anomri {name}" in command.help + (command.epilog or ""), "no example in the help"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(name: str):
    silent = [p.name for p in COMMANDS[name].params if not p.hidden and not p.help]
    assert not silent


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_a_page(name: str):
    assert (PAGES / f"{name}.md").is_file()


def test_the_generated_reference_is_current():
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "renew-reference"), "--check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def shown_commands() -> list[str]:
    """Every `anomri …` line in a bash block of the project's texts."""
    texts = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    blocks = [b for t in texts for b in re.findall(r"^```bash\n(.*?)^```", t.read_text("utf-8"), re.M | re.S)]
    return sorted({m.group(1) for b in blocks for m in re.finditer(r"(?:^|/)(anomri [^\n#]+)", b, re.M)})


@pytest.mark.parametrize("line", shown_commands())
def test_a_command_shown_in_the_documentation_exists(line: str):
    _, name, *arguments = line.split()
    known = {option for p in COMMANDS[name].params for option in (*p.opts, *p.secondary_opts)} | {"--help"}
    assert {a.partition("=")[0] for a in arguments if a.startswith("-")} <= known
