"""A mask that the user gives with a scan."""

from __future__ import annotations

from pathlib import Path

from anomri.core.region import Region
from anomri.core.scan import Scan
from anomri.errors import InputError, about_scan
from anomri.io.formats import read_image

__all__ = ["read_mask"]

# Two programs that write the same grid differ by rounding alone.
GRID_TOLERANCE_MM = 0.1


def read_mask(path: Path, scan: Scan) -> Region:
    """Read the mask of a scan; every voxel that is not zero lies inside.

    Returns
    -------
    The region ``brain``, made by ``user``, on the scan's own grid.

    Raises
    ------
    InputError : the file cannot be read (`mask_unreadable`), lies on another grid (`mask_grid`) or is empty
        (`mask_empty`).
    """
    with about_scan(scan.scan_id):
        try:
            image = read_image(Path(path))
        except InputError as error:
            raise InputError(
                f"the mask cannot be used: {error.cause}", remedy=error.remedy, code="mask_unreadable"
            ) from error
        if not scan.geometry.same_grid(image.geometry, GRID_TOLERANCE_MM):
            raise InputError(
                "the mask does not lie on the scan's grid",
                remedy="Resample the mask to the scan (nearest neighbour) and give it again.",
                code="mask_grid",
            )
        return Region(image.voxels != 0, scan.geometry, "brain", "user")
