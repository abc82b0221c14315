"""Rows against LatentTracer's recipe on an autoencoder: seconds an image, and how well it tells."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from benchmarks.peers import BATCH, Peer, PeerRun, our_accuracy, ranking
from benchmarks.subjects import (
    PHOTOGRAPHS,
    PURPOSES,
    BenchmarkError,
    Row,
    Subject,
    attributed,
    ratio_row,
)
from jax_origin.calibration import Calibration
from jax_origin.generators import GeneratorLike
from jax_origin.images import load_images, photograph_crops, stored_images
from jax_origin.workflow import METHODS, reencoded_images

STEPS = METHODS["latent_tracer"].recipe.stages[0].steps
EDITS = ("clean", "jpeg-75")


def autoencoder_subject(
    name: str,
    generators: Mapping[str, GeneratorLike],
    calibration: Calibration,
    *,
    num: int,
    photographs: str | None,
) -> Subject:
    """An autoencoder, its own images of photographs, and foreign ones.

    Foreign images are other photographs, and what the other autoencoders of its shape make of
    others. No photograph serves twice.

    Args:
      name: The inspected autoencoder's.
      generators: Autoencoders by name.
      calibration: Made for it.
      num: Images in all; half are its own.
      photographs: A folder or npz archive; crops of scikit-image's without it.

    Raises:
      BenchmarkError: If there are too few photographs.
      ImageError: If a photograph cannot be used.
    """
    height, width, _ = generators[name].image_shape
    size = height, width
    if photographs is None:
        crops, _ = photograph_crops(num, size, seed=PURPOSES["timing"], part="demonstration")
    else:
        crops = load_images(photographs, size=size)
        if len(crops) < num:
            raise BenchmarkError(f"{photographs} holds {len(crops)} photographs, {num} are wanted")
        crops = crops[np.random.default_rng(0).choice(len(crops), num, replace=False)]
    key = jax.random.key(PURPOSES["timing"])
    others = [each for each, made in generators.items() if each != name and _alike(made, size)]
    own, *foreign = np.split(crops, _cuts(num, 1 + len(others)))
    groups = {PHOTOGRAPHS: foreign[0]}
    for other, some in zip(others, foreign[1:], strict=True):
        groups[other] = reencoded_images(generators[other], some, key=key).images
    return Subject(
        name=name,
        generator=generators[name],
        calibration=calibration,
        own=reencoded_images(generators[name], own, key=key).images,
        foreign=groups,
    )


def latent_rows(subject: Subject, peer: Peer, *, num: int) -> Iterator[Row]:
    """Seconds an image of LatentTracer's recipe over those of `origin-latent`, and both's AUC.

    Args:
      subject: As `autoencoder_subject` makes it.
      peer: The recipe in PyTorch, with the same weights.
      num: Images, half of them the subject's own. Both sides see the same files.

    Yields:
      ``vs_latent_tracer`` (one image at a time) and ``vs_batched_latent_tracer`` (batches of 64),
      of images as made and of JPEGs.
    """
    images, belongs = subject.mixed(num)
    for edit in EDITS:
        files = stored_images(images, edit)
        pixels = np.stack([file.pixels for file in files])
        attributed(subject, files[:1])
        ours = attributed(subject, files)
        accuracy: dict[str, Any] = our_accuracy(ours, belongs)
        full = attributed(subject, files, full_scores=True)
        scores = np.array([v.score if v.score is not None else np.inf for v in full.verdicts])
        accuracy |= ranking(scores, belongs)
        for title, batch in (("vs_latent_tracer", 1), ("vs_batched_latent_tracer", BATCH)):
            run = peer.invert(pixels, steps=STEPS, batch=batch, seed=0)
            seconds = _per_image(run)
            yield ratio_row(
                title,
                f"{subject.name}, {edit}",
                ours=[ours.per_image] * len(seconds),
                reference=seconds,
                unit="s an image",
                our_evaluations=ours.evaluations,
                their_evaluations=STEPS,
                images=len(files),
                accuracy={"ours": accuracy, "reference": ranking(run.losses, belongs)},
                note=f"reference: {peer.description}",
            )


def _alike(generator: GeneratorLike, size: tuple[int, int]) -> bool:
    encodes = getattr(generator, "encode", None) is not None
    return encodes and tuple(generator.image_shape[:2]) == size


def _cuts(num: int, groups: int) -> list[int]:
    """Where half of so many are the first part, and the others are alike."""
    own = (num + 1) // 2
    return [own, *(own + np.arange(1, groups) * (num - own) // groups).tolist()]


def _per_image(run: PeerRun) -> list[float]:
    return [seconds / size for seconds, size in zip(run.seconds, run.sizes, strict=True)]
