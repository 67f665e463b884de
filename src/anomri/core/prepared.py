"""A scan ready for a method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from anomri.core.history import History
from anomri.core.region import Region
from anomri.core.scan import Scan
from anomri.errors import InputError

__all__ = ["Prepared"]


@dataclass(frozen=True, eq=False, slots=True)
class Prepared:
    """A scan on the model's grid, with all that was measured on the way.

    Parameters
    ----------
    scan : on the prepared grid; 0 outside the brain (or body), any sign inside it.
    region : what is examined: the mask eroded by a few mm, on the prepared grid.
    history : the way here and back.
    quality : image quality metrics of the native voxels inside the mask, by name; None where a metric needs air
        and there is none.
    brain : the whole mask on the original grid.
    inside : the whole mask on the prepared grid, before it is eroded to `region`.
    covariates : ``age`` (years) and ``sex`` (0 female, 1 male) where they are known.
    subject : whom the scan belongs to, for splits; never written to a result.

    Raises
    ------
    InputError : scan, region and inside do not share a grid.
    """

    scan: Scan
    region: Region
    history: History
    quality: Mapping[str, float | None]
    brain: Region
    inside: Region
    covariates: Mapping[str, float] = field(default_factory=dict)
    subject: str = ""

    def __post_init__(self) -> None:
        if not all(self.scan.geometry.same_grid(region.geometry) for region in (self.region, self.inside)):
            raise InputError("scan and region lie on different grids", remedy="Prepare them together.", code="geometry")
