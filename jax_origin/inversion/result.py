"""What an inversion gives."""

from typing import Any, NamedTuple

import numpy as np

ENDINGS = ("finished", "floor", "accepted", "futile")
"""How an image's inversion ends: all stages run, at the floor, accepted early, or given up."""


class Inversion(NamedTuple):
    """What came out, for N images; arrays of NumPy, or of JAX from `solve`.

    Of one image it has no first axis.

    Attributes:
      loss: Mean squared error of the reconstruction, float32 [N]; infinite where the generator
        gave no finite image.
      distance: The tracked distance, float32 [N]; the loss itself if that is `L2`.
      latent: The best latent, float32 [N, *latent_shape].
      reconstruction: Its image, float32 [N, H, W, C] in [0, 1].
      restart: Which restart it came from, int [N].
      steps: Gradient evaluations that the image took, rounded up, int [N].
      ended: One of `ENDINGS`, str [N].
      curve: The lowest distance up to each check, float32 [N, checks]; the last one is repeated
        where an image ended early.
      reading: Which of the sets it is that a file may be in (`jax_origin.images.Stored.readings`),
        int [N].
      seen: What the generator's network sees in the image itself, where a score asks for it
        (`Score.looking`), float32 [N, numbers]; else none.
    """

    loss: Any
    distance: Any
    latent: Any
    reconstruction: Any
    restart: Any
    steps: Any
    ended: Any
    curve: Any
    reading: Any = np.zeros((), np.int64)
    seen: Any = np.zeros(0, np.float32)

    @classmethod
    def stacked(cls, each: "list[Inversion]") -> "Inversion":
        """The inversions of N images as one, at least one."""
        return cls(*(np.stack(part) for part in zip(*each, strict=True)))
