"""A method whose readings change gets another version, so that nothing fitted or calibrated before is used."""

from __future__ import annotations

import dataclasses
import zlib

import numpy as np
import pytest
from scipy import ndimage

from anomri.core.prepared import Prepared
from anomri.methods import METHODS, load_method, load_preset
from anomri.quality import METRICS
from synthetic import SHAPE, prepared_population

# Version and score of one person, on ten normals. Where a score moves, raise the method's `version`, write both here,
# and tell users under "Scores change" in CHANGELOG.md. Networks are left out: their training differs from machine to
# machine by more than a small change of code would make.
READ: dict[str, tuple[int, float]] = {
    "zatlas": (1, 6.027602),
    "iqm1c": (1, 1.108694),
    "pca": (1, 0.09598452),
    "baseline-constant": (1, 0),
    "baseline-volume": (1, 1.048536),
    "baseline-intensity": (1, 3.614692),
    "baseline-sharpness": (1, 1.958371),
    "equalised": (1, 0.9850601),
    "baseline-position": (1, 3.222274e-05),
    "baseline-asymmetry": (1, 5.813801),
    "baseline-blur": (1, 5.169389),
    "baseline-gradient": (1, 4.552813),
}


def person(number: int) -> Prepared:
    """Drawn here and nowhere else, so that nothing but a method can move its score."""
    rng = np.random.default_rng(number)
    away = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij"))
    axes = 0.8 * (1 + 0.03 * rng.normal(size=3))
    inside = np.square(away / axes[:, None, None, None]).sum(axis=0) <= 1
    values = 0.7 + 0.2 * np.sin(9 * away).prod(axis=0) + ndimage.gaussian_filter(0.3 * rng.normal(size=SHAPE), 1.0)
    voxels = np.where(inside, values, 0.0).astype(np.float32)
    quality = {n: 1 + 0.05 * np.random.default_rng([number, zlib.crc32(n.encode())]).normal() for n in METRICS}
    one = prepared_population(1, seed=0)[0]
    return dataclasses.replace(
        one,
        scan=dataclasses.replace(one.scan, voxels=voxels, scan_id=f"person-{number}"),
        region=dataclasses.replace(one.region, mask=ndimage.binary_erosion(inside, iterations=2)),
        brain=dataclasses.replace(one.brain, mask=inside),
        inside=dataclasses.replace(one.inside, mask=inside),
        quality=quality,
        subject=f"person-{number}",
    )


@pytest.fixture(scope="module")
def normals() -> list[Prepared]:
    return [person(number) for number in range(10)]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_states_its_version(name):
    version = load_method(name).version
    assert isinstance(version, int)
    assert version >= 1


@pytest.mark.parametrize("name", READ)
def test_a_version_says_the_same_of_the_same_scan_for_good(name, normals):
    version, score = READ[name]
    method = load_method(name)(load_preset(name)[1].config)
    method.fit(normals, seed=0, fabric=None, resume=None)
    found = method.examine(person(100), seed=0).score
    assert (method.version, found) == (version, pytest.approx(score, rel=1e-4, abs=1e-6))


def test_every_method_without_a_network_is_held_to_its_version():
    assert set(READ) == {name for name, entry in METHODS.items() if not entry.needs_torch}
