"""How the command line ends: 0 done, 1 a bug, 2 usage, 3 done with scans unreadable or out of scope, 4 a verdict
reached ``--fail-on`` (beats 3), 5 environment, 6 model refused, 7 output locked or of other settings, 130 and 143
interrupted. Codes 2, 5, 6 and 7 come with the errors themselves (`anomri.errors`)."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anomri.runs.run import RunSummary

__all__ = ["FailOn", "exit_code"]


class FailOn(StrEnum):
    """The mildest verdict that counts as found."""

    warn = "warn"
    fail = "fail"


def exit_code(summary: RunSummary, fail_on: FailOn | None = None) -> int:
    """The code a run ends with."""
    verdicts = set(summary.counts())
    if summary.interrupted is not None:
        return 128 + summary.interrupted
    if summary.troubles:
        return 1
    if fail_on is not None and verdicts & ({"fail"} if fail_on is FailOn.fail else {"warn", "fail"}):
        return 4
    return 3 if verdicts & {"unreadable", "out_of_scope"} else 0
