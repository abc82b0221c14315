"""Several candidates for one image: which of them made it, or none."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jax_origin.calibration.decision_rules import FITS_BOTH, TOO_FEW
from jax_origin.calibration.rates import Rates

SEVERAL_FIT = "several candidates fit"


class Naming(NamedTuple):
    """Which candidate an image is attributed to.

    Attributes:
      verdict: "named"; "none", none of these; or "undecided".
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
    """Names the candidate that made each image, "none of these", or neither.

    S is the set of candidates with p > alpha. If it is empty, the verdict is "none of these". A
    candidate is named only if S holds it alone, or only members of one indistinguishable group (the
    whole group is then named), and q <= beta for all of S.

    These guarantees hold for any number of candidates. An image made by candidate k under the
    settings calibrated is called "none", or given another's name, with probability at most alpha.
    An image of a calibrated foreign group is given a name with probability at most K beta, K the
    candidates; with beta / K in place of beta, at most beta. Where a candidate's foreign groups
    hold the others' images, q speaks of these too.

    Args:
      p: [N, K], from each candidate's calibration.
      q: [N, K], likewise.
      candidates: K different names.
      rates: Alpha and beta of each candidate; None stands for 0.01.
      indistinguishable: Groups of candidates that cannot be told apart; see
        `indistinguishable_groups`.
      least_p: [K], the least p-value of each candidate's rule, such as 1 / (N + 1). A candidate
        that can never be excluded at alpha is never named. None means that all can be excluded.
      least_q: [K], the least q of each candidate, such as 1 / (M + 1) for its smallest foreign
        group. One that can never be attributed at beta is undecided for that reason. None means
        that all can be attributed.

    Returns:
      A naming for each image, in order.

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
    excludable = np.ones(len(names), bool)
    if least_p is not None:
        excludable = _table([np.asarray(least_p)], "least_p", len(names))[0] <= alpha
    few = np.zeros(len(names), bool)
    if least_q is not None:
        few = _table([np.asarray(least_q)], "least_q", len(names))[0] > beta
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
        return Naming("none", (), (), None)
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
    array = np.asarray(values, np.float64)
    if array.ndim != 2 or array.shape[1] != num:
        raise ValueError(f"{name} must be [images, {num} candidates]; got {list(array.shape)}")
    if not ((array >= 0) & (array <= 1)).all():
        raise ValueError(f"{name} must lie in [0, 1]")
    return array
