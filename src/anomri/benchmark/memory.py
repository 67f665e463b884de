"""The most memory a process holds at once while it does one thing of several."""

from __future__ import annotations

from pathlib import Path

__all__ = ["PeakMemory"]

_PROCESS = Path("/proc/self")


class PeakMemory:
    """Counts from when it is made; the newest one alone counts, for a process has one peak.

    Linux keeps the peak of a process and forgets it when asked; elsewhere nothing is known.
    """

    def __init__(self) -> None:
        try:
            (_PROCESS / "clear_refs").write_text("5")
        except OSError:
            self._counts = False
        else:
            self._counts = True

    def mb(self) -> float:
        """The peak so far, megabytes of 2²⁰ bytes; `nan` where the system does not tell."""
        if not self._counts:
            return float("nan")
        lines = (_PROCESS / "status").read_text().splitlines()
        kilobytes = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
        return kilobytes[0] / 1024.0 if kilobytes else float("nan")
