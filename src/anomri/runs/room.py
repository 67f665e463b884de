"""What a run needs of the machine: cores, memory, disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, cast

import psutil

from anomri.errors import EnvironmentProblem
from anomri.runs.save import writing_to

if TYPE_CHECKING:
    from anomri.runs.save import Keep
    from anomri.training.fabric import Device

__all__ = ["check_disk", "default_jobs", "device_used", "free_memory_gb"]

MEMORY_PER_WORKER_GB = 3.0
_DISK_PER_SCAN_MB = {"all": 25.0, "summary": 4.0}


def default_jobs(scans: int) -> int:
    """As many workers as cores and memory allow, at least one, and no more than there are scans."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return max(1, min(cores, int(free_memory_gb() / MEMORY_PER_WORKER_GB), scans))


def free_memory_gb(limit_file: Path = Path("/sys/fs/cgroup/memory.max")) -> float:
    """Memory at hand; a container's limit counts where it is lower.

    Parameters
    ----------
    limit_file : where the kernel tells a container's limit (cgroup v2), in bytes or ``max``.
    """
    available = float(psutil.virtual_memory().available)
    try:
        limit = float(limit_file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        limit = available
    return min(available, limit) / 1024**3


def check_disk(folder: Path, scans: int, keep: Keep) -> None:
    """Whether the results of so many scans will fit.

    Raises
    ------
    EnvironmentProblem : less is free than 1.2 times the estimate and 500 MB.
    """
    needed = scans * _DISK_PER_SCAN_MB[keep] * 1.2 + 500.0
    with writing_to(folder):
        free = shutil.disk_usage(folder).free / 1024**2
    if free < needed:
        raise EnvironmentProblem(
            f"{scans} scans need about {needed / 1024:.1f} GB in {folder}, {free / 1024:.1f} GB are free",
            remedy="Free space, choose another output folder, or use --keep summary.",
            code="disk_full",
        )


def device_used(device: str, *, networks: bool) -> str:
    """What ``auto``, ``cpu`` or ``cuda`` comes to; a model without a network computes on the CPU whatever was asked.

    Raises
    ------
    EnvironmentProblem : ``cuda`` was asked for a network and there is none.
    """
    if not networks:
        return "cpu"
    from anomri.training.fabric import choose_device  # brings torch

    return choose_device(cast("Device", device))
