"""Splits by subject: whoever a scan belongs to stands on one side only."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from anomri.errors import CalibrationError

__all__ = ["folds_by_subject", "hold_out_by_subject"]


def folds_by_subject(subjects: Sequence[str], count: int, *, seed: int) -> tuple[int, ...]:
    """Fold of each scan.

    Parameters
    ----------
    subjects : whom each scan belongs to; all scans of a subject get the same fold.
    count : number of folds.

    Returns
    -------
    One fold number (0 … count − 1) a scan. It depends on the set of subjects and the seed alone, not on their order;
    fold sizes differ by at most one subject.

    Raises
    ------
    CalibrationError : fewer subjects than folds.
    """
    ranked = _ranked(subjects, seed)
    if len(ranked) < count:
        raise CalibrationError(
            f"{len(ranked)} subjects cannot be split into {count} folds",
            remedy=f"Give scans of at least {count} subjects.",
            code="too_few_normals",
        )
    fold = {subject: rank % count for rank, subject in enumerate(ranked)}
    return tuple(fold[subject] for subject in subjects)


def hold_out_by_subject(subjects: Sequence[str], share: float, *, seed: int) -> tuple[bool, ...]:
    """Which scans are held out: those of about `share` of the subjects, at least two subjects.

    Raises
    ------
    CalibrationError : too few subjects to hold any out.
    """
    ranked = _ranked(subjects, seed)
    count = max(2, round(share * len(ranked)))
    if count >= len(ranked):
        raise CalibrationError(
            f"{len(ranked)} subjects are too few to hold some out",
            remedy="Give scans of more subjects.",
            code="too_few_normals",
        )
    held = set(ranked[:count])
    return tuple(subject in held for subject in subjects)


def _ranked(subjects: Sequence[str], seed: int) -> list[str]:
    return sorted(set(subjects), key=lambda s: hashlib.sha256(f"{seed}:{s}".encode()).hexdigest())
