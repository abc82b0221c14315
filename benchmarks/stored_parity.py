"""How well libjpeg's coefficients are predicted: the table of docs/stored_images.md.

python benchmarks/stored_parity.py
"""

import io
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

import jax_origin as jo
from jax_origin.distance import as_stored, stored_l2
from jax_origin.images import (
    as_uint8,
    decode_bytes,
    photograph_crops,
    stack_stored,
    stored_image,
)

QUALITIES = (30, 50, 75, 90, 95, 100)
WAYS = {
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


def sets_of_images() -> Iterator[tuple[str, np.ndarray]]:
    """Yields names, and images float32 [NUM, H, W, 3] in [0, 1]."""
    generator = jo.load_generator("dcgan-cifar10")
    latents = jax.random.normal(jax.random.key(0), (NUM, *generator.latent_shape))
    yield "dcgan-cifar10's own, 32x32", np.asarray(generator(latents))
    for size in ((32, 32), (64, 64), (50, 37)):
        crops, _ = photograph_crops(NUM, size, seed=0, part="calibration")
        yield f"photographs, {size[0]}x{size[1]}", crops / np.float32(255)


def row(images: np.ndarray, quality: int, *, mode: str = "RGB", **options: object) -> str:
    """The figures of images saved so: share predicted, worst miss, largest distance to the set."""
    files = []
    for pixels in as_uint8(images):
        buffer = io.BytesIO()
        Image.fromarray(pixels).convert(mode).save(buffer, "JPEG", quality=quality, **options)
        data = buffer.getvalue()
        files.append(stored_image(data, decode_bytes(data, path="in memory")).to_arrays())
    targets = stack_stored(files)
    rows, columns = targets.levels.shape[2:]
    steps = np.tile(targets.steps, (1, 1, rows // 8, columns // 8))
    off = np.abs(as_stored(jnp.asarray(images), targets) - targets.levels * steps)
    stored = targets.row_weights[..., None] * targets.column_weights[:, :, None] > 0
    beyond = (off - steps / 2)[stored]
    furthest = float(stored_l2(jnp.asarray(images), targets).max())
    return (
        f"{100 * np.mean(beyond <= 0):.2f} | {(beyond / steps[stored]).max():.2f} | "
        f"{beyond.max():.1f} | {furthest:.0e}"
    )


def main() -> None:
    """Prints the table."""
    print("| images | stored as | quality | predicted, % | worst miss, steps | grey levels | l2 |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, images in sets_of_images():
        for way, options in WAYS.items():
            for quality in QUALITIES:
                print(f"| {name} | {way} | {quality} | {row(images, quality, **options)} |")


if __name__ == "__main__":
    main()
