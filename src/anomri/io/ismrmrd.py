"""What the ISMRMRD header says of spaces: XML, read without entities.

References
----------
Inati S. J. et al., ISMRM raw data format, Magn. Reson. Med. 77:411, 2017.
"""

from __future__ import annotations

import math
from xml.parsers import expat

from anomri.errors import InputError

__all__ = ["MAX_XML_BYTES", "bad_header", "spaces_of"]

MAX_XML_BYTES = 1 << 22
MAX_DEPTH = 32


def spaces_of(text: bytes) -> dict[str, float]:
    """``encoded_field_x``, ``recon_field_x`` … mm, ``encoded_matrix_x``, ``recon_matrix_x`` … of the first encoding.

    Raises
    ------
    InputError : no XML, a number that is none or not positive, or a document type, which can define entities
        (`bad_header`).
    """
    found: dict[str, float] = {}
    path: list[str] = []
    spoken: list[str] = []
    spaces, groups = (
        {"encodedSpace": "encoded", "reconSpace": "recon"},
        {"matrixSize": "matrix", "fieldOfView_mm": "field"},
    )

    def start(name: str, _: object) -> None:
        path.append(name.rpartition(":")[2])
        spoken.clear()
        if len(path) > MAX_DEPTH:
            raise bad_header()

    def end(_: str) -> None:
        if len(path) == 5 and path[2] in spaces and path[3] in groups and path[4] in ("x", "y", "z"):
            found.setdefault(f"{spaces[path[2]]}_{groups[path[3]]}_{path[4]}", float("".join(spoken)))
        path.pop()

    def refuse(*_: object) -> None:
        raise bad_header()

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = spoken.append
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    if len(text) > MAX_XML_BYTES:
        raise bad_header()
    try:
        parser.Parse(text, True)
    except (expat.ExpatError, ValueError) as error:
        raise bad_header() from error
    if not all(math.isfinite(number) and number > 0 for number in found.values()):
        raise bad_header()
    return found


def bad_header() -> InputError:
    """The error of a header that cannot be used."""
    return InputError(
        "the ISMRMRD header cannot be read", remedy="Write the header again, or leave it out.", code="bad_header"
    )
