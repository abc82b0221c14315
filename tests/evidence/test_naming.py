import numpy as np
import pytest

from jax_origin.calibration import Conformal, ForeignGroup, NearestGroup, Rates
from jax_origin.calibration.decision_rules import FITS_BOTH, FITS_NEITHER, TOO_FEW
from jax_origin.evidence import Naming, indistinguishable_groups, name_candidates
from jax_origin.evidence.naming import SEVERAL_FIT

ABC = ["a", "b", "c"]


def named(p, q, **options):
    (naming,) = name_candidates([p], [q], ABC, **{"rates": Rates(0.05, 0.05), **options})
    return naming


def test_an_image_is_named_only_where_one_candidate_fits_and_no_foreign_group_does():
    assert named([0.01, 0.02, 0.05], [0.06] * 3) == Naming("none", (), (), None)
    # Nearer to two of them than foreign images: perhaps their own, after another edit.
    neither = Naming("undecided", (), (), f"{FITS_NEITHER}: a, c")
    assert named([0.01, 0.02, 0.05], [0.01, 0.06, 0.05]) == neither
    assert named([0.01, 0.5, 0.01], [1, 0.05, 1]) == Naming("named", ("b",), ("b",), None)
    assert named([0.01, 0.5, 0.01], [0, 0.06, 0]) == Naming("undecided", (), ("b",), FITS_BOTH)
    assert named([0.9, 0.5, 0.01], [0.01] * 3) == Naming(
        "undecided", (), ("a", "b"), f"{SEVERAL_FIT}: a, b"
    )


def test_a_group_that_cannot_be_told_apart_is_named_as_a_group():
    together = {"indistinguishable": [("c", "a")]}
    whole = Naming("named", ("a", "c"), ("a", "c"), "indistinguishable: a, c")
    assert named([0.9, 0.01, 0.5], [0.01, 1, 0.01], **together) == whole
    # One of them alone says no more than that it is one of them.
    one = named([0.9, 0.01, 0.01], [0.01, 1, 1], **together)
    assert one.named == ("a", "c") and one.fitting == ("a",)
    assert named([0.9, 0.01, 0.5], [0.01, 0.01, 0.9], **together).reason == FITS_BOTH
    assert named([0.9, 0.5, 0.5], [0.01] * 3, **together).reason.startswith(SEVERAL_FIT)


def test_a_candidate_that_can_exclude_nothing_is_never_named():
    least = {"least_p": [0.01, 0.2, 0.01]}
    naming = named([0.01, 0.2, 0.01], [0.01] * 3, **least)
    assert naming == Naming("undecided", (), ("b",), f"{TOO_FEW}: b can exclude nothing")
    assert named([0.5, 0.2, 0.01], [0.01] * 3, **least).reason.startswith(TOO_FEW)
    # At an alpha where even its least p-value is over alpha, a small p excludes nothing either.
    assert named([0.01, 0.03, 0.01], [0.01] * 3, **least).verdict == "undecided"


def test_a_candidate_that_can_attribute_nothing_says_so():
    least = {"least_q": [0.01, 0.2, 0.01]}
    naming = named([0.01, 0.5, 0.01], [0.01, 0.2, 0.01], **least)
    assert naming == Naming("undecided", (), ("b",), f"{TOO_FEW}: b can attribute nothing")
    # It is no other candidate's fault.
    assert named([0.5, 0.01, 0.01], [0.2, 0.2, 0.01], **least).reason == FITS_BOTH
    assert named([0.5, 0.01, 0.01], [0.01, 0.2, 0.01], **least).named == ("a",)


def test_wrong_names_and_none_of_these_are_kept_to_their_rates():
    rng, draws, num, alpha, beta = np.random.default_rng(0), 500, 99, 0.05, 0.05
    # Scores under a, b and c of images of a, b, c and of something else.
    means = {"a": (0, 3, 1), "b": (3, 0, 2), "c": (1, 2, 0), "else": (2, 2, 2)}
    counts = dict.fromkeys(means, 0)
    for _ in range(draws):
        calibration = {k: np.exp(rng.normal(m, 1, (num, 3))) for k, m in means.items()}
        for origin, mean in means.items():
            image = np.exp(rng.normal(mean, 1))
            p = [
                Conformal().fit(calibration[k][:, i]).p_value(image[i : i + 1])[0]
                for i, k in enumerate(ABC)
            ]
            q = [
                NearestGroup(
                    {o: ForeignGroup(calibration[o][:, i], num) for o in means if o != k}
                ).q(image[i : i + 1])[0]
                for i, k in enumerate(ABC)
            ]
            naming = name_candidates([p], [q], ABC, rates=Rates(alpha, beta))[0]
            wrong = naming.verdict == "named" and naming.named != (origin,)
            counts[origin] += wrong or (origin != "else" and naming.verdict == "none")
    error = 3 * np.sqrt(0.05 * 0.95 / draws)
    assert all(counts[k] / draws <= alpha + error for k in ABC)
    assert counts["else"] / draws <= 3 * beta + error


@pytest.mark.parametrize(
    ("p", "q", "options", "message"),
    [
        ([[0.1, 0.1]], [[0.1] * 3], {}, r"p must be \[images, 3 candidates\]; got \[1, 2\]"),
        ([[0.1] * 3], [[0.1] * 3] * 2, {}, "p is of 1 images, q of 2"),
        ([[0.1, 0.1, 2]], [[0.1] * 3], {}, r"p must lie in \[0, 1\]"),
        ([[0.1] * 3], [[0.1, 0.1, np.nan]], {}, r"q must lie in \[0, 1\]"),
        ([[0.1] * 3], [[0.1] * 3], {"indistinguishable": [("a", "d")]}, "'d' must be a candidate"),
        (
            *([[0.1] * 3], [[0.1] * 3], {"indistinguishable": [("a", "b"), ("b", "c")]}),
            "'b' must be a candidate, and in one",
        ),
    ],
)
def test_wrong_input_is_named(p, q, options, message):
    with pytest.raises(ValueError, match=message):
        name_candidates(p, q, ABC, **options)


def test_candidates_must_have_different_names():
    with pytest.raises(ValueError, match="different names"):
        name_candidates([[0.1, 0.2]], [[0.1, 0.2]], ["a", "a"])


def matrix(shift, *, num=100, names="ab", seed=0):
    """Scores under each name of images of each; those of other origins lie `shift` higher."""
    rng = np.random.default_rng(seed)
    return {x: {y: rng.normal(0 if x == y else shift, 1, num) for y in names} for x in names}


def test_the_same_fingerprint_is_one_group_whatever_the_scores():
    prints = {"sd15": "f", "sdxl": "g", "finetune": "f"}
    assert indistinguishable_groups(prints, {}) == [("sd15", "finetune")]


def test_scores_that_agree_join_and_scores_that_differ_do_not():
    prints = {"a": "1", "b": "2"}
    assert indistinguishable_groups(prints, matrix(0.0)) == [("a", "b")]
    assert indistinguishable_groups(prints, matrix(2.0)) == []
    # Agreement has to go both ways.
    one_way = matrix(0.0)
    one_way["b"]["a"] = one_way["b"]["a"] + 2
    assert indistinguishable_groups(prints, one_way) == []


def test_few_images_never_join():
    prints = {"a": "1", "b": "2"}
    same = np.linspace(0, 1, 19)
    few = {x: {"a": same[:13], "b": same[:13]} for x in "ab"}
    assert indistinguishable_groups(prints, few, rate=0.1) == []
    enough = {x: {"a": same[:14], "b": np.zeros(14)} for x in "a"}
    enough["b"] = {"b": same[:14], "a": np.zeros(14)}
    assert indistinguishable_groups(prints, enough, rate=0.1) == [("a", "b")]
    # Too few of its own to exclude anything: nothing is shown.
    assert indistinguishable_groups(prints, enough, rate=0.05) == []
    assert indistinguishable_groups(prints, {"a": enough["a"]}, rate=0.1) == []


def test_groups_are_chains():
    prints = dict(zip("abcd", "1234", strict=True))
    close = matrix(0.0, names="abcd")
    for x, y in (("a", "c"), ("c", "a"), *((x, "d") for x in "abc")):
        close[x][y] = close[x][y] + 9
    assert indistinguishable_groups(prints, close) == [("a", "b", "c")]


def test_alike_candidates_join_and_unlike_ones_do_not_as_often_as_stated():
    prints, draws = {"a": "1", "b": "2"}, 300
    joined = [bool(indistinguishable_groups(prints, matrix(0.0, seed=i))) for i in range(draws)]
    assert np.mean(joined) > 0.9
    # At this shift a fifth of the other's images lie over the 5% threshold: joined by both with
    # probability at most 5%.
    shift = 1.6449 - 0.8416
    joined = [bool(indistinguishable_groups(prints, matrix(shift, seed=i))) for i in range(draws)]
    assert np.mean(joined) < 0.08


@pytest.mark.parametrize(
    ("scores", "options", "message"),
    [
        ({"z": {}}, {}, "scores of z, which have no fingerprint"),
        ({"a": {"z": [1.0]}}, {}, "scores of z, which have no fingerprint"),
        ({}, {"most": 0.04}, "most must be over the rate, 0.05; got 0.04"),
        ({"a": {"a": [1.0], "b": [np.nan]}, "b": {}}, {}, "scores hold 1 NaN"),
    ],
)
def test_wrong_comparisons_are_named(scores, options, message):
    with pytest.raises(ValueError, match=message):
        indistinguishable_groups({"a": "1", "b": "2"}, scores, **options)
