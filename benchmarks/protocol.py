"""The protocol of evaluation: each generator's fresh images against each foreign group's.

Both may be edited, alike, before they are scored. `comparisons` says what is compared with what;
`evaluate` scores, decides and measures. The test images come from `benchmarks.sampling`.
"""

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics import auc, decision_rates, tpr_at_fpr
from benchmarks.sampling import Images, ProtocolError, starting_key
from benchmarks.score_cache import GroupScores, cached_scores
from jax_origin.calibration import Calibration, Decision
from jax_origin.generators import GeneratorLike
from jax_origin.images import Stored, stored_images, stored_pixels
from jax_origin.images.edits import LOSSY_FILES
from jax_origin.inversion import Inversion, Run
from jax_origin.scores import Loss
from jax_origin.workflow import (
    Method,
    check_calibration,
    decider_alike,
    encoders_of,
    likeness,
)
from jax_origin.workflow.scorer import INSPECTED, REFERENCE, held_against, judged_windows
from jax_origin.zoo import has_prior

LOSS_LEVELS = {"loss_under_1e-4": 1e-4, "loss_under_1e-5": 1e-5}
"""The summary tells the share of belonging images that were inverted to a loss under these."""

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
"""What is told of a group's scores."""

OTHERS: dict[str, Callable[[GeneratorLike, GeneratorLike], bool]] = {
    "all": lambda inspected, other: True,
    "none": lambda inspected, other: False,
    "same_architecture": lambda inspected, other: type(inspected) is type(other),
    "other_architectures": lambda inspected, other: type(inspected) is not type(other),
    "alike": lambda inspected, other: has_prior(inspected) == has_prior(other),
}
"""Which other generators' images are foreign groups; an architecture is a class, and those alike
have a prior, or none."""

MIXED = "|"
"""Between edits: a mixed folder, in which each image has met the next one of them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """One inspected generator under one method, and the test images that it is judged on.

    Attributes:
      inspected: The generator's name.
      method: The method, as the calibration was made with it.
      generator: The generator.
      calibration: Made for this generator with this method.
      belonging: The generator's own images, uint8 [N, H, W, C], or N of them as files store them.
      foreign: Images of others by group, likewise; at least one group.
      edit: What was done to all of them, by its name in `jax_origin.images.EDITS`.
      reference: The reference generator, where the score needs one.
    """

    inspected: str
    method: Method
    generator: GeneratorLike
    calibration: Calibration
    belonging: Images | list[Stored]
    foreign: Mapping[str, Images | list[Stored]]
    edit: str = "clean"
    reference: GeneratorLike | None = None

    @property
    def groups(self) -> dict[str, Images | list[Stored]]:
        """All images by group; the generator's own come first, under its name."""
        return {self.inspected: self.belonging, **self.foreign}

    @property
    def num(self) -> int:
        """How many images there are, all groups together."""
        return sum(map(len, self.groups.values()))


def comparisons(
    generators: Mapping[str, GeneratorLike],
    calibrations: Mapping[tuple[str, str], Calibration],
    *,
    generated: Mapping[str, Images],
    sets: Mapping[str, Images],
    limit: int | None = None,
    edits: Sequence[str] = ("clean",),
    others: str = "all",
    belonging: Mapping[str, Images] | None = None,
    reference: GeneratorLike | None = None,
) -> list[Comparison]:
    """What is compared with what: a generator with all others, and all sets, of its image shape.

    Args:
      generators: Generators by name.
      calibrations: By the inspected generator's name and the method's; one comparison for each,
        under each edit.
      generated: Images by generator's name, of those that `foreign_generators` names.
      sets: Other foreign images by name.
      limit: How many images of each group are used, the first ones; None for all.
      edits: What is done to the images of all groups, belonging and foreign alike, by name; see
        `jax_origin.images.EDITS`. Of names joined by `MIXED` each image meets the next one.
      others: A name in `OTHERS`.
      belonging: The inspected generators' own images by name; those generated without it.
      reference: The reference generator, for calibrations that were made with one.

    Returns:
      The comparisons, in the calibrations' order; of each first all edits.

    Raises:
      ProtocolError: If a set has a generator's name, if no inspected generator makes images of its
        shape, if nothing foreign has an inspected generator's, if there is no such word for others,
        or if there is no such edit, none at all, or images cannot be edited so.
      CalibrationError: If a calibration is for another generator, another method or another
        reference, or has a method that this version does not know.
    """
    belonging = generated if belonging is None else belonging
    for name in sorted(set(sets) & set(generators)):
        raise ProtocolError(f"set {name!r} has the name of a generator: choose another")
    shapes = {inspected: tuple(generators[inspected].image_shape) for inspected, _ in calibrations}
    for name, images in sets.items():
        if images.shape[1:] not in shapes.values():
            raise ProtocolError(
                f"set {name!r} holds images of {images.shape[1:]} (H, W, C), the inspected "
                f"generators make {', '.join(map(str, sorted(set(shapes.values()))))}"
            )
    if not edits:
        raise ProtocolError("no edits to evaluate under: --config.edits=\"('clean',)\"")
    compared = []
    for (inspected, method), calibration in calibrations.items():
        divides = None if calibration.reference is None else reference
        check_calibration(calibration, generators[inspected], reference=divides)
        calibration.require(method_name=method)
        foreign = {
            name: generated[name][:limit]
            for name in foreign_generators(generators, inspected, others=others)
            if name in generated
        }
        for name, images in sets.items():
            if images.shape[1:] == shapes[inspected]:
                foreign[name] = images[:limit]
        if not foreign:
            raise ProtocolError(
                f"nothing to compare {inspected!r} with: of the generators ({others!r} of the "
                f"others) and sets none has images of {shapes[inspected]} (H, W, C)"
            )
        compared += [
            Comparison(
                inspected=inspected,
                method=Method.of(calibration),
                generator=generators[inspected],
                calibration=calibration,
                belonging=_edited(belonging[inspected][:limit], edit),
                foreign={name: _edited(images, edit) for name, images in foreign.items()},
                edit=edit,
                reference=divides,
            )
            for edit in dict.fromkeys(edits)
        ]
    return compared


def foreign_generators(
    generators: Mapping[str, GeneratorLike], inspected: str, *, others: str
) -> list[str]:
    """Names of the generators whose images are compared with those of an inspected one.

    Args:
      generators: Generators by name.
      inspected: One of the names.
      others: A name in `OTHERS`; those with images of another shape are left out in any case.

    Raises:
      ProtocolError: If there is no such word for others.
    """
    if others not in OTHERS:
        raise ProtocolError(f"others={others!r}: choose from {', '.join(OTHERS)}")
    own = generators[inspected]
    return [
        name
        for name, other in generators.items()
        if name != inspected
        and tuple(other.image_shape) == tuple(own.image_shape)
        and OTHERS[others](own, other)
    ]


def evaluate(
    compared: Sequence[Comparison],
    *,
    cache: str | os.PathLike[str],
    seed: int,
    run: Run | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Scores all images, and says how well each method tells a generator's own from foreign ones.

    Args:
      compared: From `comparisons`.
      cache: Folder for scores, so that a run that was killed goes on; see `cached_scores`.
      seed: For starting points, which never share a key with images.
      run: Its `progress` is told of the images that are done.

    Returns:
      ``rows``, one for each comparison and foreign group, and ``summary``, one for each comparison;
      plain JSON values. See `comparison_rows` and `comparison_summary`.

    Raises:
      ProtocolError: If the seed is too small.
      RecordError: If the cache cannot be used.
    """
    rows, summary = [], []
    advance = (run or Run()).counter("evaluating", sum(each.num for each in compared))
    for comparison in compared:
        scores = comparison_scores(comparison, cache=cache, seed=seed, advance=advance)
        own = comparison_rows(comparison, scores)
        rows += own
        summary.append(comparison_summary(comparison, scores, own))
    return {"rows": rows, "summary": summary}


def comparison_scores(
    comparison: Comparison,
    *,
    cache: str | os.PathLike[str],
    seed: int,
    advance: Callable[[float], None] | None = None,
) -> dict[str, GroupScores]:
    """Scores the images of all groups of a comparison.

    A score that needs a reference is made of two distances, each cached by itself. Where those
    under the inspected generator are known, it costs the inversions under the reference alone.

    Args:
      comparison: What is compared.
      cache: As `evaluate` takes it.
      seed: For starting points.
      advance: Called with the number of images done since its last call; it may be a fraction.

    Returns:
      The scores by group, images in order.

    Raises:
      RecordError: If the cache cannot be used.
    """
    encoders, method = encoders_of(comparison.calibration), comparison.method
    advance, models = advance or (lambda images: None), 1
    if comparison.reference is not None:
        method, models = dataclasses.replace(method, score=Loss()), 2

    def scored(model: GeneratorLike, role: str) -> dict[str, GroupScores]:
        return cached_scores(
            model,
            method,
            comparison.groups,
            folder=cache,
            key=starting_key(seed),
            encoder=encoders.get(role),
            futility=comparison.calibration.measured.given_up,
            advance=lambda images: advance(images / models),
        )

    ours = scored(comparison.generator, INSPECTED)
    if comparison.reference is None:
        return ours
    theirs, ratio = scored(comparison.reference, REFERENCE), comparison.method.score
    ratios = {group: ratio(_distances(own), theirs[group].score) for group, own in ours.items()}
    return {
        group: GroupScores(
            score=np.nan_to_num(ratios[group], nan=np.inf, posinf=np.inf),
            loss=own.loss,
            steps=own.steps + theirs[group].steps,
            seconds=own.seconds + theirs[group].seconds,
        )
        for group, own in ours.items()
    }


def _distances(scores: GroupScores) -> Inversion:
    """What is known of the inversions behind cached losses: nothing of latents and images."""
    num = len(scores.score)
    nothing = np.zeros((num, 0), np.float32)
    return Inversion(
        loss=scores.loss,
        distance=scores.score,
        latent=nothing,
        reconstruction=nothing,
        restart=np.zeros(num, int),
        steps=scores.steps,
        ended=np.full(num, "finished"),
        curve=nothing,
        reading=np.zeros(num, int),
    )


def comparison_rows(
    comparison: Comparison, scores: Mapping[str, GroupScores]
) -> list[dict[str, Any]]:
    """The measures of a comparison, foreign group by foreign group.

    Args:
      comparison: What was compared.
      scores: Of all its groups.

    Returns:
      For each foreign group: inspected, group, method, edit, stored (the kind of file), n (its
      number of images); tpr, fpr, undecided_belonging, undecided_foreign and accuracy, of the
      verdicts that the calibration gives at its own alpha and beta; auc and tpr_at_1_fpr, of the
      scores alone; score_quantiles of the group's scores, at `QUANTILES` (None where infinite);
      seconds, the mean of an image of the group, or None where that is not known.
    """
    own = scores[comparison.inspected].score
    own_verdicts = [each.verdict for each in decisions(comparison, comparison.inspected, own)]
    rows = []
    for group in comparison.foreign:
        foreign = scores[group].score
        verdicts = [each.verdict for each in decisions(comparison, group, foreign)]
        rows.append(
            {
                "inspected": comparison.inspected,
                "group": group,
                "method": comparison.method.name,
                "edit": comparison.edit,
                "stored": _stored_as(comparison.edit),
                "n": len(foreign),
                **decision_rates(own_verdicts, verdicts),
                "auc": auc(own, foreign),
                "tpr_at_1_fpr": tpr_at_fpr(own, foreign, fpr=0.01),
                "score_quantiles": _quantiles(foreign),
                "seconds": _mean(scores[group].seconds),
            }
        )
    return rows


def decisions(
    comparison: Comparison, group: str, scores: NDArray[np.float64]
) -> Iterator[Decision]:
    """The decision on each image of a group, in order, as `jax_origin.attribute` takes it.

    Args:
      comparison: What was compared.
      group: One of its groups.
      scores: Of the group's images, [N]; infinite where there is none.
    """
    calibration, method = comparison.calibration, comparison.method
    decided = decider_alike(calibration)
    images = comparison.groups[group]
    files = images if isinstance(images, list) else stored_pixels(images)
    for file, score in zip(files, scores, strict=True):
        windows = judged_windows(file, comparison.generator, method)
        reference = held_against(file, windows, comparison.generator, method)
        yield decided(score, likeness(file, calibration), method.score.least(reference))


def comparison_summary(
    comparison: Comparison, scores: Mapping[str, GroupScores], rows: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The measures of a comparison over all its foreign groups.

    Args:
      comparison: What was compared.
      scores: Of all its groups.
      rows: Its rows.

    Returns:
      inspected, method, edit, n (number of belonging images), tpr, undecided_belonging; worst_fpr,
      mean_fpr, smallest_tpr_at_1_fpr and smallest_auc over the groups; loss_under_1e-4 and
      loss_under_1e-5, shares of the belonging images; mean_steps, gradient evaluations an image;
      score_quantiles of the belonging images' scores; seconds, the mean of a belonging image.
    """
    own = scores[comparison.inspected]
    fprs = [row["fpr"] for row in rows]
    steps = np.concatenate([group.steps for group in scores.values()])
    return {
        "inspected": comparison.inspected,
        "method": comparison.method.name,
        "edit": comparison.edit,
        "n": len(own.score),
        "tpr": rows[0]["tpr"],
        "undecided_belonging": rows[0]["undecided_belonging"],
        "worst_fpr": max(fprs),
        "mean_fpr": sum(fprs) / len(fprs),
        "smallest_tpr_at_1_fpr": min(row["tpr_at_1_fpr"] for row in rows),
        "smallest_auc": min(row["auc"] for row in rows),
        **{name: float(np.mean(own.loss < level)) for name, level in LOSS_LEVELS.items()},
        "mean_steps": float(steps.mean()),
        "score_quantiles": _quantiles(own.score),
        "seconds": _mean(own.seconds),
    }


def _stored_as(edit: str) -> str:
    """The kind of file that images are in after an edit: its last step, if that is a lossy file."""
    if MIXED in edit:
        return "mixed"
    last = edit.rpartition("+")[2]
    return last if last.startswith(LOSSY_FILES) else "png"


def _mean(seconds: NDArray[np.float64]) -> float | None:
    known = seconds[np.isfinite(seconds)]
    return float(f"{known.mean():.3g}") if known.size else None


def _quantiles(scores: NDArray[np.float64]) -> list[float | None]:
    found = np.quantile(scores, QUANTILES, method="inverted_cdf")
    return [float(f"{score:.4g}") if np.isfinite(score) else None for score in found]


def _edited(images: Images, edit: str) -> Images | list[Stored]:
    if edit == "clean":
        return images  # They need not be RGB.
    kinds = edit.split(MIXED)
    try:
        if len(kinds) == 1:
            return stored_images(images, edit)
        each = (stored_images(images[i : i + 1], kinds[i % len(kinds)]) for i in range(len(images)))
        return [image for (image,) in each]
    except ValueError as error:
        raise ProtocolError(str(error)) from None
