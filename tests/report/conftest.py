"""Outcomes made from formulas, and a headless browser driven through a pipe."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anomri.core.geometry import Geometry
from anomri.core.heatmap import Heatmap, findings_above, slice_scores
from anomri.core.outcome import Outcome
from anomri.core.region import Region
from anomri.core.result import (
    Driver,
    InputRecord,
    MetricDeviation,
    ModelRecord,
    Result,
    SliceScore,
    Thresholds,
)
from anomri.core.scan import Scan, Source

CHROMIUM = "/usr/bin/chromium"

METRICS = (
    MetricDeviation(
        name="cjv",
        value=0.71,
        normal_low=0.42,
        normal_high=0.55,
        deviation=5.1,
        usually_means="grey and white matter overlap: motion, or strong coil shading",
    ),
    MetricDeviation(
        name="efc",
        value=0.61,
        normal_low=0.49,
        normal_high=0.6,
        deviation=2.4,
        usually_means="energy away from the image: ghosting or blur by motion",
    ),
    MetricDeviation(
        name="snr_wm",
        value=9.1,
        normal_low=11.0,
        normal_high=21.0,
        deviation=-2.9,
        usually_means="noise: a coil element missing, or a shortened acquisition",
    ),
    MetricDeviation(
        name="fwhm_avg",
        value=3.1,
        normal_low=2.8,
        normal_high=3.6,
        deviation=0.3,
        usually_means="smoothness as usual",
    ),
)


def result_of(**changes: Any) -> Result:
    """A judged result; `changes` replace fields."""
    rng = np.random.default_rng(5)
    fields: dict[str, Any] = {
        "scan_id": "sub-17_T1w",
        "input": InputRecord(
            sha256="a" * 64, format="nifti", shape=(40, 48, 36), spacing_mm=(4.0, 4.0, 4.0), orientation="LAS"
        ),
        "model": ModelRecord(
            name="brain-t1",
            version="0.1.0",
            sha256="b" * 64,
            cohort="45 adults, 19–55 years, one 3 T scanner, T1w",
            validation="Simulated lesions of 1 ml or more: AUROC 0.90 (95 % 0.85–0.94) on 15 locked scans.",
            licence="CC0-1.0",
        ),
        "verdict": "fail",
        "reason": "A bright place of 1.9 ml, and more overlap of grey and white matter than in any normal.",
        "score": 6.2,
        "robust_z": 5.4,
        "p_value": 1 / 46,
        "p_value_interval": (0.0005, 0.077),
        "n_normals": 45,
        "reference_scores": tuple(sorted(float(v) for v in rng.gamma(9.0, 0.3, size=45))),
        "thresholds": Thresholds(warn=4.0, fail=4.6, warn_rate=0.1, fail_rate=0.05, finding_level=4.5),
        "drivers": (
            Driver(kind="local", branch="zatlas", share=0.63, score=7.9, standardised=6.2),
            Driver(kind="quality", branch="iqm1c", share=0.37, score=4.4, standardised=3.6, metrics=METRICS),
        ),
        "quality": {"cjv": 0.71, "efc": 0.61, "snr_wm": 9.1, "fwhm_avg": 3.1, "qi_1": None, "wm2max": 0.62},
        "notes": ("The intensity was scaled by the file's slope.",),
        "versions": {"anomri": "0.1.0", "numpy": "2.4.6"},
    }
    return Result(**{**fields, **changes})


def outcome_of_arrays(
    voxels: np.ndarray, geometry: Geometry, brain: np.ndarray, heat: np.ndarray, expected: np.ndarray, **changes: Any
) -> Outcome:
    """A judged outcome with all its images; findings and slice scores follow from the heatmap."""
    region = Region(brain, geometry, "brain", "test")
    examined = np.isfinite(heat)
    heatmap = Heatmap(heat.astype(np.float32), geometry, Region(examined, geometry, "examined", "test"), "z", "zatlas")
    axis = int(np.argmax(np.abs(geometry.affine[2, :3])))
    scores = slice_scores(heatmap, axis)
    fields: dict[str, Any] = {
        "findings": findings_above(heatmap, 4.5),
        "slices": tuple(SliceScore(index=i, score=float(s)) for i, s in enumerate(scores) if np.isfinite(s)),
        "slice_axis": axis,
    }
    scan = Scan(
        voxels.astype(np.float32),
        geometry,
        "sub-17_T1w",
        Source("array", "test", "c" * 64, "c" * 64, "LAS"),
        sequence="T1w",
    )
    return Outcome(
        result=result_of(**{**fields, **changes}),
        scan=scan,
        heatmap=heatmap,
        brain=region,
        expected=expected.astype(np.float32),
    )


def small_outcome(
    directions: np.ndarray | None = None, shape: tuple[int, int, int] = (40, 48, 36), **changes: Any
) -> Outcome:
    """A ball-shaped brain, 4 mm voxels, with one bright lesion at 24, −28, 20 mm; grid oriented by `directions`."""
    turn = np.diag([-1.0, 1.0, 1.0]) if directions is None else directions
    affine = np.eye(4)
    affine[:3, :3] = 4.0 * turn
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2.0)
    geometry = Geometry(shape, affine)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1).reshape(-1, 3)
    x, y, z = (index @ affine[:3, :3].T + affine[:3, 3]).T.reshape(3, *shape)
    brain = (x / 60) ** 2 + (y / 76) ** 2 + (z / 56) ** 2 < 1
    wave = 100.0 + 40.0 * np.sin(x / 9.0) * np.cos(y / 11.0) + 20.0 * np.sin(z / 7.0)
    lesion = np.exp(-((x - 24) ** 2 + (y + 28) ** 2 + (z - 20) ** 2) / (2 * 8.0**2))
    inner = (x / 55) ** 2 + (y / 71) ** 2 + (z / 51) ** 2 < 1
    heat = np.where(inner, 1.0 + np.abs(np.sin(x * y / 200.0 + z / 6.0)) + 6.0 * lesion, np.nan)
    expected = np.where(brain, wave / 100.0, np.nan)
    return outcome_of_arrays(wave + 60.0 * lesion, geometry, brain, heat, expected, **changes)


def refused(verdict: str = "unreadable", **changes: Any) -> Result:
    """A result without a score."""
    return result_of(
        verdict=verdict,
        reason="The file ends after 2 kB of 8 MB. Copy it again.",
        score=None,
        robust_z=None,
        p_value=None,
        p_value_interval=None,
        drivers=(),
        quality={},
        **changes,
    )


@pytest.fixture
def make_outcome() -> Callable[..., Outcome]:
    return small_outcome


@pytest.fixture
def make_result() -> Callable[..., Result]:
    return result_of


@pytest.fixture
def make_refused() -> Callable[..., Result]:
    return refused


class Browser:
    """A headless Chromium behind a pipe (Chrome DevTools Protocol, messages end with a zero byte)."""

    def __init__(self, profile: Path) -> None:
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        # The protocol is spoken on descriptors 3 and 4 of the child.
        shell = f'exec 3<&{to_browser} 4>&{from_browser}; exec "$@"'
        flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            # The ban on the network in other words: no host is found.
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--remote-debugging-pipe",
            "--hide-scrollbars",
        ]
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "bash", CHROMIUM, *flags, f"--user-data-dir={profile}"],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._buffer = b""
        self._last = 0
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session: str | None = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    _session = None

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next(120.0)
            if answer is None:
                raise TimeoutError(method)
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def _next(self, patience_s: float) -> dict[str, Any] | None:
        end = time.monotonic() + patience_s
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                return None
            data = os.read(self._in, 1 << 20)
            if not data:
                raise RuntimeError("chromium ended")
            self._buffer += data
        message, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(message)

    def open(self, page: Path, *, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        self.events.clear()
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url=page.as_uri())
        self.wait_for("document.readyState === 'complete'")

    def value(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def wait_for(self, expression: str, patience_s: float = 60.0) -> None:
        end = time.monotonic() + patience_s
        while not self.value(expression):
            if time.monotonic() > end:
                raise TimeoutError(expression)
            time.sleep(0.02)

    def centre_of(self, selector: str) -> tuple[float, float]:
        """Middle of an element in the window, scrolled into view."""
        script = (
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); "
            "e.scrollIntoView({block: 'center', behavior: 'instant'}); "
            "const b = e.getBoundingClientRect(); return [b.left + b.width / 2, b.top + b.height / 2]; })()"
        )
        x, y = self.value(script)
        return x, y

    def click(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def wheel(self, x: float, y: float, delta: float) -> None:
        self.call("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=delta)

    def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def shot(self, path: Path, *, whole: bool = True) -> None:
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def complaints(self) -> list[str]:
        """Errors and warnings of the page, and policy violations."""
        self.value("1")
        found = []
        for event in self.events:
            params = event.get("params", {})
            if event.get("method") == "Runtime.exceptionThrown":
                found.append(json.dumps(params["exceptionDetails"]))
            if event.get("method") == "Runtime.consoleAPICalled":
                found.append(json.dumps(params["args"]))
            if event.get("method") == "Log.entryAdded":
                found.append(params["entry"]["text"])
        return found

    def requests(self) -> list[str]:
        """Addresses asked for, the page itself and data inside it left out."""
        self.value("1")
        urls = [
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent" and event["params"].get("type") != "Document"
        ]
        return [url for url in urls if not url.startswith("data:")]

    def close(self) -> None:
        self._session = None
        try:
            self.call("Browser.close")
        except (RuntimeError, OSError, TimeoutError):
            self._process.kill()
        self._process.wait(timeout=20)
        os.close(self._out)
        os.close(self._in)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        pytest.skip(f"{CHROMIUM} is not installed")
    profile = Path(tempfile.mkdtemp(prefix="anomri-browser-"))
    opened = Browser(profile)
    yield opened
    opened.close()
    shutil.rmtree(profile, ignore_errors=True)
