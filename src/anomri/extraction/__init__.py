"""The brain of a full head."""

from anomri.extraction.extract import EXTRACTION, Extraction, extract

__all__ = ["EXTRACTION", "Extraction", "extract"]
