"""What a rule accepts, by the number of belonging scores that it was made from, and by alpha."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.rule_sizes import DISTRIBUTIONS
from benchmarks.sampling import ProtocolError
from jax_origin.calibration import Conformal, Grubbs, Rule

RULES: tuple[Rule, ...] = (Grubbs(), Conformal())
"""The rules that are compared: the published one, and this project's."""


def calibration_size_rows(
    belonging: NDArray[np.float64],
    foreign: Mapping[str, NDArray[np.float64]],
    *,
    nums: Sequence[int],
    alphas: Sequence[float],
    floor: float = 0.0,
    draws: int = 500,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Draws calibrations from one set of belonging scores, and judges all other scores.

    A score is accepted at or under the rule's threshold: p alone decides, as published; q, which
    holds foreign scores back where two errors are kept, is left out. Nothing is scored anew.

    Args:
      belonging: Scores of belonging images, [M], M > N.
      foreign: Scores of foreign images by group; at least one group.
      nums: Numbers N of belonging scores in a calibration.
      alphas: Rates of false exclusion asked for.
      floor: Scores are clamped from below here.
      draws: Calibrations of each N, drawn without replacement.
      seed: Of the draws.

    Returns:
      For each rule, N and alpha: rule, num, alpha; tpr, tpr_low and tpr_high, mean and 5% and 95%
      quantiles over the draws of the share of the other belonging scores that is accepted; fpr,
      fpr_low and fpr_high, likewise of the foreign group with the largest mean, which is `group`;
      excluded_if_normal, the mean rate of false exclusion of the same rule on normal scores. All
      rates are None where N scores can exclude nothing at alpha.

    Raises:
      ProtocolError: If no belonging scores are left to judge, or a rule needs more, or a score of
        a belonging image is not finite.
    """
    if not np.isfinite(belonging).all():
        raise ProtocolError("a belonging image has no finite score: nothing can be calibrated")
    own = np.maximum(belonging, floor)
    groups = {name: np.sort(np.maximum(scores, floor)) for name, scores in foreign.items()}
    rows = []
    for rule in RULES:
        for num in nums:
            if num >= own.size:
                raise ProtocolError(
                    f"calibration_sizes: {num} of {own.size} belonging scores leave none to judge: "
                    "raise --config.num_belonging"
                )
            rng = np.random.default_rng([seed, num])
            thresholds, accepted, normal = [], [], []
            for _ in range(draws):
                order = rng.permutation(own.size)
                limits = _thresholds(rule, own[order[:num]], alphas)
                thresholds.append(limits)
                rest = np.sort(own[order[num:]])
                accepted.append(np.searchsorted(rest, limits, side="right") / rest.size)
                law = DISTRIBUTIONS["normal"]
                normal.append(law.exceeding(_thresholds(rule, law.draw(rng, num), alphas)))
            rates = {
                name: np.searchsorted(scores, thresholds, side="right") / scores.size
                for name, scores in groups.items()
            }
            for i, alpha in enumerate(alphas):
                worst = max(rates, key=lambda name: rates[name][:, i].mean())
                able = bool(np.isfinite(thresholds[0][i]))  # the same for all draws
                rows.append(
                    {
                        "rule": rule.kind,
                        "num": num,
                        "alpha": alpha,
                        **_spread("tpr", np.array(accepted)[:, i], able),
                        **_spread("fpr", rates[worst][:, i], able),
                        "group": worst,
                        "excluded_if_normal": float(np.mean(normal, 0)[i]) if able else None,
                    }
                )
    return rows


def _thresholds(
    rule: Rule, scores: NDArray[np.float64], alphas: Sequence[float]
) -> NDArray[np.float64]:
    try:
        fitted = rule.fit(scores)
        return np.array([fitted.threshold(alpha) for alpha in alphas])
    except ValueError as error:
        raise ProtocolError(f"calibration_sizes, alphas: {error}") from None


def _spread(name: str, rates: NDArray[np.float64], able: bool) -> dict[str, float | None]:
    low, high = np.quantile(rates, [0.05, 0.95])
    found = {name: rates.mean(), f"{name}_low": low, f"{name}_high": high}
    return {field: float(rate) if able else None for field, rate in found.items()}
