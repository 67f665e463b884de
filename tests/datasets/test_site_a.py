"""The locked subjects follow from their rule, so nobody can have chosen them."""

from anomri.datasets.site_a import DEVELOPMENT, LOCKED, SUBJECTS, is_locked, locked_subjects


def test_locked_subjects_are_disjoint_from_the_development_ones():
    assert len(LOCKED) == 15
    assert len(DEVELOPMENT) == 12
    assert not set(LOCKED) & set(DEVELOPMENT)


def test_the_locked_subjects_follow_from_the_rule_in_any_order():
    assert len(SUBJECTS) == 60
    assert locked_subjects(SUBJECTS) == LOCKED
    assert locked_subjects(reversed(SUBJECTS)) == LOCKED


def test_a_file_name_is_recognised_by_its_subject():
    assert is_locked("sub-04_T1w")
    assert not is_locked("sub-05_T1w")
