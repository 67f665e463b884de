"""Statistics of a model's normals, moved to the normals of another site.

A few scans of a site say little about a spread and more about a centre. So a centre goes towards the site's as far as
the two lie apart by more than chance (positive-part James–Stein), and a spread is that of both together, the model's
counting as ten scans:

    centre = own + w (site − own),   w = max(0, 1 − v / d²),   spread² = (10 own² + n site²) / (10 + n)

d is the distance of both centres in spreads, v = π / 2n its variance where the site differs in nothing: that of a
median of n. Ten, because the logarithm of a standard deviation of n scans has a variance of about 1.25 / n and sites
differ in it by 0.35 (`anomri.calibration.site`): 1.25 / 0.35².

References
----------
Efron B., Morris C., "Data analysis using Stein's estimator and its generalizations", J. Am. Stat. Assoc. 70, 1975.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["moved_centre", "moved_spread"]

Floats = NDArray[np.floating]
_OWN_COUNT = 1.25 / 0.35**2


def moved_centre(own: Floats, site: Floats, spread: Floats, count: int, *, together: bool) -> NDArray[np.float64]:
    """Where normals of a site are centred.

    Parameters
    ----------
    own, site, spread : of one shape; medians or means of the model's normals and of the site's, and the spread (> 0) of
        normals around them.
    count : normal scans of the site.
    together : one weight for all elements, as for the voxels of a map; otherwise each has its own.

    Returns
    -------
    Between `own` and `site`, element by element.
    """
    distance = ((site - own) / spread).astype(np.float64) ** 2
    if together:
        distance = np.full_like(distance, distance.mean())
    weight = np.clip(1.0 - np.pi / 2.0 / count / np.maximum(distance, np.finfo(np.float64).tiny), 0.0, 1.0)
    return np.asarray(own + weight * (site - own), dtype=np.float64)


def moved_spread(own: Floats, site: Floats, count: int) -> NDArray[np.float64]:
    """How far normals of a site lie around their centre, from the model's spread and that of `count` of them."""
    pooled = (_OWN_COUNT * np.square(own, dtype=np.float64) + count * np.square(site, dtype=np.float64)) / (
        _OWN_COUNT + count
    )
    return np.asarray(np.sqrt(pooled), dtype=np.float64)
