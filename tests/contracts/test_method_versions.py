"""A method whose readings change gets another version, so that nothing fitted or calibrated before is used."""

from __future__ import annotations

import pytest

from anomri.methods import METHODS, load_method, load_preset
from synthetic import prepared_population, with_lesion

# Version and score of a scan with a lesion, on ten normals. Where a score moves, raise the method's `version`, write
# both here, and tell users under "Scores change" in CHANGELOG.md. Networks are left out: their training differs from
# machine to machine by more than a small change of code would make.
READ = {
    "zatlas": (1, 9.7803),
    "iqm1c": (1, 1.251064),
    "baseline-constant": (1, 0),
    "baseline-volume": (1, 1.897538),
    "baseline-intensity": (1, 1.078701),
    "baseline-sharpness": (1, 0.8502047),
    "baseline-asymmetry": (1, 35.88751),
    "baseline-blur": (1, 19.44916),
    "baseline-gradient": (1, 30.583),
}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_states_its_version(name):
    version = load_method(name).version
    assert isinstance(version, int)
    assert version >= 1


@pytest.mark.parametrize("name", READ)
def test_a_version_says_the_same_of_the_same_scan_for_good(name):
    version, score = READ[name]
    method = load_method(name)(load_preset(name)[1].config)
    method.fit(prepared_population(10, seed=1), seed=0, fabric=None, resume=None)
    found = method.examine(with_lesion(prepared_population(1, seed=2)[0], 0.5, seed=3), seed=0).score
    assert (method.version, found) == (version, pytest.approx(score, rel=1e-5))


def test_every_method_without_a_network_is_held_to_its_version():
    assert set(READ) == {name for name, entry in METHODS.items() if not entry.needs_torch}
