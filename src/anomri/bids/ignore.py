"""``.bidsignore``: what of a data set is no part of it, in the patterns of ``.gitignore``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from anomri.errors import InputError

__all__ = ["Ignored", "read_ignored"]

NAME = ".bidsignore"


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: re.Pattern[str]
    keeps: bool
    folders_only: bool


@dataclass(frozen=True, slots=True)
class Ignored:
    """Rules in order; the last that matches decides, and nothing inside an ignored folder comes back."""

    rules: Sequence[_Rule]

    @classmethod
    def of(cls, text: str) -> Ignored:
        """Rules of a file's text."""
        return cls([rule for line in text.splitlines() if (rule := _rule(line)) is not None])

    def covers(self, path: str) -> bool:
        """Whether a file, by its path within the data set with forward slashes, is ignored."""
        parts = path.split("/")
        ways = ("/".join(parts[:count]) for count in range(1, len(parts) + 1))
        return any(self._matches(way, folder=way != path) for way in ways)

    def _matches(self, path: str, *, folder: bool) -> bool:
        fitting = (r for r in reversed(self.rules) if (folder or not r.folders_only) and r.pattern.fullmatch(path))
        last = next(fitting, None)
        return last is not None and not last.keeps


def read_ignored(dataset: Path) -> Ignored:
    """The rules of a data set; none where it has no ``.bidsignore``.

    Raises
    ------
    InputError : it cannot be read.
    """
    try:
        return Ignored.of((dataset / NAME).read_text(encoding="utf-8", errors="replace"))
    except FileNotFoundError:
        return Ignored(())
    except OSError as error:
        raise InputError(
            f"{NAME} cannot be read ({error.strerror})", remedy="Check its permissions.", code="read_failed"
        ) from error


def _rule(line: str) -> _Rule | None:
    line = re.sub(r"(?<!\\) +$", "", line)
    if not line or line.startswith("#"):
        return None
    keeps, line = line.startswith("!"), line.removeprefix("!")
    folders_only, line = line.endswith("/"), line.removesuffix("/")
    if not line:
        return None
    anchored = "/" in line
    start = "" if anchored else "(?:.*/)?"
    return _Rule(re.compile(start + _translated(line.removeprefix("/")), re.DOTALL), keeps, folders_only)


def _translated(pattern: str) -> str:
    """The regular expression of a pattern: ``*`` and ``?`` stay within a folder, ``**`` stands for any of them."""
    tokens = re.compile(r"^\*\*/|/\*\*/|/\*\*$|\*+|\?|\[[!^]?\]?[^\]/]*\]|\\.|.", re.DOTALL)
    return "".join(_token(token) for token in tokens.findall(pattern))


def _token(token: str) -> str:
    folders = {"**/": "(?:.*/)?", "/**/": "/(?:.*/)?", "/**": "/.+", "?": "[^/]"}
    if token in folders:
        return folders[token]
    if token.startswith("*"):
        return "[^/]*"
    if token.startswith("[") and len(token) > 2:
        negated = token[1] in "!^"
        inside = token[2:-1] if negated else token[1:-1]
        listed = re.sub(r"([\[\]&~|\\])", r"\\\1", inside)
        return f"[^{listed}/]" if negated else f"[{listed}]"
    return re.escape(token[1:] if token.startswith("\\") and len(token) > 1 else token)
