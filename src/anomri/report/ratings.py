"""What a person says of scans, as the page of many scans saves it and reads it back: ``ratings.json``.

A rating belongs to an image, named by the SHA-256 of its file; where a file could not be read and has none, to the
scan's id.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from anomri.errors import InputError

__all__ = ["RATINGS_VERSION", "Rating", "Ratings", "rating_key", "read_ratings"]

RATINGS_VERSION = 1


class Rating(BaseModel):
    """One scan's rating: use it, leave it out, or not sure; null where there is a comment alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scan_id: str
    input_sha256: str
    rating: Literal["pass", "exclude", "unsure"] | None
    comment: str = ""

    @model_validator(mode="after")
    def _says_something(self) -> Rating:
        if self.rating is None and not self.comment.strip():
            raise ValueError("neither a rating nor a comment")
        return self

    @property
    def key(self) -> str:
        """What tells the image from others."""
        return rating_key(self.scan_id, self.input_sha256)


class Ratings(BaseModel):
    """The file; `rater` is what the person wrote into the page, empty where nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["anomri-ratings"]
    schema_version: Literal[1]
    rater: str = ""
    ratings: tuple[Rating, ...]

    def of(self, scan_id: str, input_sha256: str) -> Rating | None:
        """The last rating of an image; None where it has none."""
        wanted = rating_key(scan_id, input_sha256)
        return next((rating for rating in reversed(self.ratings) if rating.key == wanted), None)


def rating_key(scan_id: str, input_sha256: str) -> str:
    """What tells an image from others: the digest of its file, else the id."""
    return input_sha256 if input_sha256 else f"id:{scan_id}"


def read_ratings(path: Path) -> Ratings:
    """Read a file that the page saved.

    Raises
    ------
    InputError : it cannot be read, or holds no ratings of this version (`ratings`).
    """
    try:
        return Ratings.model_validate_json(Path(path).read_bytes())
    except OSError as error:
        raise InputError(
            f"the file of ratings cannot be read ({error.strerror})", remedy="Check its path.", code="ratings"
        ) from None
    except ValidationError as error:
        raise InputError(
            f"the file holds no ratings of this version ({error.error_count()} problems)",
            remedy="Give a file that the page of the scans saved.",
            code="ratings",
        ) from None
