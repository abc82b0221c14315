"""How well libjpeg's coefficients are predicted: the table of docs/stored_images.md.

python -m benchmarks.stored_parity
"""

import io
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

import jax_origin as jo
from jax_origin.distances import FileSet, as_stored
from jax_origin.images import (
    as_uint8,
    decode_bytes,
    photograph_crops,
    stack_stored,
    stored_image,
)

QUALITIES = (30, 50, 75, 90, 95, 100)
WAYS: dict[str, dict[str, Any]] = {
    "4:4:4": {"subsampling": "4:4:4"},
    "4:2:2": {"subsampling": "4:2:2"},
    "4:2:0": {"subsampling": "4:2:0"},
    "4:2:0, progressive, optimised": {
        "subsampling": "4:2:0",
        "progressive": True,
        "optimize": True,
    },
    "grey": {"mode": "L"},
}
NUM = 64


def sets_of_images() -> Iterator[np.ndarray]:
    """Yields images, float32 [NUM, H, W, 3] in [0, 1]: the zoo's own, and photographs."""
    generator = jo.load_generator("dcgan-cifar10")
    latents = jax.random.normal(jax.random.key(0), (NUM, *generator.latent_shape))
    yield np.asarray(generator(latents))
    for size in ((32, 32), (64, 64), (50, 37)):
        crops, _ = photograph_crops(NUM, size, seed=0, part="calibration")
        yield crops / np.float32(255)


def figures(
    images: np.ndarray, quality: int, *, mode: str = "RGB", **options: Any
) -> tuple[float, float, float, float]:
    """Saves images so, and compares.

    Returns:
      The share of coefficients predicted; how far the worst of the others lies beyond its box, in
      steps and in grey levels; and the largest distance of an image to the set of its own file.
    """
    files = []
    for pixels in as_uint8(images):
        buffer = io.BytesIO()
        Image.fromarray(pixels).convert(mode).save(buffer, "JPEG", quality=quality, **options)
        data = buffer.getvalue()
        files.append(stored_image(data, decode_bytes(data, path="in memory")).to_arrays())
    targets = stack_stored(files)
    off, steps = (
        np.abs(as_stored(jnp.asarray(images), targets) - targets.middles),
        2 * targets.halves,
    )
    stored = targets.row_weights[..., None] * targets.column_weights[:, :, None] > 0
    beyond = (off - steps / 2)[stored]
    furthest = float(FileSet().l2(jnp.asarray(images), targets).max())
    return np.mean(beyond <= 0), (beyond / steps[stored]).max(), beyond.max(), furthest


def main() -> None:
    """Prints the table: of each column, the worst of the sets of images."""
    sets = list(sets_of_images())
    print("| stored as | quality | predicted, % | worst miss, steps | grey levels | distance |")
    print("| --- | --- | --- | --- | --- | --- |")
    for way, options in WAYS.items():
        for quality in QUALITIES:
            found = [figures(images, quality, **options) for images in sets]
            shares, steps, levels, distances = zip(*found, strict=True)
            print(
                f"| {way} | {quality} | {100 * min(shares):.2f} | {max(steps):.2f} | "
                f"{max(levels):.1f} | {max(distances):.0e} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
