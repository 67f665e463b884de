"""Many scans into one output folder: jobs, resume, locks, summary, progress; and one outcome into one folder."""

from anomri.runs.save import save

__all__ = ["save"]
