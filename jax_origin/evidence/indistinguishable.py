"""Candidates that cannot be told apart: they invert the same thing, or score alike."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from jax_origin.calibration.checks import as_scores, check_rate
from jax_origin.calibration.false_attribution import upper_limit
from jax_origin.calibration.rules import Conformal


def indistinguishable_groups(
    fingerprints: Mapping[str, str],
    scores: Mapping[str, Mapping[str, ArrayLike]],
    *,
    rate: float = 0.05,
    most: float = 0.2,
    confidence: float = 0.95,
) -> list[tuple[str, ...]]:
    """Groups the candidates that cannot be told apart by their scores.

    Two candidates are joined if what is inverted has the same fingerprint (two text-to-image models
    with one decoder), or if each is shown to accept the other's images nearly as often as its own.
    That is so if it excludes, at `rate`, a share of the other's images that is at most `most` at
    the confidence asked for (exact, one-sided, Clopper and Pearson); its own it excludes at `rate`.
    So two are joined on evidence that they agree, never for want of evidence that they differ: few
    images keep them apart (13 of a hundred excluded, or none of 14, still join at the defaults). A
    chain of such pairs makes one group; its ends may differ.

    Args:
      fingerprints: Of what is inverted, by candidate.
      scores: scores[a][b], the scores under a of belonging images of b, independent and fresh,
        [N] or more; scores[a][a] those of its own. Pairs that are missing are kept apart.
      rate: The rate of false exclusion, in (0, 1).
      most: Share of the other's images that may be excluded, in (rate, 1).
      confidence: In (0, 1).

    Returns:
      The groups of two or more, each in the order of `fingerprints`.

    Raises:
      ValueError: Scores are of a name without a fingerprint or no numbers, or a rate is out of
        range.
    """
    check_rate(most, "most")
    check_rate(rate, "rate")
    if most <= rate:
        raise ValueError(f"most must be over the rate, {rate:g}; got {most:g}")
    names = list(fingerprints)
    unknown = sorted({*scores, *(other for row in scores.values() for other in row)} - {*names})
    if unknown:
        raise ValueError(f"scores of {', '.join(unknown)}, which have no fingerprint")
    group = {name: {name} for name in names}
    for i, a in enumerate(names):
        for b in names[:i]:
            alike = fingerprints[a] == fingerprints[b]
            if not alike:
                limits = [
                    _most_excluded(scores.get(x, {}), x, y, rate, confidence)
                    for x, y in ((a, b), (b, a))
                ]
                alike = max(limits) <= most
            if alike:
                together = group[a] | group[b]
                group |= dict.fromkeys(together, together)
    found = {tuple(name for name in names if name in members) for members in group.values()}
    return sorted((g for g in found if len(g) > 1), key=lambda g: names.index(g[0]))


def _most_excluded(
    scores: Mapping[str, ArrayLike], candidate: str, other: str, rate: float, confidence: float
) -> float:
    """The limit on the share of another candidate's images that this one excludes.

    1 where scores are missing, or too few to exclude anything: then nothing is known.
    """
    if candidate not in scores or other not in scores:
        return 1.0
    threshold = Conformal().fit(scores[candidate]).threshold(rate)
    others = as_scores(scores[other], "scores")
    if not others.size or threshold == np.inf:
        return 1.0
    excluded = int(np.count_nonzero(others > threshold))
    return upper_limit(excluded, others.size, confidence=confidence)
