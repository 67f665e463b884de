"""The scorer of real models knows its rate, and whether it can be, before any scan is read."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from anomri.calibration import Calibration, Normal
from anomri.errors import CalibrationError
from anomri.runs.scorer import Request, open_model


@pytest.fixture
def _model_of_24_normals(monkeypatch):
    normals = tuple(
        Normal(scan_id=str(i), subject=str(i), image_sha256=f"{i:064x}", score=float(i), fold=0) for i in range(24)
    )
    calibration = Calibration(normals=normals, model_sha256="m", recipe_sha256="r", site="here", alarm_rate=0.1)
    model = SimpleNamespace(calibrated=lambda: calibration, to=lambda _device: "cpu")
    monkeypatch.setattr("anomri.models.Model.load", staticmethod(lambda _name: model))


@pytest.mark.usefixtures("_model_of_24_normals")
def test_the_rate_is_the_one_asked_for_or_the_models_own():
    assert open_model(Request("m")).alarm_rate == 0.1
    assert open_model(Request("m", 0.05)).alarm_rate == 0.05


@pytest.mark.usefixtures("_model_of_24_normals")
@pytest.mark.parametrize(
    ("rate", "said"), [(0.03, "rate of 0.03 .*at least 33"), (0.5, "alarm rate"), (-1.0, "alarm rate")]
)
def test_a_rate_that_cannot_be_shown_is_refused_at_once(rate, said):
    with pytest.raises(CalibrationError, match=said):
        open_model(Request("m", rate))
