import dataclasses

import numpy as np
import pytest

from jax_origin.calibration import (
    AS_MADE,
    Conformal,
    ForeignGroup,
    Grubbs,
    KernelDensity,
    NearestGroup,
    PredictionInterval,
    Rates,
    accepting_score,
    compared_with,
    decide,
    decide_arrays,
    edited_group,
    origin_and_condition,
    parse_condition,
)
from jax_origin.evidence import scores_under

from .made_up import calibrated

OWN = np.linspace(0, 1, 99)
JPEG = np.linspace(2, 3, 49)
RULES = (Conformal(), Conformal(confidence=0.9), Grubbs(), PredictionInterval(), KernelDensity())


def test_p_is_that_of_the_condition_that_fits_best():
    both = calibrated(OWN, conditions={"jpeg-75": JPEG})
    found = decide([0.5, 1.5, 2.51, 9.0], both)
    assert [d.p for d in found] == pytest.approx([1.0, 1.0, 0.5, 0.02])
    # The first fits both, and lies among the images as made; the last fits neither.
    assert [d.condition for d in found] == [AS_MADE, "jpeg-75", "jpeg-75", "jpeg-75"]
    alone = decide([0.499, 1.5], both, conditions=[AS_MADE])
    assert [d.p for d in alone] == pytest.approx([0.51, 0.01])
    assert [d.condition for d in alone] == [AS_MADE] * 2


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_and_its_floor_are_used_in_every_condition(rule):
    scores = np.linspace(0, 4, 50)
    both = calibrated(OWN, conditions={"jpeg-75": JPEG}, rule=rule, floor=0.4)
    each = [rule.fit(np.maximum(own, 0.4)).p_value(np.maximum(scores, 0.4)) for own in (OWN, JPEG)]
    assert decide_arrays(scores, both).p.tolist() == np.maximum(*each).tolist()


def test_no_condition_is_excluded_more_often_than_alpha():
    rng, alpha, draws = np.random.default_rng(0), 0.05, 1000
    laws = {AS_MADE: (5.0, 1.0), "jpeg-75": (6.0, 0.5), "resize-0.5": (6.0, 2.0)}
    excluded = dict.fromkeys(laws, 0)
    for _ in range(draws):
        own = {name: np.abs(rng.normal(*law, size=39)) for name, law in laws.items()}
        made = calibrated(own.pop(AS_MADE), conditions=own)
        for name, law in laws.items():
            excluded[name] += decide([rng.normal(*law)], made)[0].p <= alpha
    assert max(excluded.values()) / draws <= 0.05 + 0.021
    # And the condition that lies highest loses nothing to the others.
    assert excluded["resize-0.5"] / draws > 0.025


def test_an_image_is_compared_with_its_likes_alone():
    # A foreign group comes far nearer after the edit, and the own images lie far higher.
    foreign = {
        "photos": np.linspace(5, 6, 99),
        edited_group("photos", "jpeg-75"): np.linspace(2.9, 6, 99),
    }
    made = calibrated(OWN, foreign, conditions={"jpeg-75": JPEG}, alpha=0.05, beta=0.05)

    def verdicts(**options):
        return [(d.verdict, d.reason) for d in decide([0.5, 4.0], made, **options)]

    assert verdicts() == [("belongs", None), ("not_recognised", None)]
    assert verdicts(conditions=["jpeg-75"]) == [("belongs", None), ("not_recognised", None)]
    assert verdicts(conditions=[AS_MADE]) == [("belongs", None), ("undecided", "fits neither")]
    as_made, jpeg, every = (
        accepting_score(made, conditions=names) for names in ([AS_MADE], ["jpeg-75"], None)
    )
    assert as_made == OWN[-5] and 2.9 < jpeg <= JPEG[-1] and every == jpeg
    for names, highest in (([AS_MADE], as_made), (["jpeg-75"], jpeg)):
        at, over = decide([highest, np.nextafter(highest, 9)], made, conditions=names)
        assert (at.verdict, over.verdict != "belongs") == ("belongs", True)


def test_what_is_compared():
    foreign = {"photos": OWN, edited_group("photos", "jpeg-75"): JPEG, "cats after dark": OWN}
    made = calibrated(OWN, foreign, conditions={"jpeg-75": JPEG})
    assert list(compared_with(made).foreign) == list(foreign)
    assert list(compared_with(made, [AS_MADE]).foreign) == ["photos", "cats after dark"]
    jpeg = compared_with(made, ["jpeg-75", "jpeg-75"])
    assert list(jpeg.belonging) == ["jpeg-75"] and list(jpeg.foreign) == ["photos after jpeg-75"]
    # Groups that were not edited are better than none.
    plain = dataclasses.replace(made, foreign={"photos": made.foreign["photos"]})
    assert list(compared_with(plain, ["jpeg-75"]).foreign) == ["photos"]
    edited = edited_group("photos", "jpeg-75")
    assert origin_and_condition(edited, made) == ("photos", "jpeg-75")
    assert origin_and_condition("cats after dark", made) == ("cats after dark", AS_MADE)
    with pytest.raises(ValueError, match=r"has no condition 'jpeg-50'; it has as made, jpeg-75"):
        compared_with(made, ["jpeg-50"])
    with pytest.raises(ValueError, match="at least one"):
        compared_with(made, [])


def test_q_is_that_of_the_nearest_pair_of_group_and_condition():
    foreign = {
        ("photos", "clean"): np.linspace(5, 6, 99),
        ("photos", "blurred"): np.linspace(3, 6, 99),
        ("sdxl", "clean"): np.linspace(4, 5, 19),
    }
    foreign = {name: ForeignGroup(scores, len(scores)) for name, scores in foreign.items()}
    nearest = NearestGroup(foreign)
    assert nearest.q([1.0, 3.0, 5.5]) == pytest.approx([0.05, 0.05, 1.0])
    assert nearest.names([1.0, 3.0, 5.5]) == [("sdxl", "clean")] * 3
    del foreign["sdxl", "clean"]
    nearest = NearestGroup(foreign)
    assert nearest.q([1.0, 3.0]) == pytest.approx([0.01, 0.02])
    assert nearest.names([1.0, 3.0]) == [("photos", "clean"), ("photos", "blurred")]
    assert NearestGroup({"a": ForeignGroup([0.7], 1)}, floor=0.8).q([0.5])[0] == 1.0
    with pytest.raises(ValueError, match="no foreign group to compare with"):
        NearestGroup({})


def test_a_source_has_one_vote_that_of_its_lowest_score():
    # Four photographs of three crops: of the three crops of the first, the lowest counts.
    sources = np.repeat([0, 1, 2, 3], 3)
    scores = np.arange(1.0, 13.0)
    known = NearestGroup({"a": ForeignGroup(scores, 4, sources=sources)})
    assert known.q([0.5, 1.0, 3.9, 4.0, 12.0]) == pytest.approx([0.2, 0.4, 0.4, 0.6, 1.0])
    # Where it is not known which crops share one, each low crop may be another photograph's.
    unknown = NearestGroup({"a": ForeignGroup(scores, 4)})
    assert unknown.q([0.5, 1.0, 3.9, 12.0]) == pytest.approx([0.2, 0.4, 0.8, 1.0])


def test_scores_of_few_sources_attribute_nothing_however_many_they_are():
    crops = ForeignGroup(np.linspace(5, 6, 400), 7, sources=np.arange(400) % 7)
    found = decide([0.5], calibrated(OWN, {"photographs": crops}), rates=Rates(0.05, 0.05))
    assert found[0].verdict == "undecided"
    assert found[0].reason == (
        "too few calibration images: beta=0.05 needs at least 19 independent sources of foreign "
        "group 'photographs', this calibration has 7"
    )


@pytest.mark.parametrize(
    "name,settings,edit",
    [
        (AS_MADE, {}, ""),
        ("clean", {}, ""),
        ("resize-0.5+jpeg-75", {}, "resize-0.5+jpeg-75"),
        ("truncation_psi=0.7", {"truncation_psi": 0.7}, ""),
        ("label=null+noise_mode=none", {"label": None, "noise_mode": "none"}, ""),
        ("num_steps=50+jpeg-75", {"num_steps": 50}, "jpeg-75"),
    ],
)
def test_a_condition_names_settings_and_edits(name, settings, edit):
    assert parse_condition(name) == (settings, edit)


def test_images_made_under_other_settings_have_the_foreign_groups_of_their_edit():
    conditions = {"jpeg-75": JPEG, "steps=5": OWN + 4, "steps=5+jpeg-75": JPEG + 4}
    groups = {"photos": np.full(49, 8.0), edited_group("photos", "jpeg-75"): np.full(49, 9.0)}
    made = calibrated(OWN, conditions=conditions, foreign=groups)
    assert list(compared_with(made, ["steps=5"]).foreign) == ["photos"]
    assert list(compared_with(made, ["steps=5+jpeg-75"]).foreign) == ["photos after jpeg-75"]
    own, foreign = scores_under(made, "steps=5+jpeg-75")
    assert own.tolist() == (JPEG + 4).tolist()
    assert foreign["photos"].scores.tolist() == [9.0] * 49
    (found,) = decide([4.5], made, conditions=[AS_MADE, "steps=5"], rates=Rates(0.05, 0.05))
    assert (found.verdict, found.condition) == ("belongs", "steps=5")
