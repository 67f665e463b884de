"""The BIDS app: scans of a BIDS data set in, BIDS derivatives out, and a group level that needs these alone."""

from anomri.bids.find import BidsScan, find_scans, made_for
from anomri.bids.group import GroupSummary, write_group
from anomri.bids.names import BidsName
from anomri.bids.participant import score_participants, selection

__all__ = [
    "BidsName",
    "BidsScan",
    "GroupSummary",
    "find_scans",
    "made_for",
    "score_participants",
    "selection",
    "write_group",
]
