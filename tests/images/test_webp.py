import io

import numpy as np
import pytest
from PIL import Image

from jax_origin.images import photograph_crops
from jax_origin.images.webp import webp_coarsest, webp_quantiser

SHEET = np.concatenate(photograph_crops(5, (48, 64), seed=1, part="demonstration")[0])


def file_of(**options):
    file = io.BytesIO()
    Image.fromarray(SHEET).save(file, "WEBP", **options)
    return file.getvalue()


@pytest.mark.parametrize("quality", [100, 95, 90, 80, 70, 60, 50, 40, 20, 0])
def test_the_quantiser_is_the_one_that_the_encoder_chose(quality):
    # libwebp gives its coarsest segment what webp_coarsest says, or a little less.
    coarsest = webp_coarsest(quality)
    assert coarsest - 8 <= webp_quantiser(file_of(quality=quality)) <= coarsest


def test_with_and_without_segments_and_with_alpha():
    levels = [webp_quantiser(file_of(quality=60, method=m)) for m in (0, 4, 6)]
    assert max(levels) - min(levels) <= 2
    file = io.BytesIO()
    rgba = np.concatenate([SHEET, SHEET[..., :1]], axis=2)
    Image.fromarray(rgba).save(file, "WEBP", quality=60)
    assert abs(webp_quantiser(file.getvalue()) - levels[1]) <= 8


def test_what_holds_no_key_frame_has_none():
    assert webp_quantiser(file_of(lossless=True)) is None
    whole = file_of(quality=80)
    assert webp_quantiser(b"") is webp_quantiser(whole[:25]) is None
    # A torn file gives some index or none, and no error.
    for end in range(26, 60):
        found = webp_quantiser(whole[:end])
        assert found is None or 0 <= found <= 127
