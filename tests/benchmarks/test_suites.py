import dataclasses
import importlib.util
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx

from benchmarks.engine import (
    cost_against_work,
    early_accept_saving,
    engine_overhead,
    peak_memory_per_lane,
    share_of_matmul_peak,
)
from benchmarks.families import stable_diffusion_autoencoder
from benchmarks.peers import (
    PUBLISHED_STEPS,
    PeerRun,
    futility_variants,
    peer_rows,
)
from benchmarks.recovery import (
    mark_choice,
    pareto_front,
    recovery_rows,
    recovery_table,
)
from benchmarks.sampling import generated_images
from benchmarks.subjects import (
    BenchmarkError,
    Sizes,
    Subject,
    images_of_known_origin,
    ratio_row,
    row_line,
    timed_pairs,
)
from benchmarks.suites import chosen_recipes
from jax_origin.distances import L2, FileSet
from jax_origin.images import save_png
from jax_origin.inversion import Recipe, Stage
from jax_origin.inversion.starts import Encoded, Learned
from jax_origin.workflow import METHODS

ROOT = Path(__file__).parents[2]
FIELDS = {"name", "case", "ratio", "ratio_is", "ours", "reference", "unit", "repeats", "spread"}


@pytest.fixture(scope="module")
def generators(make_generator):
    return {f"tiny-{seed}": make_generator(seed) for seed in (0, 1)}


@pytest.fixture(scope="module")
def subject(generators, calibration):
    own, foreign = images_of_known_origin(
        "tiny-0", generators, num_own=8, num_foreign=8, purpose="timing"
    )
    return Subject(
        name="tiny-0",
        generator=generators["tiny-0"],
        calibration=calibration,
        own=own,
        foreign=foreign,
    )


def test_a_speed_up_is_reference_over_ours_and_an_overhead_the_other_way():
    ours, reference = [1.0, 2.0, 4.0, 4.0], [4.0, 12.0, 8.0, 20.0]
    row = ratio_row("a", "b", ours=ours, reference=reference, unit="s", note="n")
    assert row.keys() == FIELDS | {"note"}
    # Ratios 4, 6, 2, 5: the median is of the ratios, not a ratio of medians.
    assert (row["ratio"], row["ratio_is"], row["repeats"]) == (4.5, "reference / ours", 4)
    assert (row["ours"], row["reference"]) == (3.0, 10.0)
    assert row["spread"] == pytest.approx((5.25 - 3.5) / 4.5)
    other = ratio_row("a", "b", ours=ours, reference=reference, unit="s", speed_up=False)
    assert (other["ratio"], other["ratio_is"]) == (pytest.approx(0.225), "ours / reference")
    assert ratio_row("a", "b", ours=[1.0], reference=[3.0], unit="s")["spread"] is None
    assert "4.5" in row_line(row) and "4 x, spread 38.9%" in row_line(row)


@pytest.mark.parametrize(("ours", "reference"), [([], []), ([1.0], [1.0, 2.0])])
def test_figures_come_in_pairs(ours, reference):
    with pytest.raises(ValueError, match="pairs are wanted"):
        ratio_row("a", "b", ours=ours, reference=reference, unit="s")


def test_pairs_take_turns_in_going_first():
    order = []
    firsts, seconds = timed_pairs(lambda: order.append("a"), lambda: order.append("b"), 3)
    assert "".join(order) == "abbaab"
    assert len(firsts) == len(seconds) == 3


def test_a_limit_holds_for_every_number():
    sizes = Sizes().limited(5)
    numbers = dataclasses.asdict(sizes)
    assert numbers.pop("work") == (5,)
    assert max(numbers.values()) == 5 and numbers["repeats"] == 3
    assert Sizes().limited(None) == Sizes()


def test_images_for_one_purpose_never_serve_another(generators):
    def drawn(purpose, **settings):
        own, foreign = images_of_known_origin(
            "tiny-0", generators, num_own=5, num_foreign=7, purpose=purpose, **settings
        )
        assert {group: len(images) for group, images in foreign.items()} == {
            "photographs": 4,
            "tiny-1": 3,
        }
        return {"own": own, **foreign}

    timing, choosing = drawn("timing"), drawn("choosing")
    again, other_seed = drawn("timing"), drawn("timing", seed=1)
    for group, images in timing.items():
        assert np.array_equal(images, again[group])
        assert not np.array_equal(images, other_seed[group])
        kept = {image.tobytes() for image in images}
        assert not kept & {image.tobytes() for image in choosing[group]}
    evaluated = generated_images(generators, 5, seed=0)
    for name, group in (("tiny-0", "own"), ("tiny-1", "tiny-1")):
        seen = {image.tobytes() for image in evaluated[name]}
        assert not seen & {image.tobytes() for image in (*timing[group], *choosing[group])}


def test_photographs_come_from_a_folder_and_each_purpose_has_its_own(generators, tmp_path):
    stored = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), dtype=np.uint8)
    for i, pixels in enumerate(stored):
        save_png(tmp_path / f"{i}.png", pixels)

    def drawn(purpose, num):
        _, foreign = images_of_known_origin(
            "tiny-0",
            {"tiny-0": generators["tiny-0"]},
            num_own=1,
            num_foreign=num,
            purpose=purpose,
            photographs=str(tmp_path),
        )
        return {image.tobytes() for image in foreign["photographs"]}

    timing, choosing = drawn("timing", 4), drawn("choosing", 4)
    assert not timing & choosing
    assert timing | choosing == {image.tobytes() for image in stored}
    with pytest.raises(BenchmarkError, match=r"holds 4 photographs for timing .* 5 are wanted"):
        drawn("timing", 5)


def test_a_mixture_is_half_belonging(subject):
    images, belongs = subject.mixed(6)
    assert belongs.sum() == 3 and not (belongs[:3].all() or belongs[3:].all())
    own = {image.tobytes() for image in subject.own}
    assert [image.tobytes() in own for image in images] == belongs.tolist()


@pytest.mark.outer
def test_engine_overhead_is_ours_over_the_bare_gradient(generators):
    row = engine_overhead("tiny", generators["tiny-0"], pairs=3, lanes=8)
    assert row["repeats"] == 3 and row["lanes"] == 8
    assert row["ratio_is"] == "ours / reference"
    assert 0 < row["reference"] < 1 and 0 < row["ours"] < 1
    assert 0.1 < row["ratio"] / (row["ours"] / row["reference"]) < 10  # medians, apart


@pytest.mark.outer
def test_early_acceptance_saves_evaluations_and_changes_no_verdict(subject):
    # Under a floor the tiny generator's own images end as soon in full.
    method = {**subject.calibration.method, "floor": 0.0}
    calibration = dataclasses.replace(subject.calibration, method=method)
    row = early_accept_saving(dataclasses.replace(subject, calibration=calibration), 6)
    assert row["same_verdicts"]
    assert row["ours"] < row["reference"] == sum(row["reference_by_origin"].values()) / 2
    assert row["ratio"] == pytest.approx(row["reference"] / row["ours"])
    assert row["ours_by_origin"]["belonging"] < row["reference_by_origin"]["belonging"]


@pytest.mark.outer
def test_cost_is_told_against_the_smallest_work_and_occupancy_is_a_share(subject):
    rows = cost_against_work(subject, Sizes(work=(2, 8), repeats=2))
    cost = [row for row in rows if row["name"] == "cost_against_work"]
    lanes = [row for row in rows if row["name"] == "lane_occupancy"]
    assert [row["images"] for row in cost] == [row["images"] for row in lanes] == [2, 8]
    assert cost[0]["ratio"] == 1 and cost[0]["ours"] == cost[1]["reference"]
    assert all(0 < row["ratio"] < 1 for row in lanes)
    assert lanes[1]["ratio"] > 2 * lanes[0]["ratio"]  # One block either way, fuller the second.


@pytest.mark.outer
def test_memory_is_told_for_each_stage(subject):
    rows = peak_memory_per_lane(subject)
    assert [row["case"] for row in rows] == ["tiny-0, stage 1: adam", "tiny-0, stage 2: adam"]
    for row in rows:
        assert row["ours"] > row["lanes"] and row["reference"] > 8 * 8 * 3 * 4, row
        assert 0.5 < row["ratio"] < 10, row


@pytest.mark.outer
def test_share_of_the_matmul_peak_is_a_share(generators):
    rows = share_of_matmul_peak("tiny", generators["tiny-0"], pairs=1, lanes=(8, 16), size=256)
    assert [row["case"] for row in rows] == ["tiny, float32", "tiny, bfloat16"]
    assert all(0 < row["ratio"] < 1 and row["lanes"] in (8, 16) for row in rows)


class FixedPeer:
    """Takes a second for each step of an image, whatever the batch; own images come to nought."""

    description = "a clock"

    def __init__(self, own):
        self.own = {image.tobytes() for image in own}
        self.batches = []

    def invert(self, images, *, steps, batch, seed):
        self.batches.append(batch)
        sizes = [len(images[i : i + batch]) for i in range(0, len(images), batch)]
        losses = np.array([0.0 if image.tobytes() in self.own else 1.0 for image in images])
        return PeerRun(losses, [float(steps * n) for n in sizes], sizes)


@pytest.mark.outer
def test_the_published_recipe_is_scaled_from_the_steps_that_were_timed(subject):
    peer = FixedPeer(subject.own)
    sizes = Sizes(
        repeats=2, mixed=6, peer_images=4, peer_steps=3, batched_steps=5, futility_images=5
    )
    rows = peer_rows(subject, peer, sizes)
    assert [(row["name"], row["case"]) for row in rows] == [
        (name, f"tiny-0, futility {futility}")
        for name in ("vs_ronan_recipe", "vs_batched_torch")
        for futility in ("off", "on")
    ]
    assert peer.batches == [1, 64, 1, 64]
    assert [row["repeats"] for row in rows] == [8, 8, 2, 2]  # A batch is a repeat.
    for row in rows:
        assert row["reference"] == PUBLISHED_STEPS
        assert 0 < row["ours"] < 100 and row["ratio"] > 10
        assert "reference" not in row["accuracy"]
        assert row["accuracy"]["ours"]["tpr"] > 0.5
    assert "3 steps were timed and scaled to 1500" in rows[0]["note"]
    assert "5 steps were timed and scaled to 1500" in rows[2]["note"]


@pytest.mark.outer
def test_a_recipe_that_ran_in_full_has_its_accuracy(subject, calibration):
    steps = {"peer_steps": PUBLISHED_STEPS, "batched_steps": PUBLISHED_STEPS}
    sizes = Sizes(repeats=1, mixed=6, peer_images=6, futility_images=5, **steps)
    rows = peer_rows(subject, FixedPeer(subject.own), sizes, published=calibration)
    for row in rows:
        assert "scaled" not in row["note"]
        assert {"tpr", "fpr", "auc", "tpr_at_1_fpr"} <= row["accuracy"]["ours"].keys()
        theirs = row["accuracy"]["reference"]
        assert (theirs["tpr"], theirs["fpr"], theirs["auc"]) == (1, 0, 1)


@pytest.mark.outer
def test_futility_is_fitted_where_a_calibration_has_none(subject):
    variants = futility_variants(subject, 5)
    off, on = (variants[f"futility {word}"].measured.futility for word in ("off", "on"))
    checks = subject.method.recipe.checks
    assert off == () and len(on) == checks and min(on) > 0
    had = dataclasses.replace(subject, calibration=variants["futility on"])
    assert futility_variants(had, 5)["futility on"].measured.futility == on


@pytest.mark.outer
def test_a_sweep_tells_good_recipes_from_bad_ones(subject, method, noise):
    recipes = {
        "good": method.recipe,
        "short": Recipe(restarts=1, stages=(Stage(steps=2),)),
        "no encoder": Recipe(start=Encoded()),
        "not learned": Recipe(start=Learned()),
    }
    rows = list(
        recovery_rows("tiny", subject.generator, recipes, own=subject.own, foreign=noise[:6])
    )
    assert [row["recipe"] for row in rows] == ["good", "short"]
    good, short = mark_choice(rows)
    assert (good["recovered"], good["tpr_at_1_fpr"]) == (1, 1)
    assert short["recovered"] == 0
    assert good["evaluations_belonging"] == good["evaluations_foreign"] == 140
    assert good["ratio"] == pytest.approx(1500 / 140) and good["repeats"] == 6
    assert short["evaluations_belonging"] == 2
    assert short["seconds_per_image"] > 0 and good["seconds_per_image"] > 0
    assert good["chosen"] and good["on_front"] and not short["chosen"]
    assert "**good** | 100.0% | 100.0% | 140 | 140 |" in recovery_table([good, short])


def recipe_row(recipe, cost, recovered, tpr, distance=FileSet()):  # noqa: B008
    return {
        "generator": "g",
        "recipe": recipe,
        "config": {"distance": distance.to_json()},
        "evaluations_belonging": cost - 1,
        "evaluations_foreign": cost + 1,
        "recovered": recovered,
        "tpr_at_1_fpr": tpr,
    }


def test_the_cheapest_recipe_within_a_point_of_the_best_is_chosen():
    rows = [
        recipe_row("thorough", 900, 1.0, 1.0),
        recipe_row("near", 60, 0.992, 0.991),
        recipe_row("too far", 50, 0.98, 1.0),
        recipe_row("cheap", 10, 0.2, 1.0),
        recipe_row("beaten", 70, 0.5, 0.9),
        recipe_row("on pixels", 40, 1.0, 1.0, distance=L2()),
    ]
    marked = {row["recipe"]: row for row in mark_choice(rows)}
    assert [name for name, row in marked.items() if row["chosen"]] == ["near"]
    assert pareto_front(rows, "recovered") == ["cheap", "on pixels"]
    assert pareto_front(rows[:-1], "recovered") == ["cheap", "too far", "near", "thorough"]
    assert pareto_front(rows, "tpr_at_1_fpr") == ["cheap"]
    assert not marked["beaten"]["on_front"] and marked["on pixels"]["on_front"]
    # Where all are on pixels, the cheapest of them.
    rows = [row | {"config": {"distance": L2().to_json()}} for row in rows]
    assert [row["recipe"] for row in mark_choice(rows) if row["chosen"]] == ["on pixels"]
    # No recipe is within a point of both: TPR comes first.
    rows = [
        recipe_row("a", 9, 1.0, 0.5),
        recipe_row("b", 8, 0.3, 1.0),
        recipe_row("c", 7, 0.2, 1.0),
    ]
    assert [row["recipe"] for row in mark_choice(rows) if row["chosen"]] == ["b"]


def test_recipes_that_are_shipped_are_sound():
    path = ROOT / "configs/benchmark/recovery.py"
    spec = importlib.util.spec_from_file_location("recovery", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    recipes = module.get_config().to_dict()["recipes"]
    for name, config in recipes.items():
        assert Recipe.from_json(json.loads(json.dumps(config.to_json()))) == config, name
    assert recipes["origin"] == METHODS["origin"].recipe
    assert {config.start.kind for config in recipes.values()} == {
        *("prior", "scaled", "learned", "encoder")
    }
    solvers = {stage.solver.kind for config in recipes.values() for stage in config.stages}
    assert solvers == {"optax", "lbfgs", "levenberg_marquardt", "gauss_newton", "measure"}
    assert list(chosen_recipes(recipes, ("origin",))) == ["origin"]
    with pytest.raises(BenchmarkError, match="no recipe 'orgin'"):
        chosen_recipes(recipes, ("orgin",))


@pytest.mark.outer
def test_the_large_case_of_accelerators_is_stable_diffusions_autoencoder():
    generator = stable_diffusion_autoencoder(64)
    assert generator.latent_shape == (8, 8, 4)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(generator, nnx.Param)))
    assert parameters == 83_653_863  # As diffusers counts those of stabilityai/sd-vae-ft-mse.
