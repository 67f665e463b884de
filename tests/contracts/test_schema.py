"""`result.json` is a published format: its JSON Schema and its page stand beside the model they describe."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from anomri.core.result import Result

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def test_the_published_schema_is_that_of_the_model():
    published = json.loads((REFERENCE / "result.schema.json").read_text(encoding="utf-8"))
    assert published == Result.model_json_schema(), "run scripts/renew-reference"


@pytest.mark.parametrize("record", ["Result", *Result.model_json_schema()["$defs"]])
def test_every_field_is_explained(record: str):
    schema = Result.model_json_schema()
    fields = schema["properties"] if record == "Result" else schema["$defs"][record]["properties"]
    page = (REFERENCE / "result.md").read_text(encoding="utf-8")
    section = re.split(r"^## ", page, flags=re.MULTILINE)
    text = next(part for part in section if part.startswith(f"`{record}`"))
    assert set(re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE)) == set(fields)
