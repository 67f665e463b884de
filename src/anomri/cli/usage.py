"""What is wrong with a command line, in one line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import typer

__all__ = ["UsageError", "one_line", "refuse_empty"]

# Every mistake of usage is one of these. Which module it comes from differs between versions of typer.
UsageError = cast("type[typer.BadParameter]", typer.BadParameter.__base__)


def refuse_empty(arguments: Sequence[str]) -> None:
    """Refuse an argument without content: most often a variable of a script that is not set.

    An empty path would mean the working folder.

    Raises
    ------
    UsageError
    """
    for before, argument in pairwise(["anomri", *arguments]):
        option = re.fullmatch(r"(--[a-z-]+)=\s*", argument)
        if option is not None or not argument.strip():
            named = before if option is None else option.group(1)
            raise UsageError(f"What follows {named} is empty. Give a value; perhaps a variable is not set.")


def one_line(error: typer.BadParameter) -> str:
    """What is wrong, with which command, and where to look it up."""
    name = None if error.ctx is None else error.ctx.info_name
    command = (
        "anomri" if name in (None, "anomri") or error.ctx is None or error.ctx.parent is None else f"anomri {name}"
    )
    said = " ".join(error.format_message().replace("Value error, ", "").split())
    stop = "" if said.endswith((".", "?")) else "."
    return f"{command}: {said}{stop} See {command} --help."
