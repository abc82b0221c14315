"""Random halves of an evaluation's scores: one half calibrates, the other is decided on.

What a calibration promises can be seen so: with n scores of a group, k of whose ranks are accepted,
the number of errors among m fresh ones follows the beta-binomial law (m; k, n + 1 - k).
"""

import dataclasses
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.sampling import ProtocolError
from jax_origin.calibration import (
    Calibration,
    ForeignGroup,
    NearestGroup,
    Rates,
    decide_arrays,
)

_Scores = NDArray[np.float64]


def resplit_rows(
    calibration: Calibration,
    belonging: _Scores,
    foreign: Mapping[str, _Scores],
    *,
    resplits: int,
    rate: float,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Halves all scores at random many times, calibrates with one half, and decides on the other.

    The law is of scores without ties: where many are clamped at the floor, fewer images are turned
    away. It is of the rank rule; what another rule does is held against the same limits. A group
    that is left out of the calibration has no law: what is found of it is a description.

    Args:
      calibration: Says the method; its own scores play no part.
      belonging: Scores of belonging images, [N], all of one condition.
      foreign: Scores of foreign images by group, likewise; independent ones.
      resplits: How many times, at least 1.
      rate: alpha and beta.
      seed: Of the halves.

    Returns:
      For the belonging images (``group`` None), then for each foreign group: n and m, how many
      calibrate and how many are decided on; belongs, belongs_low, belongs_high: mean, and 2.5% and
      97.5% quantiles over the resplits, of the share that is attributed; ranked: the mean share
      with p <= alpha, or of a foreign group q <= beta by this group alone; limit_low, limit_high:
      the 95% prediction limits of that share; inside: share of resplits in which it lies within
      them; kept: share of resplits in which no more than limit_high of the belonging images are
      excluded, or of the group attributed; held_out, held_out_low, held_out_high: the share of the
      whole group that is attributed where it is left out of the calibration. None where there is
      no such thing: q in a method that decides by p alone, another group where there is but one.

    Raises:
      ProtocolError: If half the scores of a group are too few for the rate, or one of a belonging
        image is not finite.
    """
    if not np.isfinite(belonging).all():
        raise ProtocolError("a belonging image has no finite score: nothing can be calibrated")
    finite = {name: np.minimum(s, np.finfo(np.float64).max) for name, s in foreign.items()}
    sizes: dict[str | None, int] = {None: belonging.size}
    sizes.update({name: scores.size for name, scores in finite.items()})
    limits = {name: _limits(size, rate, name) for name, size in sizes.items()}
    rates = Rates(alpha=rate, beta=rate)
    base = dataclasses.replace(calibration, conditions={}, encoders=None, encoder_weights={})
    shares: dict[tuple[str | None, str], list[float]] = defaultdict(list)
    rng = np.random.default_rng(seed)
    for _ in range(resplits):
        own, fresh_own = _halves(belonging, rng)
        halves = {name: _halves(scores, rng) for name, scores in finite.items()}
        groups = {name: ForeignGroup(half, half.size) for name, (half, _) in halves.items()}
        made = dataclasses.replace(base, belonging=own, foreign=groups)
        found = decide_arrays(fresh_own, made, rates=rates)
        shares[None, "belongs"].append(_share(found.verdict == "belongs"))
        shares[None, "ranked"].append(_share(found.p <= rate))
        for name, (known, fresh) in halves.items():
            found = decide_arrays(fresh, made, rates=rates)
            shares[name, "belongs"].append(_share(found.verdict == "belongs"))
            q = NearestGroup({name: known}, floor=base.floor).q(fresh)
            shares[name, "ranked"].append(_share(q <= rate))
            others = {other: group for other, group in groups.items() if other != name}
            if others:
                without = dataclasses.replace(made, foreign=others)
                found = decide_arrays(finite[name], without, rates=rates)
                shares[name, "held_out"].append(_share(found.verdict == "belongs"))
    rows = []
    for kind, size in sizes.items():
        by_law: dict[str, float | None] = dict.fromkeys(_BY_LAW)
        if kind is None or base.decision.judges_q:
            low, high = limits[kind]
            ranked = np.array(shares[kind, "ranked"])
            errors = ranked if kind is None else np.array(shares[kind, "belongs"])
            inside = np.mean((low <= ranked) & (ranked <= high))
            values = (ranked.mean(), low, high, inside, np.mean(errors <= high))
            by_law = dict(zip(_BY_LAW, map(float, values), strict=True))
        rows.append(
            {
                "group": kind,
                "n": size // 2,
                "m": size - size // 2,
                **_spread("belongs", shares[kind, "belongs"]),
                **by_law,
                **_spread("held_out", shares[kind, "held_out"]),
            }
        )
    return rows


_BY_LAW = ("ranked", "limit_low", "limit_high", "inside", "kept")


def _halves(scores: _Scores, rng: np.random.Generator) -> tuple[_Scores, _Scores]:
    order = rng.permutation(scores)
    return order[: order.size // 2], order[order.size // 2 :]


def _limits(num: int, rate: float, group: str | None) -> tuple[float, float]:
    """Returns the 95% prediction limits of the share of errors among the half decided on."""
    n, m = num // 2, num - num // 2
    # By the divisions that p and q use.
    k = int(np.searchsorted(np.arange(1, n + 2) / (n + 1.0), rate, side="right"))
    if not k:
        raise ProtocolError(
            f"half of {num} images of {group or 'the inspected generator'} are too few for a rate "
            f"of {rate:g}: raise --config.num_images, or --config.resplit_rate"
        )
    low, high = stats.betabinom(m, k, n + 1 - k).ppf([0.025, 0.975]) / m
    return float(low), float(high)


def _share(which: NDArray[np.bool_]) -> float:
    return float(np.mean(which))


def _spread(name: str, shares: list[float]) -> dict[str, float | None]:
    names = (name, f"{name}_low", f"{name}_high")
    if not shares:
        return dict.fromkeys(names)
    values = (np.mean(shares), *np.quantile(shares, [0.025, 0.975]))
    return {field: float(value) for field, value in zip(names, values, strict=True)}
