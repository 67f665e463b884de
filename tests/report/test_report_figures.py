import io
from collections.abc import Callable

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from anomri.core.outcome import Outcome
from anomri.core.result import Result
from anomri.report.figures import plot, preview_png

Make = Callable[..., Outcome]


def test_a_plot_is_a_figure_of_three_planes_and_the_normals(make_outcome: Make) -> None:
    figure = plot(make_outcome())
    assert isinstance(figure, Figure)
    assert len(figure.axes) == 4
    pictures = [axes.get_images()[0].get_array() for axes in figure.axes[:3]]
    # The lesion is the strongest point of the heatmap: every plane goes through it, and shows it in colour.
    for picture in pictures:
        assert picture is not None
        assert (np.ptp(np.asarray(picture), axis=2) > 0.1).any()


def test_the_patients_right_is_on_the_left(make_outcome: Make) -> None:
    picture = np.asarray(plot(make_outcome()).axes[0].get_images()[0].get_array())
    coloured = np.argwhere(np.ptp(picture, axis=2) > 0.1)
    rows, columns = picture.shape[:2]
    # The lesion lies right (x = 24 mm) and behind (y = −28 mm).
    assert coloured[:, 1].mean() < columns / 2
    assert coloured[:, 0].mean() > rows / 2


def test_a_preview_is_the_same_bytes_whatever_the_users_style(make_outcome: Make) -> None:
    first = preview_png(make_outcome())
    with mpl.rc_context({"font.size": 20, "figure.dpi": 50, "savefig.bbox": "tight", "axes.facecolor": "red"}):
        assert preview_png(make_outcome()) == first
    assert Image.open(io.BytesIO(first)).size == (900, 350)
    assert b"tEXt" not in first
    assert b"tIME" not in first


@pytest.mark.parametrize("with_scan", [True, False])
def test_a_refused_scan_has_a_preview(make_outcome: Make, make_refused: Callable[..., Result], with_scan: bool) -> None:
    scan = make_outcome().scan if with_scan else None
    assert preview_png(Outcome(result=make_refused("out_of_scope"), scan=scan)).startswith(b"\x89PNG")


def test_a_hostile_name_is_text(make_outcome: Make) -> None:
    assert preview_png(make_outcome(scan_id="$\\frac{\u202e<b>")).startswith(b"\x89PNG")


def test_a_scan_without_heatmap_is_grey(make_outcome: Make) -> None:
    outcome = make_outcome()
    picture = np.asarray(
        plot(Outcome(outcome.result, outcome.scan, None, outcome.brain)).axes[0].get_images()[0].get_array()
    )
    assert np.ptp(picture, axis=2).max() == 0
