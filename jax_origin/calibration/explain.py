"""A verdict in plain words: what was asked and found, how often it would mislead, what is left."""

from collections.abc import Iterable

from jax_origin.calibration.calibration import Calibration
from jax_origin.calibration.conditions import origin_and_condition, parse_condition
from jax_origin.calibration.decision import Decision
from jax_origin.calibration.decision_rules import DRIFT, FITS_BOTH, FITS_NEITHER, Rates
from jax_origin.calibration.false_attribution import FalseAttribution
from jax_origin.calibration.rules import percent


def explain(
    decision: Decision,
    calibration: Calibration,
    *,
    image: str = "this image",
    rates: Rates | None = None,
    limits: FalseAttribution | None = None,
) -> str:
    """Explains a verdict in a short paragraph, for a reader without statistics.

    Args:
      decision: As `decide` gave it.
      calibration: The one that it was made with.
      image: What to call the image.
      rates: The rates that it was made with; None means the calibration's own.
      limits: What fresh foreign images say of how often the decision's accepting score attributes
        them; see `false_attribution_limits`.

    Returns:
      Four to eight sentences: the question, the finding, the verdict with its rate of error, and
      what it does not cover. All numbers are those of the decision, the calibration and the limits.
    """
    asked = (rates or Rates()).over(calibration.rates)
    name = calibration.generator["name"]
    sentences = [
        f"The question was whether {image} was made by {name}.",
        f"A low score means that {name} can reproduce the image well.",
        _found_of_own(decision.p, calibration),
    ]
    if calibration.conditions:
        sentences.append(
            f"Its own images were scored as made{_conditions(calibration)}; of those that are "
            f"stored as this one is, it fits {decision.condition!r} best."
        )
    if decision.q is not None:
        sentences.append(_found_of_foreign(decision.q, calibration))
    sentences += _verdict(decision, calibration, asked)
    if limits is not None and decision.verdict == "belongs":
        sentences.append(_checked(limits))
    sentences.append(_not_covered(decision, calibration))
    return " ".join(sentences)


def _conditions(calibration: Calibration) -> str:
    """What its own images met, or under which settings they were made, besides as made."""
    changed = [name for name in calibration.conditions if parse_condition(name).settings]
    edits = [name for name in calibration.conditions if name not in changed]
    words = f" and after {_listed(edits)}" if edits else ""
    return words + (f", and under other settings ({_listed(changed)})" if changed else "")


def _found_of_own(p: float, calibration: Calibration) -> str:
    num, rule = calibration.belonging.size, calibration.rule
    if rule.keeps is None:
        return (
            f"By the {rule.kind} rule, set on {num:,} images known to be its own, p is {p:.2g}: "
            "the smaller, the less it fits them."
        )
    count = rule.rank(p, num)
    if count is None:
        return (
            f"Judged by {num:,} images known to be its own, at most {percent(p)} of its own score "
            f"as high as this one or higher, {rule.keeps}."
        )
    return f"Of {num:,} images known to be its own, {_count(count)} as high as this one or higher."


def _found_of_foreign(q: float, calibration: Calibration) -> str:
    groups, origins = calibration.foreign, _origins(calibration)
    sizes = {group.scores.size for group in groups.values()}
    if len(sizes) > 1:
        return (
            f"In the foreign group that comes nearest (of {origins}), about {percent(q)} "
            "score as low as this one or lower, this one counted in."
        )
    (num,) = sizes
    count = round(q * (num + 1)) - 1
    where = f"Of {num:,} foreign images ({origins})"
    if len(groups) > 1:
        where = f"In the foreign group that comes nearest ({num:,} images; of {origins})"
    return f"{where}, {_count(count)} as low as this one or lower."


def _verdict(decision: Decision, calibration: Calibration, rates: Rates) -> list[str]:
    name, reason = calibration.generator["name"], decision.reason
    if decision.verdict == "undecided":
        if reason == FITS_BOTH:
            why = f"the image fits {name}'s own images and foreign ones alike"
        elif reason == FITS_NEITHER:
            why = (
                f"the image fits neither {name}'s own images nor the foreign ones, as an edited "
                "image of its own would, or one of an origin that was not calibrated"
            )
        elif reason and reason.startswith(DRIFT):
            why = f"what was calibrated says nothing of an image like this one ({reason})"
        else:
            why = reason or "no reason was given"
        return [f"The verdict is undecided: {why}.", "An undecided image is not called foreign."]
    if decision.verdict == "foreign":
        assert rates.alpha is not None  # A calibration has one.
        share, kept = percent(rates.alpha), calibration.rule.keeps
        often = f"Of {name}'s own images, at most {share} would be turned away so, {kept}."
        if kept is None:
            often = (
                f"The rule asks that {share} of {name}'s own images be turned away; how many "
                "are depends on how their scores are distributed."
            )
        return [f"The verdict is that {name} did not make it.", often]
    if not calibration.foreign:
        often = (
            "How often an image of other origin would be called its own is not known: no foreign "
            "image was scored."
        )
    elif not calibration.decision.judges_q:
        often = (
            "The published rule looks at its own images alone: how often a foreign image would be "
            "called its own is not kept to any rate."
        )
    else:
        assert rates.beta is not None  # A decision on both errors was made with one.
        often = (
            f"Of images of any one of these foreign groups, at most {percent(rates.beta)} would be "
            f"called {name}'s, on average over such calibrations."
        )
    return [f"The verdict is that {name} made it.", often]


def _checked(limits: FalseAttribution) -> str:
    known = {name: group for name, group in limits.groups.items() if group.limit is not None}
    if limits.worst is None:
        return (
            "No limit is given for the foreign images at hand, since choices were made on them: "
            f"{_listed(limits.groups)}."
        )
    counts = _listed(f"{g.false:,} of {g.independent:,} in {name}" for name, g in known.items())
    return (
        f"On foreign images that no choice had used ({counts} called its own) this happens to at "
        f"most {percent(limits.worst)}, with {percent(limits.confidence)} confidence, "
        f"{'in the worst group' if len(known) > 1 else 'in that group'}."
    )


def _not_covered(decision: Decision, calibration: Calibration) -> str:
    left = f"edits of {calibration.generator['name']}'s images that were not calibrated"
    if calibration.foreign and decision.verdict != "foreign":
        left += f", or other origins than {_origins(calibration)}"
    return f"This does not cover {left}, and is not the probability that the verdict is right."


def _origins(calibration: Calibration) -> str:
    """The foreign groups, those of one origin under different edits named once."""
    groups = calibration.foreign
    origins = dict.fromkeys(origin_and_condition(name, calibration)[0] for name in groups)
    edited = len(origins) < len(groups)
    return _listed(origins) + (", as they are and edited likewise" if edited else "")


def _count(count: int) -> str:
    return "none scores" if not count else f"{count:,} {'scores' if count == 1 else 'score'}"


def _listed(names: Iterable[str]) -> str:
    *rest, last = names
    return f"{', '.join(rest)} and {last}" if rest else last
