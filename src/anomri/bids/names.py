"""Names of the BIDS specification: entities and a suffix, ``sub-01_ses-2_run-1_T1w``.

A derivative keeps the entities of its source, and ``desc-`` says what it is:
``sub-01_ses-2/anat/sub-01_ses-2_run-1_desc-brain_mask.nii.gz``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType

from anomri.runs.gather import RESULT_DESC

__all__ = ["BidsName"]

# Anatomical images alone are judged so far.
DATATYPE = "anat"
# Leaves room for `desc-` and an ending within the 255 characters of a file name.
LONGEST = 150

_NAME = re.compile(r"(sub-[0-9A-Za-z]+(?:_[a-z]+-[0-9A-Za-z]+)*)_([0-9A-Za-z]+)")


@dataclass(frozen=True, slots=True)
class BidsName:
    """A name without its ending.

    Parameters
    ----------
    entities : label by entity, in the order of the name; `sub` is the first.
    suffix : the last part: ``T1w``.
    """

    entities: Mapping[str, str]
    suffix: str

    @classmethod
    def parse(cls, stem: str) -> BidsName | None:
        """Read a name without its ending; None where it does not hold to the grammar."""
        found = _NAME.fullmatch(stem)
        if found is None or len(stem) > LONGEST:
            return None
        pairs = [pair.split("-") for pair in found.group(1).split("_")]
        entities = dict(pairs)
        return cls(MappingProxyType(entities), found.group(2)) if len(entities) == len(pairs) else None

    def __str__(self) -> str:
        return "_".join([*(f"{key}-{label}" for key, label in self.entities.items()), self.suffix])

    @property
    def participant_id(self) -> str:
        """``sub-01``."""
        return f"sub-{self.entities['sub']}"

    @property
    def session_id(self) -> str | None:
        """``ses-2``; None where the data set has no sessions."""
        return f"ses-{self.entities['ses']}" if "ses" in self.entities else None

    @property
    def folder(self) -> PurePosixPath:
        """Where it lies in its data set."""
        return PurePosixPath(self.participant_id, *([] if self.session_id is None else [self.session_id]), DATATYPE)

    def derivative(self, desc: str, suffix: str, ending: str) -> PurePosixPath:
        """Path of a derivative in its data set; a ``desc-`` of the source itself gives way."""
        kept = {key: label for key, label in self.entities.items() if key != "desc"}
        name = BidsName({**kept, "desc": desc}, suffix)
        return self.folder / f"{name}{ending}"

    def result(self, ending: str) -> PurePosixPath:
        """Path of the verdict (``.json``), its report (``.html``) or its preview (``.png``)."""
        return self.derivative(RESULT_DESC, self.suffix, ending)
