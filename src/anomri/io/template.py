"""The ICBM 2009a symmetric template and its tissue maps, offline from the files that nilearn installs.

References
----------
Fonov V. et al., NeuroImage 54, 313–327, 2011 (ICBM 2009a nonlinear symmetric average of 152 brains).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anomri.core.geometry import Geometry
from anomri.errors import MissingDependency

__all__ = ["Template", "icbm_template"]

# Share of the brightest voxel above which the template is brain; nilearn's own threshold.
_BRAIN_FROM = 0.2


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
    """The ICBM template at 1 mm; loaded once a process.

    Raises
    ------
    MissingDependency : nilearn's files are not where they should be.
    """
    t1w, affine = _map("t1")
    grey, _ = _map("gm")
    white, _ = _map("wm")
    brain = t1w > _BRAIN_FROM
    total = np.maximum(grey + white, 1.0)
    grey, white = np.where(brain, grey / total, 0.0), np.where(brain, white / total, 0.0)
    csf = np.where(brain, np.clip(1.0 - grey - white, 0.0, 1.0), 0.0).astype(np.float32)
    t1w = np.where(brain, t1w, 0.0).astype(np.float32)
    for array in (t1w, brain, csf, grey, white):
        array.setflags(write=False)
    return Template(t1w, brain, csf, grey.astype(np.float32), white.astype(np.float32), Geometry(t1w.shape, affine))


def _map(name: str) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """One of the template's images, its largest value 1, and its affine."""
    from nibabel.nifti1 import Nifti1Image

    # Importing nilearn would take a second, for three files.
    package = find_spec("nilearn")
    places = [] if package is None else package.submodule_search_locations or []
    for place in places:
        path = Path(place) / "datasets" / "data" / f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz"
        if path.is_file():
            image = Nifti1Image.from_filename(path)
            values = np.asarray(image.dataobj).astype(np.float32)
            return values / values.max(), image.affine
    raise MissingDependency("the brain template that comes with nilearn is missing", remedy="Install nilearn again.")
