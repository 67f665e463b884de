"""A small benchmark, run once."""

from __future__ import annotations

import pytest

from anomri.benchmark import preparing
from anomri.benchmark.run import run_benchmark
from anomri.pipeline.brain import FoundBrain
from small_benchmark import Site, fake_prepare, small_protocol, write_site


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Preparation in milliseconds; every scan is looked at and found to be one."""
    monkeypatch.setattr(preparing, "prepare", fake_prepare)
    monkeypatch.setattr(preparing, "brain_of", lambda _scan, _recipe: FoundBrain(None, None, False, ()))


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A run with every baseline."""
    folder = tmp_path_factory.mktemp("small")
    write_site(folder / "data")
    data = {"t1w-site-a": folder / "data"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparing, "prepare", fake_prepare)
        patch.setattr(preparing, "brain_of", lambda _scan, _recipe: FoundBrain(None, None, False, ()))
        run_benchmark(small_protocol(), data, folder / "out")
    return Site(data, folder / "out")
