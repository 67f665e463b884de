"""What every error of anomri promises."""

from __future__ import annotations

import multiprocessing
import re
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from anomri import errors
from anomri.errors import AnomriError, ModelError
from anomri.methods import load_method

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
KINDS = [getattr(errors, name) for name in errors.__all__ if name != "about_scan"]
EXIT_CODES = {1, 2, 3, 5, 6, 7}


def test_the_tree_in_the_docstring_names_every_class():
    assert errors.__doc__ is not None
    assert {kind.__name__ for kind in KINDS} == set(re.findall(r"\b[A-Z]\w+", errors.__doc__.split("\n\n")[1]))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
class TestEveryError:
    def test_is_an_anomri_error_with_a_code_and_an_exit_code(self, kind: type[AnomriError]):
        assert issubclass(kind, AnomriError)
        assert re.fullmatch(r"[a-z_]+", kind.default_code)
        assert kind.exit_code in EXIT_CODES
        if kind is not AnomriError:
            assert kind.default_code != AnomriError.default_code

    def test_says_what_happened_where_and_what_to_do(self, kind: type[AnomriError]):
        with pytest.raises(AnomriError) as caught, errors.about_scan("sub-03_T1w"):
            raise kind("the file ends early", remedy="Copy it again.")
        expected = f"{kind.__name__}[{kind.default_code}]: the file ends early in sub-03_T1w. Copy it again."
        assert str(caught.value) == expected

    def test_stands_in_the_reference_with_its_exit_code(self, kind: type[AnomriError]):
        assert re.search(rf"^\| `{kind.__name__}` \|.*\| {kind.exit_code} \|$", PAGE, re.MULTILINE)


def test_errors_cross_process_borders_whole():
    said = ("the file ends early", "Copy it again.", "truncated", "sub-03_T1w")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        for kind in KINDS:
            error = pool.submit(kind, said[0], remedy=said[1], code=said[2], scan=said[3]).result()
            assert type(error) is kind
            assert (error.cause, error.remedy, error.code, error.scan) == said
        raised = pool.submit(load_method, "zatlass").exception()
    assert isinstance(raised, ModelError)
    assert raised.code == "unknown_method"
    assert "Did you mean 'zatlas'?" in raised.remedy


def test_every_class_has_its_own_code_and_stands_in_the_table_of_codes():
    page = (ROOT / "docs" / "reference" / "codes.md").read_text(encoding="utf-8")
    assert len({kind.default_code for kind in KINDS}) == len(KINDS)
    rows = re.findall(r"^\| `([a-z0-9_]+)` \| `(\w+)` \| (.+) \| (.+) \|$", page, re.MULTILINE)
    assert len(rows) == page.count("\n| `")
    assert {kind for _, kind, _, _ in rows} <= {kind.__name__ for kind in KINDS}
