from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomri.bids.names import LONGEST, BidsName

LABELS = st.text("0123456789abcXYZ", min_size=1, max_size=4)
KEYS = st.lists(st.sampled_from(["ses", "acq", "ce", "rec", "run", "echo"]), unique=True)


@given(subject=LABELS, keys=KEYS, data=st.data())
def test_a_name_that_is_read_is_written_again(subject, keys, data):
    pairs = [("sub", subject), *((key, data.draw(LABELS)) for key in keys)]
    stem = "_".join([*(f"{key}-{label}" for key, label in pairs), "T1w"])
    name = BidsName.parse(stem)
    assert name is not None
    assert str(name) == stem
    assert list(name.entities.items()) == pairs
    assert name.suffix == "T1w"


@pytest.mark.parametrize(
    "stem",
    [
        "T1w",
        "sub-01",
        "sub-_T1w",
        "sub-0 1_T1w",
        "sub-01_ses_T1w",
        "sub-01_run-1_run-2_T1w",
        "ses-1_sub-01_T1w",
        "sub-01_T1w_brain",
        "sub-01_T1w-1",
        "../sub-01_T1w",
        f"sub-{'a' * LONGEST}_T1w",
    ],
)
def test_what_does_not_hold_to_the_grammar_is_no_name(stem):
    assert BidsName.parse(stem) is None


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("sub-01_T1w", "sub-01/anat/sub-01_desc-brain_mask.nii.gz"),
        ("sub-01_ses-2_run-1_T1w", "sub-01/ses-2/anat/sub-01_ses-2_run-1_desc-brain_mask.nii.gz"),
        ("sub-01_space-T1w_desc-preproc_T1w", "sub-01/anat/sub-01_space-T1w_desc-brain_mask.nii.gz"),
    ],
)
def test_a_derivative_keeps_the_entities_of_its_source_but_its_desc(source, path):
    assert str(BidsName.parse(source).derivative("brain", "mask", ".nii.gz")) == path


def test_the_verdict_keeps_the_suffix():
    assert str(BidsName.parse("sub-01_FLAIR").result(".json")) == "sub-01/anat/sub-01_desc-anomri_FLAIR.json"
