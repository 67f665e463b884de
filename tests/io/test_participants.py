"""Covariates come from the table as it states them, and from nowhere else."""

import pytest

from anomri.errors import InputError
from anomri.io import read_participants, subject_of


def write(tmp_path, text, encoding="utf-8"):
    (tmp_path / "participants.tsv").write_bytes(text.encode(encoding))
    return tmp_path / "participants.tsv"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_age_and_sex_are_found_by_the_subject_of_the_scan(tmp_path, encoding, newline):
    text = newline.join(
        ["participant_id\tAge\tgender\tgroup", "sub-01\t39\tm\tdepr", "02\t20.5\tF\tx", "sub-03\tn/a\t1", ""]
    )
    table = read_participants(write(tmp_path, text, encoding))
    assert table.covariates("sub-01_ses-2_T1w") == {"age": 39.0, "sex": 1.0}
    assert table.covariates("sub-02_T1w-0a1b2c3d") == {"age": 20.5, "sex": 0.0}
    assert table.covariates("sub-03") == {"sex": 1.0}
    assert table.covariates("sub-04_T1w") == {}
    assert table.covariates("sub-0") == {}


def test_a_table_without_sex_or_age_is_a_table(tmp_path):
    assert read_participants(write(tmp_path, "participant_id\nsub-01\n")).covariates("sub-01") == {}


def test_a_hidden_high_age_counts_as_its_limit(tmp_path):
    assert read_participants(write(tmp_path, "participant_id\tage\nsub-1\t89+\n")).covariates("sub-1") == {"age": 89.0}


@pytest.mark.parametrize(
    "text",
    [
        "", "id\tage\nsub-1\t3\n", "participant_id\tage\nsub-1\told\n", "participant_id\tage\nsub-1\t-3\n",
        "participant_id\tage\nsub-1\tinf\n", "participant_id\tsex\nsub-1\t2\n", "participant_id\nsub-1\t2\n",
        "participant_id\tage\nsub-1\t3\nsub-1\t4\n", "age\tparticipant_id\n3\n",
    ],
)  # fmt: skip
def test_what_is_no_such_table_is_refused(tmp_path, text):
    with pytest.raises(InputError) as caught:
        read_participants(write(tmp_path, text))
    assert caught.value.code == ("participants" if text else "empty")


def test_bytes_that_are_not_text_are_refused(tmp_path):
    for content in (b"participant_id\n\xff\xfe\n", b"\x1f\x8b\x08\0"):
        (tmp_path / "p.tsv").write_bytes(content)
        with pytest.raises(InputError) as caught:
            read_participants(tmp_path / "p.tsv")
        assert caught.value.code == "participants"


@pytest.mark.parametrize(
    ("scan_id", "subject"),
    [
        ("sub-01_T1w", "sub-01"), ("sub-01", "sub-01"), ("study_sub-A7_T1w", "sub-A7"), ("sub-01-0a1b2c3d", "sub-01"),
        ("patient26_T1", "patient26_T1"), ("sub-", "sub-"), ("notsub-01", "notsub-01"),
    ],
)  # fmt: skip
def test_the_subject_is_the_bids_entity_or_the_scan_itself(scan_id, subject):
    assert subject_of(scan_id) == subject
