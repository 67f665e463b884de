"""How the images were acquired, as far as their header says: words that go into notes, and the contrast.

The contrast is what the timing makes it and what the description calls it. Where both speak and disagree, neither is
taken. The limits of the timing are those of common textbooks (McRobbie et al., *MRI from Picture to Proton*, 3rd
edition, 2017, chapters 3 and 12), and what lies between them is left unnamed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Protocol", "contrast_of", "named_contrast", "notes_on"]

# PS3.16 annex L, those that MR is made of. Other words are not repeated.
BODY_PARTS = (
    "ABDOMEN", "ABDOMENPELVIS", "ANKLE", "BRAIN", "BREAST", "CHEST", "CSPINE", "ELBOW", "EXTREMITY", "FOOT", "HAND",
    "HEAD", "HEADNECK", "HEART", "HIP", "KNEE", "LEG", "LIVER", "LSPINE", "NECK", "ORBIT", "PELVIS", "PROSTATE",
    "SHOULDER", "SKULL", "SPINE", "TSPINE", "UTERUS", "WHOLEBODY", "WRIST",
)  # fmt: skip
MAKERS = {
    "SIEMENS": "Siemens", "GE ": "GE", "GEMS": "GE", "PHILIPS": "Philips", "TOSHIBA": "Canon", "CANON": "Canon",
    "HITACHI": "Fujifilm", "FUJIFILM": "Fujifilm", "UIH": "United Imaging", "UNITED IMAGING": "United Imaging",
    "HYPERFINE": "Hyperfine", "BRUKER": "Bruker",
}  # fmt: skip
MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9 .+-]{0,23}")
FIELDS_T = (0.01, 15.0)


@dataclass(frozen=True, slots=True)
class Protocol:
    """What one image says of its acquisition; None or empty where it says nothing.

    Parameters
    ----------
    scanning : of SE, GR, IR, EP, RM.
    steady : a steady state is kept.
    named : what the description calls the contrast; the description itself is not kept.
    """

    scanning: frozenset[str] = frozenset()
    steady: bool = False
    three_d: bool = False
    tr_ms: float | None = None
    te_ms: float | None = None
    ti_ms: float | None = None
    flip_deg: float | None = None
    field_t: float | None = None
    contrast_agent: bool = False
    named: str | None = None
    body_part: str = ""
    maker: str = ""
    model: str = ""

    @property
    def known_body_part(self) -> str | None:
        """The body part in the standard's own word; other words are not repeated."""
        part = re.sub(r"[^A-Z]", "", self.body_part.upper())
        return part if part in BODY_PARTS else None


def named_contrast(text: str) -> str | None:
    """The one contrast that a description names, None where it names none or several."""
    words = text.upper()
    t1 = re.search(r"T1|MPRAGE|MP-RAGE|SPGR|BRAVO", words) is not None
    if re.search(r"FLAIR|DARK.?FLUID|TIRM.?DARK", words):
        # "T1 FLAIR" nulls the fluid of a T1-weighted image.
        return None if t1 else "FLAIR"
    star = re.search(r"T2[_ ]?\*|T2[_ ]?STAR|\bSWI", words) is not None
    t2 = not star and "T2" in words
    density = re.search(r"(?<![A-Z0-9])PD(?![0-9])", words) is not None
    found = [name for name, said in (("T1w", t1), ("T2w", t2), ("T2starw", star), ("PDw", density)) if said]
    return found[0] if len(found) == 1 else None


def contrast_of(protocol: Protocol) -> str | None:
    """T1w, T2w, FLAIR, PDw, T2starw; None where timing and description do not tell, or disagree."""
    timed = _timed_contrast(protocol)
    if timed is None or protocol.named is None:
        return protocol.named if timed is None else timed
    return timed if timed == protocol.named else None


def notes_on(protocol: Protocol) -> list[str]:
    """Sentences on how the images were acquired."""
    scanner = [
        f"{protocol.field_t:g} T" if protocol.field_t is not None and _is_field(protocol.field_t) else "",
        next((name for start, name in MAKERS.items() if protocol.maker.upper().startswith(start)), ""),
        protocol.model if MODEL.fullmatch(protocol.model) else "",
    ]
    pulse = [("3D" if protocol.three_d else "2D") if protocol.scanning else "", *sorted(_known(protocol.scanning))]
    timing = [
        f"{name} {value:g}{unit}"
        for name, value, unit in (
            ("TR", protocol.tr_ms, " ms"),
            ("TE", protocol.te_ms, " ms"),
            ("TI", protocol.ti_ms, " ms"),
            ("flip angle", protocol.flip_deg, "°"),
        )
        if value is not None and 0 < value < 1e6
    ]
    said = [" ".join(filter(None, scanner)), " ".join(filter(None, pulse)), *timing]
    notes = [f"acquired with: {', '.join(filter(None, said))}"] if any(said) else []
    if protocol.known_body_part is not None:
        notes.append(f"the header names the body part {protocol.known_body_part}")
    if protocol.contrast_agent:
        notes.append("the header names a contrast agent")
    timed = _timed_contrast(protocol)
    if timed is not None and protocol.named is not None and timed != protocol.named:
        notes.append(f"the description names {protocol.named} and the timing is that of {timed}: neither is taken")
    return notes


def _timed_contrast(protocol: Protocol) -> str | None:
    tr, te, ti, flip = protocol.tr_ms, protocol.te_ms, protocol.ti_ms, protocol.flip_deg
    if te is None or "EP" in protocol.scanning:
        return None
    inverted = "IR" in protocol.scanning or (ti is not None and ti > 0)
    if inverted:
        if ti is None:
            return None
        if ti >= 1500 and te >= 70:
            return "FLAIR"
        return "T1w" if 300 <= ti <= 1400 and te <= 30 else None
    if tr is None:
        return None
    if "GR" in protocol.scanning:
        if te >= 15 and (flip is None or flip <= 30):
            return "T2starw"
        spoiled = not protocol.steady and flip is not None and flip >= 10
        return "T1w" if spoiled and te <= 10 and tr <= 60 else None
    if "SE" in protocol.scanning and tr >= 1800:
        return "T2w" if te >= 70 else "PDw" if te <= 40 else None
    return "T1w" if "SE" in protocol.scanning and tr <= 1000 and te <= 30 else None


def _is_field(field_t: float) -> bool:
    return FIELDS_T[0] <= field_t <= FIELDS_T[1]


def _known(scanning: frozenset[str]) -> frozenset[str]:
    return scanning & {"SE", "GR", "IR", "EP", "RM"}
