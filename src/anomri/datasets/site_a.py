"""Site A: 60 skull-stripped T1w scans of one scanner (OpenNeuro ds002748, CC0), and the subjects that select nothing.

Twelve of the 60 subjects (`DEVELOPMENT`) are used by tests and continuous integration. Of the other 48 the
fifteen that come first by the SHA-256 of their id are `LOCKED`: they never select or tune anything. Every fit,
benchmark row or gate on site A uses the other 45 unless it says "shipped" or "LOCKED".

References
----------
Bezmaternykh D. D. et al., Neural Plasticity 2021, 8846097.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

__all__ = ["DEVELOPMENT", "LOCKED", "SUBJECTS", "is_locked", "locked_subjects"]

_LEFT_OUT = (7, 12, 29, 33, 41, 45, 49, 50, 55, 61, 67, 70)
SUBJECTS = tuple(f"sub-{n:02d}" for n in range(1, 73) if n not in _LEFT_OUT)
DEVELOPMENT = tuple(f"sub-{n:02d}" for n in (5, 15, 16, 17, 18, 19, 53, 54, 62, 65, 66, 68))
LOCKED = tuple(f"sub-{n:02d}" for n in (2, 4, 9, 28, 30, 31, 32, 38, 40, 42, 44, 48, 58, 64, 72))


def locked_subjects(subjects: Iterable[str], count: int = 15) -> tuple[str, ...]:
    """The rule that made `LOCKED`: the first `count` of the subjects outside `DEVELOPMENT`, by SHA-256 of their id.

    Parameters
    ----------
    subjects : ids such as ``sub-01``, in any order.

    Returns
    -------
    The chosen ids, sorted.
    """
    others = sorted(set(subjects) - set(DEVELOPMENT), key=lambda s: hashlib.sha256(s.encode()).hexdigest())
    return tuple(sorted(others[:count]))


def is_locked(name: str) -> bool:
    """Whether a subject id or a file name that begins with one (``sub-04_T1w``) belongs to `LOCKED`."""
    return name.split("_", 1)[0] in LOCKED
