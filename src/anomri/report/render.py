"""Filling a template: everything escaped, one style and one script, and a policy that allows nothing else.

A page loads nothing: its style and script stand inside and are allowed by their hash alone, images only as data.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from anomri.io.names import visible
from anomri.report.text import json_for_script, number, percent

__all__ = ["render"]


def render(
    template: str,
    *,
    style: str,
    script: str | None = None,
    images: str = "data:",
    data: object = None,
    **context: object,
) -> str:
    """A whole page.

    Parameters
    ----------
    template, style, script : names in `templates`; without a script the page may run none.
    images : what images a page may show, as in ``img-src`` of a content security policy.
    data : what the script gets, as JSON; None for none.
    context : what the template asks for; a name it asks for and does not get is an error.
    """
    style_text, script_text = _own(style), "" if script is None else _own(script)
    allowed = "" if script is None else f"script-src '{_digest(script_text)}'; "
    policy = (
        f"default-src 'none'; {allowed}style-src '{_digest(style_text)}'; "
        f"img-src {images}; base-uri 'none'; form-action 'none'"
    )
    return (
        _environment()
        .get_template(template)
        .render(
            # Our own files; nothing that comes from data is ever marked as markup but the escaped JSON.
            style=Markup(style_text),
            script=Markup(script_text),
            data=None if data is None else Markup(json_for_script(data)),
            policy=Markup(policy),
            **context,
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("anomri.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters["number"] = number
    environment.filters["percent"] = percent
    return environment


def _shown(value: object) -> object:
    """Applied to every expression of every template, so that no text of a scan can be forgotten. Nothing is cut: the
    end of a reason is its remedy.
    """
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _own(name: str) -> str:
    return resources.files("anomri.report").joinpath("templates", name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
