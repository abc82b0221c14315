"""Calibrations of an evaluation: those that are there, and how one is made that is not."""

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

import jax

from jax_origin.calibrating import calibrate, evaluations_to_calibrate
from jax_origin.calibration import Calibration
from jax_origin.checkpoints import CheckpointError
from jax_origin.foreign_images import ForeignImages
from jax_origin.generators import GeneratorLike, fingerprint
from jax_origin.inversion import LearnedStart
from jax_origin.methods import METHODS, Method
from jax_origin.zoo import calibration_path, standard_foreign

# The key of foreign images, folded from a calibration's as scripts/calibrate.py folds it.
_FOREIGN = 2
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")


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
      reference: The reference generator, where the method's score is the ratio of losses.
      learned: The learned start, for a method that begins at one.
    """

    inspected: str
    method: Method
    generators: Mapping[str, GeneratorLike]
    num: int
    seed: int
    reference: GeneratorLike | None = None
    learned: LearnedStart | None = None

    @functools.cached_property
    def foreign(self) -> dict[str, ForeignImages]:
        """Its foreign groups by name; none for a method that looks at none."""
        if self.method.beta is None:
            return {}
        key = jax.random.fold_in(jax.random.key(self.seed), _FOREIGN)
        groups = standard_foreign(self.inspected, self.num, key=key, generators=self.generators)
        return {name: ForeignImages(images, sources=s) for name, (images, s) in groups.items()}

    @property
    def evaluations(self) -> int:
        """Gradient evaluations that it takes at the most."""
        models = [self.generators[self.inspected], self.reference]
        return evaluations_to_calibrate(
            self.method,
            [model for model in models if model is not None],
            num_belonging=self.num,
            num_foreign=sum(len(group.images) for group in self.foreign.values()),
        )

    def make(
        self, folder: str | os.PathLike[str], *, progress: Callable[[int], None] | None = None
    ) -> Calibration:
        """Makes it, and keeps it; one that the folder has is not made again.

        Args:
          folder: Where it is kept.
          progress: Called with the number of gradient evaluations done since its last call.

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
                foreign=self.foreign,
                reference=self.reference,
                learned=self.learned,
                key=jax.random.key(self.seed),
                seed=self.seed,
                progress=progress,
            ).save(path)
        elif progress is not None:
            progress(self.evaluations)
        return Calibration.load(path)

    def _file_name(self) -> str:
        settings: dict[str, Any] = {
            "method": self.method.to_dict(),
            "generators": {name: fingerprint(g) for name, g in self.generators.items()},
            "num": self.num,
            "seed": self.seed,
            "reference": self.reference and fingerprint(self.reference),
            "learned": self.learned and self.learned.digest,
            "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
            "device": [jax.default_backend(), jax.devices()[0].device_kind],
        }
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
        words = re.sub(r"[^\w.-]+", "_", f"{self.inspected}-{self.method.name}")
        return f"calibration-{words}-{digest[:32]}.json"
