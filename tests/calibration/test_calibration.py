import dataclasses
import json
import math
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jax_origin.calibration import (
    Calibration,
    CalibrationError,
    Conformal,
    ForeignGroup,
    Measured,
    Rates,
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
        "method": METHOD | {"recipe": {"restarts": 4, "floor": 0.1, "scales": [0.05, 0.2]}},
        "belonging": np.array([0.1, 1 / 3, 1e-300, 5e-324]),
        "foreign": {"photos": ForeignGroup(np.array([0.7, 0.9]), independent=1)},
        "measured": Measured({"kind": "mine", "mean": 0.5}, (2.0, 1.0), True, 64),
        "reference": "fingerprint of another",
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
    names = ("generator", "method", "measured", "reference", "seed", "keys", "packages", "platform")
    for name in names:
        assert getattr(loaded, name) == getattr(saved, name)


def test_a_loaded_calibration_decides_like_the_one_saved(tmp_path):
    saved = calibrated(belonging=np.random.default_rng(0).random(200))
    saved.save(str(tmp_path / "new" / "folder" / "a.json"))
    loaded = Calibration.load(tmp_path / "new" / "folder" / "a.json")
    points, rates = np.linspace(0, 1.2, 100), Rates(beta=0.4)
    assert decide(points, loaded, rates=rates) == decide(points, saved, rates=rates)


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
        calibrated(**method(rates={"alpha": 0.05, "beta": 0.01})),
        calibrated(measured=Measured()),
        calibrated(reference=None),
    ]
    assert len({base.digest, *(other.digest for other in others)}) == 8
    assert all(base != other for other in others)


def test_it_cannot_be_changed_by_what_it_was_made_from():
    belonging, settings_ = np.array([0.1, 0.2, 0.3]), parts()["method"]
    calibration = calibrated(belonging=belonging, method=settings_)
    digest = calibration.digest
    belonging[0] = 9.0
    settings_["recipe"]["restarts"] = 9
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
    return calibrated(**{"encoders": start, "encoder_weights": weights, **changes})


def test_a_learned_start_is_saved_beside_its_calibration_to_the_bit(tmp_path):
    path = tmp_path / "new" / "a.v2.json"
    saved = learned()
    saved.save(path)
    names = sorted(file.name for file in path.parent.iterdir())
    assert names == ["a.v2.json", "a.v2.start.safetensors"]
    assert start_path(path) == str(path.parent / "a.v2.start.safetensors")
    loaded = Calibration.load(path)
    assert loaded == saved and loaded.digest == saved.digest
    assert loaded.encoders == saved.encoders
    assert loaded.encoders["generator"] == {"latent_shape": [4]}
    assert loaded.encoders["reference"] == {"training": {"steps": 3}}
    assert loaded.encoder_weights.keys() == saved.encoder_weights.keys()
    for name, array in saved.encoder_weights.items():
        assert loaded.encoder_weights[name].dtype == array.dtype
        assert loaded.encoder_weights[name].shape == array.shape
        assert loaded.encoder_weights[name].tobytes() == array.tobytes()
    # Once more, from what was loaded: the same two files.
    before = [file.read_bytes() for file in sorted(path.parent.iterdir())]
    loaded.save(path)
    assert [file.read_bytes() for file in sorted(path.parent.iterdir())] == before


def test_the_digest_is_of_the_weights_too():
    base, same = learned(), learned()
    assert base == same and base.digest == same.digest
    name = "generator.input.kernel"
    weights = dict(base.encoder_weights)
    turned = dict(reversed(weights.items()))
    assert learned(encoder_weights=turned).digest == base.digest
    others = [
        calibrated(),
        learned(seed=1),
        learned(encoders={"generator": {}}),
        learned(encoder_weights={**weights, name: weights[name].reshape(4, 3)}),
        learned(encoder_weights={**weights, name: weights[name].view(np.int16)}),
        learned(encoder_weights={**weights, "more": weights[name]}),
    ]
    assert len({base.digest, *(other.digest for other in others)}) == 7
    assert all(base != other for other in others)


def test_a_calibration_with_a_learned_start_can_be_changed_in_part():
    base = learned()
    fewer = dataclasses.replace(base, belonging=base.belonging[:3])
    assert fewer.encoders == base.encoders and fewer != base
    assert fewer.encoder_weights.keys() == base.encoder_weights.keys()


def test_a_learned_start_cannot_be_changed_by_what_it_was_made_from(tmp_path):
    weights = {"generator.kernel": np.float16([1, 2, 3])}
    start = {"generator": {"latent_shape": [4]}}
    calibration = calibrated(encoders=start, encoder_weights=weights)
    digest = calibration.digest
    weights["generator.kernel"][0] = 9
    weights["more"] = np.zeros(2)
    start["generator"]["latent_shape"][0] = 5
    assert calibration.digest == digest
    calibration.save(tmp_path / "a.json")
    loaded = Calibration.load(tmp_path / "a.json")
    assert loaded.digest == digest
    assert loaded.encoder_weights["generator.kernel"].tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="read-only"):
        calibration.encoder_weights["generator.kernel"][0] = 9


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
    write_safetensors(path, learned(seed=1).encoder_weights)


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
    start = {"generator": {}, "sha256": learned().encoders["sha256"]}
    assert learned(encoders=start).encoders == start
    with pytest.raises(CalibrationError, match="weights are not those it was made with"):
        learned(encoders=start, encoder_weights={})


def test_sources_marks_and_the_rules_options_are_kept_and_need_not_be_there(tmp_path):
    digests = ("0a", "0b", "0c")
    group = ForeignGroup(
        [0.7, 0.9, 0.8], 2, sources=[4, 4, 9], used_for=("threshold",), digests=digests
    )
    options = method(rule=Conformal(0.95).to_json())
    saved = calibrated(foreign={"photos": group}, **options)
    saved.save(tmp_path / "a.json")
    loaded = Calibration.load(tmp_path / "a.json")
    assert loaded == saved and loaded.digest == saved.digest
    assert loaded.foreign["photos"] == group
    assert loaded.foreign["photos"].sources.tolist() == [4, 4, 9]
    assert loaded.foreign_digests == dict.fromkeys(digests, "photos")
    assert loaded.rule == Conformal(0.95)
    assert saved != calibrated(foreign={"photos": group.marked("recipe")}, **options)
    calibrated().save(tmp_path / "b.json")
    content = json.loads((tmp_path / "b.json").read_text())
    assert set(content["foreign"]["photos"]) == {"scores", "independent"}


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
        (method(rule={"kind": "grubs"}), "method.rule: unknown rule 'grubs'.*registered before"),
        (method(rule="grubbs"), "method.rule must be a part with its kind; got 'grubbs'"),
        (method(rule={"kind": "grubbs"}) | {"belonging": [1, 2]}, "grubbs rule needs at least 3"),
        (method(rule={"kind": "t", "k": 1}), "method.rule: PredictionInterval has no 'k'"),
        (method(rule={"kind": "conformal", "confidence": "1"}), "confidence must lie strictly"),
        (method(decision={"kind": "q"}), "method.decision: unknown decision 'q'"),
        (method(score="loss"), "method.score must be a part with its kind"),
        (method(rates={"alpha": 1.0, "beta": 0.1}), "alpha must lie strictly between 0 and 1; got"),
        (method(rates={"alpha": True, "beta": 0.1}), "alpha must lie strictly .*; got True"),
        (method(rates={"alpha": 0.1, "beta": "0.1"}), "beta must lie strictly .*; got '0.1'"),
        (method(rates={"alpha": 0.1}), "must name a beta where the decision needs one"),
        (method(rates={"beta": 0.1}), "must name an alpha"),
        (method(floor=-1), "method.floor must be a number, 0 or more; got -1"),
        (method(recipe=None), "method.recipe must be settings by name; got None"),
        (method(recipe={"rate": math.nan}), "method must be plain JSON"),
        (method(recipe={"rate": np.float32(1)}), "method must be plain JSON"),
        ({"measured": {"typical": 1}}, "measured must hold score, futility,"),
        ({"measured": {"futility": [0.0]}}, "measured.futility must be positive numbers"),
        ({"measured": {"looks_resized": 1}}, "measured.looks_resized must be true or false"),
        ({"measured": {"scored_block": 0}}, "measured.scored_block must be 1 or more, or null"),
        ({"measured": {"score": [1]}}, "measured.score must hold values by name"),
        ({"reference": 1}, "reference must be a fingerprint or null; got 1"),
        ({"generator": {"name": "a"}}, "generator lacks fingerprint"),
        (
            {"generator": parts()["generator"] | {"image_shape": [8, 8]}},
            r"generator.image_shape must be height, width and channels; got \[8, 8\]",
        ),
        ({"keys": [1]}, "keys must hold values by name"),
        ({"packages": {"numpy": 2}}, "packages.numpy must be text; got 2"),
        ({"platform": None}, "platform must be text; got None"),
        ({"seed": 1.5}, "seed must be a whole number or null; got 1.5"),
        ({"encoders": [1]}, r"encoders must be encoders by role, or null; got \[1\]"),
        ({"encoders": {"generator": math.nan}}, "encoders must be plain JSON"),
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
        (lambda c: c.pop("belonging"), "lacks belonging; make one with jax-origin calibrate"),
        (lambda c: c.pop("version"), "lacks version"),
        (lambda c: c.update(version=6), "written by a newer jax_origin .file version 6"),
        (
            lambda c: c.update(version=1) or c.pop("encoders"),
            "lacks encoders; make one with jax-origin calibrate",
        ),
        (lambda c: c.update(encoders={"generator": {}}), "its learned start cannot be read"),
        (lambda c: c.update(version="2"), "version must be 5; got '2'"),
        (lambda c: c.update(version=1), "version must be 5; got 1"),
        (lambda c: c.update(version=3), "method lacks 'alpha'"),
        (lambda c: c.update(version=3, method=[1]), "method cannot be read: it must hold values"),
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
            "may hold digests, made_by, sources, used_for",
        ),
        (lambda c: c["method"].pop("floor"), "method lacks floor"),
        (lambda c: c["method"]["rates"].update(alpha="x\ny" * 1000), "alpha must lie strictly"),
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


def test_its_repr_is_short():
    group = ForeignGroup(np.linspace(1, 2, 500), 400, used_for=["recipe"])
    shown = repr(calibrated(belonging=np.linspace(0, 1, 500), foreign={"photos": group}))
    assert len(shown) < 200 and "'origin' of 'tiny': 500 belonging scores" in shown
    assert repr(group) == "ForeignGroup(500 scores of 400 sources, used for recipe)"


_OWN_RULE = """
import dataclasses
import numpy as np
from jax_origin import parts
from jax_origin.calibration import Calibration, Conformal, Rule, decide

@parts.register
@dataclasses.dataclass(frozen=True)
class OfLogarithms(Rule):
    kind = "of_logarithms"
    shift: float = 0.0

    def fit(self, scores):
        return Fitted(Conformal().fit(np.log(self.shift + scores)), self.shift)

@dataclasses.dataclass(frozen=True)
class Fitted:
    inner: object
    shift: float

    def p_value(self, scores):
        return self.inner.p_value(np.log(self.shift + np.asarray(scores)))

    def threshold(self, rate):
        return np.exp(self.inner.threshold(rate)) - self.shift
"""


def test_a_users_rule_is_loaded_in_a_fresh_process_once_it_is_registered(tmp_path):
    path = tmp_path / "a.json"
    saved = calibrated(belonging=np.linspace(0.01, 1, 100))
    saved.save(path)
    content = json.loads(path.read_text())
    content["method"]["rule"] = {"kind": "of_logarithms", "shift": 0.5}
    path.write_text(json.dumps(content))
    with pytest.raises(CalibrationError, match=r"rule 'of_logarithms'.*must be registered before"):
        Calibration.load(path)
    load = f"""
calibration = Calibration.load({str(path)!r})
assert calibration.rule == OfLogarithms(0.5)
calibration.save({str(path)!r})
assert Calibration.load({str(path)!r}) == calibration
print(decide([0.2], calibration)[0].p)
"""
    run = [sys.executable, "-c", _OWN_RULE + load]
    found = subprocess.run(run, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert float(found.stdout) == decide([0.2], saved)[0].p


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
            "(fingerprint fedcba987654...): make one with jax-origin calibrate",
        ),
        (
            {"fingerprint": "fedcba9876543210"},
            "was made for generator 'tiny' (fingerprint 0123456789ab...), not the one "
            "(fingerprint fedcba987654...): make one with jax-origin calibrate",
        ),
        (
            {"generator_name": "vae"},
            "was made for generator 'tiny' (fingerprint 0123456789ab...), not 'vae': "
            "make one with jax-origin calibrate",
        ),
        (
            {"method_name": "ronan"},
            "was made for method 'origin', not 'ronan': make one with jax-origin calibrate",
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
