"""`anomri methods`."""

from __future__ import annotations

from anomri.cli.options import AsJson
from anomri.cli.terminal import say_json, say_table

__all__ = ["methods"]


def methods(as_json: AsJson = False) -> None:
    """List the methods that `anomri fit` knows, with their presets.

    \b
    anomri methods
    anomri methods --json
    """
    from anomri.methods import all_entries

    if as_json:
        fields = ("summary", "presets", "needs_torch")
        say_json({name: {field: getattr(entry, field) for field in fields} for name, entry in all_entries().items()})
        return
    rows = [(name, entry.summary, ", ".join(entry.presets)) for name, entry in all_entries().items()]
    say_table(("method", "what it is", "presets"), rows)
