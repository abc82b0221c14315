"""Calibrations of an evaluation: those that are there, and how one is made that is not."""

import dataclasses
import functools
import hashlib
import os
from collections.abc import Mapping

import jax
import numpy as np

from benchmarks.score_cache import file_name
from jax_origin.calibration import Calibration
from jax_origin.checkpoints import CheckpointError
from jax_origin.generators import GeneratorLike, fingerprint
from jax_origin.inversion import Run, StartEncoder
from jax_origin.workflow import (
    METHODS,
    BelongingImages,
    ForeignImages,
    Method,
    calibrate,
    reencoded_images,
)
from jax_origin.zoo import MadeImages, calibration_path, has_prior, standard_foreign

# The key of foreign images, folded from a calibration's as scripts/calibrate.py folds it.
_FOREIGN = 2


def find_calibration(inspected: str, method: Method, *, pattern: str = "") -> Calibration | None:
    """The calibration that there is for a generator and a method.

    Args:
      inspected: The generator's name.
      method: The method.
      pattern: A path in which {inspected} and {method} stand for the names; empty for the
        calibrations that the zoo ships.

    Returns:
      The calibration. None without a pattern, where the zoo ships none of this name, or the method
      is another than `METHODS` has under it.

    Raises:
      CalibrationError: If there is no file where the pattern says, or it is no calibration.
    """
    if pattern:
        path = pattern.replace("{inspected}", inspected).replace("{method}", method.name)
        return Calibration.load(path)
    if method != METHODS.get(method.name):
        return None
    try:
        return Calibration.load(calibration_path(inspected, method.name))
    except CheckpointError:
        return None


@dataclasses.dataclass(frozen=True, kw_only=True)
class MissingCalibration:
    """A calibration that is to be made, as `scripts/calibrate.py` makes it.

    Attributes:
      inspected: The generator's name among `generators`.
      method: The method.
      generators: Generators by name; where the method looks at foreign images, the others of its
        image shape are its foreign groups, beside photographs.
      num: Images of each group.
      seed: For images and starting points.
      reference: The reference generator, where the method's score needs one.
      encoder: The trained encoder, for a recipe that starts from one.
      photographs: What generators without a prior make images of, at least twice `num`: the
        inspected one of the first `num`, others of the rest. None where it has a prior.
      sets: Further foreign groups. A generator without a prior has none but those and its like.
    """

    inspected: str
    method: Method
    generators: Mapping[str, GeneratorLike]
    num: int
    seed: int
    reference: GeneratorLike | None = None
    encoder: StartEncoder | None = None
    photographs: MadeImages | None = None
    sets: Mapping[str, ForeignImages] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def foreign(self) -> dict[str, ForeignImages]:
        """Its foreign groups by name; none for a method that looks at none."""
        if not self.method.decision.judges_q:
            return {}
        key, rest = jax.random.fold_in(jax.random.key(self.seed), _FOREIGN), None
        if self.photographs is not None:
            images, sources, _ = self.photographs
            rest = MadeImages(images[self.num :], sources[self.num :])
        known, own = self.generators, self.generators[self.inspected]
        alike = {name: made for name, made in known.items() if has_prior(made) == has_prior(own)}
        groups = standard_foreign(
            self.inspected, self.num, key=key, generators=alike, photographs=rest
        )
        made = {name: ForeignImages(**group._asdict()) for name, group in groups.items()}
        return {**made, **self.sets}

    @property
    def belonging(self) -> BelongingImages | None:
        """Its own images; None for draws of the prior."""
        if self.photographs is None:
            return None
        key, shown = jax.random.key(self.seed), self.photographs.images[: self.num]
        return reencoded_images(self.generators[self.inspected], shown, key=key)

    def make(self, folder: str | os.PathLike[str], *, run: Run | None = None) -> Calibration:
        """Makes it, and keeps it; one that the folder has is not made again.

        Args:
          folder: Where it is kept.
          run: Where and how.

        Returns:
          The calibration.

        Raises:
          CalibrationError: As `jax_origin.calibrate` does, or if the folder's file is damaged.
        """
        path = os.path.join(folder, self._file_name())
        if not os.path.exists(path):
            calibrate(
                self.generators[self.inspected],
                method=self.method,
                num_belonging=self.num,
                belonging=self.belonging,
                foreign=self.foreign,
                reference=self.reference,
                encoder=self.encoder,
                key=jax.random.key(self.seed),
                seed=self.seed,
                run=run,
            ).save(path)
        return Calibration.load(path)

    def _file_name(self) -> str:
        settings = {
            "method": self.method.to_json(),
            "generators": {name: fingerprint(g) for name, g in self.generators.items()},
            "num": self.num,
            "seed": self.seed,
            "reference": self.reference and fingerprint(self.reference),
            "encoder": self.encoder and self.encoder.digest,
        }
        if self.photographs is not None or self.sets:
            given = [] if self.photographs is None else [self.photographs.images]
            given += [group.images for group in self.sets.values()]
            settings["given"] = [hashlib.sha256(np.asarray(x).tobytes()).hexdigest() for x in given]
        return file_name(f"calibration-{self.inspected}-{self.method.name}", settings, ".json")
