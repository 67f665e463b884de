"""Everything anomri raises on purpose.

AnomriError
├── InputError            a file or folder given by the user cannot be used
│   ├── PreparationFailed the scan was read but could not be prepared (mask, registration, ...)
│   └── SettingError      a method has no such setting, or does not take this value
├── ModelError            a model folder is damaged, too new, or does not fit
├── CalibrationError      a rate or a set of normals that calibration cannot stand for
├── DataLeak              a scan stands on both sides of a split
├── OutputConflict        the output folder is locked or was made with other settings
├── EnvironmentProblem    disk, permissions, memory
└── MissingDependency     an optional package is not installed

Each error says what happened (`cause`), to which scan (`scan`), and what to do (`remedy`); `code` is stable and
machine-readable, `exit_code` is what the command line ends with.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

__all__ = [
    "AnomriError",
    "CalibrationError",
    "DataLeak",
    "EnvironmentProblem",
    "InputError",
    "MissingDependency",
    "ModelError",
    "OutputConflict",
    "PreparationFailed",
    "SettingError",
    "about_scan",
]


class AnomriError(Exception):
    """A problem the user can do something about.

    Parameters
    ----------
    cause : what happened, one sentence without full stop.
    remedy : what to do, one sentence.
    code : short stable name of this cause, e.g. ``truncated``; the class's own where not given.
    scan : the scan it happened to, where there is one.
    """

    default_code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, cause: str, *, remedy: str, code: str | None = None, scan: str | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.remedy = remedy
        self.code = self.default_code if code is None else code
        self.scan = scan

    def __str__(self) -> str:
        where = "" if self.scan is None else f" in {self.scan}"
        return f"{type(self).__name__}[{self.code}]: {self.cause}{where}. {self.remedy}"

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive the default reduction, and errors cross process borders.
        return _rebuild, (type(self), self.cause, self.remedy, self.code, self.scan)


class InputError(AnomriError):
    """A file, folder or argument given by the user cannot be used."""

    default_code = "input"
    exit_code = 3


class PreparationFailed(InputError):
    """The scan was read, but it could not be prepared; it gets no score."""

    default_code = "preparation"


class SettingError(InputError):
    """A method has no such setting, or does not take this value."""

    default_code = "setting"
    exit_code = 2


class ModelError(AnomriError):
    """A model folder is damaged, of a newer format, or does not fit its input."""

    default_code = "model"
    exit_code = 6


class CalibrationError(AnomriError):
    """The normals at hand cannot stand for what was asked."""

    default_code = "calibration"
    exit_code = 2


class DataLeak(AnomriError):
    """A scan or a subject stands on both sides of a split."""

    default_code = "leak"
    exit_code = 2


class OutputConflict(AnomriError):
    """The output folder is in use, or was made with other settings."""

    default_code = "output"
    exit_code = 7


class EnvironmentProblem(AnomriError):
    """Disk, permissions or memory."""

    default_code = "environment"
    exit_code = 5


class MissingDependency(AnomriError):
    """An optional package is not installed."""

    default_code = "missing"
    exit_code = 5


def _rebuild(kind: type[AnomriError], cause: str, remedy: str, code: str, scan: str | None) -> AnomriError:
    return kind(cause, remedy=remedy, code=code, scan=scan)


@contextmanager
def about_scan(name: str) -> Iterator[None]:
    """Attach the scan's name to any `AnomriError` raised inside that does not carry one yet."""
    try:
        yield
    except AnomriError as error:
        if error.scan is None:
            error.scan = name
        raise
