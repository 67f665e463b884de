"""The brain of a full head."""

from anomri.extraction.extract import Extraction, extract

__all__ = ["Extraction", "extract"]
