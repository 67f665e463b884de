"""Patterns of ``.bidsignore``, held against git, whose patterns they are."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anomri.bids.ignore import Ignored, read_ignored

PATHS = [
    "sub-01/anat/sub-01_T1w.nii.gz",
    "sub-01/anat/sub-01_rec-bad_T1w.nii.gz",
    "sub-02/ses-1/anat/sub-02_ses-1_T1w.nii.gz",
    "sub-02/ses-2/anat/sub-02_ses-2_T1w.nii.gz",
    "sub-10/anat/sub-10_T1w.nii",
    "extra/anat/a b.txt",
]
TEXTS = [
    "",
    "# sub-01/\n\n",
    "sub-01/",
    "/sub-01",
    "sub-01/anat/sub-01_T1w.nii.gz/",
    "anat",
    "*_rec-bad_*",
    "sub-0?/",
    "sub-[!0]*",
    "sub-[01][0-9]/anat",
    "**/ses-1/**",
    "sub-02/**/anat",
    "sub-02/**",
    "*.nii.gz\n!*_T1w.nii.gz",
    "sub-01/\n!sub-01/anat/sub-01_T1w.nii.gz",
    "*.nii.gz\n!sub-02*",
    "a\\ b.txt",
    "a b.txt   ",
    "\\#no\n\\!no",
    "/**/anat/*_rec-*",
    "ses-1/anat",
    "[",
    "sub-[0-",
]


@pytest.fixture(scope="module")
def by_git(tmp_path_factory):
    """What git ignores of `PATHS`."""
    git = shutil.which("git")
    if git is None:
        pytest.skip("git is not installed")
    root = tmp_path_factory.mktemp("git")
    for path in PATHS:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    subprocess.run([git, "init", "-q", str(root)], check=True)

    def ignored(text: str) -> set[str]:
        (root / ".gitignore").write_text(text)
        command = [git, "-C", str(root), "-c", "core.excludesFile=", "check-ignore", "--no-index", "-z", "--stdin"]
        done = subprocess.run(command, input="\0".join(PATHS), capture_output=True, text=True, check=False)
        assert done.returncode in (0, 1), done.stderr
        return {path for path in done.stdout.split("\0") if path}

    return ignored


def ours(text: str) -> set[str]:
    rules = Ignored.of(text)
    return {path for path in PATHS if rules.covers(path)}


@pytest.mark.parametrize("text", TEXTS)
def test_a_pattern_means_what_it_means_to_git(by_git, text):
    assert ours(text) == by_git(text)


PARTS = st.sampled_from(["sub-01", "sub-0?", "*", "**", "anat", "ses-1", "*_T1w*", "sub-[0-1]*", "a b.txt", "*.nii"])
PATTERNS = st.builds(
    lambda start, parts, end: start + "/".join(parts) + end,
    st.sampled_from(["", "", "/", "!"]),
    st.lists(PARTS, min_size=1, max_size=4),
    st.sampled_from(["", "", "/"]),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(PATTERNS, max_size=3))
def test_patterns_together_mean_what_they_mean_to_git(by_git, lines):
    text = "\n".join(lines)
    assert ours(text) == by_git(text)


def test_a_data_set_without_the_file_ignores_nothing(tmp_path: Path):
    assert not read_ignored(tmp_path).covers("sub-01/anat/sub-01_T1w.nii.gz")
