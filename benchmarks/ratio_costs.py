"""What the likelihood ratios of an evaluation's scores cost, and what unrecovered images add."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics import score_cllr
from benchmarks.sampling import ProtocolError
from jax_origin.calibration import ForeignGroup
from jax_origin.evidence import cllr, cross_fitted, leave_one_group_out

_Scores = NDArray[np.float64]

SHARES = (0.01, 0.02, 0.05, 0.1)
"""Of belonging images that are not recovered, for which the cost is told."""

_FOLDS = 10


def ratio_cost_rows(
    belonging: _Scores,
    foreign: Mapping[str, _Scores],
    *,
    floor: float = 0.0,
    target: float = 0.1,
    draws: int = 10,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """The cost of cross-fitted ratios (isotonic regression) against each foreign group.

    Unrecovered images are made up: some of the group's own scores take the place of as many
    belonging ones, in what the ratios are fitted on and in what they are judged on alike, and the
    others are the group. An inversion that got stuck leaves such a score.

    Args:
      belonging: Scores of belonging images, [N]; finite.
      foreign: Scores of foreign images by group; independent ones. Infinite ones count as the
        largest finite score there is.
      floor: Scores are clamped from below here.
      target: A cost in bits. Since counts cap the ratios, even separated scores cost 0.056 with
        100 images of each kind, and 0.028 with 200.
      draws: Random choices of unrecovered images, over which their cost is averaged.
      seed: Of the choices, the folds and the bootstrap.

    Returns:
      For each group: group, n (belonging) and m (foreign); cllr, cllr_low and cllr_high (95%
      bootstrap interval); discrimination and calibration, its parts; left_out, the cost of ratios
      against the other groups in equal shares, None where there is no other; unrecovered_0.01 and
      so on, the mean cost for each share in `SHARES`; tolerated, the largest share of unrecovered
      images, in steps of 1/N, up to which the cost stays under `target`; None where even 0 costs
      more.

    Raises:
      ProtocolError: If there are fewer than ten scores of a kind, or one of a belonging image is
        not finite.
    """
    if not np.isfinite(belonging).all():
        raise ProtocolError("a belonging image has no finite score: it has no likelihood ratio")
    for name, scores in {"the inspected generator": belonging, **foreign}.items():
        if scores.size < _FOLDS:
            raise ProtocolError(
                f"{scores.size} images of {name} cannot be divided into {_FOLDS} parts: raise "
                "--config.num_images"
            )
    own = np.maximum(belonging, floor)
    largest = np.concatenate([own, *foreign.values()])
    largest = largest[np.isfinite(largest)].max()
    clamped = {name: np.clip(scores, floor, largest) for name, scores in foreign.items()}
    groups = {name: ForeignGroup(scores, scores.size) for name, scores in clamped.items()}
    without = {}
    if len(groups) > 1:
        without = leave_one_group_out(own, groups, folds=_FOLDS, seed=seed)
    rows = []
    for name, group in groups.items():
        found = score_cllr(own, group, folds=_FOLDS, seed=seed)
        cost = partial(_cost_with_unrecovered, own, group.scores, draws=draws, seed=seed)
        most = min(own.size, group.scores.size) - _FOLDS
        over = (count for count in range(most + 1) if cost(count) >= target)
        first = next(over, most + 1)
        counts = {share: round(share * own.size) for share in SHARES}
        rows.append(
            {
                "group": name,
                "n": own.size,
                "m": group.scores.size,
                "cllr": found.value.cllr,
                "cllr_low": found.low,
                "cllr_high": found.high,
                "discrimination": found.value.discrimination,
                "calibration": found.value.calibration,
                "left_out": cllr(*without[name]).cllr if without else None,
                **{
                    f"unrecovered_{share:g}": cost(count) if count <= most else None
                    for share, count in counts.items()
                },
                "tolerated": (first - 1) / own.size if first else None,
            }
        )
    return rows


def _cost_with_unrecovered(
    own: _Scores, foreign: _Scores, count: int, *, draws: int, seed: int
) -> float:
    costs = []
    for draw in range(draws):
        rng = np.random.default_rng([seed, count, draw])
        others = rng.permutation(foreign)
        mixed = np.concatenate([rng.permutation(own)[count:], others[:count]])
        rest = ForeignGroup(others[count:], foreign.size - count)
        ratios = cross_fitted(mixed, rest, folds=_FOLDS, seed=draw)
        costs.append(cllr(*ratios).cllr)
    return float(np.mean(costs))
