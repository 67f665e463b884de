"""What every object of one result shares: who made it, when, and identifiers that a repeat makes again.

References
----------
DICOM PS3.5 annex B.2: a UID may be ``2.25.`` and a 128-bit number.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any

import numpy as np
from pydicom.valuerep import DA, DT, TM

from anomri.core.outcome import Outcome
from anomri.dicom.codes import coding_schemes
from anomri.dicom.source import SourceSeries

__all__ = ["DISCLAIMER", "Identity", "identity_of", "stamp"]

DISCLAIMER = "Research use only. Not a medical device. Not for diagnosis."
_MANUFACTURER = "anomri"
# In the order they are read: the verdict first.
_SERIES = {
    "report": "anomri verdict",
    "preview": "anomri picture",
    "heatmap": "anomri heatmap",
    "findings": "anomri findings",
    "document": "anomri report (PDF)",
}


@dataclass(frozen=True, slots=True)
class Identity:
    """Where the identifiers of one result's objects come from.

    Parameters
    ----------
    digest : of everything the objects are made from, in hexadecimal.
    model : name, version and digest of the model in one line.
    series_number : of the source; 0 where it has none.
    """

    digest: str
    model: str
    series_number: int

    def uid(self, *name: object) -> str:
        """A UID that the same result and source give again."""
        named = "/".join([self.digest, *map(str, name)])
        number = int.from_bytes(hashlib.sha256(named.encode()).digest()[:16], "big")
        return f"2.25.{number}"

    def series(self, kind: str) -> dict[str, Any]:
        """What highdicom asks of every object of a series of its own; `kind` is a name of the result's objects."""
        return {
            "series_instance_uid": self.uid(kind, "series"),
            "series_number": 100 * min(self.series_number, 99_999) + 1 + list(_SERIES).index(kind),
            "series_description": f"{_SERIES[kind]}: research use only",
            "sop_instance_uid": self.uid(kind),
            "instance_number": 1,
            "manufacturer": _MANUFACTURER,
            "manufacturer_model_name": "anomri",
            "software_versions": version("anomri"),
            "device_serial_number": self.model[:64],
            # What the report says is not always Latin.
            "specific_character_set": "ISO_IR 192",
            "coding_schemes": coding_schemes(),
        }


def identity_of(outcome: Outcome, source: SourceSeries) -> Identity:
    """The identity of a result judged from a series: other content of either gives other identifiers."""
    digest = hashlib.sha256()
    for part in (version("anomri"), outcome.result.model_dump_json(), *(i.SOPInstanceUID for i in source.instances)):
        digest.update(str(part).encode() + b"\0")
    if outcome.heatmap is not None:
        digest.update(np.ascontiguousarray(outcome.heatmap.values).tobytes())
    model = outcome.result.model
    number = source.instances[0].get("SeriesNumber")
    return Identity(
        digest.hexdigest(),
        f"{model.name} {model.version} {model.sha256[:16]}",
        max(0, int(number)) if number is not None else 0,
    )


def stamp(made: Any, created: datetime, identity: Identity) -> Any:
    """Set every time of creation in an object, and the identifiers that highdicom draws at random."""
    moment = created.replace(microsecond=0)
    for kind, value in (("Date", DA(moment.date())), ("Time", TM(moment.time()))):
        setattr(made, f"InstanceCreation{kind}", value)
        setattr(made, f"Series{kind}", value)
        # These are not in every kind of object.
        for name in (f"Content{kind}", f"{kind}OfSecondaryCapture"):
            if name in made:
                setattr(made, name, value)
    for equipment in made.get("ContributingEquipmentSequence", ()):
        # The scanner's item keeps the time of the acquisition.
        if equipment.get("ManufacturerModelName") == "highdicom":
            equipment.ContributionDateTime = DT(moment)
    organisation = identity.uid(made.SOPInstanceUID, "dimensions")
    for name in ("DimensionOrganizationSequence", "DimensionIndexSequence"):
        for item in made.get(name, ()):
            item.DimensionOrganizationUID = organisation
    return made
