"""Whether calibrations keep their rates of error on images and sources that they have not seen.

`fresh_rows` counts errors on fresh images, and `view_rows` on fresh sources of several images each.
"""

import dataclasses
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.metrics import rate_interval
from benchmarks.protocol import MIXED, Comparison, comparison_scores, decisions
from benchmarks.sampling import ProtocolError
from benchmarks.score_cache import GroupScores
from jax_origin.calibration import AS_MADE, ForeignGroup, NearestGroup
from jax_origin.calibration.conditions import origin_and_condition
from jax_origin.calibration.foreign import most_as_low

VIEWS = 4
"""Views of an image, which is their source: as it is, mirrored, turned by half, and both."""


def fresh_rows(
    comparison: Comparison, scores: Mapping[str, GroupScores]
) -> Iterator[dict[str, Any]]:
    """Counts a calibration's errors on the images of a comparison, at the calibration's own rates.

    Args:
      comparison: What was compared; the images of a group are independent.
      scores: Of all its groups.

    Yields:
      For the generator's own images (``group`` None) a row for each ``error``, "p <= alpha" and
      "not recognised"; for each foreign group one, "belongs". calibrated: whether the calibration
      knows the group under this edit, and so promises anything; n and count; low and high, the
      exact 95% interval of the rate; promised, alpha or beta (None where the method has none); and
      lies, where that lies: "inside" the interval, "over" it, or "under" it, where there are more
      errors than promised.
    """
    alpha, beta = comparison.calibration.rates.alpha, comparison.calibration.rates.beta
    assert alpha is not None  # A calibration has one.
    for group, found in scores.items():
        decided = [*decisions(comparison, group, found.score)]
        words, own = [each.verdict for each in decided], group == comparison.inspected
        promised, counts = beta, {"belongs": words.count("belongs")}
        if own:
            promised, counts = alpha, {"p <= alpha": sum(each.p <= alpha for each in decided)}
            counts["not recognised"] = words.count("not_recognised")
        for error, count in counts.items():
            _, low, high = rate_interval(count, len(words))
            lies = None
            if promised is not None:
                lies = "under" if promised < low else "over" if promised > high else "inside"
            yield {
                **{"group": None if own else group, "error": error},
                "calibrated": _is_calibrated(comparison, group),
                **{"n": len(words), "count": count, "low": low, "high": high},
                **{"promised": promised, "lies": lies},
            }


def view_rows(
    comparison: Comparison, *, cache: str | os.PathLike[str], splits: int, rate: float, seed: int
) -> Iterator[dict[str, Any]]:
    """Scores `VIEWS` of each foreign image that nothing was done to; see `source_split_rows`."""
    if comparison.edit != "clean":
        return
    foreign = {}
    for name, images in comparison.foreign.items():
        x = np.asarray(images)  # Edited ones alone are files.
        foreign[name] = np.concatenate([x, x[:, :, ::-1], x[:, ::-1, ::-1], x[:, ::-1]])
    viewed = dataclasses.replace(comparison, foreign=foreign)
    scores = comparison_scores(viewed, cache=cache, seed=seed)
    for name, images in comparison.foreign.items():
        finite = np.minimum(scores[name].score, np.finfo(np.float64).max)
        group = ForeignGroup(finite, len(images), sources=np.tile(np.arange(len(images)), VIEWS))
        options = {"rate": rate, "floor": comparison.method.floor}
        for row in source_split_rows(group, splits=splits, seed=seed, **options):
            yield {"group": name, **row}


def source_split_rows(
    group: ForeignGroup, *, rate: float, splits: int, floor: float = 0.0, seed: int = 0
) -> Iterator[dict[str, Any]]:
    """Halves a group's sources many times, calibrates q with one half, and decides on the other.

    With n sources, k of whose ranks give q <= rate, the number among m fresh ones that have it
    follows the beta-binomial law (m; k, n + 1 - k), for scores without ties. q takes the lowest
    score of a source. Where every score is taken for a source of its own, the law holds only if
    scores of one source have nothing in common.

    Args:
      group: As many scores of each source.
      rate: beta.
      splits: How many times, at least 1.
      floor: Scores are clamped from below here.
      seed: Of the halves.

    Yields:
      A row for ``counted`` "sources", and one for "scores": n and m, how many of these calibrate,
      and are decided on; attributed, the mean share of these with q <= rate; limit_low and
      limit_high, the 95% prediction limits of that share; inside, the share of splits within them.

    Raises:
      ProtocolError: If half the sources are too few for the rate.
    """
    rng, index = np.random.default_rng(seed), group.source_index()
    num = group.independent
    halves = [(rng.permutation(num) < num // 2)[index] for _ in range(splits)]
    for counted, sources in (("sources", index), ("scores", np.arange(index.size))):
        size = int(np.unique(sources).size)
        taken, shares = dataclasses.replace(group, sources=sources, independent=size), []
        for known in halves:
            half, fresh = taken.subset(known), sources[~known]
            q = NearestGroup({"": half}, floor=floor).q(group.scores[~known])
            shares.append(np.unique(fresh[q <= rate]).size / np.unique(fresh).size)
        n, m = half.independent, size - half.independent
        k = 1 + most_as_low(n, rate)
        if not k:
            raise ProtocolError(
                f"{n} sources are too few for a rate of {rate:g}: raise --config.num_images, or "
                "--config.split_rate"
            )
        low, high = (stats.betabinom(m, k, n + 1 - k).ppf([0.025, 0.975]) / m).tolist()
        inside = np.mean([low <= share <= high for share in shares])
        row = {"counted": counted, "n": n, "m": m, "attributed": float(np.mean(shares))}
        yield {**row, "limit_low": low, "limit_high": high, "inside": float(inside)}


def _is_calibrated(comparison: Comparison, group: str) -> bool:
    calibration = comparison.calibration
    edits = {AS_MADE if edit == "clean" else edit for edit in comparison.edit.split(MIXED)}
    if group == comparison.inspected:
        return edits <= {*calibration.belonging_by_condition}
    known = {origin_and_condition(each, calibration) for each in calibration.foreign}
    return {(group, edit) for edit in edits} <= known
