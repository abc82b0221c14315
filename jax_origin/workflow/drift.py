"""Whether scores mean today what they meant when a calibration was made."""

import importlib.metadata
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jax_origin.calibration import AS_MADE, FROM_PRIOR, Calibration
from jax_origin.generators import GeneratorLike
from jax_origin.inversion import Run
from jax_origin.workflow.belonging import belonging_images
from jax_origin.workflow.methods import Method
from jax_origin.workflow.scorer import Scorer, encoders_of

IMAGES, STARTS = 0, 1
"""Tags that a calibration's key is folded with for its own images, and for starting points.

They never share one: a lane that started at the latent which made its image would find it at once,
and calibrate nothing.
"""

_SAME = 1.1  # A factor that another order of sums may put between two scores.


class ScoredAgain(NamedTuple):
    """Calibration images that were scored again.

    Attributes:
      num: How many.
      moved: How many of their scores are not what they were.
      worst: The largest factor between a score and what it was; 1 where all are the same.
    """

    num: int
    moved: int
    worst: float


def circumstances(calibration: Calibration) -> list[str]:
    """What is not as it was when the calibration was made, each in a few words; [] for nothing.

    Other versions and devices sum in another order. Scores at the floor do not feel it; one in some
    hundreds of own images may be found where it was not, or be stuck where it was not.
    """
    versions = {}
    for name in ("jaxlib", "jax"):
        then, now = calibration.packages.get(name), importlib.metadata.version(name)
        if then != now:
            versions[now, then] = name  # The two mostly go together: they are said once.
    changed = [f"{name} {now}, calibrated with {then}" for (now, then), name in versions.items()]
    if calibration.platform != jax.default_backend():
        changed.append(f"runs on {jax.default_backend()}, calibrated on {calibration.platform}")
    scored, block = calibration.measured.scored_block, Method.of(calibration).recipe.block
    if scored not in (None, block):
        changed.append(f"{block} lanes in a block, calibrated with {scored}")
    return changed


def score_again(
    generator: GeneratorLike,
    calibration: Calibration,
    *,
    num: int = 8,
    reference: GeneratorLike | None = None,
    run: Run | None = None,
) -> ScoredAgain | None:
    """Scores the first `num` of a calibration's own images again, and compares.

    The images are made again from the calibration's key, and start where they started. None where
    the calibration does not name its key, or its own images were given.
    """
    data = calibration.keys.get("key")
    if not isinstance(data, list) or calibration.measured.belonging != FROM_PRIOR:
        return None
    key = jax.random.wrap_key_data(jnp.asarray(data, jnp.uint32))
    made = calibration.belonging.size + calibration.measured.plain.get(AS_MADE, 0)
    images = belonging_images(generator, made, key=jax.random.fold_in(key, IMAGES))[:num]
    scorer = Scorer(
        generator,
        Method.of(calibration),
        key=jax.random.fold_in(key, STARTS),
        reference=reference,
        encoders=encoders_of(calibration),
        futility=calibration.measured.given_up,
        run=run,
    )
    floor = max(calibration.floor, float(np.finfo(np.float32).tiny))
    # Those that say too little are not in the calibration.
    found = [each.score for each in scorer.found(images) if each.least <= calibration.enough]
    if not found:
        return None
    now, then = (np.maximum(x, floor) for x in (found, calibration.belonging[: len(found)]))
    factor = np.maximum(now / then, then / now)
    return ScoredAgain(len(factor), int(np.count_nonzero(factor > _SAME)), float(factor.max()))
