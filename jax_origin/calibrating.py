"""Making a calibration: images of known origin, inverted and scored."""

import dataclasses
import importlib.metadata
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from jax_origin.calibration import Calibration, CalibrationError, ForeignGroup, edited_group
from jax_origin.generators import GeneratorLike, fingerprint, generator_name
from jax_origin.images import Stored, as_float, as_uint8, stored_images, stored_pixels
from jax_origin.inversion import LearnedStart, invert, learn_start
from jax_origin.methods import Method, get_method
from jax_origin.scoring import ROLES, Progress, belonging_images, score_images

# Tags that a key is folded with. Images and starting points never share one: a lane that started
# at the latent which made its image would find it at once, and calibrate nothing.
_IMAGES, _STARTS, ENCODER_TAG, _CURVES = 0, 1, 4, 5
# An image is given up where its loss is so many times the largest of those that were fitted on.
_FUTILITY_MARGIN = 2.0
_LOOK_RESIZED = 0.05  # A share of images that look resized that chance alone hardly gives.
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")


class ForeignImages(NamedTuple):
    """Foreign images of which several come from one source.

    Attributes:
      images: uint8 or float [M, H, W, C].
      independent: Number of independent sources: crops of one photograph are one.
    """

    images: Any
    independent: int


def calibrate(
    generator: GeneratorLike,
    *,
    method: str | Method = "origin",
    num_belonging: int | None = None,
    foreign: Mapping[str, Any] | None = None,
    conditions: Sequence[str] | None = None,
    reference: GeneratorLike | None = None,
    learned: LearnedStart | None = None,
    futility: bool = False,
    key: jax.Array,
    seed: int | None = None,
    progress: Progress | None = None,
) -> Calibration:
    """Scores images of known origin: the generator's own with fresh latents, and foreign ones.

    Args:
      generator: The generator to inspect.
      method: A name in `jax_origin.methods.METHODS`, or a `Method`.
      num_belonging: How many images the generator makes, the method's `num_images` without it;
        each is rounded to 8 bits, as a file would hold it. Excluding at rate alpha needs at least
        1/alpha - 1.
      foreign: Foreign images by group name, uint8 or float [M, H, W, C], or `ForeignImages`.
        Attributing with a false rate of beta needs at least 1/beta - 1 in each group.
      conditions: Edits that images may have met since they were made, by their names in
        `jax_origin.images.EDITS`; those of the method without it. Belonging and foreign images are
        calibrated as they are and after each; an edited foreign group counts as another group. An
        image is compared with the conditions that would have left such a file as its own.
      reference: Another generator; then the score is the ratio of losses under the two.
      learned: The encoder for a method that starts from one; trained here without it, which takes
        minutes on a small machine.
      futility: Whether images are given up that fall more slowly than belonging ones do. How those
        fall is fitted on as many others of the generator's own; what it costs in belonging images
        given up is in the scores of those that are calibrated with, and so in p.
      key: A JAX key. The same key gives the same calibration on the same machine.
      seed: The number that the key was made from, if any; only noted down.
      progress: Called with the number of gradient evaluations done since its last call.

    Returns:
      The calibration.

    Raises:
      ValueError: If a group's images are no images of the generator's shape.
      CalibrationError: If scores are not finite, or too few for the method's rule; if the
        reference makes images of another shape, or futility is asked for beside it.
    """
    method = get_method(method)
    num_belonging = method.num_images if num_belonging is None else num_belonging
    if num_belonging < 1:
        raise CalibrationError(f"num_belonging must be at least 1, not {num_belonging}")
    if reference is not None:
        if tuple(reference.image_shape) != tuple(generator.image_shape):
            raise CalibrationError(
                f"the reference makes images of {tuple(reference.image_shape)} (H, W, C), the "
                f"generator {tuple(generator.image_shape)}: choose a reference of the same size"
            )
        if futility or method.inversion.futility:
            raise CalibrationError(
                "futility gives images up by their loss under one model, and a ratio needs both in "
                "full: leave out futility, or the reference"
            )
        inversion = dataclasses.replace(method.inversion, floor=0.0)
        method = dataclasses.replace(
            method, score="reference_ratio", floor=0.0, inversion=inversion
        )
    if conditions is None:
        conditions = method.conditions if generator.image_shape[2] == 3 else ()
    conditions = [edit for edit in dict.fromkeys(conditions) if edit != "clean"]
    for edit in conditions:  # A wrong name is refused now, not when the images have been scored.
        _edited(np.zeros((1, *generator.image_shape), np.uint8), edit)
    groups: dict[str, tuple[Any, int]] = {}
    for name, images in (foreign or {}).items():
        independent = len(images)
        if isinstance(images, ForeignImages):
            images, independent = images
        groups[name] = (_fitting(images, generator, name), independent)
    image_key, start_key = (jax.random.fold_in(key, tag) for tag in (_IMAGES, _STARTS))
    belonging = belonging_images(generator, num_belonging, key=image_key)
    learners = [generator] if reference is None else [generator, reference]
    starts: dict[str, LearnedStart] = {}
    if method.inversion.start == "learned":
        for role, model in zip(ROLES, learners, strict=False):
            given = learned if role == "generator" else None
            starts[role] = given or learn_start(model, key=jax.random.fold_in(key, ENCODER_TAG))
    if futility:
        method = _with_futility(
            generator,
            method,
            num_belonging,
            key=jax.random.fold_in(key, _CURVES),
            learned=starts.get("generator"),
        )

    def scores(images: Any, group: str) -> NDArray[np.float64]:
        found = score_images(
            generator,
            images,
            method,
            key=start_key,
            reference=reference,
            starts=starts,
            progress=progress,
        )
        if not np.isfinite(found).all():
            raise CalibrationError(
                f"{int((~np.isfinite(found)).sum())} of {len(found)} {group} images have no finite "
                f"score under {generator_name(generator)!r}: its weights or its output hold NaN"
            )
        return found

    own = scores(belonging, "belonging")
    by_condition = {
        edit: scores(_edited(belonging, edit), f"belonging, {edit}") for edit in conditions
    }
    foreign_groups = {}
    for name, (images, independent) in groups.items():
        foreign_groups[name] = ForeignGroup(scores(images, name), independent)
        for edit in conditions:
            group = edited_group(name, edit)
            edited = _edited(as_uint8(images), edit)
            foreign_groups[group] = ForeignGroup(scores(edited, group), independent)
    return Calibration(
        generator={
            "name": generator_name(generator),
            "fingerprint": fingerprint(generator),
            "latent_shape": list(generator.latent_shape),
            "image_shape": list(generator.image_shape),
        },
        method={
            **method.to_dict(),
            "reference": fingerprint(reference) if reference is not None else None,
            "looks_resized": _look_resized(belonging),
        },
        belonging=own,
        conditions=by_condition,
        foreign=foreign_groups,
        seed=seed,
        keys={
            "key": np.asarray(jax.random.key_data(key)).tolist(),
            "images": f"fold_in(key, {_IMAGES})",
            "starts": f"fold_in(key, {_STARTS}), then each image's SHA-256, then the restart",
        },
        packages={name: importlib.metadata.version(name) for name in _PACKAGES},
        platform=jax.default_backend(),
        start={role: start.config for role, start in starts.items()} if starts else None,
        start_weights={
            f"{role}.{name}": array
            for role, start in starts.items()
            for name, array in start.arrays().items()
        },
    )


def _look_resized(belonging: NDArray[np.uint8]) -> bool:
    """Whether a generator's images look as if they had been resized: it may end in a resize."""
    shares = [len(image.resizings) > 0 for image in stored_pixels(belonging)]
    return bool(np.mean(shares) > _LOOK_RESIZED)


def _edited(images: NDArray[np.uint8], edit: str) -> list[Stored]:
    try:
        return stored_images(images, edit)
    except ValueError as error:
        raise CalibrationError(f"condition: {error}") from None


def _fitting(images: Any, generator: GeneratorLike, group: str) -> NDArray[np.float32]:
    """A foreign group's images as floats, of the generator's shape."""
    try:
        pixels = as_float(images)
    except ValueError as error:
        raise ValueError(f"foreign group {group!r}: {error}") from None
    shape = tuple(generator.image_shape)
    if len(pixels) == 0:
        raise CalibrationError(f"foreign group {group!r} holds no images: need at least one")
    if pixels.shape[1:] != shape:
        raise ValueError(
            f"foreign group {group!r}: images are {pixels.shape[1:]} (H, W, C), the generator "
            f"makes {shape}"
        )
    return pixels


def _with_futility(
    generator: GeneratorLike,
    method: Method,
    num: int,
    *,
    key: jax.Array,
    learned: LearnedStart | None,
) -> Method:
    """The method, with the levels above which no belonging image was while its loss fell."""
    image_key, start_key = (jax.random.fold_in(key, tag) for tag in (_IMAGES, _STARTS))
    images = belonging_images(generator, num, key=image_key)
    found = invert(generator, images, method.inversion, key=start_key, learned=learned)
    levels = np.maximum(_FUTILITY_MARGIN * found.curve.max(axis=0), method.inversion.floor)
    inversion = dataclasses.replace(method.inversion, futility=tuple(map(float, levels)))
    return dataclasses.replace(method, inversion=inversion)
