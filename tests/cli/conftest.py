from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from anomri.cli.app import main
from anomri.runs import run as run_module

FAKE_SCORER_LIVES_IN = Path(__file__).parents[1] / "runs"


@pytest.fixture
def anomri(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the command line in this process; the exit code it ends with."""

    def call(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["anomri", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        return 0 if code is None else int(code)

    return call


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let runs use the scorer that does what the files say."""
    monkeypatch.syspath_prepend(FAKE_SCORER_LIVES_IN)
    run = functools.partial(run_module.run, scorer="fake_scorer:open_fake")
    monkeypatch.setattr(run_module, "run", run)
    yield
    sys.modules.pop("fake_scorer", None)
