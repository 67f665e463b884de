"""`anomri models`."""

from __future__ import annotations

from anomri.cli.options import AsJson
from anomri.cli.terminal import say_json, say_table

__all__ = ["models"]


def models(as_json: AsJson = False) -> None:
    """List the bundled models.

    \b
    anomri models
    anomri models --json
    """
    from anomri.models import catalogue

    entries = catalogue()
    if as_json:
        say_json(
            [{"name": e.name, "version": e.version, "summary": e.summary, "folder": str(e.folder)} for e in entries]
        )
        return
    say_table(("model", "version", "what it is"), [(e.name, e.version, e.summary) for e in entries])
