"""Several candidates for one image: which of them made it, or none, and which are told apart."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jax_origin.calibration.checks import as_scores, check_rate
from jax_origin.calibration.decision_rules import FITS_BOTH, FITS_NEITHER, TOO_FEW, Rates
from jax_origin.calibration.false_attribution import upper_limit
from jax_origin.calibration.rules import Conformal
from jax_origin.evidence.discoveries import shares

SEVERAL_FIT = "several candidates fit"


class Naming(NamedTuple):
    """Which candidate an image is attributed to.

    Attributes:
      verdict: "named"; "none", not recognised: there is no evidence that a candidate made it, as
        made or after a calibrated edit; or "undecided".
      named: The candidate, or all of a group that cannot be told apart; empty unless named.
      fitting: The candidates that the image fits, p > alpha, in order.
      reason: Why it is undecided, or that those named are indistinguishable; None otherwise.
    """

    verdict: Literal["named", "none", "undecided"]
    named: tuple[str, ...]
    fitting: tuple[str, ...]
    reason: str | None


def name_candidates(
    p: ArrayLike,
    q: ArrayLike,
    candidates: Sequence[str],
    *,
    rates: Rates | None = None,
    indistinguishable: Sequence[Sequence[str]] = (),
    least_p: ArrayLike | None = None,
    least_q: ArrayLike | None = None,
) -> list[Naming]:
    """Names the candidate that made each image, in order, "none", or neither.

    S is the set of candidates with p > alpha. If it is empty, the verdict is "none". It is
    "undecided" where q <= beta for a candidate: the image then comes nearer to that one than
    foreign images do, as its own may after an edit that was not calibrated. A candidate is named
    only if S holds it alone, or only members of one indistinguishable group (the
    whole group is then named), and q <= beta for all of S.

    These guarantees hold for any number of candidates. An image made by candidate k under the
    settings calibrated is called "none", or given another's name, with probability at most alpha.
    An image of a foreign group that all K candidates' calibrations contain is given a name with
    probability at most K beta; with beta / K in place of beta, at most beta. Nothing bounds how
    often a candidate whose calibration lacks the group is named. Where a candidate's foreign groups
    hold the others' images, q speaks of these too.

    Args:
      p: [N, K], from each candidate's calibration.
      q: [N, K], likewise.
      candidates: K different names.
      rates: Alpha and beta of each candidate; None stands for 0.01.
      indistinguishable: Groups of candidates that cannot be told apart; see
        `indistinguishable_groups`.
      least_p: [K], the least p-value of each candidate's rule, such as 1 / (N + 1); None is 0. A
        candidate that can never be excluded at alpha is never named.
      least_q: [K], the least q of each candidate, such as 1 / (M + 1) for its smallest foreign
        group; None is 0. One that can never be attributed at beta is undecided for that reason.

    Raises:
      ValueError: An array has another shape or values outside [0, 1]; names repeat; or a group
        names no candidate, or one of another group.
    """
    asked = (rates or Rates()).over(Rates(0.01, 0.01))
    assert asked.alpha is not None and asked.beta is not None
    alpha, beta = asked.alpha, asked.beta
    names = list(candidates)
    if not names or len(set(names)) != len(names):
        raise ValueError(f"candidates must be different names, at least one; got {names}")
    ps, qs = _table(p, "p", len(names)), _table(q, "q", len(names))
    if len(ps) != len(qs):
        raise ValueError(f"p is of {len(ps)} images, q of {len(qs)}")
    groups = _groups(names, indistinguishable)
    least = np.zeros(len(names))
    lows = [least if low is None else np.asarray(low) for low in (least_p, least_q)]
    excludable = _table(lows[:1], "least_p", len(names))[0] <= alpha
    few = _table(lows[1:], "least_q", len(names))[0] > beta
    fits = (ps > alpha) | ~excludable
    return [
        _named(fit, attributable, names, groups, excludable, few)
        for fit, attributable in zip(fits, qs <= beta, strict=True)
    ]


def _named(
    fits: NDArray[np.bool_],
    attributable: NDArray[np.bool_],
    names: list[str],
    groups: dict[str, tuple[str, ...]],
    excludable: NDArray[np.bool_],
    few: NDArray[np.bool_],
) -> Naming:
    fitting = _chosen(names, fits)
    if not fitting:
        if not attributable.any():
            return Naming("none", (), (), None)
        nearer = ", ".join(_chosen(names, attributable))
        return Naming("undecided", (), (), f"{FITS_NEITHER}: {nearer}")
    if not excludable[fits].all():
        unable = ", ".join(_chosen(names, ~excludable))
        return Naming("undecided", (), fitting, f"{TOO_FEW}: {unable} can exclude nothing")
    group = groups[fitting[0]]
    if any(name not in group for name in fitting):
        return Naming("undecided", (), fitting, f"{SEVERAL_FIT}: {', '.join(fitting)}")
    if not attributable[fits].all():
        held_back = ", ".join(_chosen(names, fits & few))
        reason = f"{TOO_FEW}: {held_back} can attribute nothing" if held_back else FITS_BOTH
        return Naming("undecided", (), fitting, reason)
    together = f"indistinguishable: {', '.join(group)}" if len(group) > 1 else None
    return Naming("named", group, fitting, together)


def _chosen(names: list[str], which: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(name for name, chosen in zip(names, which, strict=True) if chosen)


def _groups(names: list[str], groups: Sequence[Sequence[str]]) -> dict[str, tuple[str, ...]]:
    of: dict[str, tuple[str, ...]] = {name: (name,) for name in names}
    for group in groups:
        for name in group:
            if name not in of or len(of[name]) > 1:
                raise ValueError(
                    f"{name!r} must be a candidate, and in one indistinguishable group only"
                )
        together = tuple(name for name in names if name in group)
        of |= dict.fromkeys(together, together)
    return of


def _table(values: ArrayLike, name: str, num: int) -> NDArray[np.float64]:
    array = shares(values, name)
    if array.ndim != 2 or array.shape[1] != num:
        raise ValueError(f"{name} must be [images, {num} candidates]; got {list(array.shape)}")
    return array


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
    the confidence asked for (exact, one-sided, Clopper and Pearson). So few images keep two apart
    (13 of a hundred excluded, or none of 14, still join at the defaults). A chain of such pairs
    makes one group; its ends may differ.

    The fingerprints are by candidate. `scores[a][b]` are scores under a of images of b, [N],
    independent and fresh. Pairs that are missing are kept apart. `rate`, the rate of false
    exclusion, and `confidence` are in (0, 1), and `most` is in (rate, 1).

    Returns:
      The groups of two or more, each in the order of `fingerprints`.

    Raises:
      ValueError: Scores have no fingerprint or are no numbers, or a rate is out of range.
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
            limits = (
                _most_excluded(scores.get(x, {}), x, y, rate, confidence)
                for x, y in ((a, b), (b, a))
            )
            if fingerprints[a] == fingerprints[b] or max(limits) <= most:
                together = group[a] | group[b]
                group |= dict.fromkeys(together, together)
    found = {tuple(name for name in names if name in members) for members in group.values()}
    return sorted((g for g in found if len(g) > 1), key=lambda g: names.index(g[0]))


def _most_excluded(
    scores: Mapping[str, ArrayLike], candidate: str, other: str, rate: float, confidence: float
) -> float:
    """The limit on the share of the other's images excluded; 1 where nothing is known of it."""
    if candidate not in scores or other not in scores:
        return 1.0
    threshold = Conformal().fit(scores[candidate]).threshold(rate)
    others = as_scores(scores[other], "scores")
    if not others.size or threshold == np.inf:
        return 1.0
    excluded = int(np.count_nonzero(others > threshold))
    return upper_limit(excluded, others.size, confidence=confidence)
