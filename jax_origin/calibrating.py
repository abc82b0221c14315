"""Making a calibration: images of known origin, inverted and scored."""

import dataclasses
import importlib.metadata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from jax_origin.calibration import (
    Calibration,
    CalibrationError,
    edited_group,
    parse_condition,
)
from jax_origin.checkpoints import CheckpointError
from jax_origin.foreign_images import fitted_group
from jax_origin.generators import GeneratorLike, fingerprint, generator_name, with_settings
from jax_origin.images import (
    Stored,
    as_uint8,
    find_resizings,
    stored_images,
    stored_pixels,
)
from jax_origin.inversion import LearnedStart, learn_start
from jax_origin.methods import Method, get_method
from jax_origin.score import Typical
from jax_origin.scoring import ROLES, Progress, belonging_images, score_images, score_stream

# Tags that a key is folded with. Images and starting points never share one: a lane that started
# at the latent which made its image would find it at once, and calibrate nothing.
_IMAGES, _STARTS, ENCODER_TAG, _CURVES, _TYPICAL = 0, 1, 4, 5, 6
# An image is given up where its loss is so many times the largest of those that were fitted on.
_FUTILITY_MARGIN = 2.0
_LOOK_RESIZED = 0.05  # A share of images that look resized that chance alone hardly gives.
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")


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
      method: A name in `jax_origin.METHODS`, or a `Method`; "origin" is the recipe of the
        generator's family.
      num_belonging: How many images the generator makes, the method's `num_images` without it;
        each is rounded to 8 bits, as a file would hold it. Excluding at rate alpha needs at least
        1/alpha - 1.
      foreign: Foreign images by group name, uint8 or float [M, H, W, C], or `ForeignImages`.
        Attributing with a false rate of beta needs at least 1/beta - 1 in each group. Images of a
        group that are equal to the pixel are of one source, and so are all sources that share one.
      conditions: Edits that images may have met since they were made, by their names in
        `jax_origin.images.EDITS`; those of the method without it. Belonging and foreign images are
        calibrated as they are and after each; an edited foreign group counts as another group. An
        image is compared with the conditions that would have left such a file as its own. Settings
        under which the generator may have been used are conditions, too: "truncation_psi=0.7" (an
        entry of its `config`), alone or followed by an edit, "num_steps=50+jpeg-75".
      reference: Another generator; then the score is the ratio of losses under the two.
      learned: The encoder for a method that starts from one; trained here without it, which takes
        minutes on a small machine.
      futility: Whether images are given up that fall more slowly than belonging ones do. How those
        fall is fitted on as many others of the generator's own, under each edit; what it costs in
        belonging images given up is in the scores of those that are calibrated with, and so in p.
      key: A JAX key. The same key gives the same calibration on the same machine.
      seed: The number that the key was made from, if any; only noted down.
      progress: Called with the number of gradient evaluations done since its last call.

    Returns:
      The calibration.

    Raises:
      ValueError: If a group's images are no images of the generator's shape.
      CalibrationError: If scores are not finite, or too few for the method's rule; if the
        reference makes images of another shape, or futility is asked for beside it; if a group's
        sources are not one for each image.
    """
    method = get_method(method, generator)
    num = method.num_images if num_belonging is None else num_belonging
    if num < 1:
        raise CalibrationError(f"num_belonging must be at least 1, not {num}")
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
            method, score="reference_ratio", draws=1, floor=0.0, inversion=inversion
        )
    conditions = _conditions(method, generator, conditions)
    # A wrong name is refused now, not when the images have been scored.
    makers = _makers(generator, conditions)
    edits = [name for name in makers if not parse_condition(name).settings]
    groups = {name: fitted_group(given, generator, name) for name, given in (foreign or {}).items()}
    image_key, start_key = (jax.random.fold_in(key, tag) for tag in (_IMAGES, _STARTS))
    belonging = belonging_images(generator, num, key=image_key)
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
            num,
            edits,
            key=jax.random.fold_in(key, _CURVES),
            starts=starts,
            progress=progress,
        )
    if method.score == "typicality":
        key_of_others = jax.random.fold_in(key, _TYPICAL)
        method = _with_typical(
            generator, method, num, key=key_of_others, starts=starts, progress=progress
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
    by_condition = {}
    for name, maker in makers.items():
        made = belonging if maker is generator else belonging_images(maker, num, key=image_key)
        edited = _edited(made, parse_condition(name).edit)
        by_condition[name] = scores(edited, f"belonging, {name}")
    foreign_groups = {}
    for name, group in groups.items():
        pixels = as_uint8(group.images)
        foreign_groups[name] = group.scored(scores(group.images, name), pixels)
        for edit in edits:
            edited = _edited(pixels, edit)
            found = scores(edited, edited_group(name, edit))
            shown = (image.pixels for image in edited)
            foreign_groups[edited_group(name, edit)] = group.scored(found, shown)
    after = "then the draw, but for the first, then " if method.draws > 1 else "then "
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
            "scored_block": method.inversion.block,
        },
        belonging=own,
        conditions=by_condition,
        foreign=foreign_groups,
        seed=seed,
        keys={
            "key": np.asarray(jax.random.key_data(key)).tolist(),
            "images": f"fold_in(key, {_IMAGES})",
            "starts": f"fold_in(key, {_STARTS}), {after}each image's SHA-256, then the restart",
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


def evaluations_to_calibrate(
    method: Method,
    models: Sequence[GeneratorLike],
    *,
    num_belonging: int,
    num_foreign: int,
    conditions: Sequence[str] | None = None,
    futility: bool = False,
) -> int:
    """Gradient evaluations that `calibrate` takes at the most: what it tells of its progress.

    Args:
      method: The method.
      models: The generator; and the reference, where there is one.
      num_belonging: Images of the generator's own that are calibrated with.
      num_foreign: Foreign images, all groups together.
      conditions: As `calibrate` takes them.
      futility: As `calibrate` takes it.
    """
    names = _all_conditions(_conditions(method, models[0], conditions))
    edits = [name for name in names if not parse_condition(name).settings]
    scored = num_belonging * (1 + len(names)) + num_foreign * (1 + len(edits))
    of_models = [method.inversion.evaluations(tuple(model.latent_shape)) for model in models]
    if len(models) > 1:
        return scored * sum(of_models)
    (once,) = of_models
    total = scored * method.draws * once
    if futility:
        total += num_belonging * (1 + len(edits)) * once
    if method.score == "typicality":
        total += num_belonging * once
    return total


def _conditions(
    method: Method, generator: GeneratorLike, given: Sequence[str] | None
) -> Sequence[str]:
    """Those that are given, or the method's; edits are of RGB images."""
    if given is not None:
        return given
    return method.conditions if generator.image_shape[2] == 3 else ()


def _all_conditions(conditions: Iterable[str]) -> list[str]:
    """The conditions besides images as made; an edit that settings come before, also without."""
    names: dict[str, None] = {}
    for name in conditions:
        settings, edit = parse_condition(name)
        names |= dict.fromkeys(part for part in (edit, name if settings else "") if part)
    return [*names]


def _makers(generator: GeneratorLike, conditions: Iterable[str]) -> dict[str, GeneratorLike]:
    """What makes the belonging images of each condition: the generator, or it as it is set there.

    Raises:
      CalibrationError: If there is no such setting, or no such edit.
    """
    makers: dict[str, GeneratorLike] = {}
    for name in _all_conditions(conditions):
        settings, edit = parse_condition(name)
        _edited(np.zeros((1, *generator.image_shape), np.uint8), edit)
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


def _look_resized(belonging: NDArray[np.uint8]) -> bool:
    """Whether a generator's images look as if they had been resized: it may end in a resize."""
    found = [len(find_resizings(pixels)) > 0 for pixels in belonging]
    return bool(np.mean(found) > _LOOK_RESIZED)


def _edited(images: NDArray[np.uint8], edit: str) -> list[Stored]:
    if not edit:
        return stored_pixels(images)
    try:
        return stored_images(images, edit)
    except ValueError as error:
        raise CalibrationError(f"condition: {error}") from None


def _with_futility(
    generator: GeneratorLike,
    method: Method,
    num: int,
    edits: Iterable[str],
    *,
    key: jax.Array,
    starts: Mapping[str, LearnedStart],
    progress: Progress | None,
) -> Method:
    """The method, with the levels above which no belonging image was while its loss fell.

    As made, and after each edit: edited images fall more slowly.
    """
    image_key, start_key = (jax.random.fold_in(key, tag) for tag in (_IMAGES, _STARTS))
    images = belonging_images(generator, num, key=image_key)
    highest = np.zeros(method.inversion.checks)
    once = dataclasses.replace(method, score="loss", draws=1)
    for edit in ("", *edits):
        shown = _edited(images, edit)
        stream = score_stream(
            generator, shown, once, key=start_key, starts=starts, progress=progress
        )
        for _, _, found in stream:
            highest = np.maximum(highest, found.curve)
    levels = np.maximum(_FUTILITY_MARGIN * highest, method.inversion.floor)
    inversion = dataclasses.replace(method.inversion, futility=tuple(map(float, levels)))
    return dataclasses.replace(method, inversion=inversion)


def _with_typical(
    generator: GeneratorLike,
    method: Method,
    num: int,
    *,
    key: jax.Array,
    starts: Mapping[str, LearnedStart],
    progress: Progress | None,
) -> Method:
    """The method, with what is typical of own images, measured on others than are calibrated."""
    image_key, start_key = (jax.random.fold_in(key, tag) for tag in (_IMAGES, _STARTS))
    images = belonging_images(generator, num, key=image_key)
    once = dataclasses.replace(method, score="loss", draws=1)
    stream = score_stream(generator, images, once, key=start_key, starts=starts, progress=progress)
    found = sorted(stream, key=lambda each: each[0])  # A sum depends on the order.
    losses = [loss for _, loss, _ in found]
    latents = np.stack([one.latent for _, _, one in found])
    try:
        typical = Typical.of(losses, latents)
    except ValueError as error:
        raise CalibrationError(f"under {generator_name(generator)!r}: {error}") from None
    return dataclasses.replace(method, typical=typical)
