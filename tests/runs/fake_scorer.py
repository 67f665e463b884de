"""A scorer that does what the file it is given says, so that runs can be tested without a model.

A file holds a command and its argument: ``score 0.3``, ``bad``, ``bug``, ``memory``, ``die``, ``die-once MARKER``,
``sleep SECONDS``, ``stop``.
"""

from __future__ import annotations

import hashlib
import os
import signal
import time
from multiprocessing import parent_process
from pathlib import Path

import numpy as np

from anomri.core.geometry import Geometry
from anomri.core.heatmap import Heatmap
from anomri.core.outcome import Outcome
from anomri.core.region import Region
from anomri.core.result import InputRecord, ModelRecord, Result, Thresholds
from anomri.core.scan import Scan, Source
from anomri.errors import AnomriError, CalibrationError, InputError, ModelError
from anomri.runs.scorer import Request, Scorer, Task

NORMALS = tuple(i / 10 for i in range(10))
SHAPE = (12, 10, 8)


def open_fake(request: Request) -> Scorer:
    if request.model == "missing":
        raise ModelError("there is no model 'missing'", remedy="Known: fake.", code="unknown_model")
    if request.alarm_rate is not None and request.alarm_rate < 1 / (len(NORMALS) + 1):
        raise CalibrationError("finer than 10 normals can show", remedy="Ask for 0.1.", code="too_few_normals")
    if request.model == "not-here" and parent_process() is None:
        raise AssertionError("the model was opened in the process of the run")
    if request.model.startswith("slow"):
        time.sleep(float(request.model.removeprefix("slow ")))
    if request.model == "unforeseen":
        raise ZeroDivisionError("nobody foresaw this")
    if request.model == "dies-at-start" and os.environ.get("PYTHONHASHSEED") == "0":
        os.kill(os.getpid(), signal.SIGSEGV)
    return FakeScorer(request)


class FakeScorer:
    device = "cpu"

    def __init__(self, request: Request) -> None:
        digest = hashlib.sha256(request.model.encode()).hexdigest()
        self.alarm_rate = 0.1 if request.alarm_rate is None else request.alarm_rate
        self.model = ModelRecord(name=request.model, version="1", sha256=digest)

    def score(self, task: Task, timings: dict[str, float]) -> Outcome:
        content = task.path.read_bytes()
        command, _, argument = content.decode().strip().partition(" ")
        if command == "sleep":
            time.sleep(float(argument))
        elif command == "bad":
            raise InputError("the file is cut off", remedy="Copy it again.", code="truncated")
        elif command == "bug":
            raise ZeroDivisionError("nobody foresaw this")
        elif command == "memory":
            raise MemoryError
        elif command == "die" or (command == "die-once" and not Path(argument).exists()):
            if argument:
                Path(argument).touch()
            os.kill(os.getpid(), signal.SIGSEGV)
        elif command == "stop":
            raise CalibrationError("ten normals cannot promise this rate", remedy="Ask for 0.2.")
        timings["examine"] = 0.0
        value = float(argument) if command == "score" else 0.5
        return outcome_of(task.scan_id, value, self.model, sha256=hashlib.sha256(content).hexdigest())

    def unreadable(self, scan_id: str, error: AnomriError, *, sha256: str) -> Outcome:
        return Outcome(
            Result(
                scan_id=scan_id,
                input=InputRecord(sha256=sha256, format="unknown"),
                model=self.model,
                verdict="unreadable",
                reason=f"{error.cause} ({error.code}). {error.remedy}",
                n_normals=len(NORMALS),
                reference_scores=NORMALS,
            )
        )


def outcome_of(scan_id: str, value: float, model: ModelRecord, *, sha256: str) -> Outcome:
    """A small outcome with every image, `value` high enough to fail from 0.9 on."""
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    geometry = Geometry(SHAPE, affine)
    voxels = np.random.default_rng(3).uniform(1, 2, SHAPE).astype(np.float32)
    brain = np.zeros(SHAPE, dtype=bool)
    brain[2:-2, 2:-2, 2:-2] = True
    examined = np.zeros(SHAPE, dtype=bool)
    examined[3:-3, 3:-3, 3:-3] = True
    heat = np.where(examined, voxels * np.float32(value), np.float32(np.nan))
    p_value = (1 + sum(normal >= value for normal in NORMALS)) / (len(NORMALS) + 1)
    return Outcome(
        result=Result(
            scan_id=scan_id,
            input=InputRecord(sha256=sha256, format="fake", shape=SHAPE, spacing_mm=(2, 2, 3), orientation="RAS"),
            model=model,
            verdict="fail" if value >= 0.9 else "pass",
            reason="It lies among the normals." if value < 0.9 else "It lies far from the normals.",
            score=value,
            robust_z=value,
            p_value=p_value,
            p_value_interval=(0.0, 1.0),
            n_normals=len(NORMALS),
            reference_scores=NORMALS,
            thresholds=Thresholds(warn=0.8, fail=0.9, warn_rate=0.2, fail_rate=0.1),
            notes=("=a formula",),
            versions={"anomri": "0"},
        ),
        scan=Scan(voxels, geometry, scan_id, Source("fake", "fake 1", sha256, sha256, "RAS")),
        heatmap=Heatmap(heat.astype(np.float32), geometry, Region(examined, geometry, "examined", "fake"), "z", "fake"),
        brain=Region(brain, geometry, "brain", "fake"),
        expected=heat.astype(np.float32),
        maps={"zatlas": heat.astype(np.float32)},
    )
