import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jax_origin.evaluation import accuracy, auc, decision_rates, tpr_at_fpr

# Few distinct values, so that ties are common; a failed image may score infinity.
tied_scores = st.lists(
    st.sampled_from([0.0, 0.1, 0.2, 0.25, 0.5, 1.0, math.inf]), min_size=1, max_size=25
)
words = st.lists(st.sampled_from(["belongs", "foreign", "undecided"]), min_size=1, max_size=20)


@given(tied_scores, tied_scores)
@settings(deadline=None)
def test_auc_is_the_share_of_pairs_in_order_ties_counted_half(belonging, foreign):
    pairs = [(b < f) + 0.5 * (b == f) for b in belonging for f in foreign]
    assert auc(belonging, foreign) == sum(pairs) / len(pairs)
    assert auc(belonging, foreign) + auc(foreign, belonging) == pytest.approx(1.0)


def test_auc_of_scores_apart_alike_and_reversed():
    assert auc([0.1, 0.2], [0.3, 0.4]) == 1.0
    assert auc([0.1, 0.2], [0.1, 0.2]) == 0.5
    assert auc([0.3, 0.4], [0.1, 0.2]) == 0.0


def test_auc_of_many_scores_is_exact():
    scores = np.random.default_rng(0).random(100_000)
    assert auc(scores, scores) == 0.5


@given(tied_scores, tied_scores, st.floats(0, 1) | st.integers(0, 25))
@settings(deadline=None)
def test_tpr_is_that_of_the_best_threshold_that_keeps_the_fpr(belonging, foreign, fpr):
    if isinstance(fpr, int):  # A rate that occurs, where "at most" is decided by equality.
        fpr = min(fpr, len(foreign)) / len(foreign)
    values = sorted({*belonging, *foreign})
    best = 0.0  # The threshold under every score accepts nothing.
    for threshold in values:
        if sum(f <= threshold for f in foreign) / len(foreign) <= fpr:
            best = max(best, sum(b <= threshold for b in belonging) / len(belonging))
    assert tpr_at_fpr(belonging, foreign, fpr=fpr) == best


def test_tpr_at_one_percent_of_hundred_foreign_scores_lets_one_through():
    foreign = np.linspace(1, 2, 100)  # the second lowest is 1.0101
    assert tpr_at_fpr([0.5, 1.005, 1.02], foreign) == 2 / 3
    assert tpr_at_fpr([0.5, 1.005, 1.02], foreign[:99]) == 1 / 3
    assert tpr_at_fpr([0.5, 1.0, 1.02], foreign, fpr=0.0) == 1 / 3


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (lambda: auc([], [0.1]), "need at least one score of each kind; got 0 belonging, 1 for"),
        (lambda: tpr_at_fpr([0.1], []), "got 1 belonging, 0 foreign"),
        (lambda: auc([math.nan], [0.1]), "belonging scores hold 1 NaN"),
        (lambda: auc([0.1], [[0.1]]), "foreign scores must have one number for each image"),
        (lambda: tpr_at_fpr([0.1], [0.1], fpr=1.5), "fpr must lie between 0 and 1; got 1.5"),
        (lambda: tpr_at_fpr([0.1], [0.1], fpr=math.nan), "fpr must lie between 0 and 1"),
        (lambda: accuracy([], ["foreign"]), "verdicts_belonging is empty"),
        (lambda: accuracy(["belongs"], ["no"]), "verdicts_foreign: 'no' is no verdict"),
        (lambda: decision_rates("belongs", ["foreign"]), "verdicts_belonging: 'b' is no verdict"),
    ],
)
def test_wrong_input_is_named(measure, message):
    with pytest.raises(ValueError, match=message):
        measure()


def test_decision_rates_of_a_small_table():
    belonging = ["belongs", "belongs", "belongs", "foreign", "undecided"]
    foreign = np.array(["foreign", "foreign", "foreign", "belongs", "undecided"] * 2)
    assert decision_rates(belonging, foreign) == {
        "tpr": 3 / 5,
        "fpr": 2 / 10,
        "undecided_belonging": 1 / 5,
        "undecided_foreign": 2 / 10,
        "accuracy": 9 / 15,
    }
    assert accuracy(belonging, foreign) == 9 / 15


@given(words, words)
@settings(deadline=None)
def test_rates_do_not_depend_on_order_and_repeating_changes_nothing(belonging, foreign):
    rates = decision_rates(belonging, foreign)
    assert decision_rates(reversed(belonging), sorted(foreign)) == rates
    assert decision_rates(belonging * 3, foreign * 3) == pytest.approx(rates)
    assert all(0.0 <= rate <= 1.0 for rate in rates.values())
