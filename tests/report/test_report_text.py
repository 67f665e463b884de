import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomri.report.text import json_for_script, number, percent


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(st.text(max_size=8), st.text(max_size=40), max_size=3))
def test_json_in_a_script_says_the_same_and_cannot_end_the_script(data: dict[str, str]) -> None:
    text = json_for_script(data)
    assert json.loads(text) == data
    assert text.isascii()
    assert not set("<>&") & set(text)


def test_json_refuses_what_is_no_number() -> None:
    with pytest.raises(ValueError, match="JSON"):
        json_for_script({"score": float("nan")})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (6.2, "6.20"),
        (1 / 46, "0.0217"),
        (-2.9, "−2.90"),
        (0.0, "0"),
        (1234.4, "1234"),
        (9.999, "10.00"),
        (1.5e7, "1.50e+07"),
        (None, "–"),
        (float("nan"), "–"),
    ],
)
def test_numbers_have_three_digits_and_a_true_minus(value: float | None, text: str) -> None:
    assert number(value) == text


def test_a_rate_is_told_in_percent() -> None:
    assert percent(0.05) == "5 %"
    assert percent(0.63) == "63 %"
    assert percent(1.0) == "100 %"
    assert percent(0.0125) == "1.2 %"
