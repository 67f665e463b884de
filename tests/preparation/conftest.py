"""A made brain, coarse so that it is quick, and a recipe without its slowest step."""

from __future__ import annotations

import pytest

from anomri.pipeline.demo import tissue_maps
from anomri.preparation import Recipe
from anomri.simulate import Anatomy, anatomy

QUICK = Recipe(
    name="quick", bias=False, spacing_mm=4.0, shape=(40, 48, 40), intensity="percentile", ceiling=1.5, erode_mm=4.0
)


@pytest.fixture(scope="session")
def made_brain() -> Anatomy:
    return anatomy(tissue_maps(), seed=3, spacing_mm=2.5)


@pytest.fixture(scope="session")
def quick() -> Recipe:
    return QUICK
