"""The study of images that were turned, cut or saved again."""

import jax
import numpy as np
import pytest

from benchmarks import readings
from benchmarks.sampling import ProtocolError
from configs.evaluate.readings import get_config
from jax_origin import Attributor, Rates
from jax_origin.inversion import Run

RNG = np.random.default_rng(0)


def test_files_after_an_edit():
    images = RNG.integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    jpeg, png = (readings.files_after(images, edit) for edit in ("jpeg-75", "jpeg-75 as PNG"))
    assert {file.kind for file in jpeg} == {"jpeg"}
    np.testing.assert_array_equal(png[0].pixels, jpeg[0].pixels)
    (turned, _) = readings.files_after(images, "turn-90-mirrored")
    np.testing.assert_array_equal(turned.pixels, np.rot90(images[0][:, ::-1], -1))
    with pytest.raises(ProtocolError, match="turned by 0, 90, 180 or 270"):
        readings.files_after(images, "turn-45")


def test_a_small_study(monkeypatch, generator, under_storage, make_generator, noise):
    config = get_config()
    config.inspected, config.edits = ("one",), ("clean", "turn-0-mirrored")
    config.num_images, config.sets = 3, {}
    models = {"one": generator, "two": make_generator(1)}
    attributor = Attributor(
        generator, under_storage, key=jax.random.key(0), rates=Rates(0.05, 0.05)
    )
    monkeypatch.setattr(readings, "attributor_of", lambda name, config, run, **_: attributor)
    monkeypatch.setattr(readings, "standard_names", lambda: ["one", "two"])
    monkeypatch.setattr(readings, "load_generator", models.get)
    result = readings.study(config, data=".", limit=None, run=Run())
    assert [(row["edit"], row["group"], row["belongs"]) for row in result["rows"]] == [
        *(("clean", "one", 3), ("clean", "two", 0)),
        *(("turn-0-mirrored", "one", 3), ("turn-0-mirrored", "two", 0)),
    ]
    assert result["rows"][2]["readings"] == {"mirrored left to right": 3}
    table = readings.table(result)
    assert "| one       | turn-0-mirrored |        3/3 |" in table
    assert "mirrored left to right" in table
