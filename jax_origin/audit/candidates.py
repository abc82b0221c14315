"""The generators that an audit asks about, and what each says of every image."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jax_origin.audit.journal import Journal
from jax_origin.calibration import AS_MADE, Calibration, origin_and_condition
from jax_origin.evidence import indistinguishable_groups, scores_under
from jax_origin.generators import generator_name
from jax_origin.runs import RunError, RunFolder
from jax_origin.workflow import check_calibration, load_calibration
from jax_origin.zoo import load_generator


class Group(NamedTuple):
    """A foreign group of a calibration.

    Attributes:
      name: What the calibration calls it, such as "photos after jpeg-75".
      origin: The same without the edit.
      condition: The edit, or "as made".
      made_by: The fingerprint of the generator that made the images; None where it is not known.
    """

    name: str
    origin: str
    condition: str
    made_by: str | None

    @property
    def label(self) -> str:
        """Its origin, told apart from others of that name by the fingerprint."""
        return f"{self.origin} ({self.made_by[:12]})" if self.made_by else self.origin


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
    def fingerprint(self) -> str:
        """The fingerprint of what is inverted."""
        return str(self.calibration.generator["fingerprint"])

    @property
    def told_by(self) -> str:
        """What inversion can tell it by: its decoder, where it is an autoencoder."""
        decoder = self.calibration.generator.get("decoder")
        return self.fingerprint if decoder is None else str(decoder["fingerprint"])

    @property
    def groups(self) -> list[Group]:
        """The foreign groups of its calibration, edited or not."""
        own = self.calibration
        return [
            Group(name, *origin_and_condition(name, own), group.made_by)
            for name, group in own.foreign.items()
        ]

    @property
    def origins(self) -> list[str]:
        """The foreign groups of its calibration, each once whatever its edits."""
        return list(dict.fromkeys(group.origin for group in self.groups))

    def reconstruction(
        self, out: str | os.PathLike[str], record: Mapping[str, Any]
    ) -> pathlib.Path:
        """Where in an audit's folder the reconstruction of a record's image lies, if it is kept."""
        return pathlib.Path(out) / self.folder / "reconstructions" / f"{record['sha256']}.png"

    def made(self, group: Group) -> bool:
        """Whether the images of a foreign group are this candidate's own.

        The fingerprint of their generator decides, or the group's name where it is not known.
        """
        if group.made_by is None:
            return group.origin == self.name
        return group.made_by == self.fingerprint

    @property
    def folder(self) -> str:
        """A name for the folder of its records: no path, not hidden."""
        return re.sub(r"[^\w.-]+", "-", self.name).strip(".-") or "candidate"

    def journal(
        self, out: str | os.PathLike[str], settings: Mapping[str, Any], **options: Any
    ) -> Journal:
        """The folder of its records inside the audit's, not yet entered; for options see there."""
        settings, folder = self._settings(settings), pathlib.Path(out) / self.folder
        return Journal(folder, settings, calibration=self.calibration, **options)

    def check_folder(self, out: str | os.PathLike[str], settings: Mapping[str, Any]) -> None:
        """Makes sure that its folder holds no other run; raises a RunError where it does."""
        folder = pathlib.Path(out) / self.folder
        with RunFolder(folder, self._settings(settings), flag="--out"):
            pass

    def _settings(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        own = {
            "candidate's fingerprint": self.calibration.generator["fingerprint"],
            "candidate's calibration": self.calibration.digest,
        }
        return {**own, **settings}


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
        name = generator_name(generator)
        calibration = Calibration.load(path) if path else load_calibration(generator)
        check_calibration(calibration, generator)
        candidate = Candidate(name, source, calibration)
        other = found.setdefault(candidate.folder, candidate)
        if other is not candidate:
            raise RunError(
                f"two candidates are called {candidate.folder!r} ({other.source} and {source}): a "
                "card.json gives a generator its name"
            )
    sizes = {
        name: c.calibration.generator["image_shape"][:2]
        for name, c in found.items()
        if not c.calibration.method.get("windows")
    }
    if not resize and len({tuple(size) for size in sizes.values()}) > 1:
        listed = ", ".join(f"{name} {h}x{w}" for name, (h, w) in sizes.items())
        raise RunError(f"candidates make images of different sizes ({listed}): give --resize")
    return list(found.values())


def tell_apart(candidates: Sequence[Candidate]) -> tuple[list[Candidate], list[tuple[str, ...]]]:
    """Finds the candidates that cannot be told apart.

    Two are alike if what is inverted has one fingerprint (of autoencoders the decoder), or if each
    scores the other's images as its own. Scores, clamped at the floor, are compared where the
    calibrations have a foreign group that the other made (`Candidate.made`).

    Such images are not foreign to the others of the group. Their foreign groups are taken out of
    these calibrations; else q would speak against the whole group.

    Returns:
      The candidates, with those groups taken out; and the names of each group of two or more.

    Raises:
      RunError: If a candidate has no foreign group, or none is left.
    """
    scores = {}
    for candidate in candidates:
        # As decisions take them: what lies under the floor is no evidence that two differ.
        belonging, foreign = scores_under(candidate.calibration, AS_MADE)
        theirs = {
            other.name: found.scores
            for group in candidate.groups
            for other in candidates
            if group.condition == AS_MADE and other.made(group)
            if (found := foreign[group.origin]).independent == found.scores.size
        }
        scores[candidate.name] = {**theirs, candidate.name: belonging}
    groups = indistinguishable_groups({c.name: c.told_by for c in candidates}, scores)
    told = []
    for candidate in candidates:
        (group,) = [g for g in groups if candidate.name in g] or [()]
        alike = [c for c in candidates if c.name in group and c is not candidate]
        told.append(_without(candidate, alike))
    for candidate in told:
        if not candidate.calibration.foreign:
            raise RunError(
                f"{candidate.name!r} is calibrated with no foreign images, or with none but those "
                "of candidates that it cannot be told from: nothing bounds false attribution; "
                "calibrate it with --foreign"
            )
    return told, groups


def coverage(candidates: Sequence[Candidate]) -> tuple[list[Group], dict[str, list[Group]]]:
    """Compares the candidates' foreign groups; those that a candidate made are left out.

    Two are the same if one generator made them, or if they have one name and no known generator;
    and if they met the same edit.

    Returns:
      The groups that every candidate's calibration contains; and by candidate, the groups of other
      calibrations that its own lacks.
    """
    held = {
        candidate.name: {
            (group.made_by or group.origin, group.condition): group
            for group in candidate.groups
            if not any(other.made(group) for other in candidates)
        }
        for candidate in candidates
    }
    known = {key: group for groups in held.values() for key, group in groups.items()}
    lacking = {
        name: [group for key, group in known.items() if key not in groups]
        for name, groups in held.items()
    }
    return [g for key, g in known.items() if all(key in of for of in held.values())], lacking


def _without(candidate: Candidate, others: Sequence[Candidate]) -> Candidate:
    """The candidate, with the foreign groups of the others, edited or not, taken out."""
    own = candidate.calibration
    kept = {
        group.name: own.foreign[group.name]
        for group in candidate.groups
        if not any(other.made(group) for other in others)
    }
    if len(kept) == len(own.foreign):
        return candidate
    return dataclasses.replace(candidate, calibration=dataclasses.replace(own, foreign=kept))
