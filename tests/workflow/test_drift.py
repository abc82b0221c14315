"""Whether scores mean today what they meant when a calibration was made."""

import dataclasses

import jax
import numpy as np

from jax_origin.workflow import Attributor, circumstances, score_again


def test_nothing_has_changed_where_it_was_made(calibration):
    assert circumstances(calibration) == []


def test_other_versions_devices_and_blocks_are_named(calibration):
    measured = dataclasses.replace(calibration.measured, scored_block=99)
    elsewhere = dataclasses.replace(
        calibration,
        packages={**calibration.packages, "jax": "0.0.1"},
        platform="tpu",
        measured=measured,
    )
    assert circumstances(elsewhere) == [
        f"jax {jax.__version__}, calibrated with 0.0.1",
        "runs on cpu, calibrated on tpu",
        "16 lanes in a block, calibrated with 99",
    ]


def test_a_version_that_both_packages_have_is_said_once(calibration):
    older = dataclasses.replace(calibration, packages={"jax": "0.0.1", "jaxlib": "0.0.1"})
    assert circumstances(older) == [f"jax {jax.__version__}, calibrated with 0.0.1"]
    parted = dataclasses.replace(calibration, packages={"jax": "0.0.1", "jaxlib": "0.0.2"})
    assert len(circumstances(parted)) == 2


def test_calibration_images_score_again_what_they_scored(generator, calibration):
    again = score_again(generator, calibration, num=3)
    assert again == (3, 0, 1.0)


def test_scores_that_have_moved_are_counted(generator, calibration):
    moved = calibration.belonging.copy()
    moved[:2] = [1e-2, 1.0]
    other = dataclasses.replace(calibration, belonging=moved)
    again = Attributor(generator, other, key=jax.random.key(0)).score_again(3)
    assert (again.num, again.moved) == (3, 2)
    kept = max(calibration.belonging[1], calibration.floor)
    assert np.isclose(again.worst, 1.0 / kept, rtol=1e-3)


def test_a_calibration_that_does_not_name_its_key_cannot_be_checked(generator, calibration):
    assert score_again(generator, dataclasses.replace(calibration, keys={})) is None
