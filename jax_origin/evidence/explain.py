"""A verdict in plain words: what was found, then the numbers; and what all of a run rest on."""

from collections.abc import Iterable

import numpy as np
from scipy import special

from jax_origin.calibration.calibration import AS_MADE, Calibration
from jax_origin.calibration.conditions import (
    compared_with,
    origin_and_condition,
    parse_condition,
)
from jax_origin.calibration.decision import Decision, Stuck, stuck_images
from jax_origin.calibration.decision_rules import (
    DRIFT,
    FITS_BOTH,
    FITS_NEITHER,
    TOO_LITTLE,
    Rates,
)
from jax_origin.calibration.false_attribution import limits_of_q, upper_limit
from jax_origin.calibration.foreign import ForeignGroup, NearestGroup
from jax_origin.calibration.rules import percent
from jax_origin.evidence.ratios import cautious_log10_lr, scores_under

_TOO_MANY = 100_000  # images to score
_BASE_RATE = 1000  # One of so many inspected images is the generator's, where one is asked for.


def explain(
    decision: Decision,
    calibration: Calibration,
    *,
    score: float | None = None,
    image: str = "this image",
    rates: Rates | None = None,
    early: bool = False,
) -> str:
    """Explains a verdict in a short paragraph, for a reader without statistics.

    The verdict and its reason come first, the numbers after. What the verdicts of a run do not
    cover is the same for all of them: `explain_run` says it.

    Args:
      decision: As `decide` gave it.
      calibration: The one that it was made with.
      score: The score that was decided on; without it no likelihood ratio is given.
      image: What to call the image.
      rates: The rates that it was made with; None means the calibration's own.
      early: Whether the image was accepted before its inversion had ended. Its numbers are then
        bounds, and are said to be.

    Returns:
      One to five sentences. All numbers are those of the decision and the calibration.
    """
    asked = (rates or Rates()).over(calibration.rates)
    sentences = [_finding(decision, calibration, image)]
    if decision.verdict == "undecided" and decision.reason not in (FITS_BOTH, FITS_NEITHER):
        return sentences[0]
    if early:
        sentences.append("It was accepted before its inversion had ended, so these are bounds.")
    sentences.append(_own_as_high(decision, calibration, early))
    if decision.q is not None:
        sentences.append(_foreign_as_low(decision, calibration, score, early))
    if decision.verdict == "belongs":
        sentences.append(_how_often_false(decision, calibration, asked))
    if decision.verdict == "not_recognised":
        sentences.append(_how_often_missed(calibration, asked))
    if score is not None and not early and decision.q is not None:
        sentences += _ratio(score, decision, calibration)
    return " ".join(sentences)


def explain_run(calibration: Calibration, *, rates: Rates | None = None) -> str:
    """What all verdicts of a run rest on, and what they do not cover: some short paragraphs.

    Args:
      calibration: The one that they are made with.
      rates: The rates that they are made with; None means the calibration's own.
    """
    asked = (rates or Rates()).over(calibration.rates)
    name, num = calibration.generator["name"], calibration.belonging.size
    edits = _edits(calibration)
    about = [
        f"Each image has a score: the lower, the nearer {name} comes to it for what it says. It is "
        f"compared with those of {num:,} images that {name} made"
        f"{f', also after {_listed(edits)}' if edits else ''}, and of foreign images: "
        f"{_groups(calibration)}."
    ]
    about.append(
        f"Belongs means that {name}, given some input, paints this picture far more nearly than it "
        f"paints foreign ones. A photograph that someone passed through {name} belongs, too. Not "
        "recognised means that nothing speaks for it, not that somebody else made the image: an "
        "image of its own that met another edit (mirrored, framed, drawn on) is not recognised."
    )
    assert asked.alpha is not None  # A calibration has one.
    rank = np.floor(asked.alpha * (num + 1) * (1 + 1e-12))
    if calibration.rule.kind == "conformal" and calibration.rule.keeps and rank >= 1:
        low, high = special.betaincinv(rank, num + 1 - rank, [0.05, 0.95])
        about.append(
            f"Of its own images at most {percent(asked.alpha)} are not recognised, "
            f"{calibration.rule.keeps}. For this very one, of {num:,} images, the rate lies "
            f"between {percent(low)} and {percent(high)} nine times in ten."
        )
    if calibration.foreign and calibration.decision.judges_q:
        about.append(_stuck(calibration, asked))
    for condition, unseen in calibration.measured.unseen.items():
        of = calibration.conditions[condition].size
        about.append(
            f"Of {of:,} of its own images after {condition!r}, {unseen:,} did not look so "
            f"(with 95% confidence at most {percent(upper_limit(unseen, of))}): so many more may "
            "not be recognised."
        )
    if calibration.foreign and asked.beta is not None and asked.alpha is not None:
        false, true = asked.beta * (_BASE_RATE - 1), 1 - asked.alpha
        about.append(
            f"A false rate of {percent(asked.beta)} is much where few images are its own: if one "
            f"in {_BASE_RATE:,} were, {percent(false / (false + true))} of the attributions would "
            "be wrong. No number here is the probability that a verdict is right."
        )
    return "\n\n".join(about)


def _stuck(calibration: Calibration, rates: Rates) -> str:
    found = stuck_images(calibration, rates=rates)
    says = (
        f"Of its own {found.of:,} images as made, {found.num:,} could not be told from foreign "
        f"ones ({percent(found.low)} to {percent(found.high)} with 95% confidence)."
    )
    if found.settled_by is None:
        return says
    return (
        f"{says} So many images do not settle whether the rate is over {percent(rates.alpha or 0)} "
        "or under it, that is, whether such an image is undecided or not recognised; "
        f"{settled_in_words(found)}."
    )


def settled_in_words(found: Stuck) -> str:
    """How many own images would settle on which side of alpha the rate of stuck ones lies."""
    if not found.settled_by or found.settled_by >= _TOO_MANY:
        return "no number of images that one could score would settle it"
    return f"about {found.settled_by:,} own images would settle it"


def _finding(decision: Decision, calibration: Calibration, image: str) -> str:
    """The verdict, and one reason."""
    name, reason = calibration.generator["name"], decision.reason
    if decision.verdict == "belongs":
        if decision.condition not in (AS_MADE, None):
            how = f"{name} made {image}, and that it then met {decision.condition!r}"
        else:
            how = f"{name} made {image}"
        if not calibration.foreign:
            return f"The findings support that {how}: it fits {name}'s own images."
        return f"The findings support that {how}: it fits {name}'s own images, and no foreign ones."
    if decision.verdict == "not_recognised":
        after = " or after the calibrated edits" if calibration.conditions else ""
        return (
            f"There is no evidence that {name} made {image}, as it is{after}; other edits are not "
            "excluded."
        )
    if reason == FITS_BOTH:
        why = f"it fits {name}'s own images, and foreign ones as well"
    elif reason == FITS_NEITHER:
        why = (
            f"it fits neither {name}'s own images nor foreign ones, as an edited image of its own "
            "would, or one of an origin that was not calibrated"
        )
    elif reason == TOO_LITTLE:
        why = (
            f"there is too little in it. {name} could reproduce it to the last grey level, and "
            "that would show nothing, for foreign pictures as plain are reproduced as well. A "
            "version with more detail, larger or less compressed, would be needed"
        )
    elif reason and reason.startswith(DRIFT):
        why = f"what was calibrated says nothing of a file like this one ({reason})"
    else:
        why = reason or "no reason was given"
    return f"Undecided whether {name} made {image}: {why}."


def _own_as_high(decision: Decision, calibration: Calibration, early: bool) -> str:
    rule, condition = calibration.rule, decision.condition or AS_MADE
    num = calibration.belonging_by_condition[condition].size
    least, p = ("at least ", "at least") if early else ("", "is")
    if rule.keeps is None:
        return (
            f"By the {rule.kind} rule, set on {num:,} images known to be its own, p {p} "
            f"{decision.p:.2g}: the smaller, the less it fits them."
        )
    count = rule.rank(decision.p, num)
    if count is None:
        return (
            f"Judged by {num:,} images known to be its own, {'' if early else 'at most '}"
            f"{percent(decision.p)}{' or more' if early else ''} of its own score as high as this "
            f"one or higher, {rule.keeps}."
        )
    return (
        f"Of {num:,} images known to be its own, {least}{_count(count)} as high as this one or "
        "higher."
    )


def _foreign_as_low(
    decision: Decision, calibration: Calibration, score: float | None, early: bool
) -> str:
    """How many sources of the nearest group score as low; their share where none is known."""
    assert decision.q is not None
    groups, most = _compared(decision, calibration), "at most " if early else ""
    if score is None or decision.condition is None:
        return (
            f"In the foreign group that comes nearest, {most}{percent(decision.q)} of the sources "
            "have an image that scores as low as this one or lower, this one counted in."
        )
    (name,) = NearestGroup(groups, floor=calibration.floor).names([score])
    low = groups[name].num_false(max(score, calibration.floor))
    origin, _ = origin_and_condition(name, calibration)
    return (
        f"Of {groups[name].independent:,} independent sources of {origin}, the foreign group that "
        f"comes nearest, {_count(low, 'has an image that scores', 'have one that scores')} as low "
        "as this one or lower."
    )


def _how_often_false(decision: Decision, calibration: Calibration, rates: Rates) -> str:
    if not calibration.foreign:
        return (
            "How often an image of other origin would be attributed is not known: no foreign "
            "image was scored."
        )
    if not calibration.decision.judges_q:
        return (
            "The published rule looks at its own images alone: how often a foreign image would be "
            "attributed is not kept to any rate."
        )
    assert rates.beta is not None  # A decision on both errors was made with one.
    often = (
        f"Of images of any one of these groups at most {percent(rates.beta)} would be attributed, "
        "on average over such calibrations"
    )
    limits = limits_of_q(_compared(decision, calibration), rate=rates.beta)
    if limits.worst is None:
        return f"{often}; choices were made on these images, so no limit is given for this one."
    return (
        f"{often}; for this very one the counts support at most {percent(limits.worst)} in each, "
        f"with {percent(limits.confidence)} confidence."
    )


def _how_often_missed(calibration: Calibration, rates: Rates) -> str:
    assert rates.alpha is not None  # A calibration has one.
    share, kept = percent(rates.alpha), calibration.rule.keeps
    if kept is None:
        return (
            f"The rule asks that {share} of its own images be missed so; how many are depends on "
            "how their scores are distributed."
        )
    return f"Of its own images at most {share} would be missed so, {kept}."


def _ratio(score: float, decision: Decision, calibration: Calibration) -> list[str]:
    """What the score is worth as evidence, where it has one for the condition that it fits."""
    belonging, foreign = scores_under(calibration, decision.condition or AS_MADE)
    if not belonging.size or not foreign:
        return []
    clamped = [max(score, calibration.floor)]
    found = cautious_log10_lr(clamped, belonging, foreign)
    log_ratio = float(found.log10_lr[0])
    name = calibration.generator["name"]
    if np.isnan(log_ratio):
        return ["No likelihood ratio is given: no calibration image scored like this one."]
    if log_ratio == 0:
        return ["The likelihood ratio is 1: the score speaks neither way."]
    ratio = 10 ** abs(log_ratio)
    more, less = f"for an image that {name} made", "for one of any foreign group"
    if log_ratio < 0:
        less = f"{more}, left as it is or edited as calibrated"
        more = f"for one of {found.against[0]}"
    high = found.high[0] if log_ratio > 0 else -found.low[0]
    most = ", the most that so many images support" if log_ratio and ratio > 0.99 * 10**high else ""
    return [f"Such a score is at least {ratio:.2g} times as probable {more} as {less}{most}."]


def _compared(decision: Decision, calibration: Calibration) -> dict[str, ForeignGroup]:
    """The foreign groups that q is of: those under the condition that it fits, if it is known."""
    if decision.condition is None or decision.q is None:
        return calibration.foreign
    return compared_with(calibration, [decision.condition]).foreign


def _edits(calibration: Calibration) -> list[str]:
    """What its own images met, or under which settings they were made, besides as made."""
    return [
        f"with {name}" if parse_condition(name).settings else name
        for name in calibration.conditions
    ]


def _groups(calibration: Calibration) -> str:
    """The foreign groups and their sources, those of one origin under different edits once."""
    sources = {
        origin_and_condition(name, calibration)[0]: group.independent
        for name, group in calibration.foreign.items()
    }
    if not sources:
        return "none"
    edited = ", each also edited likewise" if len(sources) < len(calibration.foreign) else ""
    return _listed(f"{name} ({num:,} sources)" for name, num in sources.items()) + edited


def _count(count: int, one: str = "scores", several: str = "score") -> str:
    return f"none {one}" if not count else f"{count:,} {one if count == 1 else several}"


def _listed(names: Iterable[str]) -> str:
    *rest, last = [*names] or [""]
    return f"{', '.join(rest)} and {last}" if rest else last
