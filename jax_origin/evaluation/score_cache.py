"""Scores that outlive a killed run: what was computed once is read back."""

import hashlib
import importlib.metadata
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from jax_origin.audit.record import RecordWriter, read_records
from jax_origin.generators import GeneratorLike, fingerprint, generator_name
from jax_origin.images import Stored, pixels_sha256
from jax_origin.inversion import LearnedStart
from jax_origin.methods import Method
from jax_origin.scoring import score_stream

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")


class GroupScores(NamedTuple):
    """What was found about the N images of a group.

    Attributes:
      score: float64 [N]; infinite where the generator gave no finite image.
      loss: Mean squared errors, images in [0, 1], float64 [N]; infinite likewise.
      steps: Gradient evaluations that each image took, int64 [N].
    """

    score: NDArray[np.float64]
    loss: NDArray[np.float64]
    steps: NDArray[np.int64]


def cached_scores(
    generator: GeneratorLike,
    method: Method,
    groups: Mapping[str, Sequence[NDArray[np.uint8] | Stored] | NDArray[np.uint8]],
    *,
    folder: str | os.PathLike[str],
    key: jax.Array,
    starts: Mapping[str, LearnedStart] | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, GroupScores]:
    """Scores groups of images; those that the folder has scores of are not computed again.

    A file in the folder is for one generator (by its fingerprint), inversion, learned start, score,
    key, set of package versions and kind of device: with another of these nothing in it is used. An
    image is known by its pixels, one stored as JPEG by its coefficients besides. Changes to the
    code of this package are not seen; remove the folder then.

    Args:
      generator: The inspected generator.
      method: How images are inverted and scored.
      groups: uint8 [N, H, W, C] by name, or N images as files store them.
      folder: Where the scores are kept, one record a line; made if need be. One process at a time.
      key: A JAX key, for starting points.
      starts: Learned starts, as `jax_origin.scoring.score_stream` takes them.
      progress: Called with the number of gradient evaluations done since its last call; those of
        images that need not be inverted count as done.

    Returns:
      The scores by group, images in order.

    Raises:
      RecordError: If the folder's file cannot be used.
    """
    digests = {group: [_known_as(image) for image in images] for group, images in groups.items()}
    evaluations = method.evaluations(generator.latent_shape)
    path = os.path.join(folder, _file_name(generator, method, key, starts or {}))
    with RecordWriter(path) as writer:
        known = {record["sha256"]: record for record in read_records(path)}
        waiting: dict[str, tuple[str, int]] = {}
        for group, names in digests.items():
            for index, digest in enumerate(names):
                if digest not in known and digest not in waiting:
                    waiting[digest] = (group, index)
                elif progress is not None:
                    progress(evaluations)
        order = list(waiting.items())
        images = (groups[group][index] for _, (group, index) in order)
        for place, score, found in score_stream(
            generator, images, method, key=key, starts=starts, progress=progress
        ):
            digest, (group, index) = order[place]
            known[digest] = {
                "group": group,
                "index": index,
                "sha256": digest,
                "score": score,
                "loss": float(found.loss),
                "steps": int(found.steps),
            }
            writer.write(known[digest])
    return {
        group: GroupScores(
            score=np.array([_finite_or_infinite(known[d]["score"]) for d in names]),
            loss=np.array([_finite_or_infinite(known[d]["loss"]) for d in names]),
            steps=np.array([known[d]["steps"] for d in names], np.int64),
        )
        for group, names in digests.items()
    }


def _known_as(image: NDArray[np.uint8] | Stored) -> str:
    if not isinstance(image, Stored):
        return pixels_sha256(image).hex()
    digest = hashlib.sha256(pixels_sha256(image.pixels))
    for array in (*image.coefficients, *image.tables):
        digest.update(array.tobytes())
    return digest.hexdigest() if image.coefficients else pixels_sha256(image.pixels).hex()


def _file_name(
    generator: GeneratorLike, method: Method, key: jax.Array, starts: Mapping[str, LearnedStart]
) -> str:
    # Rule, alpha, beta, floor and the method's name say nothing of scores: one file serves all.
    settings = {
        "generator": fingerprint(generator),
        "inversion": method.inversion.to_dict(),
        "starts": {role: start.digest for role, start in starts.items()},
        "score": method.score,
        "draws": method.draws,
        "typical": method.typical,
        "key": np.asarray(jax.random.key_data(key)).tolist(),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "device": [jax.default_backend(), jax.devices()[0].device_kind],
    }
    text = json.dumps(settings, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    words = re.sub(r"[^\w.-]+", "_", generator_name(generator))
    return f"{words}-{digest[:32]}.jsonl"


def _finite_or_infinite(value: Any) -> float:
    # A record holds null for what is not finite; such an image is as far away as can be.
    return float(value) if value is not None and np.isfinite(value) else float("inf")
