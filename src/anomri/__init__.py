"""anomri: is this MRI scan normal, why not, and where not.

    import anomri

    scan = anomri.load("x.nii.gz")
    model = anomri.Model.load("brain-t1")
    outcome = anomri.score(scan, model)
    print(outcome.result.verdict, outcome.result.reason)

This is the one door: every public name stands in `__all__`, and nothing is imported before it is used (PEP 562).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anomri.calibration import Calibration
    from anomri.core.heatmap import Heatmap
    from anomri.core.outcome import Outcome
    from anomri.core.result import Result
    from anomri.core.scan import Scan
    from anomri.errors import AnomriError, InputError
    from anomri.io import read as load
    from anomri.models import Model
    from anomri.pipeline.calibrate import calibrate
    from anomri.pipeline.fit import fit
    from anomri.pipeline.gather import FitInput
    from anomri.pipeline.score import score
    from anomri.report.figures import plot
    from anomri.runs.save import save

__all__ = [
    "AnomriError",
    "Calibration",
    "FitInput",
    "Heatmap",
    "InputError",
    "Model",
    "Outcome",
    "Result",
    "Scan",
    "calibrate",
    "fit",
    "load",
    "plot",
    "save",
    "score",
]

# Public name → the module it comes from and its name there.
_HOMES = {
    "AnomriError": ("anomri.errors", "AnomriError"),
    "Calibration": ("anomri.calibration", "Calibration"),
    "FitInput": ("anomri.pipeline.gather", "FitInput"),
    "Heatmap": ("anomri.core.heatmap", "Heatmap"),
    "InputError": ("anomri.errors", "InputError"),
    "Model": ("anomri.models", "Model"),
    "Outcome": ("anomri.core.outcome", "Outcome"),
    "Result": ("anomri.core.result", "Result"),
    "Scan": ("anomri.core.scan", "Scan"),
    "calibrate": ("anomri.pipeline.calibrate", "calibrate"),
    "fit": ("anomri.pipeline.fit", "fit"),
    "load": ("anomri.io", "read"),
    "plot": ("anomri.report.figures", "plot"),
    "save": ("anomri.runs.save", "save"),
    "score": ("anomri.pipeline.score", "score"),
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("anomri")
    if name not in _HOMES:
        raise AttributeError(f"module 'anomri' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    found = getattr(importlib.import_module(module), attribute)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
