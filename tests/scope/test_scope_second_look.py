"""Limits from normals: what lies among them is in scope, what lies far outside is not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from anomri.core.prepared import Prepared
from anomri.scope import Limit, Scope, features, fit_scope, second_look
from measured import FEATURES, as_measured, drawn_features
from synthetic import prepared_population


@pytest.fixture(scope="module")
def person() -> Prepared:
    return prepared_population(1, seed=1)[0]


@pytest.fixture(scope="module")
def normals(person: Prepared) -> list[Prepared]:
    rng = np.random.default_rng(0)
    return [as_measured(person, drawn_features(rng)) for _ in range(12)]


def test_features_are_what_the_steps_measured(person):
    wanted = {name: float(i) for i, name in enumerate(FEATURES)}
    assert features(as_measured(person, wanted)) == wanted


def test_every_normal_that_set_the_limits_is_in_scope(normals):
    scope = fit_scope(normals)
    assert set(scope.limits) == set(FEATURES)
    assert all(second_look(n, scope) == () for n in normals)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_another_scan_within_the_range_is_in_scope(person, normals, seed):
    rng = np.random.default_rng(seed)
    table = [features(n) for n in normals]
    inside = {name: float(rng.uniform(*np.percentile([row[name] for row in table], [0, 100]))) for name in FEATURES}
    assert second_look(as_measured(person, inside), fit_scope(normals)) == ()


@pytest.mark.parametrize("name", sorted(FEATURES))
@pytest.mark.parametrize("side", ["low", "high"])
def test_each_feature_far_outside_is_a_reason_that_names_it(person, normals, name, side):
    scope = fit_scope(normals)
    limit = getattr(scope.limits[name], side)
    usual = features(normals[0])
    far = as_measured(person, {**usual, name: -5.0 if side == "low" else 7.0})
    reasons = second_look(far, scope)
    if limit is None:
        assert reasons == ()
    else:
        (reason,) = reasons
        assert f"({name} " in reason


def test_several_features_give_several_reasons_and_a_limit_itself_is_in(person):
    usual = dict.fromkeys(FEATURES, 1.0)
    first, second = list(FEATURES)[:2]
    scope = Scope(limits={first: Limit(low=0.5, high=None), second: Limit(low=None, high=1.5)})
    assert second_look(as_measured(person, {**usual, first: 0.5, second: 1.5}), scope) == ()
    assert len(second_look(as_measured(person, {**usual, first: 0.4, second: 1.6}), scope)) == 2


def test_a_scope_comes_back_from_json(normals):
    scope = fit_scope(normals)
    assert Scope.model_validate_json(scope.model_dump_json()) == scope


def test_a_limit_on_something_nothing_measures_is_refused():
    with pytest.raises(ValidationError):
        Scope(limits={"smell": Limit(low=0.0, high=1.0)})
