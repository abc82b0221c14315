"""The generators that an audit asks about, and which of them cannot be told apart."""

import dataclasses
import re
from collections.abc import Sequence

from jax_origin.attribution import check_calibration
from jax_origin.audit.job import RunError
from jax_origin.calibration import Calibration, indistinguishable_groups, origin_and_condition
from jax_origin.methods import get_method
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


def open_candidates(sources: Sequence[str], *, resize: bool = False) -> list[Candidate]:
    """Checks that each generator loads and has its calibration; none is kept in memory.

    Args:
      sources: For each candidate a zoo name or a directory; "=" and the path of its calibration
        may follow, without which it is the zoo's own.
      resize: Whether images are resized: candidates may then make images of different sizes.

    Returns:
      The candidates, in order.

    Raises:
      CheckpointError: If a generator does not load, or the zoo has no calibration of it.
      CalibrationError: If a calibration cannot be read, or is of another generator.
      RunError: If there are no candidates, two have one name, one makes no colour images, or their
        images differ in size and none are resized.
    """
    if not sources:
        raise RunError("--candidate: name at least one generator")
    found: dict[str, Candidate] = {}
    for entry in sources:
        source, given, path = entry.partition("=")
        if not source or (given and not path):
            raise RunError(f"--candidate={entry}: write NAME, or DIR=CALIBRATION")
        generator = load_generator(source)
        method = get_method("origin", generator).name
        calibration = Calibration.load(path or calibration_path(generator.name, method))
        check_calibration(calibration, generator)
        if generator.image_shape[2] != 3:
            raise RunError(
                f"{generator.name!r} makes images of {generator.image_shape[2]} channels; files "
                "are read as RGB"
            )
        candidate = Candidate(generator.name, source, calibration)
        if candidate.folder in found:
            raise RunError(
                f"two candidates are called {candidate.folder!r} ({found[candidate.folder].source} "
                f"and {source}): a card.json gives a generator its name"
            )
        found[candidate.folder] = candidate
    sizes = {name: c.calibration.generator["image_shape"][:2] for name, c in found.items()}
    if not resize and len({tuple(size) for size in sizes.values()}) > 1:
        listed = ", ".join(f"{name} {h}x{w}" for name, (h, w) in sizes.items())
        raise RunError(f"candidates make images of different sizes ({listed}): give --resize")
    return list(found.values())


def tell_apart(
    candidates: Sequence[Candidate],
) -> tuple[list[Candidate], list[tuple[str, ...]]]:
    """Finds the candidates that cannot be told apart, so that the others of a group count for each.

    They are found by the fingerprint of what is inverted, then by the scores of each other's images
    where the calibrations have a foreign group of the other's name. Within a group the others'
    images are not foreign: their foreign groups are taken out of the calibration, or else q would
    speak against all of them where it should speak for the group.

    Args:
      candidates: As `open_candidates` gives them.

    Returns:
      The candidates, with those groups taken out; and the names of each group of two or more.

    Raises:
      RunError: If a candidate has no foreign group, or none is left.
    """
    names = {candidate.name for candidate in candidates}
    scores = {
        candidate.name: {
            candidate.name: candidate.calibration.belonging,
            **{
                other: group.scores
                for other, group in candidate.calibration.foreign.items()
                if other in names and group.independent == group.scores.size
            },
        }
        for candidate in candidates
    }
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


def _without(candidate: Candidate, others: set[str]) -> Candidate:
    """The candidate, with the foreign groups of the others, edited or not, taken out."""
    kept = {
        name: group
        for name, group in candidate.calibration.foreign.items()
        if origin_and_condition(name, candidate.calibration)[0] not in others
    }
    if len(kept) == len(candidate.calibration.foreign):
        return candidate
    calibration = dataclasses.replace(candidate.calibration, foreign=kept)
    return dataclasses.replace(candidate, calibration=calibration)
