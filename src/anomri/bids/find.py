"""The scans of a BIDS data set that a model was made for."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from anomri.bids.ignore import read_ignored
from anomri.bids.names import DATATYPE, BidsName
from anomri.errors import InputError
from anomri.io.names import shown

__all__ = ["BidsScan", "find_scans", "made_for"]

_ENDINGS = (".nii.gz", ".nii")
# Parts of a complex signal that are no picture of the brain.
_PARTS = frozenset({"phase", "real", "imag"})
# What was passed over is named up to here.
_NAMED = 10


@dataclass(frozen=True, slots=True)
class BidsScan:
    """An image of a data set and its name."""

    path: Path
    name: BidsName


def made_for(model: str) -> str:
    """The suffix that the names of a model's training scans state: ``T1w`` for `brain-t1`.

    Raises
    ------
    InputError : they state none, or several (`no_suffix`).
    ModelError : there is no such model.
    """
    from anomri.models import read_card
    from anomri.models.folder import find_model

    card, _ = read_card(find_model(model))
    suffix = card.sequence
    if suffix is None:
        raise InputError(
            f"the training scans of the model {card.name} have no BIDS names that state one contrast",
            remedy="Say which images it is for: --suffix T1w.",
            code="no_suffix",
        )
    return suffix


def find_scans(
    dataset: Path,
    suffix: str,
    *,
    participants: Sequence[str] = (),
    sessions: Sequence[str] = (),
    report: Callable[[str], None] = lambda _line: None,
) -> tuple[BidsScan, ...]:
    """The images ``sub-*/[ses-*/]anat/*_<suffix>.nii[.gz]`` of a data set.

    Nothing else is walked, so that ``derivatives/``, ``sourcedata/`` and participants who were not asked for cost
    nothing. Left out are what ``.bidsignore`` names, and, with a line to `report`, folders and images whose name does
    not hold to the specification and links that lead out of the data set. A link that leads nowhere stays: it is a scan
    that cannot be read.

    Parameters
    ----------
    participants, sessions : labels, with or without ``sub-`` and ``ses-``; all where empty.
    report : called with a sentence on what was passed over.

    Returns
    -------
    By name.

    Raises
    ------
    InputError : the data set cannot be listed (`read_failed`), a label that no folder bears (`no_label`), no such image
        (`no_scans`), or two that differ in their ending or ``desc-`` alone (`scan_id`).
    """
    wanted = {f"sub-{label.removeprefix('sub-')}" for label in participants}
    wanted_sessions = {f"ses-{label.removeprefix('ses-')}" for label in sessions}
    walk = _Walk(dataset)
    subjects = [name for name in walk.folders(Path(), "sub") if not wanted or name in wanted]
    _refuse_unknown(wanted - set(subjects))
    found: dict[str, BidsScan] = {}
    met: set[str] = set()
    for place in walk.places(subjects, wanted_sessions):
        met.update(place.parts)
        for scan in walk.images(place, suffix):
            key = str(scan.name.result("")).casefold()
            if key in found:
                raise _twice(scan, found[key])
            found[key] = scan
    _refuse_unknown(wanted_sessions - met)
    for what, paths in sorted(walk.skipped.items()):
        named = ", ".join(shown(path) for path in paths[:_NAMED])
        report(f"skipped {len(paths)} {what} ({named}{', ...' if len(paths) > _NAMED else ''})")
    if not found:
        raise InputError(
            f"no scans found: no {shown(suffix)} image in a folder sub-*/{DATATYPE} of {shown(dataset)}",
            remedy="Check the path and the labels.",
            code="no_scans",
        )
    return tuple(sorted(found.values(), key=lambda scan: str(scan.name)))


class _Walk:
    """A data set, walked only where images may lie; `skipped` gathers what was passed over, by reason."""

    def __init__(self, dataset: Path) -> None:
        self._dataset = dataset
        self._ignored = read_ignored(dataset)
        self._root = os.path.realpath(dataset)
        self.skipped: dict[str, list[str]] = defaultdict(list)

    def places(self, subjects: Sequence[str], sessions: set[str]) -> Iterator[Path]:
        """Folders that may hold a folder of images."""
        for subject in subjects:
            if not sessions:
                yield Path(subject)
            named = self.folders(Path(subject), "ses")
            yield from (Path(subject, name) for name in named if not sessions or name in sessions)

    def folders(self, place: Path, entity: str) -> list[str]:
        """Names of the folders ``sub-<label>`` or ``ses-<label>``, sorted."""
        claimed = [name for name in self._listed(place) if re.match(f"{entity}[-_]", name, re.IGNORECASE)]
        folders = [name for name in claimed if (self._dataset / place / name).is_dir()]
        named = [name for name in folders if re.fullmatch(rf"{entity}-[0-9A-Za-z]+", name)]
        others = [(place / name).as_posix() for name in folders if name not in named]
        if others:
            self.skipped["folders whose names do not hold to BIDS"] += others
        return named

    def images(self, place: Path, suffix: str) -> Iterator[BidsScan]:
        """The images of one contrast."""
        folder = place / DATATYPE
        for file in self._listed(folder) if (self._dataset / folder).is_dir() else []:
            ends = [f"_{suffix}{ending}" for ending in _ENDINGS]
            ending = next((end[len(suffix) + 1 :] for end in ends if file.lower().endswith(end.lower())), None)
            within, path = (folder / file).as_posix(), self._dataset / folder / file
            if ending is None or self._ignored.covers(within):
                continue
            name = BidsName.parse(file[: -len(ending)])
            exact = name is not None and f"{name}{ending}" == file and name.suffix == suffix
            if name is None or not exact or Path(name.folder) != folder:
                self.skipped["images whose names do not hold to BIDS"].append(within)
            elif name.entities.get("part") in _PARTS:
                self.skipped["images of the phase or of one part of a complex signal"].append(within)
            elif not Path(os.path.realpath(path)).is_relative_to(self._root):
                self.skipped["links that lead out of the data set"].append(within)
            elif path.exists() and not path.is_file():
                self.skipped["folders, pipes, sockets or devices"].append(within)
            else:
                yield BidsScan(path, name)

    def _listed(self, place: Path) -> list[str]:
        try:
            return sorted(path.name for path in (self._dataset / place).iterdir())
        except OSError as error:
            if place.parts:
                self.skipped["folders that cannot be listed"].append(place.as_posix())
                return []
            raise InputError(
                f"the folder {shown(self._dataset)} cannot be listed ({error.strerror})",
                remedy="Check the path and its permissions.",
                code="read_failed",
            ) from error


def _refuse_unknown(labels: set[str]) -> None:
    if labels:
        named = ", ".join(shown(label) for label in sorted(labels))
        raise InputError(f"the data set has no {named}", remedy="Check the labels.", code="no_label")


def _twice(scan: BidsScan, other: BidsScan) -> InputError:
    return InputError(
        f"the results of {shown(scan.path.name)} and {shown(other.path.name)} would have the same name",
        remedy="Name one of the two in .bidsignore.",
        code="scan_id",
    )
