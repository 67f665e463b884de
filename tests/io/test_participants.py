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
        ["participant_id\tAge\tgender\tgroup", "sub-01\t39\tm\tdepr", "02\t20.5\tF\tx", "sub-03\tn/a\tMale", ""]
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
        "", "id\tage\nsub-1\t3\n", "participant_id\nsub-1\t2\n",
        "participant_id\tage\nsub-1\t3\nsub-1\t4\n", "age\tparticipant_id\n3\n",
    ],
)  # fmt: skip
def test_what_is_no_such_table_is_refused(tmp_path, text):
    with pytest.raises(InputError) as caught:
        read_participants(write(tmp_path, text))
    assert caught.value.code == ("participants" if text else "empty")


@pytest.mark.parametrize("cell", ["old", "-3", "inf", "nan years", "45Y", "121", "1e1", "4_5", "45,5", "+"])
def test_an_age_that_is_none_costs_itself_alone(tmp_path, cell):
    table = read_participants(write(tmp_path, f"participant_id\tage\tsex\nsub-1\t{cell}\tF\nsub-2\t40\tM\n"))
    assert table.covariates("sub-1") == {"sex": 0.0}
    assert table.covariates("sub-2") == {"age": 40.0, "sex": 1.0}
    (note,) = table.notes
    assert repr(cell) in note
    assert "1 line " in note


def test_a_sex_in_numbers_is_unknown_since_nobody_says_which_is_which(tmp_path):
    rows = "".join(f"sub-{n}\t{40 + n}\t{n % 3}\n" for n in range(9))
    table = read_participants(write(tmp_path, f"participant_id\tage\tsex\n{rows}"))
    assert table.covariates("sub-4") == {"age": 44.0}
    (note,) = table.notes
    assert "9 lines" in note
    assert "'0', '1', '2'" in note


def test_missing_values_need_no_note(tmp_path):
    table = read_participants(write(tmp_path, "participant_id\tage\tsex\nsub-1\tn/a\tother\nsub-2\t\tO\n"))
    assert table.covariates("sub-1") == table.covariates("sub-2") == {}
    assert table.notes == ()


@pytest.mark.parametrize("cell", ["89+", "089+", "89.0+", "089"])
def test_a_hidden_age_may_be_written_in_every_way(tmp_path, cell):
    table = read_participants(write(tmp_path, f"participant_id\tage\nsub-1\t{cell}\n"))
    assert table.covariates("sub-1") == {"age": 89.0}
    assert table.notes == ()


def test_a_table_that_does_not_fit_the_scans_says_so(tmp_path):
    table = read_participants(write(tmp_path, "participant_id\tage\nsub-1\t40\nsub-2\tx\n"))
    assert table.notes_on(["sub-1_T1w", "sub-2_T1w"]) == table.notes
    some = table.notes_on(["sub-1_T1w", "sub-3_T1w"])
    assert some[:1] == table.notes
    assert "1 of 2 scans" in some[1]
    assert "sub-3_T1w" in some[1]
    (_, none) = table.notes_on(["patient7"])
    assert "No scan" in none
    assert "sub-1" in none
    assert "patient7" in none


def test_a_scan_that_is_named_like_its_participant_is_found(tmp_path):
    table = read_participants(write(tmp_path, "participant_id\tage\npatient26_T1\t40\n"))
    assert table.covariates("patient26_T1") == {"age": 40.0}


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
        ("sub-Жук_T1w", "sub-Жук"), ("sub-e\u0301-x", "sub-e\u0301"),
    ],
)  # fmt: skip
def test_the_subject_is_the_bids_entity_or_the_scan_itself(scan_id, subject):
    assert subject_of(scan_id) == subject
