"""The ICBM 2009a symmetric template and its tissue maps, offline from nilearn.

References
----------
Fonov V. et al., NeuroImage 54, 313–327, 2011 (ICBM 2009a nonlinear symmetric average of 152 brains).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from anomri.core.geometry import Geometry

__all__ = ["Template", "icbm_template"]


@dataclass(frozen=True, eq=False, slots=True)
class Template:
    """An average brain.

    Parameters
    ----------
    t1w : (X, Y, Z) float32 in 0–1, 0 outside the brain.
    brain : (X, Y, Z) bool.
    csf, grey, white : (X, Y, Z) float32 probabilities, 0–1, adding up to 1 inside the brain.
    geometry : 1 mm, RAS+, x = 0 mm is the mid-sagittal plane.
    """

    t1w: NDArray[np.float32]
    brain: NDArray[np.bool_]
    csf: NDArray[np.float32]
    grey: NDArray[np.float32]
    white: NDArray[np.float32]
    geometry: Geometry


@lru_cache(maxsize=1)
def icbm_template() -> Template:
    """The ICBM template at 1 mm; loaded once a process, from files that nilearn installs."""
    from nilearn import datasets  # imported here because it takes a second

    image = datasets.load_mni152_template(resolution=1)
    t1w = np.asarray(image.dataobj, dtype=np.float32)
    grey = np.asarray(datasets.load_mni152_gm_template(resolution=1).dataobj, dtype=np.float32)
    white = np.asarray(datasets.load_mni152_wm_template(resolution=1).dataobj, dtype=np.float32)
    brain = np.asarray(datasets.load_mni152_brain_mask(resolution=1).dataobj) > 0
    total = np.maximum(grey + white, 1.0)
    grey, white = np.where(brain, grey / total, 0.0), np.where(brain, white / total, 0.0)
    csf = np.where(brain, np.clip(1.0 - grey - white, 0.0, 1.0), 0.0).astype(np.float32)
    t1w = np.where(brain, t1w, 0.0).astype(np.float32)
    for array in (t1w, brain, csf, grey, white):
        array.setflags(write=False)
    return Template(
        t1w, brain, csf, grey.astype(np.float32), white.astype(np.float32), Geometry(t1w.shape, image.affine)
    )
