"""Candidates that cannot be told apart: they invert the same thing, or score alike."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jax_origin.calibration.false_attribution import upper_limit
from jax_origin.calibration.rule import Conformal, as_scores, check_rate


class Comparison(NamedTuple):
    """How often one candidate excludes the images of another.

    Attributes:
      excluded: images of the other that it excludes at alpha.
      num: images of the other.
      limit: what the share of such images is at most, at the confidence asked for.
    """

    excluded: int
    num: int
    limit: float


def indistinguishable_groups(
    fingerprints: Mapping[str, str],
    scores: Mapping[str, Mapping[str, ArrayLike]],
    *,
    alpha: float = 0.05,
    most: float = 0.2,
    confidence: float = 0.95,
) -> list[tuple[str, ...]]:
    """Groups the candidates that cannot be told apart by their scores.

    Two candidates are joined if what is inverted has the same fingerprint (two text-to-image models
    with one decoder), or if each is shown to accept the other's images nearly as often as its own:
    of the other's images it excludes, at alpha, a share that is at most `most` at the confidence
    asked for (exact, one-sided, Clopper and Pearson). Its own it excludes at a rate of alpha. So
    two are joined on evidence that they agree, never for want of evidence that they differ: few
    images keep them apart (13 of a hundred excluded, or none of 14, still join at the defaults). A
    group is what a chain of such pairs holds together; its ends may differ.

    Args:
      fingerprints: of what is inverted, by candidate.
      scores: scores[a][b], the scores under a of belonging images of b, independent and fresh,
        [N] or more; scores[a][a] those of its own. Pairs that are missing are kept apart.
      alpha: rate of false exclusion, in (0, 1).
      most: share of the other's images that may be excluded, in (alpha, 1).
      confidence: in (0, 1).

    Returns:
      The groups of two or more, each in the order of `fingerprints`.

    Raises:
      ValueError: scores of a name without a fingerprint, scores that are not numbers, or a rate out
        of range.
    """
    check_rate(most, "most")
    if most <= alpha:
        raise ValueError(f"most must be over alpha, {alpha:g}; got {most:g}")
    names = list(fingerprints)
    unknown = sorted({*scores, *(other for row in scores.values() for other in row)} - {*names})
    if unknown:
        raise ValueError(f"scores of {', '.join(unknown)}, which have no fingerprint")
    group = {name: {name} for name in names}
    for i, a in enumerate(names):
        for b in names[:i]:
            alike = fingerprints[a] == fingerprints[b]
            if not alike:
                pairs = [
                    compare(scores.get(x, {}), x, y, alpha=alpha, confidence=confidence)
                    for x, y in ((a, b), (b, a))
                ]
                alike = all(pair is not None and pair.limit <= most for pair in pairs)
            if alike:
                together = group[a] | group[b]
                group |= dict.fromkeys(together, together)
    found = {tuple(name for name in names if name in members) for members in group.values()}
    return sorted((g for g in found if len(g) > 1), key=lambda g: names.index(g[0]))


def compare(
    scores: Mapping[str, ArrayLike],
    candidate: str,
    other: str,
    *,
    alpha: float = 0.05,
    confidence: float = 0.95,
) -> Comparison | None:
    """Counts how many images of another candidate this one excludes.

    Args:
      scores: the scores under this candidate, by the origin of the images.
      candidate: its own name.
      other: the other's.
      alpha: rate of false exclusion, in (0, 1).
      confidence: of the limit, in (0, 1).

    Returns:
      The count and its limit; None where scores are missing, or too few to exclude anything.

    Raises:
      ValueError: scores that are not numbers, or a rate out of range.
    """
    check_rate(alpha, "alpha")
    if candidate not in scores or other not in scores:
        return None
    threshold = Conformal(scores[candidate]).threshold(alpha)
    others = as_scores(scores[other], "scores")
    if not others.size or threshold == np.inf:
        return None
    excluded = int(np.count_nonzero(others > threshold))
    limit = upper_limit(excluded, others.size, confidence=confidence)
    return Comparison(excluded, others.size, limit)
