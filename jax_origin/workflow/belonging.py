"""Images that a generator makes, of which it is known that they belong."""

import jax
import numpy as np
from numpy.typing import NDArray

from jax_origin.calibration import CalibrationError
from jax_origin.generators import GeneratorLike, generator_name, inspected, sample_latents
from jax_origin.images import as_float, as_uint8


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
    blocks = [np.asarray(make(latents[i : i + 100])) for i in range(0, num, 100)]
    images = np.concatenate(blocks)
    if not np.isfinite(images).all():
        raise CalibrationError(
            f"{generator_name(generator)!r} makes images with NaN or infinite pixels: its weights "
            "are damaged"
        )
    return as_uint8(as_float(images))
