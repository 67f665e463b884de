"""Who trains and who is scored: folds by subject, and the check that nobody and no image stands on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from anomri.benchmark.preparing import Ready
from anomri.benchmark.protocol import Protocol
from anomri.datasets.splits import folds_by_subject
from anomri.errors import DataLeak

__all__ = ["Fold", "split", "verify_apart"]


@dataclass(frozen=True, slots=True)
class Fold:
    """Who trains and who is scored in one fold."""

    number: int
    train: tuple[Ready, ...]
    test: tuple[Ready, ...]


def split(protocol: Protocol, ready: Sequence[Ready]) -> tuple[Fold, ...]:
    """Folds by subject over all sets together.

    Raises
    ------
    DataLeak : a subject stands on both sides, or one image under two subjects.
    """
    numbers = folds_by_subject([r.case.subject for r in ready], protocol.folds, seed=protocol.split_seed)
    folds = []
    for fold in range(protocol.folds):
        train = tuple(
            r for r, n in zip(ready, numbers, strict=True) if n != fold and r.case.trains and r.file is not None
        )
        test = tuple(r for r, n in zip(ready, numbers, strict=True) if n == fold)
        verify_apart(train, test)
        folds.append(Fold(fold, train, test))
    return tuple(folds)


def verify_apart(train: Sequence[Ready], test: Sequence[Ready]) -> None:
    """No subject and no image on both sides of a split.

    Raises
    ------
    DataLeak : there is one.
    """
    both = sorted({r.case.subject for r in train} & {r.case.subject for r in test})
    if both:
        raise DataLeak(
            f"subject {both[0]} stands in training and test", remedy="Split by subject.", code="subject_on_both_sides"
        )
    images = {r.key: r.case.case_id for r in train}
    for r in test:
        if r.key in images:
            raise DataLeak(
                f"{r.case.case_id} and {images[r.key]} are one image, in training and in test",
                remedy="Remove the duplicate.",
                code="duplicate",
            )
