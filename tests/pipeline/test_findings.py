"""What findings are said to be like, against a ball put at a known place of a ball-shaped brain."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomri.core.geometry import Geometry, apply_affine
from anomri.core.heatmap import Heatmap
from anomri.core.history import Grid, History, Step, rows_of
from anomri.core.prepared import Prepared
from anomri.core.reading import Reading
from anomri.core.region import Region
from anomri.core.result import Finding
from anomri.core.scan import Scan, Source
from anomri.io.template import icbm_template
from anomri.models.fusion import Scaling
from anomri.pipeline.findings import depth_mm, described_findings, side_of, surface_of, tissue_at
from anomri.preparation import RECIPES, Recipe
from anomri.preparation.orient import orient

RECIPE = RECIPES["brain-t1"]
VOXEL_MM = 2.0
BRAIN_MM, BALL_MM = 66.0, 9.0
# Of the brain, in the template's world; what brings the scan's world there.
MIDDLE = np.array([0.0, -20.0, 10.0])
TURNED = np.deg2rad(12.0)
WORLD = np.array(
    [
        [1.1 * np.cos(TURNED), -1.1 * np.sin(TURNED), 0.0, 7.0],
        [1.1 * np.sin(TURNED), 1.1 * np.cos(TURNED), 0.0, -31.0],
        [0.0, 0.0, 1.1, 4.0],
        [0.0, 0.0, 0.0, 1.0],
    ]
)
Place = tuple[float, float, float]
RIGHT_WHITE: Place = (27.0, -20.0, 27.0)


@dataclass(frozen=True)
class Case:
    """A scan with something in it, prepared, and what a method that subtracts the expected image says of it."""

    heatmap: Heatmap
    prepared: Prepared
    reading: Reading

    def findings(self, recipe: Recipe = RECIPE, **readings: Reading) -> tuple[Finding, ...]:
        scalings = {name: Scaling(location=0.0, spread=1.0, peak=1.0) for name in readings}
        return described_findings(self.heatmap, 0.1, self.prepared, recipe, readings or {"a": self.reading}, scalings)


def away(grid: Geometry, place: np.ndarray) -> np.ndarray:
    """(X, Y, Z) distances of a grid's voxels from a place, mm."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), axis=-1).reshape(-1, 3)
    return np.linalg.norm(apply_affine(grid.affine, index) - place, axis=1).reshape(grid.shape)


def native_grid(turn_deg: float = 0.0) -> Geometry:
    """Cubes of 2 mm around the brain as it lies in the scanner."""
    affine = np.eye(4)
    a = np.deg2rad(turn_deg)
    affine[:3, :3] = VOXEL_MM * np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    shape = (84, 80, 82)
    affine[:3, 3] = in_scanner(MIDDLE) - affine[:3, :3] @ ((np.array(shape) - 1) / 2.0)
    return Geometry(shape, affine)


def in_scanner(place: np.ndarray | Place) -> np.ndarray:
    """From the template's world to the scan's."""
    found: np.ndarray = apply_affine(np.linalg.inv(WORLD), np.array([place], dtype=np.float64))[0]
    return found


def case(place: Place, delta: float, native: Geometry | None = None, source: str = "nifti") -> Case:
    """A ball of `delta` at a place of the template's world."""
    native = native_grid() if native is None else native
    grid = RECIPE.grid
    # As large as the ball is once the world has grown by 1.1.
    inside = away(grid, MIDDLE) <= 1.1 * BRAIN_MM
    ball = np.clip(0.5 + (1.1 * BALL_MM - away(grid, np.array(place))) / VOXEL_MM, 0.0, 1.0)
    expected = np.where(inside, 0.6, np.nan).astype(np.float32)
    voxels = np.where(inside, 0.6 + delta * ball, 0.0).astype(np.float32)
    reading = Reading(
        score=1.0, map=np.where(inside, np.abs(voxels - expected), np.nan).astype(np.float32), expected=expected
    )
    step = Step(name="register", version=1, before=Grid.of(native), after=Grid.of(grid), world=rows_of(WORLD))
    history = History(steps=(step,))
    brain = Region(away(native, in_scanner(MIDDLE)) <= BRAIN_MM, native, "brain", "test")
    values = history.undo(reading.map)
    values[~brain.mask] = np.nan
    region = Region(inside, grid, "examined", "test")
    scan = Scan(voxels, grid, "s", Source(source, "test", "a" * 64, "a" * 64, "RAS"))
    prepared = Prepared(scan=scan, region=region, history=history, quality={}, brain=brain, inside=region)
    examined = Region(np.isfinite(values), native, "examined", "test")
    return Case(Heatmap(values, native, examined, "raw", "test"), prepared, reading)


@pytest.mark.parametrize("delta", [0.3, -0.3])
@pytest.mark.parametrize("place", [RIGHT_WHITE, (-40.0, -40.0, 30.0), (0.0, 10.0, 20.0)])
def test_a_ball_is_told_as_it_was_made(place: Place, delta: float):
    (finding,) = case(place, delta).findings()
    assert finding.direction == ("brighter" if delta > 0 else "darker")
    assert finding.branch == "a"
    assert finding.centroid_mm == pytest.approx(tuple(in_scanner(place)), abs=0.5)
    assert finding.template_mm == pytest.approx(place, abs=0.5)
    assert finding.side == ("right" if place[0] > 10 else "left" if place[0] < -10 else "midline")
    depth = BRAIN_MM - float(np.linalg.norm(in_scanner(place) - in_scanner(MIDDLE)))
    assert finding.depth_mm == pytest.approx(depth, abs=VOXEL_MM)
    # A third of the ball's height stands a little outside its half height.
    assert finding.volume_mm3 == pytest.approx(4 / 3 * np.pi * (BALL_MM + VOXEL_MM / 6) ** 3, rel=0.1)
    assert f"{finding.depth_mm:.0f} mm below the surface" in finding.sentence
    assert finding.direction in finding.sentence


def test_the_words_are_those_a_person_would_say():
    (finding,) = case(RIGHT_WHITE, 0.3).findings()
    assert finding.sentence == (
        f"A region of {finding.volume_mm3 / 1000:.1f} ml is brighter than expected, on the right, "
        f"centred {finding.depth_mm:.0f} mm below the surface, mostly white matter"
    )
    (middle,) = case((0.0, -95.0, 5.0), 0.3).findings()
    assert "at the midline" in middle.sentence


def test_mirrored_it_lies_on_the_other_side_and_all_else_is_the_same():
    (right,) = case(RIGHT_WHITE, 0.3).findings()
    (left,) = case((-RIGHT_WHITE[0], *RIGHT_WHITE[1:]), 0.3).findings()
    assert left.sentence == right.sentence.replace("on the right", "on the left")
    assert left.tissue is not None
    assert right.tissue is not None
    # The template is symmetric to a few hundredths.
    assert left.tissue.white == pytest.approx(right.tissue.white, abs=0.05)


def stored(native: Geometry, order: tuple[int, ...], flips: tuple[int, ...]) -> Geometry:
    """The same voxels with their axes stored in another order and direction."""
    affine = native.affine.copy()
    for axis in flips:
        affine[:3, 3] += affine[:3, axis] * (native.shape[axis] - 1)
        affine[:3, axis] *= -1.0
    columns = [*order, 3]
    x, y, z = (native.shape[axis] for axis in order)
    return Geometry((x, y, z), affine[:, columns])


@pytest.mark.parametrize(
    ("order", "flips"), [((0, 1, 2), (0,)), ((0, 1, 2), (0, 1, 2)), ((2, 0, 1), (1,)), ((1, 2, 0), (0, 2))]
)
def test_however_it_is_stored_the_words_are_the_same(order: tuple[int, ...], flips: tuple[int, ...]):
    native = native_grid()
    turned = stored(native, order, flips)
    # The oracle: brought back to RAS+ it is the grid it was made from.
    _, _, back = orient(np.zeros(turned.shape, np.float32), np.ones(turned.shape, bool), turned)
    assert back.same_grid(native)
    (finding,), (same,) = case(RIGHT_WHITE, -0.3).findings(), case(RIGHT_WHITE, -0.3, turned).findings()
    assert same.sentence == finding.sentence
    for name in ("centroid_mm", "template_mm", "depth_mm", "volume_mm3", "peak"):
        assert getattr(same, name) == pytest.approx(getattr(finding, name), abs=1e-3), name


@pytest.mark.parametrize("turn_deg", [-25.0, 10.0, 40.0])
def test_on_an_oblique_grid_it_lies_where_it_lay(turn_deg: float):
    (finding,), (oblique,) = (
        case(RIGHT_WHITE, 0.3).findings(),
        case(RIGHT_WHITE, 0.3, native_grid(turn_deg)).findings(),
    )
    assert (oblique.direction, oblique.side) == (finding.direction, finding.side)
    assert oblique.depth_mm == pytest.approx(finding.depth_mm, abs=VOXEL_MM)
    assert oblique.template_mm == pytest.approx(finding.template_mm, abs=0.5)
    assert oblique.volume_mm3 == pytest.approx(finding.volume_mm3, rel=0.05)


def test_the_branch_that_contributes_most_says_whether_it_is_darker_or_brighter():
    made = case(RIGHT_WHITE, 0.3)
    assert made.reading.map is not None
    assert made.reading.expected is not None
    # A weaker branch that expected more than there is; a stronger one that expects nothing.
    weak = replace(made.reading, map=made.reading.map / 2, expected=made.reading.expected + np.float32(1.0))
    silent = replace(made.reading, map=made.reading.map * 2, expected=None)
    (finding,) = made.findings(weak=weak, strong=made.reading)
    assert (finding.branch, finding.direction) == ("strong", "brighter")
    (finding,) = made.findings(strong=made.reading, silent=silent)
    assert (finding.branch, finding.direction) == ("silent", None)
    assert "departs from what the normals show there, on the right" in finding.sentence


def test_a_branch_is_weighed_by_the_peak_of_its_normals():
    made = case(RIGHT_WHITE, 0.3)
    assert made.reading.map is not None
    loud = replace(made.reading, map=made.reading.map * 10, expected=None)
    scalings = {"a": Scaling(location=0, spread=1, peak=1.0), "loud": Scaling(location=0, spread=1, peak=20.0)}
    readings = {"a": made.reading, "loud": loud}
    (finding,) = described_findings(made.heatmap, 0.1, made.prepared, RECIPE, readings, scalings)
    assert finding.branch == "a"


@pytest.mark.parametrize("name", ["slices-2d", "pelvis-t2"])
def test_what_has_no_brain_s_surface_has_no_depth_and_no_tissue(name: str):
    (finding,) = case(RIGHT_WHITE, 0.3).findings(RECIPES[name])
    assert (finding.side, finding.direction) == ("right", "brighter")
    assert finding.depth_mm is finding.tissue is finding.template_mm is None
    assert finding.region == "on the right"


def test_a_brain_that_was_turned_alone_has_depth_and_no_place_in_the_template():
    (finding,) = case(RIGHT_WHITE, 0.3).findings(RECIPES["itermask-published"])
    assert finding.depth_mm is not None
    assert finding.tissue is finding.template_mm is None


def test_left_and_right_of_a_picture_are_unknown():
    (finding,) = case(RIGHT_WHITE, 0.3, source="png").findings(RECIPES["slices-2d"])
    assert finding.side is finding.region is None
    x, y, z = (round(c) for c in finding.centroid_mm)
    assert finding.sentence.endswith(f"around ({x}, {y}, {z}) mm is brighter than expected")


def test_a_map_below_the_level_has_no_findings():
    assert case(RIGHT_WHITE, 0.05).findings() == ()


@given(st.lists(st.floats(-80, 80), min_size=1, max_size=40))
def test_the_mirror_image_of_some_points_lies_on_the_other_side(x: list[float]):
    other: dict[Any, str] = {"left": "right", "right": "left", "midline": "midline"}
    assert side_of(-np.array(x)) == other[side_of(np.array(x))]


@pytest.mark.parametrize(
    ("x", "side"), [([1.9], "midline"), ([2.1], "right"), ([-30.0] * 3 + [9.0], "left"), ([-9.0, 9.0], "midline")]
)
def test_a_side_holds_three_quarters_beyond_two_millimetres(x: list[float], side: str):
    assert side_of(np.array(x)) == side


# Slices of 3 mm.
THICK = Geometry((40, 44, 22), np.diag([-1.5, 1.5, 3.0, 1.0]))
CENTRE = np.array([-29.0, 32.0, 30.0])


def ball_brain(hollow_mm: float = 0.0) -> Region:
    distance = away(THICK, CENTRE)
    return Region((distance <= 26.0) & (distance >= hollow_mm), THICK, "brain", "test")


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 25.0), st.floats(0, 2 * np.pi), st.floats(-1.0, 1.0))
def test_depth_is_what_is_left_to_the_surface(radius: float, turn: float, height: float):
    flat = np.sqrt(1.0 - height**2)
    x, y, z = CENTRE + radius * np.array([flat * np.cos(turn), flat * np.sin(turn), height])
    brain = ball_brain()
    assert depth_mm((x, y, z), surface_of(brain), THICK) == pytest.approx(26.0 - radius, abs=1.8)


def test_a_hollow_is_no_surface_and_the_end_of_the_image_is_one():
    assert np.array_equal(surface_of(ball_brain(6.0)), surface_of(ball_brain()))
    cut = Geometry((40, 44, 8), THICK.affine)
    whole = Region(np.ones(cut.shape, dtype=bool), cut, "brain", "test")
    place = tuple(float(v) for v in apply_affine(cut.affine, np.array([[20.0, 22.0, 6.0]]))[0])
    # One and a half slices of 3 mm to the upper end.
    assert depth_mm((place[0], place[1], place[2]), surface_of(whole), cut) == pytest.approx(4.5)


def test_a_place_outside_the_mask_has_depth_0():
    touching = surface_of(ball_brain())
    x, y, z = (float(v) for v in apply_affine(THICK.affine, touching[:1].astype(np.float64))[0])
    assert depth_mm((x, y, z), touching, THICK) == 0.0


@pytest.mark.parametrize("tissue", ["csf", "grey", "white"])
def test_the_tissue_is_the_template_s(tissue: str):
    template = icbm_template()
    where = np.argwhere(getattr(template, tissue) > 0.98)[:200]
    shares = tissue_at(apply_affine(template.geometry.affine, where.astype(np.float64)))
    assert shares is not None
    assert getattr(shares, tissue) > 0.97
    assert shares.csf + shares.grey + shares.white == pytest.approx(1.0)


def test_outside_the_template_no_tissue_is_claimed():
    corners = np.array(list(itertools.product((-90.0, 400.0), repeat=3)))
    assert tissue_at(corners) is None
