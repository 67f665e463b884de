import numpy as np
from matplotlib import colormaps

from anomri.report.colours import CUT, colour_table


def test_the_table_is_the_upper_part_of_plasma() -> None:
    expected = colormaps["plasma"].resampled(4096)(np.linspace(CUT, 1.0, 256))[:, :3] * 255.0
    assert np.abs(colour_table().astype(float) - expected).max() <= 5.0


def test_lightness_grows_all_the_way() -> None:
    linear = (colour_table() / 255.0) ** 2.2
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luminance) > -2e-3).all()
    assert luminance[-1] > luminance[0] + 0.6
