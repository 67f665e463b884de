import json
from pathlib import Path

import pytest

from anomri.errors import InputError
from anomri.report.ratings import RATINGS_VERSION, read_ratings


def written(path: Path, **changes: object) -> Path:
    content = {
        "format": "anomri-ratings",
        "schema_version": RATINGS_VERSION,
        "rater": "A",
        "ratings": [
            {"scan_id": "s1", "input_sha256": "a" * 64, "rating": "exclude", "comment": "moved"},
            {"scan_id": "s2", "input_sha256": "", "rating": None, "comment": "which file is this?"},
            {"scan_id": "renamed", "input_sha256": "a" * 64, "rating": "unsure", "comment": ""},
        ],
    }
    path.write_text(json.dumps({**content, **changes}))
    return path


def test_a_rating_belongs_to_an_image_and_the_last_one_holds(tmp_path: Path) -> None:
    ratings = read_ratings(written(tmp_path / "r.json"))
    found = ratings.of("s1", "a" * 64)
    assert found is not None
    assert found.rating == "unsure"
    assert ratings.of("s1", "b" * 64) is None


def test_a_scan_without_a_digest_is_known_by_its_id(tmp_path: Path) -> None:
    found = read_ratings(written(tmp_path / "r.json")).of("s2", "")
    assert found is not None
    assert (found.rating, found.comment) == (None, "which file is this?")


@pytest.mark.parametrize(
    "changes",
    [
        {"schema_version": 2},
        {"format": "other"},
        {"ratings": [{"scan_id": "s", "input_sha256": "", "rating": "good", "comment": ""}]},
        {"ratings": [{"scan_id": "s", "input_sha256": "", "rating": None, "comment": " "}]},
        {"more": 1},
    ],
)
def test_anything_else_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(InputError) as caught:
        read_ratings(written(tmp_path / "r.json", **changes))
    assert caught.value.code == "ratings"


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_ratings(tmp_path / "none.json")
    assert caught.value.code == "ratings"
