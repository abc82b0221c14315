"""Scores that outlive a killed run: what was computed once is read back."""

import hashlib
import importlib.metadata
import json
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from jax_origin.calibration import Futility
from jax_origin.generators import GeneratorLike, fingerprint, generator_name
from jax_origin.images import Stored, pixels_sha256
from jax_origin.inversion import StartEncoder
from jax_origin.runs.record import RecordWriter, read_records
from jax_origin.workflow import Method, Scorer
from jax_origin.workflow.scorer import INSPECTED

_NEVER = Futility()
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")  # Scores may depend on their versions.


class GroupScores(NamedTuple):
    """What was found about the N images of a group.

    Attributes:
      score: float64 [N]; infinite where the generator gave no finite image.
      loss: Mean squared errors, images in [0, 1], float64 [N]; infinite likewise.
      steps: Gradient evaluations that each image took, int64 [N].
      seconds: From when the image before it was done, float64 [N]; NaN where that is not known, as
        of the first one, which waits for programs to be compiled.
    """

    score: NDArray[np.float64]
    loss: NDArray[np.float64]
    steps: NDArray[np.int64]
    seconds: NDArray[np.float64]


def cached_scores(
    generator: GeneratorLike,
    method: Method,
    groups: Mapping[str, Sequence[NDArray[np.uint8] | Stored] | NDArray[np.uint8]],
    *,
    folder: str | os.PathLike[str],
    key: jax.Array,
    encoder: StartEncoder | None = None,
    futility: Futility = _NEVER,
    advance: Callable[[float], None] | None = None,
) -> dict[str, GroupScores]:
    """Scores groups of images; those that the folder has scores of are not computed again.

    A file in the folder is for one generator (by its fingerprint), recipe, encoder, score, key, set
    of package versions and kind of device: with another of these nothing in it is used. An image is
    known by its pixels, one stored as JPEG by its coefficients besides. Changes to the code of this
    package are not seen; remove the folder then.

    Args:
      generator: The inspected generator.
      method: How images are inverted and scored; its score needs no reference.
      groups: uint8 [N, H, W, C] by name, or N images as files store them.
      folder: Where the scores are kept, one record a line; made if need be. One process at a time.
      key: A JAX key, for starting points.
      encoder: For a recipe that starts from a trained encoder.
      futility: When an image is given up.
      advance: Called with the number of images done, or not needed, since its last call; it may be
        a fraction.

    Returns:
      The scores by group, images in order.

    Raises:
      RecordError: If the folder's file cannot be used.
    """
    advance = advance or (lambda images: None)
    digests = {group: [_known_as(image) for image in images] for group, images in groups.items()}
    path = os.path.join(folder, _file_name(generator, method, key, encoder, futility))
    with RecordWriter(path) as writer:
        known = {record["sha256"]: record for record in read_records(path)}
        waiting: dict[str, tuple[str, int]] = {}
        for group, names in digests.items():
            for index, digest in enumerate(names):
                if digest not in known and digest not in waiting:
                    waiting[digest] = (group, index)
                else:
                    advance(1.0)
        scorer = Scorer(
            generator,
            method,
            key=key,
            encoders={} if encoder is None else {INSPECTED: encoder},
            futility=futility,
            advance=advance,
        )
        items = (scorer.asked(digest, groups[group][i]) for digest, (group, i) in waiting.items())
        last: float | None = None
        for each in scorer.stream(items):
            digest, found = each.tag, each.inversion
            group, index = waiting[digest]
            now = time.perf_counter()
            known[digest] = {
                "group": group,
                "index": index,
                "sha256": digest,
                "score": each.score,
                "loss": float(found.loss),
                "steps": int(found.steps),
                "seconds": None if last is None else now - last,
            }
            last = now
            writer.write(known[digest])
    return {
        group: GroupScores(
            score=np.array([_finite_or_infinite(known[d]["score"]) for d in names]),
            loss=np.array([_finite_or_infinite(known[d]["loss"]) for d in names]),
            steps=np.array([known[d]["steps"] for d in names], np.int64),
            seconds=np.array([known[d].get("seconds") for d in names], np.float64),
        )
        for group, names in digests.items()
    }


def file_name(words: str, settings: Mapping[str, Any], suffix: str) -> str:
    """The name of a kept file: words to read, and a digest of all that its content depends on.

    Args:
      words: What it is of; characters that a file's name should not have are replaced.
      settings: Plain JSON. Versions of packages and the kind of device are added.
      suffix: The name's end, such as ".json".
    """
    depends = {
        **settings,
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "device": [jax.default_backend(), jax.devices()[0].device_kind],
    }
    digest = hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()
    plain = re.sub(r"[^\w.-]+", "_", words)
    return f"{plain}-{digest[:32]}{suffix}"


def _known_as(image: NDArray[np.uint8] | Stored) -> str:
    if not isinstance(image, Stored):
        return pixels_sha256(image).hex()
    digest = hashlib.sha256(pixels_sha256(image.pixels))
    for array in (*image.coefficients, *image.tables):
        digest.update(array.tobytes())
    return digest.hexdigest() if image.coefficients else pixels_sha256(image.pixels).hex()


def _file_name(
    generator: GeneratorLike,
    method: Method,
    key: jax.Array,
    encoder: StartEncoder | None,
    futility: Futility,
) -> str:
    # Rule, rates, floor and the method's name say nothing of scores: one file serves all.
    settings = {
        "generator": fingerprint(generator),
        "recipe": method.recipe.to_json(),
        "encoder": encoder and encoder.digest,
        "futility": list(futility if futility.power else futility.levels),
        "score": method.score.to_json(),
        "draws": method.draws,
        "key": np.asarray(jax.random.key_data(key)).tolist(),
    }
    return file_name(generator_name(generator), settings, ".jsonl")


def _finite_or_infinite(value: Any) -> float:
    # A record holds null for what is not finite; such an image is as far away as can be.
    return float(value) if value is not None and np.isfinite(value) else float("inf")
