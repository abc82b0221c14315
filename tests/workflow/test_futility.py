"""When images are given up: levels that own images' searches set."""

import dataclasses

import jax
import numpy as np
import pytest

from jax_origin.calibration import CalibrationError, Futility, Measured
from jax_origin.scores import CodeRatio
from jax_origin.workflow import Scorer, belonging_images
from jax_origin.workflow.futility import fitted_on, futility_of

NEVER = 1e6  # The level of checks that are too early.
NONE = Futility()


def levels_of(groups, units=None, *, floor=1e-3, promising=0.0, hops=False):
    units = units or [np.ones(len(curves)) for curves in groups]
    found = futility_of(groups, units, floor=floor, promising=promising, hops=hops)
    assert found.power == 0.65 and found.levels[0] == NEVER
    np.testing.assert_allclose(found.least, 0.2 * np.median(np.concatenate(units)))
    return np.array(found.levels[1:])


def after_one(curves):
    """With one check before those that count."""
    return np.concatenate([np.full((len(curves), 1), 9.0), curves], axis=1)


def test_levels_are_of_images_that_are_found_while_several_are_under_way():
    falling = after_one([[1.0, 0.1, 1e-3, 1e-3]] * 49 + [[2.0, 0.4, 0.2, 1e-3]])
    stuck = np.full((1, 5), 5.0)
    # Three times the farthest of fifty. One is left at the last check but one.
    levels = levels_of([np.concatenate([falling, stuck])])
    np.testing.assert_allclose(levels, [6.0, 1.2, 1.2, 1.2])
    # After an edit, say: of each group so many times the farthest, and the highest of these.
    np.testing.assert_allclose(levels_of([falling, 2 * falling])[:2], [12.0, 2.4])


def test_levels_leave_out_what_is_promising_and_of_hops_the_farthest_of_three_hundred():
    usual, far = [10.0, 7.0, 0.3, 1e-3], [20.0, 12.0, 0.4, 0.3]
    outlier, second = [30.0, 25.0, 0.4, 0.4], [25.0, 13.0, 0.4, 0.4]
    curves = after_one([usual] * 400 + [far] * 10 + [outlier, second])
    margin = 1 + 100 / 412
    levels = levels_of([curves], promising=0.5)
    np.testing.assert_allclose(levels, np.array([30.0, 25.0, 25.0, 25.0]) * margin)
    levels = levels_of([curves], promising=0.5, hops=True)
    np.testing.assert_allclose(levels, np.array([25.0, 13.0, 13.0, 13.0]) * margin)


def test_a_picture_that_a_code_says_better_may_score_higher():
    curves = after_one([[0.6, 0.6, 1e-3]] * 400 + [[0.9, 0.9, 1e-3]] * 100)
    units = np.array([1.0] * 400 + [0.5] * 100)
    highest = max(0.6, 0.9 * 0.5**0.35)
    np.testing.assert_allclose(levels_of([curves], [units])[:2], highest * 1.2)


def test_a_picture_that_a_code_says_with_little_is_given_up_by_its_distance():
    curves = after_one([[0.6, 0.6, 1e-3]] * 400 + [[50.0, 0.9, 1e-3]] * 100)
    units = np.array([1.0] * 400 + [0.01] * 100)
    levels = levels_of([curves], [units])
    np.testing.assert_allclose(levels[:2], [50.0 * 0.01 / 0.2**0.65 * 1.2, 0.6 * 1.2])
    futility = futility_of([curves], [units], floor=1e-3)
    assert futility.unit(1e-9) == futility.unit(0.2) == 0.2**0.65


@pytest.mark.parametrize(("hops", "score"), [(False, 5), (True, 2)])
def test_no_level_is_under_that_of_several_times_what_is_promising(hops, score):
    curves, units = after_one([[0.6, 0.3, 1e-3]] * 400), np.full(400, 0.01)
    levels = levels_of([curves], [units], promising=0.5, hops=hops)
    np.testing.assert_allclose(levels, score * 0.01**0.35)


def test_more_images_than_are_calibrated_are_fitted_on():
    assert fitted_on(200, 8) == (800, 100) and fitted_on(200, 1) == (800, 400)
    assert fitted_on(5, 0) == (20, 20)


def test_levels_are_times_a_power_of_the_codes_distance_and_spare_what_is_promising(
    generator, method, noise
):
    asked = dataclasses.replace(method, score=CodeRatio(), floor=0.01)
    key, checks = jax.random.key(3), method.recipe.checks

    def found(images, futility=NONE):
        return Scorer(generator, asked, key=key, futility=futility).found(images)

    def given_up(images, futility):
        return [str(one.inversion.ended) == "futile" for one in found(images, futility)]

    first = np.array([(one.inversion.curve[0], one.unit) for one in found(noise[:4])])
    assert (first[:, 0] > 0.5 * first[:, 1]).all()
    far = first[:, 0] / first[:, 1] ** 0.65
    between = Futility((float(np.median(far)),) * checks, 0.65)
    assert given_up(noise[:4], between) == list(far > np.median(far))
    # Half as far as the code is near enough, whatever the level.
    own = belonging_images(generator, 8, key=jax.random.key(4))
    spared = [one.inversion.curve[0] <= 0.5 * one.unit for one in found(own)]
    assert any(spared)
    never = Futility((1e-9,) * checks, 0.65)
    assert given_up(own, never) == [not near for near in spared]
    assert all(given_up(own, never._replace(spares=False)))


def test_levels_ahead_give_up_what_falls_slowly(generator, method, noise):
    key, checks = jax.random.key(3), method.recipe.checks

    def found(futility):
        return Scorer(generator, method, key=key, futility=futility).found(noise[:8])

    curves = np.stack([one.inversion.curve for one in found(NONE)])
    falls = curves[:, 1:] / curves[:, :-1]
    ahead = np.concatenate([curves[:, :1], curves[:, 1:] * falls**3], axis=1)
    level = float(np.median(ahead[:, 1]))
    levels = (1e6, level, *[1e6] * (checks - 2))
    for futility, far in [
        (Futility(levels, ahead=3.0), ahead[:, 1] > level),
        (Futility(levels), curves[:, 1] > level),
    ]:
        ended = [str(one.inversion.ended) for one in found(futility)]
        assert [each == "futile" for each in ended] == list(far)
    # Some would come under the level that are over it.
    assert (far != (ahead[:, 1] > level)).any()


def test_files_of_an_older_version_count_in_scores_or_distances():
    assert Measured.from_json({"futility": [0.3]}).given_up == Futility((0.3,))
    old = {"futility": [0.3], "futility_of_scores": True}
    measured = Measured.from_json(old)
    assert measured.given_up == Futility((0.3,), 1.0)
    assert Measured.from_json(measured.to_json()) == measured
    other = measured.giving_up(Futility((0.2, 0.1), 0.65, 0.5))
    assert other.given_up == Futility((0.2, 0.1), 0.65, 0.5)
    assert Measured.from_json(other.to_json()) == other
    with pytest.raises(CalibrationError, match=r"futility_power must be a number in \[0, 1\]"):
        Measured(futility=(0.3,), futility_power=2.0)
