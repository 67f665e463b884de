"""What must answer at once loads no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

COMMAND = """
import sys
from anomri.cli.app import main
sys.argv = ["anomri", *{arguments!r}]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
assert "torch" not in sys.modules, "torch was imported"
"""


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["methods"], ["models"], ["info", "demo-brain"], ["score", "--help"], ["fit", "--help"]],
    ids=" ".join,
)
def test_a_listing_command_imports_no_torch(arguments: list[str]):
    run(COMMAND.format(arguments=arguments))


def run(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
