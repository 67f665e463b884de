"""A reference of how scans should be acquired, and what departs from it in the header of one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from anomri.errors import InputError
from anomri.io.stream import opened

if TYPE_CHECKING:
    from anomri.io.dicom.protocol import Protocol

__all__ = ["ProtocolReference", "read_protocol"]

MAX_BYTES = 1 << 16
# Headers print numbers in decimals; an end of a range belongs to it.
ROUNDING = 1e-6
UNITS = {"field_t": ("field strength", " T"), "tr_ms": ("TR", " ms"), "te_ms": ("TE", " ms"), "ti_ms": ("TI", " ms"),
         "flip_deg": ("flip angle", "°")}  # fmt: skip

Positive = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Range = tuple[Positive, Positive]


class ProtocolReference(BaseModel):
    """What a protocol should be, as far as it is given.

    Parameters
    ----------
    sequence : the contrast, ``T1w`` and so on, as `read` tells it.
    body_part : as DICOM names it (PS3.16 annex L), such as ``BRAIN``.
    field_t, tr_ms, te_ms, ti_ms, flip_deg : smallest and largest value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sequence: str | None = None
    body_part: str | None = None
    field_t: Range | None = None
    tr_ms: Range | None = None
    te_ms: Range | None = None
    ti_ms: Range | None = None
    flip_deg: Range | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for name in UNITS:
            wanted = getattr(self, name)
            if wanted is not None and wanted[0] > wanted[1]:
                raise ValueError(f"{name} begins above its end")
        return self

    def departures(self, protocol: Protocol | None, sequence: str | None) -> tuple[str, ...]:
        """Sentences on what of a scan is not as it should be, or is not known.

        Parameters
        ----------
        protocol : what the header says; None where the format has no such header.
        sequence : the contrast, as far as it is known.
        """
        found = []
        if self.sequence is not None and sequence != self.sequence:
            contrast = "cannot be told" if sequence is None else f"is {sequence}"
            found.append(f"the contrast {contrast}; the protocol reference says {self.sequence}")
        if protocol is None:
            return (*found, "the file does not say how it was acquired, so the protocol reference says nothing of it")
        if self.body_part is not None and protocol.known_body_part != self.body_part.upper():
            part = protocol.known_body_part
            named = "names no body part" if part is None else f"names the body part {part}"
            found.append(f"the header {named}; the protocol reference says {self.body_part.upper()}")
        for name, (words, unit) in UNITS.items():
            wanted: Range | None = getattr(self, name)
            value: float | None = getattr(protocol, name)
            if wanted is None:
                continue
            low, high = wanted
            should = f"{low:g}{unit}" if low == high else f"{low:g}–{high:g}{unit}"
            if value is None:
                found.append(f"the header gives no {words}; the protocol reference says {should}")
            elif not low * (1 - ROUNDING) <= value <= high * (1 + ROUNDING):
                found.append(f"{words} {value:g}{unit} is outside the protocol reference ({should})")
        return tuple(found)


def read_protocol(path: Path) -> ProtocolReference:
    """Read a reference from a JSON file.

    Raises
    ------
    InputError : it cannot be read, or is no such reference (`protocol_reference`).
    """
    with opened(path) as stream:
        content = stream.rest(MAX_BYTES)
    try:
        return ProtocolReference.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        found = ": ".join([*map(str, first["loc"]), first["msg"]])
        raise InputError(
            f"this is no protocol reference: {found}",
            remedy='Give ranges by name, such as {"sequence": "T1w", "te_ms": [2.5, 3.5]}.',
            code="protocol_reference",
        ) from error
