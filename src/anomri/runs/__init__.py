"""Many scans into one output folder: jobs, resume, locks, summary, progress; one outcome into one folder; and results
read back as a table."""

from anomri.runs.save import save
from anomri.runs.table import results_table

__all__ = ["results_table", "save"]
