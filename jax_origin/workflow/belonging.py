"""Images that a generator made, of which it is known that they belong: from where they come."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from jax_origin.calibration import FROM_PRIOR, CalibrationError
from jax_origin.generators import (
    KINDS,
    Autoencoder,
    GeneratorLike,
    generator_name,
    inspected,
    sample_latents,
    with_settings,
)
from jax_origin.generators.autoencoders.reencoding import AMOUNT, reencoded
from jax_origin.images import as_float, as_uint8
from jax_origin.workflow.judged_windows import check_shape, listed

_PRECISIONS = ("float32", "bfloat16")

_BLOCK = 100


class BelongingImages(NamedTuple):
    """Images of a generator's own that are given, because it has no prior to draw them from.

    Attributes:
      images: uint8 or float [N, H, W, C], made by the generator as its users make them; or N of
        [H, W, C], whose sizes may differ where the method judges windows.
      source: Where they come from, in a few words; reports say it, for p refers to such images.
    """

    images: Any
    source: str = "images that were given"


def belonging_images(generator: GeneratorLike, num: int, *, key: jax.Array) -> NDArray[np.uint8]:
    """Images that the generator makes from fresh latents, as 8-bit files hold them.

    Returns:
      uint8 [num, H, W, C].

    Raises:
      CalibrationError: If pixels are not finite.
    """
    generator = inspected(generator)
    latents = sample_latents(generator, key, num)
    make = jax.jit(lambda z: generator(z))
    blocks = [np.asarray(make(latents[i : i + _BLOCK])) for i in range(0, num, _BLOCK)]
    return _as_stored(np.concatenate(blocks), generator)


def reencoded_images(
    generator: GeneratorLike,
    photographs: Any,
    *,
    key: jax.Array,
    amount: float = AMOUNT,
    source: str = "photographs",
    precisions: Sequence[str] | None = None,
) -> BelongingImages:
    """Images that an autoencoder makes of photographs: their encodings, perturbed and decoded.

    They stand for the images of a model whose latents are not at hand. Without the perturbation
    they would be images of the encoder's latents alone.

    Args:
      generator: An autoencoder: it has an `encode`.
      photographs: uint8 or float [N, H, W, C], or N of [H, W, C]. An autoencoder of one of
        `jax_origin.generators.KINDS` takes any sizes, another its own.
      key: A JAX key, for the perturbation.
      amount: Normal noise is added, of this many times the deviation that a channel has over the
        latents of its image.
      source: What the photographs are, in a few words.
      precisions: Dtypes that the decoder computes in, to which images take turns. None for float32
        and bfloat16, as pipelines decode (float16 changes hardly a pixel); and for float32 alone
        where the class is no `Autoencoder`, which may not compute in another.

    Raises:
      ValueError: If the generator has no `encode`, or the photographs are none that it takes.
      CalibrationError: If pixels are not finite.
    """
    generator = inspected(generator)
    if getattr(generator, "encode", None) is None:
        raise ValueError(f"{generator_name(generator)!r} has no encode(images)")
    if precisions is None:
        precisions = _PRECISIONS if isinstance(generator, Autoencoder) else ("float32",)
    pixels = listed(photographs)
    made: dict[int, NDArray[np.uint8]] = {}
    sizes = dict.fromkeys(image.shape for image in pixels)
    for shape in sizes:
        whole = _of_size(generator, shape)
        places = [i for i, image in enumerate(pixels) if image.shape == shape]
        shown = as_float(np.stack([pixels[i] for i in places]))
        made_again = reencoded(
            whole, shown, key=key, places=places, amount=amount, precisions=precisions
        )
        made |= zip(places, _as_stored(made_again, generator), strict=True)
    images = [made[i] for i in range(len(pixels))]
    whole = np.stack(images) if len(sizes) == 1 else images
    decoded = f"decoded in {' and '.join(precisions)}"
    return BelongingImages(whole, f"encodings of {source}, perturbed by {amount:g} and {decoded}")


def _of_size(generator: GeneratorLike, shape: tuple[int, ...]) -> Any:
    """The autoencoder of whole images of this shape (H, W, C)."""
    known = type(generator) in KINDS.values()  # Of others the settings are not known.
    if known and isinstance(generator, Autoencoder) and generator.channels == shape[2]:
        return with_settings(generator, {"image_size": shape[:2], "margin": 0, "phase": (0, 0)})
    check_shape(shape, generator, 0, "photographs")
    return generator


@dataclasses.dataclass(frozen=True)
class Belonging:
    """Where a calibration's own images come from: the prior, or those that are given.

    Of given images each serves one purpose: the first `num` are scored, the others serve what is
    fitted beforehand.

    Attributes:
      generator: The generator, as `inspected` gives it.
      source: In a few words.
      given: The images, N of uint8 [H, W, C]; None for draws of the prior.
      num: How many of these are scored.
    """

    generator: GeneratorLike
    source: str = FROM_PRIOR
    given: Any = None
    num: int = 0

    @classmethod
    def of(
        cls,
        generator: GeneratorLike,
        given: Any,
        *,
        num: int | None,
        fitted: bool,
        windows: int = 0,
    ) -> "Belonging":
        """Takes images, `BelongingImages`, or None for the prior.

        `num` are to be scored, None for as many as can be; `fitted` says whether something is
        fitted on others.

        Raises:
          ValueError: If images are none of the generator's shape; with `windows`, if smaller.
          CalibrationError: If there are too few, or the generator has no prior and none are given.
        """
        if given is None:
            if not getattr(generator, "has_prior", True):
                raise CalibrationError(
                    f"{generator_name(generator)!r} has no prior to draw images from: give images "
                    "that it made (belonging), or have it make some of photographs "
                    "(reencoded_images)"
                )
            return cls(generator)
        known = given if isinstance(given, BelongingImages) else BelongingImages(given)
        images = listed(known.images)
        for image in images:
            check_shape(image.shape, generator, windows, "belonging: images")
        wanted = max(1, len(images) // (2 if fitted else 1)) if num is None else num
        if wanted + fitted > len(images):
            more = ", and some more for what is fitted beforehand" if fitted else ""
            raise CalibrationError(f"belonging: need {wanted} images{more}; got {len(images)}")
        return cls(generator, known.source, images, wanted)

    def images(self, num: int, *, key: jax.Array, maker: GeneratorLike) -> Any:
        """Images to be scored, uint8; `maker` is the generator, or it under other settings."""
        if self.given is None:
            return belonging_images(maker, num, key=key)
        if maker is not self.generator:
            raise CalibrationError(
                "belonging: images that are given were made under one setting; leave conditions "
                "with settings out"
            )
        return self.given[:num]

    def others(self, num: int, *, key: jax.Array) -> Any:
        """Images that serve nothing else, as many as `num_others` says."""
        if self.given is None:
            return belonging_images(self.generator, num, key=key)
        return self.given[self.num :][:num]

    def num_others(self, num: int) -> int:
        """How many images there are that serve nothing else, at most `num`."""
        return num if self.given is None else min(num, len(self.given) - self.num)


def _as_stored(images: NDArray[np.float32], generator: GeneratorLike) -> NDArray[np.uint8]:
    if not np.isfinite(images).all():
        raise CalibrationError(
            f"{generator_name(generator)!r} makes images with NaN or infinite pixels: its weights "
            "are damaged"
        )
    return as_uint8(as_float(images))
