"""Images of which a generator made a part are undecided, with a map; others are what they were."""

import csv
import dataclasses
import math

import jax
import numpy as np
import pytest
from PIL import Image

import jax_origin as jo
from jax_origin.audit.weighing import says_nothing
from jax_origin.evidence import explain
from jax_origin.images import edit_images, photograph_crops, save_png, stored_images
from jax_origin.inversion.partial import PartialInverter
from jax_origin.runs import Workdir, heat, sheet_row, write_contact_sheet
from jax_origin.workflow import belonging_images, encoders_of
from jax_origin.workflow.in_part import InPart, stored_likewise
from jax_origin.workflow.scorer import INSPECTED
from jax_origin.workflow.verdict import PartMap

KEY = jax.random.key(4)


@pytest.mark.parametrize("name", ["clean", "jpeg-75", "jpeg-90-444"])
def test_an_image_is_stored_as_another_file_is(name):
    first, second = photograph_crops(2, (32, 32), seed=3, part="calibration")[0]
    like, wanted = stored_images(np.stack([first, second]), name)
    made = stored_likewise(second, like)
    assert made.kind == wanted.kind
    ours, theirs = made.to_arrays(), wanted.to_arrays()
    np.testing.assert_array_equal(ours.halves, theirs.halves)
    # An encoder rounds colours before it transforms: a level may come out next to its own.
    steps = np.rint((ours.middles - theirs.middles) / (2 * ours.halves))
    assert np.abs(steps).max() <= (0 if name == "clean" else 1)
    assert np.mean(steps != 0) < 0.05


@pytest.fixture(scope="module")
def part():
    outside = np.zeros((4, 4), bool)
    outside[:2, :2] = True
    errors = np.where(outside, 20.0, 0.1)
    return PartMap(0.75, errors, np.where(outside, 0.01, 0.8), outside, 8)


def test_a_map_is_red_where_the_image_lies_outside(part):
    image = np.full((32, 32, 3), (90, 120, 150), np.uint8)
    drawn = heat(image, part)
    assert drawn.shape == image.shape and (drawn[16:] == 120).all() and (drawn[:, 16:] == 120).all()
    red, green, blue = drawn[3, 3].astype(int)
    assert red > 200 and max(green, blue) < 100


@pytest.fixture(scope="module")
def generator_of_zoo():
    return jo.load_generator("dcgan-cifar10")


def attributor_of(generator, readings):
    calibration = jo.load_calibration(generator)
    return jo.Attributor(generator, calibration, key=KEY, readings=readings)


@pytest.fixture(scope="module")
def attributor(generator_of_zoo):
    return attributor_of(generator_of_zoo, "all")


@pytest.fixture(scope="module")
def usual(generator_of_zoo):
    return attributor_of(generator_of_zoo, "usual")


@pytest.fixture(scope="module")
def own(generator_of_zoo):
    return belonging_images(generator_of_zoo, 3, key=jax.random.key(31))


@pytest.mark.outer
@pytest.mark.parametrize("readings", ["usual", "all"])
def test_captioned_images_are_its_own_in_part(readings, own, request):
    attributor = request.getfixturevalue("usual" if readings == "usual" else "attributor")
    captioned = edit_images(own, "caption-0.125")
    for verdict in attributor(captioned):
        assert (verdict.verdict, verdict.tried[-1]) == ("undecided", "in part")
        assert verdict.part.share == pytest.approx(0.875, abs=0.05)
        assert verdict.reason == f"in part: {math.floor(100 * verdict.part.share)}% of it"
        assert verdict.part.outside[-1].all() and verdict.part.outside[:-1].mean() < 0.1
        # Under the bar it shows what the model made there.
        away = np.abs(verdict.reconstruction - captioned[verdict.tag] / 255)
        assert away[:28].mean() < 0.01 < away[28:].mean()
        text = explain(verdict.decision, attributor.calibration, tried=verdict.tried)
        assert "a longer search has it make 87% of it" in text


@pytest.mark.outer
def test_a_photograph_with_an_own_quarter_is_in_part_and_others_are_not(attributor, own):
    photographs = photograph_crops(3, (32, 32), seed=3, part="demonstration")[0]
    mixed = photographs.copy()
    mixed[:, 16:, :16] = own[:, 16:, :16]
    quarter = np.zeros((8, 8), bool)
    quarter[4:, :4] = True
    found = [verdict for verdict in attributor(mixed) if verdict.part is not None]
    assert found
    for verdict in found:
        assert verdict.verdict == "undecided"
        assert (verdict.part.errors[quarter].mean() < verdict.part.errors[~quarter]).mean() > 0.9
    foreign = attributor(photographs)
    assert {(verdict.verdict, verdict.part) for verdict in foreign} == {("not_recognised", None)}
    # One without colours is not read again.
    assert {verdict.tried[-1] for verdict in foreign if verdict.tried} == {"in part"}


@pytest.mark.outer
def test_maps_are_kept_and_drawn(attributor, own, tmp_path):
    path = tmp_path / "images" / "marked.png"
    save_png(path, edit_images(own[:1], "mark-0.1")[0])
    with Workdir(tmp_path / "run", {}) as workdir:
        (verdict,) = attributor(str(path))
        record = workdir.write(verdict, keep_reconstruction=True)
        drawn = workdir.part_map(record)
    with open(drawn.with_suffix(".csv"), encoding="ascii", newline="") as file:
        rows = list(csv.DictReader(file))
    assert (
        len(rows) == 64 and sum(int(row["outside"]) for row in rows) == verdict.part.outside.sum()
    )
    where = workdir.reconstruction(record)
    shown = sheet_row(record, where, image_shape=(32, 32, 3), part_map=drawn)
    assert "red: not made by it" in shown.caption
    np.testing.assert_array_equal(shown.map, np.asarray(Image.open(drawn)))
    for name, row in {"with": shown, "without": dataclasses.replace(shown, map=None)}.items():
        write_contact_sheet(tmp_path / f"{name}.png", [row])
    sheets = [np.asarray(Image.open(tmp_path / f"{name}.png")) for name in ("with", "without")]
    assert (sheets[0] != sheets[1]).any()


@pytest.mark.outer
def test_what_comes_near_without_a_part_is_not_cleared(usual, own):
    """In a JPEG 75 of 32 px a caption leaves too few whole blocks for a part that counts."""
    rest = belonging_images(usual.generator, 9, key=jax.random.key(32))
    files = stored_images(np.concatenate([own, rest]), "caption-0.125+jpeg-75")
    verdicts = usual(files)
    edited = [verdict for verdict in verdicts if (verdict.reason or "").startswith("edited")]
    assert edited and not any(verdict.verdict == "belongs" for verdict in verdicts)
    for verdict in edited:
        assert (verdict.verdict, verdict.part) == ("undecided", None)
        assert verdict.tried[-1] == "in part"
        text = explain(verdict.decision, usual.calibration, tried=verdict.tried)
        assert "dcgan-cifar10 comes near to it in a longer search" in text
        assert says_nothing(verdict.reason)


@pytest.mark.outer
def test_a_part_without_a_map_is_not_cleared(usual, own, monkeypatch):
    searched = PartialInverter.__call__

    def not_close(inverter, files):
        return [part._replace(close=False) for part in searched(inverter, files)]

    monkeypatch.setattr(PartialInverter, "__call__", not_close)
    monkeypatch.setattr(InPart, "_own_errors", lambda *_: np.zeros(0))
    for verdict in usual(edit_images(own, "caption-0.125")):
        assert (verdict.verdict, verdict.part) == ("undecided", None)
        assert verdict.reason.startswith("edited")


@pytest.mark.outer
def test_foreign_images_are_soon_given_up(generator_of_zoo, usual):
    photographs = photograph_crops(8, (32, 32), seed=4, part="demonstration")[0]
    files = stored_images(photographs, "clean")
    options = {"key": KEY, "encoder": encoders_of(usual.calibration)[INSPECTED]}
    few, more = (
        PartialInverter(generator_of_zoo, usual.method.recipe, squares=squares, **options)(files)
        for squares in (False, True)
    )
    steps = [np.array([part.steps for part in found]) for found in (few, more)]
    assert np.median(steps[0]) < 50 and (steps[1] > 10 * steps[0].min()).all()
    assert not any(part.close for part in few if part.steps < 50)


@pytest.mark.outer
def test_a_search_in_pieces_is_that_in_one(generator_of_zoo, usual):
    files = stored_images(photograph_crops(3, (32, 32), seed=5, part="demonstration")[0], "clean")
    inverter = PartialInverter(
        generator_of_zoo,
        usual.method.recipe,
        key=KEY,
        squares=False,
        encoder=encoders_of(usual.calibration)[INSPECTED],
    )
    lanes, programs = (
        inverter._begun(files, [file.to_arrays() for file in files]),
        inverter._fine[0],
    )
    whole = inverter._descended(lanes, (32.0, 20.0, 12.0), programs)
    half = inverter._descended(lanes, (32.0,), programs)
    # What stands on the device is kept: in another order the lanes go on as they would have.
    pieces = inverter._descended(half[::-1], (20.0, 12.0), programs)[::-1]
    anew = inverter._descended([lane._replace(carry=None) for lane in half], (20.0, 12.0), programs)
    wanted, found, other = (np.stack([lane.latent for lane in x]) for x in (whole, pieces, anew))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert np.abs(other - wanted).max() > 1e-3


def test_without_a_learned_start_usual_readings_look_for_no_part(generator, under_storage, noise):
    (verdict,) = jo.attribute(noise[60:61], generator, under_storage, key=KEY)
    assert "in part" not in verdict.tried and verdict.part is None


@pytest.mark.outer
def test_noise_is_not_made_in_part(generator, under_storage, noise):
    found = jo.attribute(noise[60:64], generator, under_storage, key=KEY, readings="all")
    assert {verdict.verdict for verdict in found} == {"not_recognised"}
    assert {verdict.tried[-1] for verdict in found} == {"in part"}
