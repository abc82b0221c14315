import dataclasses
import json
import math
import os
import pathlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jax_origin.calibration import (
    Calibration,
    CalibrationError,
    ForeignGroup,
    decide,
    start_path,
)
from jax_origin.checkpoints import read_safetensors, write_safetensors

from .made_up import METHOD

scores = st.lists(st.floats(0, 1e300), min_size=3, max_size=20)


def parts(**changes):
    return {
        "generator": {
            "name": "tiny",
            "fingerprint": "0123456789abcdef",
            "latent_shape": (4,),
            "image_shape": (8, 8, 3),
        },
        "method": METHOD
        | {"inversion": {"steps": 100, "learning_rate": 0.1, "starts": [0.05, 0.2]}},
        "belonging": np.array([0.1, 1 / 3, 1e-300, 5e-324]),
        "foreign": {"photos": ForeignGroup(np.array([0.7, 0.9]), independent=1)},
        "seed": 7,
        "keys": {"images": "fold 0"},
        "packages": {"numpy": "2.0"},
        "platform": "cpu",
    } | changes


def method(**changes):
    return {"method": parts()["method"] | changes}


def calibrated(**changes):
    return Calibration(**parts(**changes))


@given(scores, scores)
@settings(deadline=None, max_examples=30)
def test_what_is_loaded_is_what_was_saved_to_the_bit(tmp_path_factory, belonging, foreign):
    path = tmp_path_factory.mktemp("calibration") / "a.json"
    saved = calibrated(belonging=belonging, foreign={"photos": ForeignGroup(foreign, 2)})
    saved.save(path)
    loaded = Calibration.load(path)
    assert loaded == saved
    assert loaded.digest == saved.digest
    assert loaded.belonging.tobytes() == np.array(belonging).tobytes()
    assert loaded.foreign["photos"].scores.tobytes() == np.array(foreign).tobytes()
    for name in ("generator", "method", "seed", "keys", "packages", "platform", "version"):
        assert getattr(loaded, name) == getattr(saved, name)


def test_a_loaded_calibration_decides_like_the_one_saved(tmp_path):
    saved = calibrated(belonging=np.random.default_rng(0).random(200))
    saved.save(str(tmp_path / "new" / "folder" / "a.json"))
    loaded = Calibration.load(tmp_path / "new" / "folder" / "a.json")
    points = np.linspace(0, 1.2, 100)
    assert decide(points, loaded, beta=0.4) == decide(points, saved, beta=0.4)


def test_a_file_is_replaced_whole_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "a.json"
    calibrated(belonging=np.linspace(0, 1, 1000)).save(path)
    calibrated().save(path)
    assert Calibration.load(path) == calibrated()
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_the_digest_depends_on_content_and_not_on_the_order_or_the_path(tmp_path):
    base = calibrated()
    turned = calibrated(method=dict(reversed(parts()["method"].items())))
    base.save(tmp_path / "a.json")
    assert base.digest == turned.digest == Calibration.load(tmp_path / "a.json").digest
    assert len(base.digest) == 64
    others = [
        calibrated(seed=8),
        calibrated(belonging=np.nextafter(base.belonging, 1)),
        calibrated(foreign={}),
        calibrated(foreign={"photos": ForeignGroup(np.array([0.7, 0.9]), independent=2)}),
        calibrated(**method(alpha=0.05)),
    ]
    assert len({base.digest, *(other.digest for other in others)}) == 6
    assert all(base != other for other in others)


def test_it_cannot_be_changed_by_what_it_was_made_from():
    belonging, settings_ = np.array([0.1, 0.2, 0.3]), parts()["method"]
    calibration = calibrated(belonging=belonging, method=settings_)
    digest = calibration.digest
    belonging[0] = 9.0
    settings_["inversion"]["steps"] = 9
    assert calibration.digest == digest
    with pytest.raises(ValueError, match="read-only"):
        calibration.belonging[0] = 9.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        calibration.seed = 9


def learned(seed=0, **changes):
    """A calibration of a learned start, with weights of three kinds and shapes."""
    rng = np.random.default_rng(seed)
    weights = {
        "generator.input.kernel": rng.normal(size=(3, 4)).astype(np.float16),
        "generator.norm.scale": rng.normal(size=7).astype(np.float32),
        "reference.input.kernel": np.float16([[np.inf, -0.0, 6e-8]]),
    }
    start = {"generator": {"latent_shape": (4,)}, "reference": {"training": {"steps": 3}}}
    return calibrated(**{"start": start, "start_weights": weights, **changes})


def test_a_learned_start_is_saved_beside_its_calibration_to_the_bit(tmp_path):
    path = tmp_path / "new" / "a.v2.json"
    saved = learned()
    saved.save(path)
    names = sorted(file.name for file in path.parent.iterdir())
    assert names == ["a.v2.json", "a.v2.start.safetensors"]
    assert start_path(path) == str(path.parent / "a.v2.start.safetensors")
    loaded = Calibration.load(path)
    assert loaded == saved and loaded.digest == saved.digest
    assert loaded.start == saved.start
    assert loaded.start["generator"] == {"latent_shape": [4]}
    assert loaded.start["reference"] == {"training": {"steps": 3}}
    assert loaded.start_weights.keys() == saved.start_weights.keys()
    for name, array in saved.start_weights.items():
        assert loaded.start_weights[name].dtype == array.dtype
        assert loaded.start_weights[name].shape == array.shape
        assert loaded.start_weights[name].tobytes() == array.tobytes()
    # Once more, from what was loaded: the same two files.
    before = [file.read_bytes() for file in sorted(path.parent.iterdir())]
    loaded.save(path)
    assert [file.read_bytes() for file in sorted(path.parent.iterdir())] == before


def test_the_digest_is_of_the_weights_too():
    base, same = learned(), learned()
    assert base == same and base.digest == same.digest
    name = "generator.input.kernel"
    weights = dict(base.start_weights)
    turned = dict(reversed(weights.items()))
    assert learned(start_weights=turned).digest == base.digest
    others = [
        calibrated(),
        learned(seed=1),
        learned(start={"generator": {}}),
        learned(start_weights={**weights, name: weights[name].reshape(4, 3)}),
        learned(start_weights={**weights, name: weights[name].view(np.int16)}),
        learned(start_weights={**weights, "more": weights[name]}),
    ]
    assert len({base.digest, *(other.digest for other in others)}) == 7
    assert all(base != other for other in others)


def test_a_calibration_with_a_learned_start_can_be_changed_in_part():
    base = learned()
    fewer = dataclasses.replace(base, belonging=base.belonging[:3])
    assert fewer.start == base.start and fewer != base
    assert fewer.start_weights.keys() == base.start_weights.keys()


def test_a_learned_start_cannot_be_changed_by_what_it_was_made_from(tmp_path):
    weights = {"generator.kernel": np.float16([1, 2, 3])}
    start = {"generator": {"latent_shape": [4]}}
    calibration = calibrated(start=start, start_weights=weights)
    digest = calibration.digest
    weights["generator.kernel"][0] = 9
    weights["more"] = np.zeros(2)
    start["generator"]["latent_shape"][0] = 5
    assert calibration.digest == digest
    calibration.save(tmp_path / "a.json")
    loaded = Calibration.load(tmp_path / "a.json")
    assert loaded.digest == digest
    assert loaded.start_weights["generator.kernel"].tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="read-only"):
        calibration.start_weights["generator.kernel"][0] = 9


def missing(path):
    os.unlink(path)


def truncated(path):
    data = pathlib.Path(path).read_bytes()
    pathlib.Path(path).write_bytes(data[:-3])


def tampered(path):
    data = bytearray(pathlib.Path(path).read_bytes())
    data[-1] ^= 1
    pathlib.Path(path).write_bytes(data)


def of_another(path):
    write_safetensors(path, learned(seed=1).start_weights)


def without_one(path):
    arrays = read_safetensors(path)
    arrays.pop("generator.norm.scale")
    write_safetensors(path, arrays)


def renamed(path):
    arrays = read_safetensors(path)
    arrays["generator.norm.bias"] = arrays.pop("generator.norm.scale")
    write_safetensors(path, arrays)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (missing, r"its learned start cannot be read \(.*no such file\); the two files belong"),
        (truncated, r"its learned start cannot be read \(.*not a whole safetensors file"),
        (tampered, "the learned start's weights are not those it was made with"),
        (of_another, "the learned start's weights are not those it was made with"),
        (without_one, "the learned start's weights are not those it was made with"),
        (renamed, "the learned start's weights are not those it was made with"),
    ],
)
def test_a_learned_start_that_is_not_the_calibrations_is_refused(tmp_path, damage, message):
    path = tmp_path / "a.json"
    learned().save(path)
    damage(start_path(path))
    with pytest.raises(CalibrationError, match=message) as caught:
        Calibration.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_weights_that_are_not_those_of_the_digest_are_refused():
    start = {"generator": {}, "sha256": learned().start["sha256"]}
    assert learned(start=start).start == start
    with pytest.raises(CalibrationError, match="weights are not those it was made with"):
        learned(start=start, start_weights={})


def test_sources_marks_and_the_rules_options_are_kept_and_older_files_lack_them(tmp_path):
    digests = ("0a", "0b", "0c")
    group = ForeignGroup(
        [0.7, 0.9, 0.8], 2, sources=[4, 4, 9], used_for=("threshold",), digests=digests
    )
    options = method(rule_options={"confidence": 0.95})
    saved = calibrated(foreign={"photos": group}, **options)
    saved.save(tmp_path / "a.json")
    loaded = Calibration.load(tmp_path / "a.json")
    assert loaded == saved and loaded.digest == saved.digest
    assert loaded.foreign["photos"] == group
    assert loaded.foreign["photos"].sources.tolist() == [4, 4, 9]
    assert loaded.foreign_digests == dict.fromkeys(digests, "photos")
    assert loaded.rule_options == {"confidence": 0.95}
    assert saved != calibrated(foreign={"photos": group.marked("recipe")}, **options)
    calibrated().save(tmp_path / "b.json")
    content = json.loads((tmp_path / "b.json").read_text())
    assert set(content["foreign"]["photos"]) == {"scores", "independent"}
    assert "rule_options" not in content["method"]


def test_floor_is_the_methods():
    assert calibrated(**method(floor=0)).floor == 0.0
    assert calibrated().floor == 1e-5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"belonging": []}, "there are no belonging scores"),
        ({"belonging": [0.1, math.nan]}, "belonging scores hold 1 NaN, the first at index 1"),
        ({"belonging": [0.1, math.inf]}, "belonging scores hold 1 infinite, the first at index 1"),
        ({"belonging": [-0.1, 0.2]}, "belonging scores hold 1 negative, the first at index 0"),
        ({"belonging": [[0.1]]}, "one number for each image"),
        (method(rule="grubs"), "method.rule must be one of conformal, grubbs, t, kde; got 'grubs'"),
        (method(rule="grubbs") | {"belonging": [1, 2]}, "grubbs rule needs at least 3"),
        (method(rule_options=[]), "method.rule_options must hold the rule's options by name"),
        (method(rule_options={"k": 1}), "the conformal rule has no option 'k'; it has confidence"),
        (method(rule="t", rule_options={"k": 1}), "the t rule has no option 'k'; it has none"),
        (method(rule_options={"confidence": "1"}), "confidence must lie strictly between 0 and 1"),
        (method(decision="q"), "method.decision must be one of two_errors, published; got 'q'"),
        (method(alpha=1.0), "method.alpha must be between 0 and 1; got 1.0"),
        (method(alpha=True), "method.alpha must be between 0 and 1; got True"),
        (method(beta="0.1"), "method.beta must be between 0 and 1, or null; got '0.1'"),
        (method(beta=None), "method.beta must not be null"),
        (method(floor=-1), "method.floor must be a number, 0 or more; got -1"),
        (method(inversion=None), "method.inversion must be settings by name; got None"),
        (method(inversion={"rate": math.nan}), "method must be plain JSON"),
        (method(inversion={"rate": np.float32(1)}), "method must be plain JSON"),
        ({"generator": {"name": "a"}}, "generator lacks fingerprint"),
        (
            {"generator": parts()["generator"] | {"image_shape": [8, 8]}},
            r"generator.image_shape must be height, width and channels; got \[8, 8\]",
        ),
        ({"keys": [1]}, "keys must hold values by name"),
        ({"packages": {"numpy": 2}}, "packages.numpy must be text; got 2"),
        ({"platform": None}, "platform must be text; got None"),
        ({"seed": 1.5}, "seed must be a whole number or null; got 1.5"),
        ({"start": [1]}, r"start must be what was learned, or null; got \[1\]"),
        ({"start": {"generator": math.nan}}, "start must be plain JSON"),
        ({"version": 0}, "version must be 3; got 0"),
        ({"foreign": {"": ForeignGroup([0.1], 1)}}, "must be a ForeignGroup with a name"),
        ({"foreign": {"photos": [0.1]}}, "foreign group 'photos' must be a ForeignGroup"),
        ({"foreign": []}, "foreign must hold foreign groups by name"),
    ],
)
def test_an_unsound_calibration_is_refused(changes, message):
    with pytest.raises(CalibrationError, match=message):
        calibrated(**changes)


@pytest.mark.parametrize("independent", [0, 3, 1.0, True, None])
def test_independent_sources_are_counted_among_the_scores(independent):
    with pytest.raises(CalibrationError, match="independent must be a whole number from 1 to 2"):
        ForeignGroup(np.array([0.1, 0.2]), independent)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: c.pop("belonging"), "lacks belonging; make one with scripts/calibrate.py"),
        (lambda c: c.pop("version"), "lacks version"),
        (lambda c: c.update(version=4), "written by a newer jax_origin .file version 4"),
        (
            lambda c: c.update(version=1) or c.pop("start"),
            "lacks start; make one with scripts/calibrate.py",
        ),
        (lambda c: c.update(start={"generator": {}}), "its learned start cannot be read"),
        (lambda c: c.update(version="2"), "version must be 3; got '2'"),
        (lambda c: c.update(format="other"), "not a calibration"),
        (lambda c: c.update(extra=1), "has unknown fields: 'extra'"),
        (lambda c: c.update(belonging="0.1"), "belonging scores must be a list of numbers"),
        (lambda c: c.update(belonging=["0.1"]), "belonging scores must be a list of numbers"),
        (lambda c: c.update(belonging=[True]), "belonging scores must be a list of numbers"),
        (lambda c: c.update(belonging=[[0.1]]), "belonging scores must be a list of numbers"),
        (lambda c: c.update(belonging=[10**400]), "too large to be a score"),
        (lambda c: c.update(belonging=[math.nan]), "belonging scores hold 1 NaN"),
        (lambda c: c.update(belonging=[math.inf]), "belonging scores hold 1 infinite"),
        (lambda c: c.update(belonging=[-1]), "belonging scores hold 1 negative"),
        (lambda c: c.update(belonging=[]), "there are no belonging scores"),
        (lambda c: c.update(foreign=[]), "foreign must hold foreign groups"),
        (lambda c: c["foreign"].update(vae=[1]), "foreign group 'vae': must hold scores and"),
        (
            lambda c: c["foreign"]["photos"].update(scores=[-1, 1]),
            "foreign group 'photos': foreign scores hold 1 negative",
        ),
        (
            lambda c: c["foreign"]["photos"].update(independent=9),
            "foreign group 'photos': independent must be a whole number",
        ),
        (
            lambda c: c["foreign"]["photos"].update(sources=[0, 1]),
            "foreign group 'photos': sources name 2 different sources, independent says 1",
        ),
        (
            lambda c: c["foreign"]["photos"].update(used_for="threshold"),
            "foreign group 'photos': sources and used_for must be lists",
        ),
        (
            lambda c: c["foreign"]["photos"].update(digests="0a 0b 0c"),
            "foreign group 'photos': digests are of 3 images, scores of 2",
        ),
        (
            lambda c: c["foreign"]["photos"].update(digests=["0a", "0b"]),
            "foreign group 'photos': digests must be text",
        ),
        (
            lambda c: c["foreign"]["photos"].update(weight=1),
            "may hold digests, sources, used_for",
        ),
        (lambda c: c["method"].pop("floor"), "method lacks floor"),
        (lambda c: c["method"].update(alpha="x\ny" * 1000), "method.alpha must be between"),
        (lambda c: c.update(generator=[]), "generator must hold values by name"),
    ],
)
def test_a_file_that_is_not_a_sound_calibration_is_refused_in_one_line(tmp_path, edit, message):
    path = tmp_path / "a.json"
    calibrated().save(path)
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    with pytest.raises(CalibrationError, match=message) as caught:
        Calibration.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON .*line 1"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"\x89PNG\r\n", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "not JSON"),
        (b"[]", "not a calibration"),
        (b"{}", "not a calibration"),
        (b'"jax_origin calibration"', "not a calibration"),
        (b"null", "not a calibration"),
    ],
)
def test_a_file_of_something_else_is_refused_in_one_line(tmp_path, data, message):
    path = tmp_path / "a.json"
    path.write_bytes(data)
    with pytest.raises(CalibrationError, match=message) as caught:
        Calibration.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_file_or_a_folder_is_named(tmp_path):
    with pytest.raises(CalibrationError, match="no such file; make one with"):
        Calibration.load(tmp_path / "none.json")
    with pytest.raises(CalibrationError, match="cannot be read: Is a directory"):
        Calibration.load(tmp_path)


def test_require_passes_what_it_was_made_for():
    calibration = calibrated()
    calibration.require()
    calibration.require(fingerprint="0123456789abcdef", generator_name="tiny", method_name="origin")
    # The same weights under another name are the same generator.
    calibration.require(fingerprint="0123456789abcdef", generator_name="copy-of-tiny")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (
            {"fingerprint": "fedcba9876543210", "generator_name": "tiny"},
            "was made for generator 'tiny' (fingerprint 0123456789ab...), not 'tiny' "
            "(fingerprint fedcba987654...): make one with scripts/calibrate.py",
        ),
        (
            {"fingerprint": "fedcba9876543210"},
            "was made for generator 'tiny' (fingerprint 0123456789ab...), not the one "
            "(fingerprint fedcba987654...): make one with scripts/calibrate.py",
        ),
        (
            {"generator_name": "vae"},
            "was made for generator 'tiny' (fingerprint 0123456789ab...), not 'vae': "
            "make one with scripts/calibrate.py",
        ),
        (
            {"method_name": "ronan"},
            "was made for method 'origin', not 'ronan': make one with scripts/calibrate.py",
        ),
    ],
)
def test_require_refuses_another_generator_or_method(tmp_path, wanted, message):
    with pytest.raises(CalibrationError) as caught:
        calibrated().require(**wanted)
    assert str(caught.value) == f"the calibration {message}"
    calibrated().save(tmp_path / "a.json")
    with pytest.raises(CalibrationError) as caught:
        Calibration.load(tmp_path / "a.json").require(**wanted)
    assert str(caught.value) == f"calibration {tmp_path / 'a.json'} {message}"
