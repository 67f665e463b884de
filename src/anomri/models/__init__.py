"""Fitted models on disk and in memory, the bundled ones, and how their branches become one score."""

from anomri.models.folder import (
    CatalogueEntry,
    catalogue,
    read_card,
    read_model,
    require_replaceable,
    write_calibrated,
    write_model,
)
from anomri.models.model import Branch, BranchRecord, Card, Model, TrainingScan

__all__ = [
    "Branch",
    "BranchRecord",
    "Card",
    "CatalogueEntry",
    "Model",
    "TrainingScan",
    "catalogue",
    "read_card",
    "read_model",
    "require_replaceable",
    "write_calibrated",
    "write_model",
]
