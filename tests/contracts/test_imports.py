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

REPORT = """
import sys
import numpy as np
from anomri.core.geometry import Geometry
from anomri.core.heatmap import Heatmap
from anomri.core.outcome import Outcome
from anomri.core.region import Region
from anomri.core.result import InputRecord, ModelRecord, Result, Thresholds
from anomri.core.scan import Scan, Source
from anomri.report.figures import preview_png
from anomri.report.page import scan_page

shape = (12, 14, 10)
geometry = Geometry(shape, np.diag([2.0, 2.0, 2.0, 1.0]))
voxels = np.random.default_rng(0).random(shape, dtype=np.float32)
brain = Region(np.ones(shape, dtype=bool), geometry, "brain", "test")
result = Result(
    scan_id="a",
    input=InputRecord(sha256="0" * 64, format="nifti"),
    model=ModelRecord(name="m", version="1", sha256="0" * 64),
    verdict="pass",
    reason="It lies where normal scans lie.",
    score=1.0,
    robust_z=0.0,
    p_value=0.5,
    p_value_interval=(0.1, 0.9),
    n_normals=3,
    reference_scores=(0.5, 1.0, 1.5),
    thresholds=Thresholds(warn=1.2, fail=1.4, warn_rate=0.1, fail_rate=0.05),
)
scan = Scan(voxels, geometry, "a", Source("nifti", "test", "0" * 64, "0" * 64, "RAS"))
outcome = Outcome(result, scan, Heatmap(voxels.copy(), geometry, brain, "z", "m"), brain)
assert "<html" in scan_page(outcome)
assert preview_png(outcome)
assert "torch" not in sys.modules, "torch was imported"
"""


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["methods"], ["models"], ["info", "demo-brain"], ["score", "--help"], ["fit", "--help"]],
    ids=" ".join,
)
def test_a_listing_command_imports_no_torch(arguments: list[str]):
    run(COMMAND.format(arguments=arguments))


def test_rendering_a_report_imports_no_torch():
    run(REPORT)


def run(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
