"""Public data sets by the shape of their folders, and splits in which nobody stands on both sides."""

from anomri.datasets.adapter import Adapter
from anomri.datasets.catalogue import DATASETS, LEFT_OUT, find_adapter, list_dataset
from anomri.datasets.duplicates import without_duplicates
from anomri.datasets.ratings import read_ratings
from anomri.datasets.record import Box, Listing, Record
from anomri.datasets.split_file import make_split, read_split, sides_in, verify_split, write_split
from anomri.datasets.splits import folds_by_subject, sides_of

__all__ = [
    "DATASETS",
    "LEFT_OUT",
    "Adapter",
    "Box",
    "Listing",
    "Record",
    "find_adapter",
    "folds_by_subject",
    "list_dataset",
    "make_split",
    "read_ratings",
    "read_split",
    "sides_in",
    "sides_of",
    "verify_split",
    "without_duplicates",
    "write_split",
]
