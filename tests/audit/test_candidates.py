"""Who the candidates are, and which of them cannot be told apart."""

import jax
import numpy as np
import pytest
from flax import nnx

from jax_origin.audit import Candidate, examine, open_candidates, tell_apart
from jax_origin.audit.candidates import coverage
from jax_origin.audit.part_records import aligned_records
from jax_origin.calibration import CalibrationError, ForeignGroup, Rates
from jax_origin.checkpoints import CheckpointError
from jax_origin.generators import DCGAN, save_generator
from jax_origin.images import save_png
from jax_origin.inversion import Run
from jax_origin.runs import RunError
from jax_origin.sources import open_source
from jax_origin.workflow import belonging_images, calibrate
from jax_origin.zoo import load_generator

from .findings_data import NUM, made_up


def candidate(name: str, **changes) -> Candidate:
    return Candidate(name, f"somewhere/{name}", made_up(name, **changes))


def alike(name: str, other: str) -> dict[str, ForeignGroup]:
    """Foreign groups of a candidate that scores the other's images as its own."""
    same, far = np.linspace(1e-3, 1e-2, NUM), np.linspace(1, 2, NUM)
    groups = {other: same, f"{other} after jpeg-75": same, "photos": far}
    return {group: ForeignGroup(scores, NUM) for group, scores in groups.items()}


def test_the_zoo_is_opened_by_name():
    names = ["vae-cifar10", "dcgan-cifar10"]
    found = open_candidates(names)
    assert [c.name for c in found] == names == [c.folder for c in found]
    assert found[0].origins == ["photographs", "dcgan-cifar10", "dcgan-cifar10-b", "plain", "faded"]
    same, groups = tell_apart(found)
    assert (same, groups) == (found, [])


def test_a_zoo_generator_brings_the_calibration_of_its_familys_recipe():
    (found,) = open_candidates(["stylegan2-cifar10"])
    assert found.calibration.method["name"] == "origin-thorough"


def test_a_directory_comes_with_its_calibration(tmp_path, generator, calibration):
    save_generator(tmp_path / "mine", generator, dtype=np.float32, card={"name": "../../mine"})
    calibration.save(tmp_path / "cal.json")
    entry = f"{tmp_path}/mine={tmp_path}/cal.json"
    (found,) = open_candidates([entry])
    assert found.name == "../../mine" and found.source == f"{tmp_path}/mine"
    assert found.folder == "mine"  # Its records stay where they should be.
    with pytest.raises(RunError, match="two candidates are called 'mine'"):
        open_candidates([entry, entry])
    with pytest.raises(RunError, match=r"different sizes \(mine 8x8, vae-cifar10 32x32\): give"):
        open_candidates([entry, "vae-cifar10"])
    assert len(open_candidates([entry, "vae-cifar10"], resize=True)) == 2
    with pytest.raises(CheckpointError, match="the zoo ships no calibration"):
        open_candidates([f"{tmp_path}/mine"])
    with pytest.raises(CalibrationError, match="was made for generator"):
        open_candidates([f"vae-cifar10={tmp_path}/cal.json"])


@pytest.mark.parametrize("entry", ["", "=cal.json", "vae-cifar10="])
def test_half_an_entry_is_refused(entry):
    with pytest.raises(RunError, match="write NAME, or DIR=CALIBRATION"):
        open_candidates([entry])


def test_no_candidate_is_refused():
    with pytest.raises(RunError, match="name at least one"):
        open_candidates([])


def test_candidates_that_accept_each_others_images_are_not_foreign_to_each_other():
    pair = [candidate("a", foreign=alike("a", "b")), candidate("b", foreign=alike("b", "a"))]
    told, groups = tell_apart(pair)
    assert groups == [("a", "b")]
    assert [list(c.calibration.foreign) for c in told] == [["photos"], ["photos"]]
    # Agreement has to go both ways.
    told, groups = tell_apart([pair[0], candidate("b")])
    assert groups == [] and told[0] is pair[0]
    # Crops of one source are no evidence of it.
    crops = {name: ForeignGroup(g.scores, 5) for name, g in alike("a", "b").items()}
    assert tell_apart([candidate("a", foreign=crops), pair[1]])[1] == []


def test_scores_under_the_floor_tell_no_candidates_apart():
    # Decisions take all scores under the floor, 1e-6, for equal.
    def near(name, other):
        groups = {other: np.linspace(1e-7, 2e-7, NUM), "photos": np.linspace(1, 2, NUM)}
        foreign = {group: ForeignGroup(scores, NUM) for group, scores in groups.items()}
        return candidate(name, foreign=foreign, belonging=np.linspace(1e-9, 2e-9, NUM))

    assert tell_apart([near("a", "b"), near("b", "a")])[1] == [("a", "b")]


def test_one_fingerprint_is_one_group():
    same = made_up("a").generator
    twin = candidate("b", generator={**same, "name": "b"})
    told, groups = tell_apart([candidate("a"), twin])
    assert groups == [("a", "b")]
    assert told[0].origins == ["photos"]


def test_a_group_is_its_makers_whatever_its_name():
    def made_by(foreign, name, fingerprint):
        group = ForeignGroup(foreign[name].scores, NUM, made_by=fingerprint)
        return {**foreign, name: group}

    b = candidate("b", foreign=alike("b", "a"))
    # Another model's images, called b: they say nothing of b, and stay foreign to a.
    stranger = candidate("a", foreign=made_by(alike("a", "b"), "b", "fingerprint of x"))
    told, groups = tell_apart([stranger, b])
    assert groups == [] and told[0] is stranger
    # The images of b under another name are b's.
    renamed = {"cats": alike("a", "b")["b"], "photos": alike("a", "b")["photos"]}
    own = candidate("a", foreign=made_by(renamed, "cats", "fingerprint of b"))
    told, groups = tell_apart([own, b])
    assert groups == [("a", "b")] and list(told[0].calibration.foreign) == ["photos"]
    assert tell_apart([candidate("a", foreign=renamed), b])[1] == []


def test_groups_are_the_same_by_maker_edit_and_only_then_name():
    far = np.linspace(1, 2, NUM)
    plain, x = ForeignGroup(far, NUM), ForeignGroup(far, NUM, made_by="x" * 64)
    y = ForeignGroup(far, NUM, made_by="y" * 64)
    a = candidate("a", foreign={"photos": plain, "gan": x, "vae": x, "b": plain})
    b = candidate("b", foreign={"photos": plain, "dcgan": x, "vae": y, "photos after jpeg-75": x})
    shared, lacking = coverage([a, b])
    assert [group.name for group in shared] == ["photos", "dcgan"]
    assert {name: [group.name for group in groups] for name, groups in lacking.items()} == {
        "a": ["vae", "photos after jpeg-75"],
        "b": [],
    }


def test_a_candidate_needs_foreign_images_that_are_not_its_twins():
    foreign = {name: g for name, g in alike("a", "b").items() if name != "photos"}
    with pytest.raises(
        RunError, match="'a' is calibrated with no foreign images, or with none but"
    ):
        tell_apart([candidate("a", foreign=foreign), candidate("b", foreign=alike("b", "a"))])
    with pytest.raises(RunError, match="calibrate it with --foreign"):
        tell_apart([candidate("a", foreign={})])


def test_each_image_gets_its_record_and_a_changed_one_another(tmp_path, generator, calibration):
    save_generator(tmp_path / "mine", generator, dtype=np.float32, card={"name": "mine"})
    calibration.save(tmp_path / "cal.json")
    (mine,) = open_candidates([f"{tmp_path}/mine={tmp_path}/cal.json"])
    own = belonging_images(generator, 2, key=jax.random.key(7))
    noise = np.random.default_rng(7).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    paths = [f"{tmp_path}/images/{i}.png" for i in range(4)]
    for path, pixels in zip(paths, [*own, noise[0]], strict=False):
        save_png(path, pixels)
    with open(paths[3], "w") as file:
        file.write("no image")
    told, watched = [], []

    def records():
        with mine.journal(tmp_path / "out", {"seed": 1}) as journal:
            options = {"key": jax.random.key(0), "rates": Rates(0.02, 0.02)}
            run = Run(progress=lambda *what: told.append(what))
            source = open_source(str(tmp_path / "images"))
            told.clear()
            watched.clear()
            options |= {"total": lambda: 4, "watch": watched.append}
            assert examine(source, mine, journal, **options, run=run) == 4
            assert told[-1] == ("mine", pytest.approx(4), 4)
            assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
        return list(aligned_records({"mine": tmp_path / "out/mine/parts"})["mine"])

    first = records()
    assert [r["verdict"] for r in first] == ["belongs", "belongs", "not_recognised", None]
    assert sorted(str(r["verdict"]) for r in watched) == sorted(str(r["verdict"]) for r in first)
    assert {r["score_kind"] for r in first[:3]} == {"full"} and told
    assert records() == first
    assert [r["verdict"] for r in watched] == [None]  # What failed is tried again.
    save_png(paths[0], noise[1])
    again = records()
    assert again[1:] == first[1:]
    assert again[0]["verdict"] == "not_recognised" and "has changed" in again[0]["note"]
    with (
        pytest.raises(RunError, match=r"--seed was 1, is 2\): give another --out"),
        mine.journal(tmp_path / "out", {"seed": 2}),
    ):
        pass


def test_a_grey_generator_is_a_candidate_too(tmp_path, method):
    grey = DCGAN(image_size=8, width=4, latent_dim=6, channels=1, rngs=nnx.Rngs(2))
    save_generator(tmp_path / "grey", grey)
    made = calibrate(
        load_generator(tmp_path / "grey"), method=method, num_belonging=99, key=jax.random.key(0)
    )
    made.save(tmp_path / "cal.json")
    (found,) = open_candidates([f"{tmp_path}/grey={tmp_path}/cal.json"])
    assert found.calibration.generator["image_shape"] == [8, 8, 1]
