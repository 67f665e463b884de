"""Small prepared scans made of noise: one shared anatomy, as many people as a test needs."""

from __future__ import annotations

import dataclasses
import hashlib
import zlib

import numpy as np
from scipy import ndimage

from anomri.core.geometry import Geometry
from anomri.core.history import Grid, History, Step
from anomri.core.prepared import Prepared
from anomri.core.region import Region
from anomri.core.scan import Scan, Source
from anomri.quality import METRICS

__all__ = ["GRID", "prepared_population", "with_lesion"]

SHAPE = (32, 40, 32)
# 2 mm voxels, symmetric about the plane x = 0 mm.
GRID = Geometry(
    SHAPE, np.array([[2.0, 0, 0, -31.0], [0, 2.0, 0, -39.0], [0, 0, 2.0, -31.0], [0, 0, 0, 1.0]], dtype=np.float64)
)


def _smooth_noise(rng: np.random.Generator, sigma: float) -> np.ndarray:
    noise = ndimage.gaussian_filter(rng.normal(size=SHAPE), sigma)
    return noise / noise.std()


def _quality(rng: np.random.Generator) -> dict[str, float | None]:
    """One positive value a metric, 5 % apart between people, the same mean for everybody."""
    return {name: (1 + zlib.crc32(name.encode()) % 7) * (1 + 0.05 * rng.normal()) for name in METRICS}


def _person(rng: np.random.Generator, anatomy: np.ndarray, number: int) -> Prepared:
    away = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij"))
    axes = np.array([0.82, 0.85, 0.8]) * (1 + 0.03 * rng.normal(size=3))
    inside = np.square(away / axes[:, None, None, None]).sum(axis=0) <= 1
    texture = anatomy + 0.04 * _smooth_noise(rng, 2.0) + 0.02 * rng.normal(size=SHAPE)
    voxels = np.where(inside, np.clip(texture * (1 + 0.03 * rng.normal()), 0.05, 1.5), 0.0).astype(np.float32)
    digest = hashlib.sha256(voxels.tobytes()).hexdigest()
    grid = Grid.of(GRID)
    return Prepared(
        scan=Scan(voxels, GRID, f"person-{number}", Source("array", "synthetic 1", digest, digest, "RAS"), "T1w"),
        region=Region(ndimage.binary_erosion(inside, iterations=2), GRID, "examined", "synthetic"),
        history=History(steps=(Step(name="synthetic", version=1, before=grid, after=grid),)),
        quality=_quality(rng),
        brain=Region(inside, GRID, "brain", "synthetic"),
        inside=Region(inside, GRID, "brain", "synthetic"),
        covariates={
            "age": float(rng.uniform(20, 80)),
            "sex": float(rng.integers(2)),
            "position": float(rng.uniform()),
        },
        subject=f"person-{number}",
    )


def prepared_population(n: int, seed: int) -> list[Prepared]:
    """`n` normal people on `GRID`; different seeds give different people with the same anatomy.

    An ellipsoid brain of three intensities in smooth patches, nearly symmetric; people differ in size, texture,
    brightness, noise and quality metrics.
    """
    pattern = _smooth_noise(np.random.default_rng(0), 3.0)
    pattern = (pattern + 0.9 * pattern[::-1]) / 2
    anatomy = ndimage.gaussian_filter(np.digitize(pattern, [-0.4, 0.4]) * 0.25 + 0.35, 0.7)
    rng = np.random.default_rng([seed, 1])
    return [_person(rng, anatomy, 1000 * seed + i) for i in range(n)]


def with_lesion(prepared: Prepared, strength: float, seed: int) -> Prepared:
    """The same person with a bright ball of 10 mm at a random place of the region; strength 0 changes nothing."""
    places = np.argwhere(ndimage.binary_erosion(prepared.region.mask, iterations=3))
    centre = places[np.random.default_rng(seed).integers(len(places))]
    away_mm = 2.0 * np.linalg.norm(np.indices(SHAPE) - centre[:, None, None, None], axis=0)
    blob = 1.0 / (1.0 + np.exp((away_mm - 5.0) / 0.8))
    voxels = np.where(prepared.inside.mask, prepared.scan.voxels + strength * blob, 0.0).astype(np.float32)
    digest = hashlib.sha256(voxels.tobytes()).hexdigest()
    source = dataclasses.replace(prepared.scan.source, sha256=digest, image_sha256=digest)
    return dataclasses.replace(prepared, scan=dataclasses.replace(prepared.scan, voxels=voxels, source=source))
