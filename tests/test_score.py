import numpy as np
import pytest

from jax_origin.score import SCORES, loss_score, reference_ratio


def test_the_loss_is_its_own_score():
    loss = np.float32([1e-6, 0.1])
    score = loss_score(loss)
    assert score.dtype == np.float64
    np.testing.assert_array_equal(score, loss)


def test_the_ratio_is_to_the_loss_under_the_reference():
    np.testing.assert_allclose(reference_ratio([1e-6, 0.1], [1e-3, 0.05]), [1e-3, 2.0])


def test_an_exact_fit_under_the_reference_gives_a_large_finite_ratio():
    score = reference_ratio([1e-6, 0.0], [0.0, 0.0])
    assert score[0] > 1e30
    assert score[1] == 0.0


@pytest.mark.parametrize(
    ("loss", "reference"), [(np.inf, 0.1), (0.1, np.inf), (0.1, np.nan), (np.inf, np.inf)]
)
def test_a_ratio_without_two_finite_losses_is_not_finite(loss, reference):
    # A reference that gives no image must not make the inspected model look near.
    assert not np.isfinite(reference_ratio([loss], [reference])).any()


def test_the_ratio_needs_a_reference():
    with pytest.raises(ValueError, match="needs a reference model"):
        reference_ratio([0.1])


def test_every_score_takes_both_losses():
    for score in SCORES.values():
        assert score(np.ones(3), np.ones(3)).shape == (3,)
