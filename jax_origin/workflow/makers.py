"""The conditions of a calibration: what makes the images of each, and what an edit leaves."""

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jax_origin.calibration import CalibrationError, parse_condition
from jax_origin.checkpoints import CheckpointError
from jax_origin.generators import GeneratorLike, with_settings
from jax_origin.images import Stored, stored_images
from jax_origin.workflow.judged_windows import check_shape, may_be_cut
from jax_origin.workflow.methods import Method


def makers_of(
    generator: GeneratorLike, conditions: Iterable[str], method: Method
) -> dict[str, GeneratorLike]:
    """What makes the images of each condition: the generator, or it as it is set there.

    An edit that settings come before is a condition without them, too.
    """
    parsed = [(name, parse_condition(name)) for name in conditions]
    parts = [(each.edit, name if each.settings else "") for name, each in parsed]
    makers: dict[str, GeneratorLike] = {}
    for name in filter(None, dict.fromkeys(itertools.chain(*parts))):
        settings, edit = parse_condition(name)
        whole = np.zeros((1, *generator.image_shape), np.uint8)
        (left, *_) = edited(whole, edit)
        if isinstance(left, Stored) and left.pixels.shape != whole.shape[1:]:
            try:
                windows, cut = method.windows, may_be_cut(left)
                check_shape(left.pixels.shape, generator, windows, "images", cut=cut)
            except ValueError as error:
                raise CalibrationError(f"condition {name!r}: its {error}") from None
        makers[name] = generator
        if settings:
            try:
                makers[name] = with_settings(generator, settings)
            except CheckpointError as error:
                raise CalibrationError(f"condition {name!r}: {error}") from None
            made, wanted = (tuple(g.image_shape) for g in (makers[name], generator))
            if made != wanted:
                raise CalibrationError(
                    f"condition {name!r}: images are {made} (H, W, C) then, not {wanted}"
                )
    return makers


def edited(images: Iterable[NDArray[np.uint8]], edit: str) -> Any:
    """Images as files hold them after an edit; pixels as they are without one."""
    if not edit:
        return images
    try:
        return [stored for image in images for stored in stored_images(image[None], edit)]
    except ValueError as error:
        raise CalibrationError(f"condition: {error}") from None
