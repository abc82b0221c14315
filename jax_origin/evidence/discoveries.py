"""Many images at once: exclusions and attributions with a bound on the share that are false.

Throughout, `rate` is the rate of false discoveries, in (0, 1). `score_kinds` are the records'
score_kind, where at hand: upper bounds are refused. `method` is "bh", Benjamini and Hochberg's
procedure (J. R. Stat. Soc. B 1995), or "by", Benjamini and Yekutieli's (Ann. Stat. 2001). P-values
are [N] of one candidate, or [N, K]; of all images tested, and not of a choice of them. What is
found is bool, of their shape. The functions raise ValueError where an argument is out of range or
of another shape, or a score is an upper bound.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jax_origin.calibration.checks import check_rate

Procedure = Literal["bh", "by"]


def exclusions(
    p: ArrayLike,
    *,
    rate: float = 0.05,
    method: Procedure | None = None,
    score_kinds: Iterable[str] = (),
) -> NDArray[np.bool_]:
    """Says which images are excluded by p, at most `rate` of the exclusions false on average.

    The p-values of images ranked among the same belonging scores depend on each other positively,
    which "bh" allows (Bates et al., Ann. Stat. 2023, theorem 2). Across several candidates that is
    not known: the default is then "by", which allows any dependence, and costs a factor of about
    log(images x candidates). Say "by" as well where p is the largest over conditions.
    """
    p = shares(p, "p")
    several = p.ndim == 2 and p.shape[1] > 1
    return _discovered(p, rate, method or ("by" if several else "bh"), score_kinds)


def attributions(
    q: ArrayLike,
    *,
    num_groups: int,
    rate: float = 0.05,
    method: Procedure | None = None,
    score_kinds: Iterable[str] = (),
) -> NDArray[np.bool_]:
    """Says which images are attributed, at most `rate` of the attributions false on average.

    As `exclusions`, on q, the largest over `num_groups` foreign groups (or pairs of group and
    condition), at least 1. Whether it depends positively from image to image is not known for
    several of them: the default is then "by".
    """
    q = shares(q, "q")
    if num_groups < 1:
        raise ValueError(f"num_groups must be at least 1; got {num_groups}")
    several = num_groups > 1 or (q.ndim == 2 and q.shape[1] > 1)
    return _discovered(q, rate, method or ("by" if several else "bh"), score_kinds)


class Power(NamedTuple):
    """What ranks among so many calibration scores can discover.

    Attributes:
      least_p: The least p-value, 1 / (N + 1).
      needed_share: The share of all tests that must have it before any is a discovery; over 1 means
        that none ever is.
      needed_scores: The number of calibration scores at which one image alone can be discovered.
      note: The same in words.
    """

    least_p: float
    needed_share: float
    needed_scores: int
    note: str


def discovery_power(
    num_scores: int, *, num_tests: int, rate: float = 0.05, method: Procedure = "bh"
) -> Power:
    """Says what so many calibration scores can discover among so many images.

    At 100 scores and rate 0.05 "bh" discovers nothing unless a fifth of the images have the least
    p-value. `num_scores` are belonging scores (for exclusions), or those of the smallest foreign
    group (for attributions). `num_tests` are images, times candidates where there are several. Both
    are at least 1.
    """
    check_rate(rate, "rate")
    if num_scores < 1 or num_tests < 1:
        raise ValueError(
            f"num_scores and num_tests must be at least 1; got {num_scores} and {num_tests}"
        )
    factor = _factor(num_tests, method)
    least_p = 1.0 / (num_scores + 1)
    share = least_p * factor / rate
    needed = int(np.ceil(num_tests * factor / rate * (1 - 1e-12))) - 1
    discovers = (
        f"discovers nothing unless {share:.2g} of all tests have it"
        if share <= 1
        else "can discover nothing"
    )
    note = (
        f"with {num_scores:,} calibration scores no p-value is under {least_p:.2g}: at rate "
        f"{rate:g} the {method.upper()} procedure over {num_tests:,} tests {discovers}; for a "
        f"single image {needed:,} calibration scores are needed"
    )
    return Power(least_p, share, needed, note)


def require_full_scores(score_kinds: Iterable[str]) -> None:
    """Raises ValueError if a score is an upper bound, of an image accepted early."""
    score_kinds = [score_kinds] if isinstance(score_kinds, str) else score_kinds
    bounds = sum(kind == "upper_bound" for kind in score_kinds)
    if bounds:
        raise ValueError(
            f"{bounds} of the scores are upper bounds, of images accepted before the end of their "
            "inversion: run again with --full_scores"
        )


def _discovered(
    values: NDArray[np.float64], rate: float, method: str, score_kinds: Iterable[str]
) -> NDArray[np.bool_]:
    check_rate(rate, "rate")
    _factor(1, method)
    require_full_scores(score_kinds)
    if not values.size:
        return np.zeros(values.shape, bool)
    from scipy import stats  # Here: it takes a second to import.

    adjusted = stats.false_discovery_control(values, axis=None, method=method)
    # The adjusted value is rounded: one that is the rate but for its last bits is at most the rate.
    return np.asarray(adjusted <= rate * (1 + 1e-12)).reshape(values.shape)


def _factor(num_tests: int, method: str) -> float:
    if method not in ("bh", "by"):
        raise ValueError(f'method must be "bh" or "by"; got {method!r}')
    return float((1.0 / np.arange(1, num_tests + 1)).sum()) if method == "by" else 1.0


def shares(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """P-values as an array, [N] or [N, K]; raises ValueError where one is outside [0, 1]."""
    array = np.asarray(values, np.float64)
    if array.ndim not in (1, 2):
        raise ValueError(f"{name} must be [images] or [images, candidates]; got {array.ndim} axes")
    if not ((array >= 0) & (array <= 1)).all():
        raise ValueError(f"{name} must lie in [0, 1]")
    return array
