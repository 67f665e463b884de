"""One-class model of image quality metrics: is this scan's noise, sharpness, contrast ... like that of the normals?

Each metric is centred and scaled robustly on the normals and compressed by asinh, so that one extreme metric cannot
drown the rest; the score is the Mahalanobis distance under a shrunk covariance.

    t_i = asinh((q_i − median_i) / (1.4826 · MAD_i)),   score = √((t − μ)ᵀ Σ⁻¹ (t − μ) / d)

References
----------
Ledoit O., Wolf M., "A well-conditioned estimator for large-dimensional covariance matrices", J. Multivariate
Analysis 88, 365–411, 2004. The metrics: `anomri.quality.METRICS`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from anomri.core.prepared import Prepared
from anomri.core.reading import Reading
from anomri.core.score import MAD_TO_SD
from anomri.errors import CalibrationError, ModelError
from anomri.methods.method import Config, FitReport, MetricName, Preset, require_normals
from anomri.quality import METRICS
from anomri.training.moving import moved_centre, moved_spread

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["IQM1C", "PRESETS", "IQM1CConfig"]

_NORMAL_RANGE_PERCENTILES = (2.5, 97.5)
_STATISTICS = ("centre", "spread", "low", "high", "mean")


class IQM1CConfig(Config):
    """Settings of the quality branch.

    Parameters
    ----------
    metrics : which metrics count; all that are marked for the score where empty.
    undefined_deviation : robust deviation given to a metric that the normals have and a scan has not.
    """

    metrics: tuple[MetricName, ...] = ()
    undefined_deviation: float = Field(default=10.0, ge=0.0)
    least_normals: int = Field(default=5, ge=3)


class IQM1C:
    """See the module."""

    version: ClassVar[int] = 1
    config_type: ClassVar[type[Config]] = IQM1CConfig
    localises: ClassVar[bool] = False

    def __init__(self, config: Config) -> None:
        if not isinstance(config, IQM1CConfig):
            raise ModelError("iqm1c needs an IQM1CConfig", remedy="Use a preset of iqm1c.", code="config")
        self.config = config
        self._names: tuple[str, ...] = ()
        self._state: dict[str, NDArray[np.generic]] = {}

    def fit(
        self,
        prepared: Sequence[Prepared],
        *,
        seed: int,  # noqa: ARG002 - nothing here is random
        fabric: Fabric | None = None,  # noqa: ARG002
        resume: Path | None = None,  # noqa: ARG002
    ) -> FitReport:
        """Centre, spread and covariance of the normals' metrics; well under a second."""
        from sklearn.covariance import LedoitWolf  # imported here because it takes half a second

        require_normals(len(prepared), self.config, "a quality model")
        start = time.perf_counter()
        wanted = self.config.metrics if self.config.metrics else tuple(n for n, m in METRICS.items() if m.in_score)
        names, columns, notes = [], [], []
        for name in wanted:
            found = np.array([np.nan if (q := p.quality.get(name)) is None else q for p in prepared], dtype=np.float64)
            if np.isfinite(found).all() and np.median(np.abs(found - np.median(found))) > 0:
                names.append(name)
                columns.append(found)
            else:
                notes.append(f"{name} is left out: it is undefined or constant in these normals")
        if not names:
            raise CalibrationError(
                "no quality metric varies in these normals", remedy="Check the scans.", code="no_metric"
            )
        table = np.stack(columns, axis=1)
        centre = np.median(table, axis=0)
        spread = MAD_TO_SD * np.median(np.abs(table - centre), axis=0)
        shaped = np.arcsinh((table - centre) / spread)
        model = LedoitWolf().fit(shaped)
        low, high = np.percentile(table, _NORMAL_RANGE_PERCENTILES, axis=0)
        self._names = tuple(names)
        self._state = {
            "names": np.frombuffer("\n".join(names).encode(), dtype=np.uint8),
            "centre": centre,
            "spread": spread,
            "low": low,
            "high": high,
            "mean": model.location_,
            "precision": model.precision_,
        }
        return FitReport(elapsed_s=time.perf_counter() - start, notes=tuple(notes))

    def examine(self, prepared: Prepared, *, seed: int = 0) -> Reading:  # noqa: ARG002
        """The distance as the score; per metric ``deviation/…``, ``low/…``, ``high/…`` as values."""
        if not self._names:
            raise ModelError(
                "the quality model has not been fitted", remedy="Fit or restore it first.", code="unfitted"
            )
        missing = sorted(set(self._names) - set(prepared.quality))
        if missing:
            raise ModelError(
                f"the model counts on {missing[0]}, which this version does not measure",
                remedy="Use the version of anomri that made the model, or fit it again.",
                code="unknown_metric",
            )
        found = [prepared.quality[name] for name in self._names]
        centre, spread = self._floats("centre"), self._floats("spread")
        deviation = np.array(
            [
                self.config.undefined_deviation if q is None or not np.isfinite(q) else (q - c) / s
                for q, c, s in zip(found, centre, spread, strict=True)
            ]
        )
        off = np.arcsinh(deviation) - self._floats("mean")
        distance = float(np.sqrt(max(off @ self._floats("precision") @ off, 0.0) / off.size))
        values: dict[str, float] = {}
        for i, name in enumerate(self._names):
            values[f"deviation/{name}"] = float(deviation[i])
            values[f"low/{name}"] = float(self._floats("low")[i])
            values[f"high/{name}"] = float(self._floats("high")[i])
        return Reading(score=distance, values=values)

    def adapted(self, prepared: Sequence[Prepared]) -> Self:
        """Centre and spread of each metric moved to a site; how the metrics hang together stays.

        A metric that is undefined in one of the scans is left as it is.
        """
        centre, spread = self._floats("centre").copy(), self._floats("spread").copy()
        for i, name in enumerate(self._names):
            found = np.array([np.nan if (q := p.quality.get(name)) is None else q for p in prepared], dtype=np.float64)
            if np.isfinite(found).all():
                at, here = slice(i, i + 1), np.median(found, keepdims=True)
                around = MAD_TO_SD * np.median(np.abs(found - here), keepdims=True)
                centre[at] = moved_centre(centre[at], here, spread[at], len(found), together=False)
                spread[at] = moved_spread(spread[at], around, len(found))
        # The range of normals goes with them.
        stretch = spread / self._floats("spread")
        ends = {name: centre + stretch * (self._floats(name) - self._floats("centre")) for name in ("low", "high")}
        return type(self).restore(self.config, {**self._state, "centre": centre, "spread": spread, **ends})

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Metric names (UTF-8 bytes, one a line) and their statistics (float64)."""
        return dict(self._state)

    @classmethod
    def restore(cls, config: Config, state: Mapping[str, NDArray[np.generic]]) -> Self:
        """From a config and its state."""
        method = cls(config)
        if set(state) != {"names", *_STATISTICS, "precision"}:
            raise ModelError("these are not the weights of a quality model", remedy="Restore the file.", code="weights")
        text = np.asarray(state["names"], dtype=np.uint8).tobytes().decode(errors="replace")
        method._names = tuple(text.split("\n"))
        method._state = dict(state)
        count = len(method._names)
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(_STATISTICS, (count,))
        shapes["precision"] = (count, count)
        if any(state[name].shape != shape for name, shape in shapes.items()):
            raise ModelError("the quality model's weights disagree", remedy="Restore the file.", code="weights")
        return method

    def _floats(self, name: str) -> NDArray[np.float64]:
        return np.asarray(self._state[name], dtype=np.float64)


PRESETS: dict[str, Preset] = {
    "iqm1c": Preset(IQM1CConfig(), "brain-t1", "all metrics within the brain; under a second"),
    "iqm1c-tiny": Preset(IQM1CConfig(least_normals=3), "brain-t1", "for tests"),
}
