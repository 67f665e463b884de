"""What all artefacts promise."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from anomri.core.scan import Scan, Source
from anomri.errors import InputError
from anomri.simulate import KINDS, RECIPES, SEVERITIES, STRUCTURE, Record, corrupt, replay
from anomri.simulate.corrupt import corrupt as corrupt_function

every_kind = pytest.mark.parametrize("kind", KINDS)
dialled = pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind].levels > 1])


def strongest(kind: str, severity: int) -> int:
    return min(severity, KINDS[kind].levels)


@dialled
def test_a_higher_severity_lies_further_from_the_clean_scan(kind, uneven):
    brain = uneven.voxels > 0
    error = [
        np.median(
            [corrupt(uneven, kind, severity=s, seed=seed, brain=brain).record.measured["nrmse"] for seed in range(20)]
        )
        for s in SEVERITIES
    ]
    assert error[0] > 0
    assert all(low < high for low, high in itertools.pairwise(error)), error


DETERMINED = ("flip", "clip", "quantise")


@every_kind
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(kind, head, brain):
    first, again, other = (
        corrupt(head, kind, severity=strongest(kind, 3), seed=seed, brain=brain) for seed in (5, 5, 6)
    )
    assert first.scan.voxels.tobytes() == again.scan.voxels.tobytes()
    assert first.record == again.record
    assert first.scan.source.sha256 == again.scan.source.sha256
    if kind not in DETERMINED and kind not in RECIPES:
        assert first.scan.voxels.tobytes() != other.scan.voxels.tobytes()


@every_kind
@pytest.mark.parametrize("keep_outside", [False, True])
@pytest.mark.parametrize("severity", [1, 5])
def test_a_record_from_json_makes_the_same_bytes(kind, severity, keep_outside, head, brain):
    made = corrupt(head, kind, severity=strongest(kind, severity), seed=11, brain=brain, keep_outside=keep_outside)
    again = replay(head, Record.model_validate_json(made.record.model_dump_json()), brain)
    assert again.scan.voxels.tobytes() == made.scan.voxels.tobytes()
    assert again.scan.source == made.scan.source
    assert again.record == made.record
    if made.core is not None:
        np.testing.assert_array_equal(again.core, made.core)


@every_kind
@pytest.mark.parametrize("severity", SEVERITIES)
def test_changed_is_where_voxels_differ_and_holds_the_core(kind, severity, head, brain):
    if severity > KINDS[kind].levels:
        return
    made = corrupt(head, kind, severity=severity, seed=2, brain=brain)
    np.testing.assert_array_equal(made.changed, made.scan.voxels != head.voxels)
    assert KINDS[kind].moves or not made.changed[~brain].any()
    if KINDS[kind].local:
        assert made.core is not None
        assert made.core.any()
        assert not (made.core & ~(made.changed & brain)).any()
    else:
        assert made.core is None


@every_kind
def test_a_stripped_scan_stays_zero_outside_and_a_whole_one_changes_everywhere(kind, head, brain):
    stripped = corrupt(head, kind, severity=strongest(kind, 4), seed=0, brain=brain)
    if not KINDS[kind].moves:
        assert not stripped.scan.voxels[~brain].any()
    rng = np.random.default_rng(0)
    air = np.abs(20.0 * rng.standard_normal(head.voxels.shape)).astype(np.float32)
    full = dataclasses.replace(head, voxels=np.where(brain, head.voxels, air + 1.0))
    outside = corrupt(full, kind, severity=strongest(kind, 4), seed=0, brain=brain, keep_outside=True).changed[~brain]
    if kind in STRUCTURE:
        assert not outside.any()
    elif kind not in NOT_IN_AIR:
        assert outside.any()


# Nothing in air is bright enough to be cut off; one recipe changes a block inside the head, one leaves its background.
NOT_IN_AIR = ("clip", "tokens-square", "itermask3d-bias")


@every_kind
def test_the_input_is_never_changed(kind, head, brain):
    before, mask = head.voxels.copy(), brain.copy()
    corrupt(head, kind, severity=strongest(kind, 5), seed=1, brain=brain)
    np.testing.assert_array_equal(head.voxels, before)
    np.testing.assert_array_equal(brain, mask)


@every_kind
def test_a_simulated_scan_says_what_it_is(kind, head, brain):
    severity = strongest(kind, 3)
    made = corrupt(head, kind, severity=severity, seed=4, brain=brain)
    assert made.scan.scan_id == f"head_{kind}-{severity}"
    assert made.scan.source.format == "array"
    assert made.scan.source.sha256 != head.source.sha256
    assert made.scan.geometry.same_grid(head.geometry)
    assert made.scan.voxels.dtype == np.float32
    assert made.scan.voxels.min() >= 0 or kind in RECIPES
    assert set(made.record.measured) == {"nrmse", "ssim"}
    assert made.record.measured["ssim"] < 1


def test_unknown_kinds_and_severities_name_what_there_is(head, brain):
    with pytest.raises(InputError, match=r"Did you mean 'motion'"):
        corrupt(head, "motoin", severity=1, seed=0, brain=brain)
    with pytest.raises(InputError, match="severity 6"):
        corrupt(head, "motion", severity=6, seed=0, brain=brain)


def test_masks_that_do_not_fit_are_refused(head, brain):
    for mask in (brain[:-1], np.zeros_like(brain), brain.astype(np.uint8)):
        with pytest.raises(InputError):
            corrupt_function(head, "noise", severity=1, seed=0, brain=mask)


def test_a_record_is_refused_for_another_scan_mask_version_or_content(head, brain):
    record = corrupt(head, "spike", severity=2, seed=0, brain=brain).record
    other = Scan(head.voxels.copy(), head.geometry, "other", Source("array", "test", "0" * 64, "0" * 64, "LAS"))
    smaller = brain.copy()
    smaller[20, 20, 20] = False
    with pytest.raises(InputError, match="another scan"):
        replay(other, record, brain)
    with pytest.raises(InputError, match="another scan or brain mask"):
        replay(head, record, smaller)
    with pytest.raises(InputError, match="version 99"):
        replay(head, record.model_copy(update={"version": 99}), brain)
    with pytest.raises(InputError, match="does not hold"):
        replay(head, record.model_copy(update={"drawn": {"amplitude": 1.0}}), brain)
    with pytest.raises(InputError, match="does not hold"):
        replay(head, record.model_copy(update={"severity": None}), brain)
