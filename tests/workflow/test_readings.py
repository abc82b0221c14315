"""Images that were turned or mirrored are read again, and q pays for it."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from scipy import ndimage

import jax_origin as jo
from benchmarks.sampling import generated_images
from jax_origin.calibration import REFRAMED, RETOUCHED
from jax_origin.cli.settings import warn_of
from jax_origin.evidence import explain
from jax_origin.images import (
    TURNS,
    edit_images,
    save_png,
    share_of_chances,
    stored_images,
    stored_pixels,
    turned_alternatives,
)
from jax_origin.images.photographs import photograph_crops
from jax_origin.inversion import Engine, Item
from jax_origin.inversion.items import Heat
from jax_origin.inversion.program import stage_programs
from jax_origin.workflow import belonging_images
from jax_origin.workflow.looks import readings_of

KEY = jax.random.key(4)
MIRRORED, *OTHERS = TURNS
ALL_TURNS = tuple(turn.words for turn in TURNS)


@pytest.fixture(scope="module")
def own(generator):
    return belonging_images(generator, 7, key=jax.random.key(31))


@pytest.fixture(scope="module")
def turned_own(own):
    """Each image turned in its way, in the order of TURNS."""
    return np.stack([np.ascontiguousarray(turn(x)) for turn, x in zip(TURNS, own, strict=True)])


@pytest.fixture(scope="module")
def attributor(generator, under_storage):
    """At a rate that 60 foreign images can keep for two thirds of it, and not for an eighteenth."""
    return jo.Attributor(generator, under_storage, key=KEY, rates=jo.Rates(0.05, 0.05))


def test_turned_images_are_read_as_turned(attributor, turned_own, own):
    verdicts = attributor(turned_own)
    assert [verdict.reading for verdict in verdicts] == [turn.words for turn in TURNS]
    first, *others = verdicts
    assert first.verdict == "belongs" and first.condition == "as made"
    assert first.tried == tuple(turn.words for turn in TURNS)
    assert first.q == pytest.approx(1.5 / 61)
    np.testing.assert_allclose(first.reconstruction, turned_own[0] / 255, atol=0.02)
    # The others had an eighteenth of the chances each: 60 foreign images show too little.
    assert {verdict.verdict for verdict in others} == {"undecided"}
    assert all("needs at least" in verdict.reason for verdict in others)
    assert all(verdict.q == pytest.approx(18 / 61) for verdict in others)
    plain = attributor(own)
    assert {(verdict.verdict, verdict.reading, verdict.tried) for verdict in plain} == {
        ("belongs", None, ())
    }


def test_files_of_turned_images_are_read_as_turned(generator, under_storage, turned_own, tmp_path):
    from PIL import Image

    Image.fromarray(turned_own[0]).save(tmp_path / "mirrored.jpg", quality=90, subsampling=0)
    save_png(tmp_path / "mirrored.png", turned_own[0])
    found = jo.attribute(str(tmp_path), generator, under_storage, key=KEY, readings="usual")
    assert [verdict.reading for verdict in found] == [MIRRORED.words] * 2
    records = [verdict.record() for verdict in found]
    assert [record["condition"] for record in records] == ["jpeg-90", "as made"]
    found = jo.attribute(str(tmp_path), generator, under_storage, key=KEY, readings="none")
    assert {verdict.verdict for verdict in found} == {"not_recognised"}
    assert {verdict.tried for verdict in found} == {()}


def test_foreign_images_are_not_recognised_after_all_turns(attributor, noise, own):
    told = []
    run = jo.Run(statistics=jo.Statistics(), progress=lambda *news: told.append(news))
    again = jo.Attributor(attributor.generator, attributor.calibration, key=KEY, run=run)
    images = np.concatenate([noise[60:80], own])
    found = [(verdict, told[-1][1]) for verdict in again.stream(images)]
    done = [part for _, part, _ in told]
    assert done == sorted(done) and done[-1] == pytest.approx(27)
    # When the first of those that are looked at twice are done, others are not.
    assert min(part for verdict, part in found if verdict.tried) < 26
    verdicts = sorted((verdict for verdict, _ in found), key=lambda verdict: verdict.tag)
    assert [verdict.tag for verdict in verdicts] == list(range(27))
    foreign = verdicts[:20]
    assert {(verdict.verdict, verdict.reading) for verdict in foreign} == {("not_recognised", None)}
    assert all(verdict.tried == (*ALL_TURNS, RETOUCHED) for verdict in foreign)
    assert run.statistics.images == 27
    # What becomes of an image does not depend on the others.
    (alone,) = again(images[3:4])
    assert (alone.score, alone.steps) == (foreign[3].score, foreign[3].steps)
    once = dataclasses.replace(foreign[3], tried=())
    assert once.record()["tried"] is None


def test_images_of_other_colours_or_sharpness_are_read_as_retouched(attributor, own):
    x = own / 255
    brighter = 0.85 * x + [0.1, 0.05, 0.0]
    darker = x**1.3
    luma = (x @ [0.299, 0.587, 0.114])[..., None]
    paler = luma + 0.6 * (x - luma)
    blurred = ndimage.gaussian_filter(x, (0, 0.5, 0.5, 0), mode="reflect")
    changed = np.concatenate([brighter[:3], darker[3:5], paler[5:], blurred[:2]])
    verdicts = attributor(np.round(255 * changed).astype(np.uint8))
    assert [verdict.verdict for verdict in verdicts] == ["belongs"] * 9
    assert all(verdict.reading.startswith(f"{RETOUCHED} (about red") for verdict in verdicts)
    assert {verdict.tried for verdict in verdicts} == {(*ALL_TURNS, RETOUCHED)}
    assert max(verdict.q for verdict in verdicts) == pytest.approx(1 / 61)  # No share of it.
    made = np.stack([verdict.reconstruction for verdict in verdicts])
    np.testing.assert_allclose(made, changed, atol=0.03)  # The image as the file has it.


def test_a_retouched_score_counts_more_beside_foreign_ones(attributor, own, monkeypatch):
    brighter = np.round(255 * (0.85 * own[:2] / 255 + [0.1, 0.05, 0.0])).astype(np.uint8)
    assert {verdict.verdict for verdict in attributor(brighter)} == {"belongs"}
    monkeypatch.setattr("jax_origin.workflow.second_look._TIMES", 1e9)
    refused = attributor(brighter)
    assert all(verdict.verdict != "belongs" and verdict.reading is None for verdict in refused)
    assert {verdict.tried for verdict in refused} == {(*ALL_TURNS, RETOUCHED)}


def test_what_a_reading_brings_near_is_not_cleared(attributor, generator, under_storage, own):
    darker = np.round(0.5 * own[:2]).astype(np.uint8)
    rates = jo.Rates(0.05, 0.05)
    plain = jo.Attributor(generator, under_storage, key=KEY, rates=rates, readings="none")
    assert {verdict.verdict for verdict in plain(darker)} == {"not_recognised"}
    reason = "edited: as retouched it is nearer than foreign images"
    for verdict in attributor(darker):
        assert (verdict.verdict, verdict.reason, verdict.reading) == ("undecided", reason, None)
        text = explain(verdict.decision, attributor.calibration, tried=verdict.tried)
        assert "not near enough (as retouched it is nearer than foreign images)" in text


def test_readings_share_the_chances_of_their_looks():
    cut, frame = "cut to 28x28, enlarged (bicubic) at (1, 3)", f"{REFRAMED} (about 91% ...)"
    assert share_of_chances(None) == share_of_chances(frame) == 1.0
    assert share_of_chances(cut) == share_of_chances(frame, ("cut to 29x29, enlarged",)) == 0.5
    assert share_of_chances(None, ("cut to 29x29, enlarged",)) == 1.0
    assert sum(share_of_chances(words, ("cut to 29x29",)) for words in ALL_TURNS) == pytest.approx(
        1
    )


def uncut(verdict):
    """What an image was read as, but for a cut that its pixels show."""
    return tuple(words for words in verdict.tried if not words.startswith("cut to"))


@pytest.mark.outer
def test_a_turn_that_is_behind_at_first_is_found():
    """Of these images another turn is the nearest one until both have taken a step."""
    generator = jo.load_generator("dcgan-cifar10")
    attributor = jo.Attributor(generator, jo.load_calibration(generator), key=jax.random.key(0))
    own = generated_images({"dcgan-cifar10": generator}, 100, seed=4)["dcgan-cifar10"][[4, 20]]
    verdicts = attributor(edit_images(own, "turn-0-mirrored"))
    assert [verdict.reading for verdict in verdicts] == ["mirrored left to right"] * 2


@pytest.mark.outer
def test_images_cut_or_turned_a_little_are_read_as_reframed():
    """By a start that is learned; others do not tell frames apart, and nothing is tried."""
    generator = jo.load_generator("dcgan-cifar10")
    attributor = jo.Attributor(generator, jo.load_calibration(generator), key=KEY)
    own = belonging_images(generator, 8, key=jax.random.key(32))
    tried = (*ALL_TURNS, RETOUCHED, f"{REFRAMED} to 85% of a side or more")
    for edit, least, named in (
        ("trim-0.9", 6, 1),
        ("tilt-5", 6, 1),
        ("tilt-5+jpeg-90", 6, 1),
        ("blur-1", 4, 1),
        ("trim-0.9+gain-1.25", 4, 2),
    ):
        files = stored_images(own, edit)
        made = np.stack([file.pixels for file in files])
        verdicts = attributor(files)
        # Where the pixels show how large a part is, no frame is sought.
        cut = () if edit.startswith("tilt") else ("cut to 29x29, enlarged",)
        kinds = (REFRAMED, RETOUCHED, *cut)
        read = [verdict for verdict in verdicts if (verdict.reading or "").startswith(kinds)]
        assert len(read) >= least, [(verdict.reading, verdict.score) for verdict in verdicts]
        cleared = [verdict.verdict for verdict in verdicts].count("not_recognised")
        assert cleared <= named - 1, edit
        said = [verdict.reading.count(f"{RETOUCHED} (about") for verdict in read]
        assert np.median(said) >= named - 1, said
        assert {verdict.verdict for verdict in read} == {"belongs"}
        assert {verdict.tried[:7] for verdict in read} == {ALL_TURNS}
        reframed = [verdict for verdict in read if verdict.reading.startswith(REFRAMED)]
        assert {uncut(verdict) for verdict in reframed} <= {tried}
        for verdict in read:  # The image as the file has it, but for its borders.
            seen = verdict.reconstruction[2:-2, 2:-2] - made[verdict.tag][2:-2, 2:-2] / 255
            assert np.abs(seen).mean() < (0.02 if "jpeg" in edit else 0.01)
    foreign = attributor(
        edit_images(photograph_crops(16, (32, 32), seed=0, part="demonstration")[0], "trim-0.9")
    )
    assert "belongs" not in {verdict.verdict for verdict in foreign}
    assert (*tried, "in part") in {uncut(verdict) for verdict in foreign}


@pytest.mark.outer
def test_a_jpeg_that_came_near_is_searched_once_more_with_its_borders(monkeypatch):
    """Of these images a search without borders comes near, and no nearer."""
    generator = jo.load_generator("vae-cifar10")
    calibration = jo.load_calibration(generator)
    own = generated_images({"vae-cifar10": generator}, 50, seed=12)["vae-cifar10"][[16, 29]]
    files = stored_images(own, "trim-0.9+jpeg-90")
    found = jo.attribute(files, generator, calibration, key=jax.random.key(0))
    assert {verdict.verdict for verdict in found} == {"belongs"}
    assert {len(set(verdict.tried)) == len(verdict.tried) for verdict in found} == {True}
    monkeypatch.setattr("jax_origin.workflow.second_look._ONCE_MORE", 0.0)
    once = jo.attribute(files, generator, calibration, key=jax.random.key(0))
    assert {verdict.verdict for verdict in once} == {"undecided"}


@pytest.mark.outer
def test_cut_images_are_found_where_they_lie():
    generator = jo.load_generator("dcgan-cifar10")
    attributor = jo.Attributor(generator, jo.load_calibration(generator), key=KEY, resize=True)
    own = belonging_images(generator, 8, key=jax.random.key(32))
    twin = belonging_images(jo.load_generator("dcgan-cifar10-b"), 8, key=jax.random.key(32))
    for edit, least, words in (
        ("cut-0.85", 6, "cut to 27x27 at ("),
        ("cut-0.85+jpeg-75", 4, "cut to 27x27 at ("),
        ("cut-0.85+scale-2.5", 6, "cut to 27x27, enlarged (lanczos) at ("),
        ("trim-0.85", 6, "cut to 27x27, enlarged ("),
    ):
        found = attributor(stored_images(own, edit))
        read = [verdict for verdict in found if verdict.verdict == "belongs"]
        assert len(read) >= least, [(verdict.reading, verdict.score) for verdict in found]
        assert all(verdict.reading.startswith(words) for verdict in read)
        least_q = 2 / (1 + attributor.calibration.foreign["photographs"].independent)
        assert all(verdict.q >= least_q for verdict in read)  # Half of the chances.
        assert all(verdict.loss < 2e-3 for verdict in read)  # Of what the file shows.
        assert "not_recognised" not in {verdict.verdict for verdict in found}
        foreign = attributor(stored_images(twin, edit))
        assert "belongs" not in {verdict.verdict for verdict in foreign}
    # What is too small, or says too little, is not decided.
    for edit, most in (("trim-0.6", 2), ("cut-0.6+jpeg-30", 0)):
        found = [verdict.verdict for verdict in attributor(stored_images(twin, edit))]
        assert found.count("undecided") >= len(found) - most and "belongs" not in found


def test_turns_that_race_go_on_where_one_is_far_ahead(generator, stored_method, noise):
    (file,) = stored_pixels(noise[60:61])
    engine = Engine(generator, stored_method.recipe, key=KEY)

    def found(*heats):
        ((_, one),) = engine.run([Item(0, turned_alternatives(file)[0], heats=heats)])
        return one

    usual = found()
    assert found(Heat(1)).steps == usual.steps
    assert found(Heat(2)).steps > usual.steps  # One more takes the second stage.
    behind = found(Heat(1, 1e-9))
    assert behind.steps < usual.steps and str(behind.ended) == "finished"


@pytest.mark.outer
def test_turns_that_race_begin_again_where_memory_was_short(
    generator, stored_method, turned_own, monkeypatch
):
    def found(run):
        alternatives = [turned_alternatives(each)[0] for each in stored_pixels(turned_own[:3])]
        engine = Engine(generator, stored_method.recipe, key=KEY, run=run)
        return dict(engine.run(Item(i, each) for i, each in enumerate(alternatives)))

    undisturbed, calls = found(jo.Run(blocks=2)), itertools.count()

    def programs(*arguments):
        made = stage_programs(*arguments)

        def advance(weights, carry):
            if next(calls) == 8:
                raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
            return made.advance(weights, carry)

        return made._replace(advance=advance)

    monkeypatch.setattr("jax_origin.inversion.engine.stage_programs", programs)
    again = found(jo.Run(blocks=2))
    assert next(calls) > 16
    for i, one in undisturbed.items():
        assert all(np.array_equal(a, b) for a, b in zip(one, again[i], strict=True))


def test_an_unknown_word_for_readings_is_refused(generator, under_storage):
    with pytest.raises(ValueError, match="readings='some': choose from usual, all, none"):
        jo.Attributor(generator, under_storage, key=KEY, readings="some")


def test_nothing_else_is_read_under_a_limit(generator, under_storage, turned_own):
    rates = jo.Rates(0.05, 0.05, max_false_attribution=0.2)
    attributor = jo.Attributor(generator, under_storage, key=KEY, rates=rates)
    (mirrored,) = attributor(turned_own[:1])
    assert mirrored.verdict == "not_recognised" and mirrored.tried == ()


@pytest.mark.outer
def test_enlarged_images_are_read_as_enlarged(generator, under_storage, own, noise, tmp_path):
    from PIL import Image

    images = {f"own-{i}": pixels for i, pixels in enumerate(own)} | {"noise": noise[60]}
    for name, pixels in images.items():
        large = Image.fromarray(pixels).resize((32, 32), Image.Resampling.BICUBIC)
        large.save(tmp_path / f"{name}.jpg", quality=90)
        large.save(tmp_path / f"{name}.png")
    refused = jo.attribute(str(tmp_path), generator, under_storage, key=KEY)
    assert all("pass --resize" in verdict.error for verdict in refused)
    attributor = jo.Attributor(generator, under_storage, key=KEY, resize=True)
    verdicts = attributor(str(tmp_path))
    assert {v.image.note for v in verdicts} == {
        "of 32x32, taken for an image of 8x8 that was resized"
    }
    words, form = "enlarged from 8x8 (bicubic)", {".png": "as made", ".jpg": "jpeg-90"}
    mine = [v for v in verdicts if "own" in v.path and v.verdict == "belongs"]
    assert len(mine) >= len(own)  # Of twice as many: the tiny method leaves some stuck.
    assert {v.condition for v in mine if v.inversion.ended != "accepted"} <= set(form.values())
    assert {v.reading for v in mine if v.path.endswith("png")} == {words}
    assert all(v.reading.startswith("enlarged from 8x8") for v in mine)
    others = [v for v in verdicts if v not in mine]
    assert {v.verdict for v in others if "own" in v.path} <= {"undecided"}
    (noisy,) = (v for v in others if v.path.endswith("noise.png"))
    assert noisy.verdict == "undecided" and noisy.tried[0] == words
    assert noisy.reason.startswith(f"drift: it is not {words} as a whole, but may have been cut")
    # Finer detail than enlarging leaves: no part of its images either.
    rng = np.random.default_rng(0)
    save_png(tmp_path / "fine.png", rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
    (fine,) = attributor(str(tmp_path / "fine.png"))
    assert fine.verdict == "not_recognised" and fine.tried


def test_what_is_asked_for_in_vain_is_said(under_storage, capsys):
    method, rates = jo.Method.of(under_storage), jo.Rates()
    assert readings_of(method, under_storage, rates, "all") == "all"
    assert readings_of(method, under_storage, rates, "none") == "none"
    assert readings_of(method, under_storage, jo.Rates(max_false_attribution=0.1), "all") == "none"
    given = dataclasses.replace(under_storage.measured, belonging="images of a folder")
    given = dataclasses.replace(under_storage, measured=given)
    assert readings_of(method, given, rates, "all") == "usual"
    warn_of(under_storage, ConfigDict({"readings": "all"}))
    assert "--readings" not in capsys.readouterr().out
    warn_of(given, ConfigDict({"readings": "all"}))
    assert "--readings=all: whole images of a prior's own" in capsys.readouterr().out
