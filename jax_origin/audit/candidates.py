"""The generators that an audit asks about, and what each says of every image."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from jax_origin.calibration import Calibration, Rates, origin_and_condition
from jax_origin.evidence import indistinguishable_groups
from jax_origin.generators import generator_name
from jax_origin.inversion import Run
from jax_origin.runs import RunError, Workdir
from jax_origin.runtime import wait_for_all
from jax_origin.workflow import Attributor, check_calibration, get_method
from jax_origin.zoo import calibration_path, load_generator


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A generator that may have made the images.

    Attributes:
      name: What records and findings call it.
      source: What `jax_origin.zoo.load_generator` opens.
      calibration: Its own, with foreign groups.
    """

    name: str
    source: str
    calibration: Calibration

    @property
    def origins(self) -> list[str]:
        """The foreign groups of its calibration, each once whatever its edits."""
        named = self.calibration.foreign
        return list(dict.fromkeys(origin_and_condition(n, self.calibration)[0] for n in named))

    @property
    def folder(self) -> str:
        """A name for the folder of its records: no path, not hidden."""
        return re.sub(r"[^\w.-]+", "-", self.name).strip(".-") or "candidate"

    def workdir(self, out: str | os.PathLike[str], settings: Mapping[str, Any]) -> Workdir:
        """The folder of its records inside the audit's, not yet entered."""
        own = {
            "candidate's fingerprint": self.calibration.generator["fingerprint"],
            "candidate's calibration": self.calibration.digest,
        }
        return Workdir(pathlib.Path(out) / self.folder, {**own, **settings}, flag="--out")


def open_candidates(sources: Sequence[str], *, resize: bool = False) -> list[Candidate]:
    """Checks that each generator loads and has its calibration; none is kept in memory.

    Args:
      sources: For each candidate a zoo name or a directory. "=" and the path of its calibration may
        follow; without them it is the zoo's own.
      resize: Whether images are resized: candidates may then make images of different sizes.

    Raises:
      CheckpointError: If a generator does not load, or the zoo has no calibration of it.
      CalibrationError: If a calibration cannot be read, or is of another generator.
      RunError: If there are no candidates, two have one name, or their images differ in size and
        are not resized.
    """
    if not sources:
        raise RunError("--candidate: name at least one generator")
    found: dict[str, Candidate] = {}
    for entry in sources:
        source, given, path = entry.partition("=")
        if not source or (given and not path):
            raise RunError(f"--candidate={entry}: write NAME, or DIR=CALIBRATION")
        generator = load_generator(source)
        name, method = generator_name(generator), get_method("origin", generator).name
        calibration = Calibration.load(path or calibration_path(name, method))
        check_calibration(calibration, generator)
        candidate = Candidate(name, source, calibration)
        other = found.setdefault(candidate.folder, candidate)
        if other is not candidate:
            raise RunError(
                f"two candidates are called {candidate.folder!r} ({other.source} and {source}): a "
                "card.json gives a generator its name"
            )
    sizes = {name: c.calibration.generator["image_shape"][:2] for name, c in found.items()}
    if not resize and len({tuple(size) for size in sizes.values()}) > 1:
        listed = ", ".join(f"{name} {h}x{w}" for name, (h, w) in sizes.items())
        raise RunError(f"candidates make images of different sizes ({listed}): give --resize")
    return list(found.values())


def tell_apart(candidates: Sequence[Candidate]) -> tuple[list[Candidate], list[tuple[str, ...]]]:
    """Finds the candidates that cannot be told apart.

    Two are alike if what is inverted has one fingerprint, or if each scores the other's images as
    its own. Scores are compared where the calibrations have a foreign group of the other's name.

    Such images are not foreign to the others of the group. Their foreign groups are taken out of
    these calibrations; else q would speak against the whole group.

    Returns:
      The candidates, with those groups taken out; and the names of each group of two or more.

    Raises:
      RunError: If a candidate has no foreign group, or none is left.
    """
    names = {candidate.name for candidate in candidates}
    scores = {}
    for name, own in ((candidate.name, candidate.calibration) for candidate in candidates):
        theirs = {
            other: group.scores
            for other, group in own.foreign.items()
            if other in names and group.independent == group.scores.size
        }
        scores[name] = {name: own.belonging, **theirs}
    fingerprints = {c.name: str(c.calibration.generator["fingerprint"]) for c in candidates}
    groups = indistinguishable_groups(fingerprints, scores)
    others = {name: {*group} - {name} for group in groups for name in group}
    told = [_without(candidate, others.get(candidate.name, set())) for candidate in candidates]
    for candidate in told:
        if not candidate.calibration.foreign:
            raise RunError(
                f"{candidate.name!r} is calibrated with no foreign images, or with none but those "
                "of candidates that it cannot be told from: nothing bounds false attribution; "
                "calibrate it with --foreign"
            )
    return told, groups


def examine(
    paths: Sequence[str],
    candidate: Candidate,
    workdir: Workdir,
    *,
    key: jax.Array,
    rates: Rates,
    resize: bool = False,
    run: Run | None = None,
) -> None:
    """Gives each image its record under a candidate; of several processes, all call it.

    Images are inverted in full: ratios and many tests at once need full scores.

    Args:
      paths: The images' files.
      candidate: The generator that is asked about; it is loaded here.
      workdir: Its folder, entered; images that have a record there are left out.
      key: A JAX key, for starting points.
      rates: The rates of error.
      resize: Whether images of another size are resized.
      run: Where and how.

    Raises:
      CalibrationError: If the calibration cannot keep the rates.
      RunError: If records cannot be read or written.
    """
    if waiting := workdir.waiting(paths):
        attributor = Attributor(
            load_generator(candidate.source),
            candidate.calibration,
            key=key,
            rates=rates,
            full_scores=True,
            resize=resize,
            run=run,
        )
        for verdict in attributor.stream(waiting):
            workdir.write(verdict)
    wait_for_all(f"records {candidate.name}")


def _without(candidate: Candidate, others: set[str]) -> Candidate:
    """The candidate, with the foreign groups of the others, edited or not, taken out."""
    own = candidate.calibration
    kept = {
        name: group
        for name, group in own.foreign.items()
        if origin_and_condition(name, own)[0] not in others
    }
    if len(kept) == len(own.foreign):
        return candidate
    return dataclasses.replace(candidate, calibration=dataclasses.replace(own, foreign=kept))
