"""Errors that several parts of the DICOM reader raise; none repeats a word of the file."""

from __future__ import annotations

from anomri.errors import InputError

__all__ = ["bad_header", "not_a_volume", "truncated"]


def bad_header(cause: str) -> InputError:
    """The error of a header that breaks the standard."""
    return InputError(cause, remedy="Export the series again from its source.", code="bad_header")


def not_a_volume(cause: str) -> InputError:
    """The error of images that are no scan of a volume."""
    return InputError(cause, remedy="Give the series of slices that was acquired.", code="not_a_volume")


def truncated(cause: str) -> InputError:
    """The error of a file that ends early."""
    return InputError(cause, remedy="Copy or export the series again.", code="truncated")
