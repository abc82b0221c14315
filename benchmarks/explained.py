"""Thirty images and what is said of each: docs/explanations.md.

python -m benchmarks.explained --photographs=FILE.npz --out=docs/explanations.md

Own images (accepted early, and inverted to the end), photographs, pictures that say little, own
images after edits that are calibrated and after others, each as a file of its own.
"""

import argparse
import io
import pathlib
import textwrap
from collections.abc import Iterator

import jax
import numpy as np
from PIL import Image

from benchmarks.sampling import Images, chosen_images
from jax_origin.calibration import Calibration
from jax_origin.evidence import explain, explain_run
from jax_origin.images import edit_images, faded_images, plain_images, share_of_chances
from jax_origin.workflow import Attributor, belonging_images
from jax_origin.zoo import calibration_path, load_generator

_HEAD = """# What is said of an image

`jax-origin attribute --explain` explains each verdict in plain words. The finding and its reason
come first, then the numbers, and once for the whole run what all of it rests on. Look here for the
paragraph that you got, and read in which cases it comes: thirty images of known origin under
`dcgan-cifar10`. They were made by `python -m benchmarks.explained --photographs=FILE.npz
--out=docs/explanations.md`.
"""


def files(own: Images, photographs: Images) -> Iterator[tuple[str, bytes]]:
    """What each image is, and its file: of 14 own images and 9 photographs, [N, 32, 32, 3]."""
    for i in range(5):
        yield f"own image {i + 1}", _png(own[i])
    for i in range(5):
        yield f"photograph {i + 1}", _png(photographs[i])
    plain, kinds = plain_images(6, own.shape[1:3], seed=7)
    for pixels, kind in zip(plain, kinds, strict=True):
        yield f"plain picture ({kind})", _png(pixels)
    for pixels, how in zip(
        faded_images(photographs[5:7], seed=1), ("blurred", "faded"), strict=True
    ):
        yield f"photograph, {how}", _png(pixels)
    yield (
        "own image, uniform part of it enlarged",
        _png(np.broadcast_to(own[5][:1, :1], own[5].shape)),
    )
    for i, quality in enumerate((90, 50, 30)):
        yield f"own image, JPEG {quality}", _file(own[6 + i], "JPEG", quality=quality)
    yield "photograph, JPEG 30", _file(photographs[7], "JPEG", quality=30)
    yield "own image, JPEG 10", _file(own[9], "JPEG", quality=10)
    yield "own image, WebP 80", _file(own[9], "WEBP", quality=80)
    yield "own image, halved and brought back", _png(edit_images(own[10:11], "resize-0.5")[0])
    yield "own image, mirrored", _png(own[11][:, ::-1])
    yield "own image, JPEG 75 saved as PNG", _png(edit_images(own[12:13], "jpeg-75")[0])
    yield "own image, with noise", _png(edit_images(own[13:14], "noise-4")[0])
    yield "photograph, JPEG 75 saved as PNG", _png(edit_images(photographs[8:9], "jpeg-75")[0])


def main() -> None:
    """Attributes the images early and in full, and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photographs", required=True)
    parser.add_argument("--out", required=True)
    given = parser.parse_args()
    generator = load_generator("dcgan-cifar10")
    calibration = Calibration.load(calibration_path("dcgan-cifar10"))
    own = belonging_images(generator, 14, key=jax.random.key(30))
    named = list(files(own, chosen_images(given.photographs, 9, name="photographs", seed=31)))
    parts = [_HEAD]
    for full in (False, True):
        # Those that are accepted early are shown so; the third of own images on are run in full.
        attributor = Attributor(generator, calibration, key=jax.random.key(1), full_scores=full)
        chosen = [each for i, each in enumerate(named) if (i in (0, 1)) != full]
        verdicts = attributor([data for _, data in chosen])
        for (what, _), verdict in zip(chosen, verdicts, strict=True):
            assert verdict.decision is not None
            early = verdict.score_kind == "upper_bound"
            text = explain(
                verdict.decision,
                calibration,
                score=verdict.score,
                early=early,
                reading=verdict.reading,
                share=share_of_chances(verdict.reading),
                tried=verdict.tried,
            )
            parts.append(f"**{what[0].upper()}{what[1:]}.** {text}\n")
    parts += ["## Once for the run\n", explain_run(calibration, read_again=True) + "\n"]
    wrapped = (
        "\n".join(textwrap.wrap(line, 140)) if "|" not in line else line for line in _lines(parts)
    )
    pathlib.Path(given.out).write_text("\n".join(wrapped) + "\n", encoding="utf-8")


def _lines(parts: list[str]) -> Iterator[str]:
    for part in parts:
        yield from part.split("\n")


def _png(pixels: Images) -> bytes:
    return _file(pixels, "PNG")


def _file(pixels: Images, form: str, **options: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, form, **options)
    return file.getvalue()


if __name__ == "__main__":
    main()
