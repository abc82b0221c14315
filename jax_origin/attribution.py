"""The front door: make a calibration, and attribute images with it."""

import dataclasses
import importlib.metadata
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from jax_origin.calibration import Calibration, CalibrationError, ForeignGroup, decide
from jax_origin.generators import GeneratorLike, fingerprint, generator_name, sample_latents
from jax_origin.images import as_float, as_uint8
from jax_origin.inversion import Inversion, invert
from jax_origin.methods import Method, get_method
from jax_origin.score import SCORES

Progress = Callable[[int], None]

# Tags that a key is folded with. Images and starting points never share one: a lane that started
# at the latent which made its image would find it at once, and calibrate nothing.
_IMAGES, _STARTS = 0, 1
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was found about one image.

    Attributes:
      generator: The inspected generator's name.
      method: The method's name.
      steps: Gradient evaluations that this image took.
      verdict: "belongs", "foreign" or "undecided"; None where there is an error.
      reason: Why it is undecided, or what is not known of the verdict; None if nothing is to add.
      p: How well the score fits belonging images; small speaks against belonging.
      q: How well it fits the best-fitting foreign group; small speaks against all of them. None
        without foreign groups.
      score: The number that was ranked.
      loss: Mean squared error between image and reconstruction, images in [0, 1].
      error: What went wrong, in one line; None if nothing did.
      reconstruction: The nearest image that the generator was found to make, float32 [H, W, C].
    """

    generator: str
    method: str
    steps: int
    verdict: str | None = None
    reason: str | None = None
    p: float | None = None
    q: float | None = None
    score: float | None = None
    loss: float | None = None
    error: str | None = None
    reconstruction: NDArray[np.float32] | None = dataclasses.field(
        default=None, repr=False, compare=False
    )


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
    num_belonging: int = 100,
    foreign: Mapping[str, Any] | None = None,
    reference: GeneratorLike | None = None,
    key: jax.Array,
    seed: int | None = None,
    progress: Progress | None = None,
) -> Calibration:
    """Scores images of known origin: the generator's own with fresh latents, and foreign ones.

    Args:
      generator: The generator to inspect.
      method: A name in `jax_origin.methods.METHODS`, or a `Method`.
      num_belonging: How many images the generator makes; each is rounded to 8 bits, as a file
        would hold it. Excluding at rate alpha needs at least 1/alpha - 1.
      foreign: Foreign images by group name, uint8 or float [M, H, W, C], or `ForeignImages`.
        Attributing with a false rate of beta needs at least 1/beta - 1 in each group.
      reference: Another generator; then the score is the ratio of losses under the two.
      key: A JAX key. The same key gives the same calibration on the same machine.
      seed: The number that the key was made from, if any; only noted down.
      progress: Called with the number of lane steps done since its last call.

    Returns:
      The calibration.

    Raises:
      ValueError: If a group's images are no images of the generator's shape.
      CalibrationError: If scores are not finite, or too few for the method's rule; if the
        reference makes images of another shape.
    """
    method = get_method(method)
    if num_belonging < 1:
        raise CalibrationError(f"num_belonging must be at least 1, not {num_belonging}")
    if reference is not None:
        if tuple(reference.image_shape) != tuple(generator.image_shape):
            raise CalibrationError(
                f"the reference makes images of {tuple(reference.image_shape)} (H, W, C), the "
                f"generator {tuple(generator.image_shape)}: choose a reference of the same size"
            )
        method = dataclasses.replace(method, score="reference_ratio", floor=0.0)
    image_key, start_key = (jax.random.fold_in(key, tag) for tag in (_IMAGES, _STARTS))
    belonging = belonging_images(generator, num_belonging, key=image_key)

    def scores(images: Any, group: str) -> NDArray[np.float64]:
        found, _ = score_images(
            generator, images, method, key=start_key, reference=reference, progress=progress
        )
        if not np.isfinite(found).all():
            raise CalibrationError(
                f"{int((~np.isfinite(found)).sum())} of {len(found)} {group} images have no finite "
                f"score under {generator_name(generator)!r}: its weights or its output hold NaN"
            )
        return found

    groups = {}
    own = scores(belonging, "belonging")
    for name, images in (foreign or {}).items():
        independent = len(images)
        if isinstance(images, ForeignImages):
            images, independent = images
        groups[name] = ForeignGroup(scores(images, name), independent)
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
        },
        belonging=own,
        foreign=groups,
        seed=seed,
        keys={
            "key": np.asarray(jax.random.key_data(key)).tolist(),
            "images": f"fold_in(key, {_IMAGES})",
            "starts": f"fold_in(key, {_STARTS}), then each image's SHA-256, then the restart",
        },
        packages={name: importlib.metadata.version(name) for name in _PACKAGES},
        platform=jax.default_backend(),
    )


def attribute(
    images: Any,
    generator: GeneratorLike,
    calibration: Calibration,
    *,
    key: jax.Array,
    alpha: float | None = None,
    beta: float | None = None,
    reference: GeneratorLike | None = None,
    progress: Progress | None = None,
) -> list[Verdict]:
    """Decides for each image whether the generator made it.

    Args:
      images: uint8, or float in [0, 1]; [N, H, W, C] of the generator's image shape.
      generator: The generator to inspect.
      calibration: Made for this very generator; it says the method.
      key: A JAX key, for starting points. An image's verdict does not depend on the others'.
      alpha: Rate of false exclusion; the calibration's own without it.
      beta: Rate of false attribution; the calibration's own without it.
      reference: The reference generator, where the calibration was made with one.
      progress: Called with the number of lane steps done since its last call.

    Returns:
      One verdict for each image, in order.

    Raises:
      CalibrationError: If the calibration is for another generator, or another reference.
      ValueError: If the images are no such array; if alpha or beta is not in (0, 1).
    """
    check_calibration(calibration, generator, reference=reference)
    method = Method.from_dict(calibration.method)
    # A wrong alpha or beta is refused now, not when all images have been inverted.
    decide([], calibration, alpha=alpha, beta=beta)
    if len(images) == 0:
        return []
    scores, result = score_images(
        generator, images, method, key=key, reference=reference, progress=progress
    )
    finite = np.isfinite(scores)
    decisions = iter(decide(scores[finite], calibration, alpha=alpha, beta=beta))
    verdicts = []
    for i, known in enumerate(finite):
        common: dict[str, Any] = {
            "generator": calibration.generator["name"],
            "method": method.name,
            "steps": int(result.steps[i]),
        }
        if not known:
            error = "the generator gave no finite image for any latent that was tried"
            verdicts.append(Verdict(**common, error=error))
            continue
        decision = next(decisions)
        verdicts.append(
            Verdict(
                verdict=decision.verdict,
                reason=decision.reason,
                p=decision.p,
                q=decision.q,
                score=float(scores[i]),
                loss=float(result.loss[i]),
                reconstruction=result.reconstruction[i],
                **common,
            )
        )
    return verdicts


def check_calibration(
    calibration: Calibration, generator: GeneratorLike, *, reference: GeneratorLike | None = None
) -> None:
    """Makes sure that a calibration was made for this generator and this reference.

    Raises:
      CalibrationError: If it was not; the message says for what it was made. If its method is
        none that can be run here.
    """
    where = calibration.path or "the calibration"
    calibration.require(
        fingerprint=fingerprint(generator), generator_name=generator_name(generator)
    )
    wanted = calibration.method["reference"]
    given = fingerprint(reference) if reference is not None else None
    if wanted != given:
        made = f"reference {wanted[:12]}..." if wanted else "no reference"
        asked = f"reference {given[:12]}..." if given else "none"
        raise CalibrationError(f"{where} was made with {made}; here there is {asked}")
    try:
        Method.from_dict(calibration.method)
    except (TypeError, ValueError) as error:
        raise CalibrationError(f"{where}: its method cannot be run: {error}") from None


def belonging_images(generator: GeneratorLike, num: int, *, key: jax.Array) -> NDArray[np.uint8]:
    """Images that the generator makes from fresh latents, as 8-bit files would hold them.

    Args:
      generator: The generator.
      num: How many.
      key: A JAX key.

    Returns:
      uint8 [num, H, W, C].
    """
    latents = sample_latents(generator, key, num)
    make = jax.jit(lambda z: generator(z))
    blocks = [np.asarray(make(latents[i : i + 100])) for i in range(0, num, 100)]
    images = np.concatenate(blocks)
    if not np.isfinite(images).all():
        raise CalibrationError(
            f"{generator_name(generator)!r} makes images with NaN or infinite pixels: its weights "
            "are damaged"
        )
    return as_uint8(as_float(images))


def score_images(
    generator: GeneratorLike,
    images: Any,
    method: Method,
    *,
    key: jax.Array,
    reference: GeneratorLike | None = None,
    progress: Progress | None = None,
) -> tuple[NDArray[np.float64], Inversion]:
    """Inverts images and scores them, as `calibrate` and `attribute` do.

    Args:
      generator: The generator to inspect.
      images: uint8, or float in [0, 1]; [N, H, W, C] of the generator's image shape.
      method: How they are inverted, and what is scored; its rule plays no part here.
      key: A JAX key, for starting points. An image's score does not depend on the others'.
      reference: Another generator, where the score is the ratio of losses under the two.
      progress: Called with the number of lane steps done since its last call.

    Returns:
      The scores, float64 [N], not finite where the generator gave no finite image; and the
      inversion under the inspected generator.

    Raises:
      ValueError: If the images are no such array, or the score needs a reference and has none.
    """
    result = invert(generator, images, method.inversion, key=key, progress=progress)
    other = None
    if reference is not None:
        other = invert(reference, images, method.inversion, key=key, progress=progress).loss
    return SCORES[method.score](result.loss, other), result
