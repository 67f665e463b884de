"""What to fit: methods, presets and single settings as a user names them, checked before anything is read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from anomri.errors import SettingError
from anomri.methods import Config, load_preset
from anomri.preparation import RECIPES

__all__ = ["BranchSpec", "branch_specs"]

_LIMITS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
_KINDS = {"number": "a number", "integer": "a whole number", "boolean": "true or false", "string": "a text"}


@dataclass(frozen=True, slots=True)
class BranchSpec:
    """One branch to fit."""

    name: str
    method: str
    preset: str
    config: Config


def branch_specs(
    methods: Sequence[str], presets: Sequence[str | None], settings: Mapping[str, str], *, recipe: str | None = None
) -> tuple[tuple[BranchSpec, ...], str]:
    """What to fit, and the recipe it needs.

    Parameters
    ----------
    settings : ``field`` or ``method.field`` → value, as text; read by the method's own config.
    recipe : takes the place of the recipes that the presets name.

    Raises
    ------
    SettingError : a method twice, an unknown setting or recipe, a value that does not fit, or methods made for
        different recipes.
    ModelError : an unknown method or preset.
    """
    if len(set(methods)) < len(methods):
        raise SettingError("a method stands twice", remedy="Name each method once.")
    if recipe is not None and recipe not in RECIPES:
        raise SettingError(
            f"there is no recipe {recipe!r}", remedy=f"Known: {', '.join(RECIPES)}.", code="unknown_recipe"
        )
    specs, recipes = [], []
    used: set[str] = set()
    known: list[str] = []
    for method, preset in zip(methods, presets, strict=True):
        name, found = load_preset(method, preset)
        # Not as a dump, which leaves out what a model does not keep.
        values: dict[str, Any] = dict(found.config)
        known += [f"{method}.{field}" for field in values]
        for key, value in settings.items():
            owner, _, field = key.rpartition(".")
            if field in values and owner in ("", method):
                values[field] = _parsed(value)
                used.add(key)
        specs.append(BranchSpec(method, method, name, _config(type(found.config), values, method)))
        recipes.append(found.recipe if recipe is None else recipe)
    unknown = sorted(set(settings) - used)
    if unknown:
        raise SettingError(f"no such setting: {', '.join(unknown)}", remedy=f"Known: {', '.join(known)}.")
    if len(set(recipes)) > 1:
        raise SettingError(
            f"these methods need different preparations ({', '.join(sorted(set(recipes)))})",
            remedy="Fit them as two models, or name one recipe for all.",
            code="recipes",
        )
    return tuple(specs), recipes[0]


def _config(kind: type[Config], values: Mapping[str, Any], method: str) -> Config:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
    said = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        raise SettingError(f"settings of {method}: {said}", remedy="Change the setting.")
    field = str(first["loc"][0])
    schema = kind.model_json_schema()["properties"][field]
    own_words = first["type"] == "value_error"
    raise SettingError(
        f"setting {field} of {method} is {json.dumps(values[field])}" + (f": {said}" if own_words else ""),
        remedy=f"Give {_allowed(schema)}.",
    )


def _allowed(schema: Mapping[str, Any]) -> str:
    """The values a JSON schema takes, in words."""
    if "anyOf" in schema:
        return " or ".join(_allowed(each) for each in schema["anyOf"])
    if "enum" in schema:
        return f"one of {', '.join(str(value) for value in schema['enum'])}"
    kind = schema.get("type")
    if kind == "array":
        items = schema["prefixItems"] if "prefixItems" in schema else [schema["items"]]
        return f"a list of {', '.join(_allowed(each) for each in items)}"
    limits = [f"{word} {schema[key]:g}" for key, word in _LIMITS.items() if key in schema]
    return " ".join([_KINDS.get(str(kind), str(kind)), " and ".join(limits)]).rstrip()


def _parsed(value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
