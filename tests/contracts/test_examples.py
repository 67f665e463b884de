"""The Python of the README and of the tutorial runs as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from anomri.io.write import write_nifti
from anomri.pipeline.demo import examples

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("document", ["README.md", "docs/tutorials/python.md"])
def test_the_python_of_a_document_runs(document: str, tmp_path: Path):
    scan = next(iter(examples(0))).scan
    write_nifti(tmp_path / "sub-01_T1w.nii.gz", scan.voxels, scan.geometry)
    (tmp_path / "broken.nii.gz").write_bytes(b"no image")
    text = (ROOT / document).read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "result.json").is_file()
