import io

import numpy as np
from PIL import Image

from anomri.core.region import Region
from anomri.io import array_scan
from anomri.report.outline import outline_png


def test_the_picture_holds_the_mask_with_its_outline_and_little_around_it():
    voxels = np.full((60, 70, 50), 100.0, dtype=np.float32)
    voxels[:, 60:, :10] = 900.0  # where a face would be
    mask = np.zeros(voxels.shape, dtype=bool)
    mask[20:40, 15:35, 20:35] = True
    scan = array_scan(voxels, np.diag([2.0, 2.0, 2.0, 1.0]))
    png = outline_png(scan, Region(mask, scan.geometry, "brain", "user"))
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    coloured = np.ptp(pixels, axis=2) > 60
    assert coloured.any()
    # Nothing but the outline is bright: what lies further than the margin from the mask is not shown.
    assert not ((pixels.min(axis=2) > 200) & ~coloured).any()
