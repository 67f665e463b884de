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

__all__ = ["RESULT_DESC", "Gathered", "derivative_results", "gather"]

# What `anomri bids` calls the verdict of a scan, its report and its preview: `desc-anomri`.
RESULT_DESC = "anomri"


@dataclass(frozen=True, slots=True)
class Gathered:
    """One result.

    Parameters
    ----------
    folder : where it lies.
    name : of the scan, as that of its folder or file has it.
    run : the output folder it was found in, by name, with as much of its path as tells it from the others.
    judged_on : day of judging, ``YYYY-MM-DD``; empty where its run does not tell.
    result : or the error that says why its file cannot be used; a damaged result is never left out in silence.
    report, preview : what its page and its picture are called.
    """

    folder: Path
    name: str
    run: str
    judged_on: str
    result: Result | InputError
    report: str = "report.html"
    preview: str = "preview.png"

    @property
    def scan_id(self) -> str:
        """The scan's id; its name, which is the same, where the result cannot be used."""
        return self.name if isinstance(self.result, InputError) else self.result.scan_id


def gather(folders: Iterable[str | Path]) -> Iterator[Gathered]:
    """Every result below the folders, each once, read one after the other.

    Parameters
    ----------
    folders : output folders of runs, which hold result folders; result folders; data sets of derivatives.

    Raises
    ------
    InputError : there is no result in one of the folders (`no_result`).
    """
    from anomri.report.folder import result_of
    from anomri.runs.journal import recorded_days

    by_run: dict[Path, list[Path]] = {}
    seen = set()
    for given in folders:
        run, files = _result_files(Path(given))
        for found in files:
            if os.path.realpath(found) not in seen:
                seen.add(os.path.realpath(found))
                by_run.setdefault(run, []).append(found)
    names = _told_apart(list(by_run))
    for run, found_here in by_run.items():
        days = recorded_days(run)
        for file in sorted(found_here):
            try:
                result: Result | InputError = result_of(file)
            except InputError as error:
                result = error
            if file.name == RESULT:
                name = file.parent.name
                yield Gathered(file.parent, name, names[run], days.get(name, ""), result)
            else:
                name, pages = file.stem.replace(f"_desc-{RESULT_DESC}", ""), (f"{file.stem}.html", f"{file.stem}.png")
                yield Gathered(file.parent, name, names[run], "", result, *pages)


def derivative_results(folder: Path) -> list[Path]:
    """The verdicts that `anomri bids` wrote into a data set, by participant."""
    places = ("anat", "ses-*/anat")
    return [
        file
        for participant in sorted(folder.glob("sub-*"))
        for place in places
        for file in sorted(participant.glob(f"{place}/sub-*_desc-{RESULT_DESC}_*.json"))
    ]


def _result_files(folder: Path) -> tuple[Path, list[Path]]:
    """The folder of a run, and the files of its results."""
    # Absolute, so that `.` has a name and a parent; links stay what they are, as in the addresses of pages.
    folder = Path(os.path.abspath(folder))  # noqa: PTH100
    if (folder / RESULT).is_file():
        return folder.parent, [folder / RESULT]
    found = sorted(folder.glob(f"*/{RESULT}"))
    found = found if found else derivative_results(folder)
    if not found:
        error = InputError(
            "there is no result in the folder",
            remedy="Give a folder that `anomri score` or `anomri bids` wrote.",
            code="no_result",
        )
        error.add_note(str(folder))
        raise error
    return folder, found


def _told_apart(runs: list[Path]) -> dict[Path, str]:
    """The last parts of each path, as few as make all different."""
    deepest = max((len(run.parts) for run in runs), default=0)
    for parts in range(1, deepest + 1):
        names = {run: "/".join(run.parts[-parts:]) for run in runs}
        if len(set(names.values())) == len(runs):
            break
    return names if runs else {}
