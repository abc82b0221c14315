"""Errors on fresh images are counted against the rates promised; sources keep q's law."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy import stats

from benchmarks import fresh_sources
from benchmarks.fresh_sources import VIEWS, fresh_rows, source_split_rows, view_rows
from benchmarks.protocol import Comparison
from benchmarks.result_table import result_table
from benchmarks.sampling import ProtocolError
from benchmarks.score_cache import GroupScores
from jax_origin import Calibration, FunctionGenerator, Rates
from jax_origin.calibration import ForeignGroup, Published
from jax_origin.generators import fingerprint
from jax_origin.images import stored_images
from jax_origin.inversion import Recipe, Stage
from jax_origin.inversion.starts import Scaled
from jax_origin.workflow import Method

RESULTS = Path(__file__).parents[2] / "benchmarks/results"
RNG = np.random.default_rng(0)
METHOD = Method(
    "tiny", Recipe(start=Scaled((0.2,)), stages=(Stage(steps=4),)), rates=Rates(0.1, 0.1)
)
PUBLISHED = Method("published", METHOD.recipe, decision=Published(), rates=Rates(0.1))


def render(weights, latents):
    return jax.nn.sigmoid(latents @ weights).reshape(-1, 8, 8, 3)


def noise(num):
    return RNG.integers(0, 256, (num, 8, 8, 3), np.uint8)


def compared(scores, *, method=METHOD, edit="clean"):
    """A comparison of images that have these scores, by group; "own" is the generator's."""
    weights = jax.random.normal(jax.random.key(0), (3, 8 * 8 * 3))
    shapes = {"latent_shape": (3,), "image_shape": (8, 8, 3)}
    generator = FunctionGenerator(render, weights, name="own", **shapes)
    nine = np.arange(1, 10) * 1e-3
    foreign = {"photos": 1e-2 + nine, "other": 1e-2 + nine, "photos after jpeg-75": 1e-2 + nine}
    calibration = Calibration(
        generator={"name": "own", "fingerprint": fingerprint(generator), **shapes},
        method=method.to_json(),
        belonging=nine,
        conditions={"jpeg-75": nine},
        foreign={name: ForeignGroup(group, 9) for name, group in foreign.items()},
        seed=0,
        keys={},
        packages={},
        platform="cpu",
    )
    images = {name: noise(len(group)) for name, group in scores.items()}
    if edit != "clean":
        images = {name: stored_images(group, edit) for name, group in images.items()}
    found = {
        name: GroupScores(
            np.array(group), np.array(group), np.zeros(len(group), int), np.zeros(len(group))
        )
        for name, group in scores.items()
    }
    comparison = Comparison(
        inspected="own",
        method=method,
        generator=generator,
        calibration=calibration,
        belonging=images.pop("own"),
        foreign=images,
        edit=edit,
    )
    return comparison, found


def counted(scores, **options):
    rows = [*fresh_rows(*compared(scores, **options))]
    for row in rows:
        interval = stats.binomtest(row["count"], row["n"]).proportion_ci(0.95, "exact")
        assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))
    return {(row["group"], row["error"]): row for row in rows}


def told(row):
    return row["count"], row["n"], row["promised"], row["lies"], row["calibrated"]


SCORES = {
    # p <= 0.1 over 9e-3, q <= 0.1 under 11e-3: 0.01 fits neither, and 0.03 is not recognised.
    "own": [1e-3] * 18 + [0.01, 0.03],
    "photos": [0.02] * 19 + [2e-3],
    "other": [0.02] * 39 + [np.inf],
    "unknown": [2e-3] * 19 + [0.02],
}


def test_errors_on_fresh_images_are_counted_against_what_was_promised():
    found = counted(SCORES)
    assert {case: told(row) for case, row in found.items()} == {
        (None, "p <= alpha"): (2, 20, 0.1, "inside", True),
        (None, "not recognised"): (1, 20, 0.1, "inside", True),
        ("photos", "belongs"): (1, 20, 0.1, "inside", True),
        ("other", "belongs"): (0, 40, 0.1, "over", True),  # 0 of 40 is at most 8.8%.
        ("unknown", "belongs"): (19, 20, 0.1, "under", False),
    }


def test_a_calibration_that_turns_too_many_away_is_seen():
    row = counted(SCORES | {"own": [1e-3] * 12 + [0.03] * 8})[None, "not recognised"]
    assert told(row) == (8, 20, 0.1, "under", True)  # 8 of 20 is at least 19%.


def test_only_groups_and_edits_of_the_calibration_were_promised_anything():
    found = counted(SCORES, edit="jpeg-75")
    assert {group: row["calibrated"] for (group, _), row in found.items()} == {
        **{None: True, "photos": True},
        **{"other": False, "unknown": False},  # The other group was not calibrated so.
    }
    found = counted(SCORES, edit="jpeg-20")
    assert not any(row["calibrated"] for row in found.values())
    assert found["unknown", "belongs"]["count"] == 0  # A file unlike all conditions is undecided.


def test_a_method_without_beta_promises_nothing_of_foreign_images():
    row = counted(SCORES, method=PUBLISHED)["unknown", "belongs"]
    assert told(row) == (19, 20, None, None, False)


def sources_of(num, views, spread):
    """Scores of sources that are seen so many times, each view differing a little."""
    scores = RNG.lognormal(-5, 0.3, num) * RNG.lognormal(0, spread, (views, num))
    return ForeignGroup(scores.ravel(), num, sources=np.tile(np.arange(num), views))


def test_q_keeps_its_law_by_sources_and_not_by_scores():
    by_source, by_score = source_split_rows(sources_of(100, 20, 0.05), rate=0.05, splits=200)
    # Two of 51 ranks are at most 0.05; the law's mean is 2 / 51, its limits 0 and 7 of 50.
    assert (by_source["counted"], by_source["n"], by_source["m"]) == ("sources", 50, 50)
    assert by_source["attributed"] == pytest.approx(2 / 51, abs=0.01)
    assert (by_source["limit_low"], by_source["limit_high"]) == (0.0, 0.14)
    assert by_source["inside"] >= 0.93
    # Fifty of 1,001 ranks promise a narrow range, which scores of so few sources do not keep.
    assert (by_score["counted"], by_score["n"], by_score["m"]) == ("scores", 1000, 1000)
    assert by_score["limit_high"] < 0.08
    assert by_score["inside"] < 0.7


def test_of_one_score_a_source_both_ways_of_counting_are_one():
    by_source, by_score = source_split_rows(sources_of(60, 1, 0.05), rate=0.1, splits=50)
    assert {**by_source, "counted": ""} == {**by_score, "counted": ""}


def test_too_few_sources_for_the_rate_are_refused():
    with pytest.raises(ProtocolError, match=r"10 sources are too few for a rate of 0\.05: raise"):
        next(source_split_rows(sources_of(20, 4, 0.05), rate=0.05, splits=2))


def test_each_image_is_the_source_of_its_views(monkeypatch):
    comparison, found = compared(SCORES)

    def scored(viewed, *, cache, seed):
        assert (cache, seed) == ("folder", 3)
        for name, images in comparison.foreign.items():
            views = viewed.foreign[name].reshape(VIEWS, len(images), 8, 8, 3)
            assert len(np.unique(views[:, 0], axis=0)) == VIEWS
            for view in views:  # The same pixels, elsewhere.
                same = [np.sort(group.reshape(len(images), -1)) for group in (view, images)]
                np.testing.assert_array_equal(*same)
        views = {name: np.tile(found[name].score, VIEWS) for name in comparison.foreign}
        return {name: GroupScores(*[scores] * 4) for name, scores in views.items()}

    monkeypatch.setattr(fresh_sources, "comparison_scores", scored)
    options = {"cache": "folder", "splits": 5, "rate": 0.2, "seed": 3}
    rows = [*view_rows(comparison, **options)]
    assert [(row["group"], row["counted"], row["n"]) for row in rows[:3]] == [
        ("photos", "sources", 10),
        ("photos", "scores", 40),
        ("other", "sources", 20),
    ]
    assert not [*view_rows(compared(SCORES, edit="jpeg-75")[0], **options)]


def test_the_tables_tell_how_many_promises_were_broken():
    names = {"inspected": "own", "method": "tiny", "edit": "clean"}
    splits = source_split_rows(sources_of(40, 2, 0.05), rate=0.1, splits=5)
    result = {
        "fresh": [{**names, **row} for row in fresh_rows(*compared(SCORES))],
        "views": [{**names, "group": "photos", **row} for row in splits],
    }
    told = result_table(result)
    (line,) = [line for line in told.splitlines() if "unknown" in line]
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    assert cells[2:] == ["unknown", "belongs", "no", "20", "19", "75.1%", "99.9%", "10.0%", "under"]
    assert "Of 4 promised rates 0 lie under the 95% interval" in told


def test_results_of_studies_that_are_no_more_are_shown_without_them():
    result = json.loads((RESULTS / "evidence.json").read_text())
    parts = result_table(result).split("\n\n")
    without = {"rows", "summary", "ratio_costs"} & set(result)
    assert len(parts) == len(without) + 2 * ("fresh" in result) + ("views" in result)
