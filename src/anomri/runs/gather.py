"""Results on disk, from any number of output folders and result folders."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from anomri.errors import InputError
from anomri.runs.save import RESULT

if TYPE_CHECKING:
    from anomri.core.result import Result

__all__ = ["Gathered", "gather"]


@dataclass(frozen=True, slots=True)
class Gathered:
    """One result.

    Parameters
    ----------
    folder : where it lies.
    run : the output folder it was found in, by name, with as much of its path as tells it from the others.
    judged_on : day of judging, ``YYYY-MM-DD``; empty where its run does not tell.
    result : or the error that says why its file cannot be used; a damaged result is never left out in silence.
    """

    folder: Path
    run: str
    judged_on: str
    result: Result | InputError

    @property
    def scan_id(self) -> str:
        """The scan's id; the name of the folder, which is the same, where the result cannot be used."""
        return self.folder.name if isinstance(self.result, InputError) else self.result.scan_id


def gather(folders: Iterable[str | Path]) -> Iterator[Gathered]:
    """Every result below the folders, each once, read one after the other.

    Parameters
    ----------
    folders : output folders of runs, which hold result folders, or result folders.

    Raises
    ------
    InputError : there is no result in one of the folders (`no_result`).
    """
    from anomri.report.folder import result_of
    from anomri.runs.journal import recorded_days

    by_run: dict[Path, list[Path]] = {}
    seen = set()
    for given in folders:
        for found in _result_folders(Path(given)):
            if os.path.realpath(found) not in seen:
                seen.add(os.path.realpath(found))
                by_run.setdefault(found.parent, []).append(found)
    names = _told_apart(list(by_run))
    for run, found_here in by_run.items():
        days = recorded_days(run)
        for folder in sorted(found_here):
            try:
                result: Result | InputError = result_of(folder)
            except InputError as error:
                result = error
            yield Gathered(folder, names[run], days.get(folder.name, ""), result)


def _result_folders(folder: Path) -> list[Path]:
    # Absolute, so that `.` has a name and a parent; links stay what they are, as in the addresses of pages.
    folder = Path(os.path.abspath(folder))  # noqa: PTH100
    if (folder / RESULT).is_file():
        return [folder]
    found = sorted(file.parent for file in folder.glob(f"*/{RESULT}"))
    if not found:
        error = InputError(
            "there is no result in the folder", remedy="Give a folder that `anomri score` wrote.", code="no_result"
        )
        error.add_note(str(folder))
        raise error
    return found


def _told_apart(runs: list[Path]) -> dict[Path, str]:
    """The last parts of each path, as few as make all different."""
    deepest = max((len(run.parts) for run in runs), default=0)
    for parts in range(1, deepest + 1):
        names = {run: "/".join(run.parts[-parts:]) for run in runs}
        if len(set(names.values())) == len(runs):
            break
    return names if runs else {}
