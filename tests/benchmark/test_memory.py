"""The peak of a job is its own, not that of the largest job before it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from anomri.benchmark import memory
from anomri.benchmark.memory import PeakMemory

SIZE_MB = 200


def test_a_peak_is_seen_and_forgotten_by_the_next_count() -> None:
    first = PeakMemory()
    if math.isnan(before := first.mb()):
        pytest.skip("this system keeps no peak that can be reset")
    np.ones(SIZE_MB * 2**20, dtype=np.uint8)
    assert first.mb() > before + 0.9 * SIZE_MB
    assert PeakMemory().mb() < before + 0.5 * SIZE_MB


def test_a_system_that_does_not_tell_gives_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_PROCESS", tmp_path / "none")
    assert math.isnan(PeakMemory().mb())
