"""A verdict in plain words: what was found, then the numbers; and what all of a run rest on."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import scipy

from jax_origin.calibration.calibration import AS_MADE, Calibration
from jax_origin.calibration.conditions import (
    compared_with,
    origin_and_condition,
    parse_condition,
)
from jax_origin.calibration.decision import Decision, Stuck, stuck_images
from jax_origin.calibration.decision_rules import (
    DRIFT,
    EDITED,
    FITS_BOTH,
    FITS_NEITHER,
    IN_PART,
    REFRAMED,
    RETOUCHED,
    TOO_LITTLE,
    Rates,
)
from jax_origin.calibration.false_attribution import limits_of_q, upper_limit
from jax_origin.calibration.foreign import ForeignGroup, NearestGroup
from jax_origin.calibration.measured import FROM_PRIOR
from jax_origin.calibration.rules import Conformal, Rule, percent
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
    reading: str | None = None,
    share: float = 1.0,
    tried: Sequence[str] = (),
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
      reading: What was done to the image, as it was taken for the generator's; None for nothing.
      share: That reading's share of the chances of all that were tried.
      tried: What else it was read as.

    Returns:
      Some sentences. All numbers are those of the decision and the calibration.
    """
    asked = (rates or Rates()).over(calibration.rates)
    sentences = [_finding(decision, calibration, image, tried)]
    if reading is not None and share == 1:
        sentences.append(f"It was judged as an image that had been {reading}.")
    elif reading is not None:
        sentences.append(
            f"It was judged as an image that had been {reading}: as it is it does not fit. That "
            f"reading had {percent(share)} of the chances of all that were tried, and q is larger "
            "for it."
        )
    if decision.verdict == "undecided" and decision.reason not in (FITS_BOTH, FITS_NEITHER):
        return sentences[0]
    if early:
        sentences.append("It was near enough before the search ended, so the numbers are bounds.")
    sentences.append(_own_as_high(decision, calibration, score, early))
    if decision.q is not None:
        sentences.append(_foreign_as_low(decision, calibration, score, early))
    if decision.verdict == "belongs":
        again = reading is not None and share < 1
        sentences.append(_how_often_false(decision, calibration, asked, again))
    if decision.verdict == "not_recognised":  # A ratio would weigh no other edit.
        sentences.append(_how_often_missed(calibration, asked))
    elif score is not None and not early and decision.q is not None:
        sentences += _ratio(score, decision, calibration, share)
    return " ".join(sentences)


def explain_run(
    calibration: Calibration, *, rates: Rates | None = None, read_again: bool = False
) -> str:
    """What all verdicts of a run rest on, and what they do not cover: some short paragraphs.

    Args:
      calibration: The one that they are made with.
      rates: The rates that they are made with; None means the calibration's own.
      read_again: Whether images that did not fit were read as turned and mirrored.
    """
    asked = (rates or Rates()).over(calibration.rates)
    name, num = calibration.generator["name"], calibration.belonging.size
    edits = _edits(calibration)
    about = [
        f"Each image has a score: the lower, the nearer {name} comes to it for what it says. It is "
        f"compared with those of {num:,} images that {name} made"
        f"{f', also after {_listed(edits)}' if edits else ''}. It is compared with foreign images, "
        f"too: {_groups(calibration)}. No number here is the probability that a verdict is right."
    ]
    about.append(
        f"Belongs means that {name}, given some input, paints this picture far more nearly than it "
        f"paints foreign ones. A photograph that someone passed through {name} belongs, too. Not "
        "recognised means that nothing speaks for it, not that somebody else made the image. An "
        "image of its own that met another edit (cut far, blurred) may be not recognised."
    )
    if read_again and asked.beta is not None:
        about.append(
            "An image that did not fit as it is was judged again as if it had been turned or "
            "mirrored, and then as if its colours or sharpness had been changed, and it had been "
            f"cut or turned a little. Each of the two attributes {percent(asked.beta)} of a "
            f"foreign group at most, beside the {percent(asked.beta)} that may be attributed as "
            "they are."
        )
    about += _last_decoder(calibration)
    if (source := calibration.measured.belonging) != FROM_PRIOR:
        about.append(
            f"Its own images are {source}. How well an image fits is said of such as these. If "
            f"those that its users get are otherwise, more of them may fail to fit {name}."
        )
    if calibration.foreign and asked.beta is not None and asked.alpha is not None:
        false, true = asked.beta * (_BASE_RATE - 1), 1 - asked.alpha
        about.append(
            f"A false rate of {percent(asked.beta)} is much where few images are its own. If one "
            f"in {_BASE_RATE:,} were, and {percent(true)} of these belonged, up to "
            f"{percent(false / (false + true))} of the attributions would be wrong."
        )
    assert asked.alpha is not None  # A calibration has one.
    if rank := excluding_rank(calibration.rule, num, asked.alpha):
        low, high = scipy.special.betaincinv(rank, num + 1 - rank, [0.05, 0.95])
        about.append(
            f"Of its own images at most {percent(asked.alpha)} fail to fit them, "
            f"{calibration.rule.keeps}; these are undecided or not recognised. For this "
            f"calibration, of {num:,} images, the rate lies between {percent(low)} and "
            f"{percent(high)} nine times in ten."
        )
    if calibration.foreign and calibration.decision.judges_q:
        about.append(_stuck(calibration, asked))
    about += unseen_conditions(calibration)
    return "\n\n".join(about)


def _last_decoder(calibration: Calibration) -> Iterator[str]:
    """What is found of a latent model: its decoder, and who shares it."""
    name, decoder = calibration.generator["name"], calibration.generator.get("decoder")
    if decoder is None:
        return
    shared = "Other models may share it"
    if models := decoder.get("models"):
        shared = f"It is the decoder {decoder['family']}, which {_listed(models)} share"
    yield (
        f"{name} is the last part of a model that makes images, its decoder. What belongs to it "
        f"was painted by this decoder last, whatever the model was. {shared} (SHA-256 of its "
        f"weights: {decoder['fingerprint'][:12]}...)."
    )


def unseen_conditions(calibration: Calibration) -> Iterator[str]:
    """A sentence for each condition that some of its own images do not show, or say too little."""
    for condition, unseen in calibration.measured.unseen.items():
        of = calibration.conditions[condition].size
        yield (
            f"Of {of:,} of its own images after {condition!r}, {unseen:,} did not look as if they "
            f"had met it (with 95% confidence at most {percent(upper_limit(unseen, of))}). So many "
            "more may fail to fit."
        )
    for condition, plain in calibration.measured.plain.items():
        yield (
            f"Of its own images, {condition}, {plain:,} say too little to be judged. Images like "
            "them are undecided, whoever made them."
        )


def excluding_rank(rule: Rule, num: int, alpha: float) -> int:
    """The rank from the top over which a score fails to fit; 0 for none, or another rule.

    The rate of own images that fail follows Beta(rank, num + 1 - rank) over calibrations of so
    many; see `Conformal`.
    """
    if rule.kind != Conformal.kind:
        return 0
    highest = rule.fit(np.arange(num)).threshold(alpha)
    return 0 if np.isinf(highest) else num - int(highest)


def _stuck(calibration: Calibration, rates: Rates) -> str:
    found = stuck_images(calibration, rates=rates)
    says = (
        f"Of its own {found.of:,} images as made, {found.num:,} could not be told from foreign "
        f"ones ({percent(found.low)} to {percent(found.high)} with 95% confidence)."
    )
    if found.settled_by is None:
        return says
    settled = settled_in_words(found)
    return (
        f"{says} So many images do not settle whether the rate is over {percent(rates.alpha or 0)} "
        "or under it, that is, whether such an image is undecided or not recognised. "
        f"{settled[0].upper()}{settled[1:]}."
    )


def settled_in_words(found: Stuck) -> str:
    """How many own images would settle on which side of alpha the rate of stuck ones lies."""
    if not found.settled_by or found.settled_by >= _TOO_MANY:
        return "no number of images that one could score would settle it"
    none = ", if none of them is," if not found.num else ""
    return f"about {found.settled_by:,} own images{none} would settle it"


def _finding(decision: Decision, calibration: Calibration, image: str, tried: Sequence[str]) -> str:
    """The verdict, and one reason."""
    name, reason = calibration.generator["name"], decision.reason
    if decision.verdict == "belongs":
        edited = decision.condition not in (AS_MADE, None)
        own = f"{name}'s own images{f' after {decision.condition}' if edited else ''}"
        none = f", and none of the foreign groups compared: {_origins(calibration)}"
        return (
            f"The findings support that {name} made {image}. It fits {own}"
            f"{none if calibration.foreign and calibration.decision.judges_q else ''}."
        )
    if decision.verdict == "not_recognised":
        ways = ["as it is", *(["after the calibrated edits"] if calibration.conditions else [])]
        if resized := [each for each in tried if each.startswith(("enlarged", "reduced"))]:
            ways = resized  # It has another size, and was not looked at as it is.
        elif tried:
            further = [each for each in tried if each.startswith((RETOUCHED, REFRAMED, IN_PART))]
            ways += ["turned or mirrored"] * (len(further) < len(tried)) + further
        *others, last = ways
        looked = f"{', '.join(others)} or {last}" if others else last
        return (
            f"There is no evidence that {name} made {image}, {looked}. Other edits are not "
            "excluded, and it does not mean that somebody else made it."
        )
    if reason == FITS_BOTH:
        why = f"it fits {name}'s own images, and foreign ones as well"
    elif reason == FITS_NEITHER:
        why = (
            f"it fits neither {name}'s own images nor foreign ones. An edited image of its own "
            "would do so, or one of an origin that was not calibrated"
        )
    elif reason == TOO_LITTLE:
        why = (
            f"there is too little in it. Even if {name} reproduced it to the last grey level, that "
            "would show nothing: foreign pictures as plain are reproduced as well. A version "
            "with more detail, larger or less compressed, would be needed"
        )
    elif reason and reason.startswith(IN_PART):
        share = reason.partition(": ")[2]
        why = (
            f"a longer search has it make {share}, more nearly than a code without a model would. "
            "Something may have been drawn on an image of its own or put into it, or a part of one "
            "put into another image. How often foreign images look so was not calibrated"
        )
    elif reason and reason.startswith(EDITED):
        why = (
            f"{name} comes near to it in a longer search, and not near enough "
            f"({reason.partition(': ')[2]}). It may be an image of its own that was edited in a "
            "way which is not read, or was not undone. How often foreign images look so was not "
            "calibrated"
        )
    elif reason and reason.startswith(DRIFT):
        why = f"what was calibrated says nothing of a file like this one ({reason})"
    else:
        why = reason or "no reason was given"
    return f"Undecided whether {name} made {image}: {why}."


def _own_as_high(
    decision: Decision, calibration: Calibration, score: float | None, early: bool
) -> str:
    """How the score compares with those of the condition that is named.

    The decision's p is the largest of all conditions compared, and may be another one's.
    """
    rule, condition, p = calibration.rule, decision.condition or AS_MADE, decision.p
    if not rule.heeds_rate:
        return f"The {rule.kind} rule was set beforehand, whatever its own images score."
    scores, floor = calibration.belonging_by_condition[condition], calibration.floor
    num, least = scores.size, "at least " if early and p < 1 else ""
    if calibration.conditions and (score is None or decision.condition is None):
        best = "under the condition compared that it fits best"
        if rule.rank(p, num) is None:
            p_is = f"By the {rule.kind} rule p is {least}{p:.2g} {best}"
            return f"{p_is}: the smaller, the less it fits."
        return (
            f"Of the images known to be its own, {least}{percent(p)} fit no better than this one, "
            f"itself counted in. That is {best}."
        )
    if score is not None:
        (p,) = rule.fit(np.maximum(scores, floor)).p_value([max(score, floor)]).tolist()
    after = "" if condition == AS_MADE else f", after {condition}"
    own = f"{num:,} images known to be its own{after}"
    if rule.keeps is None:
        return (
            f"By the {rule.kind} rule, set on {own}, p is {least}{p:.2g}: the smaller, the less it "
            "fits them."
        )
    count = rule.rank(p, num)
    if count is None:
        return (
            f"Judged by {own}, {'' if early else 'at most '}{percent(p)}"
            f"{' or more' if early else ''} of its own fit no better than this one, {rule.keeps}."
        )
    if count == 0:
        return f"Of {own}, all fit better than this one."
    least = least if count < num else ""
    return f"Of {own}, {least}{_count(count, num, 'fits', 'fit')} no better than this one."


def _foreign_as_low(
    decision: Decision, calibration: Calibration, score: float | None, early: bool
) -> str:
    """How many sources of the nearest group fit as well; a share where the score is not known."""
    assert decision.q is not None
    if score is not None:
        compared = _compared(decision, calibration)
        groups = compared | _met_otherwise(decision, calibration, score, compared)
        lows = {name: g.num_false(max(score, calibration.floor)) for name, g in groups.items()}
        name = max(groups, key=lambda name: lows[name] / groups[name].independent)
        if not lows[name]:
            return "No foreign image compared fits as well as this one."
        if not early:
            num = groups[name].independent
            origin = origin_and_condition(name, calibration)[0] if name in compared else name
            return (
                f"Of {num:,} independent sources of {origin}, the foreign group of which the "
                f"largest share does, {_count(lows[name], num, 'fits', 'fit')} as well as this one."
            )
    return (
        f"In the foreign group of which the largest share does, {'at most ' if early else ''}"
        f"{percent(decision.q)} of the sources fit as well as this one, itself counted in."
    )


def _how_often_false(
    decision: Decision, calibration: Calibration, rates: Rates, again: bool
) -> str:
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
        f"Of images of any one of these groups at most {percent(rates.beta)} would be attributed"
    )
    if again:
        return f"{often} by all such readings together, on average over such calibrations."
    often += ", on average over such calibrations."
    limits = limits_of_q(_compared(decision, calibration), rate=rates.beta)
    if limits.worst is None:
        return f"{often} Choices were made on these images, so this calibration has no limit."
    return (
        f"{often} For this calibration (not this image) the counts support at most "
        f"{percent(limits.worst)} in each, with {percent(limits.confidence)} confidence."
    )


def _how_often_missed(calibration: Calibration, rates: Rates) -> str:
    assert rates.alpha is not None  # A calibration has one.
    share, kept = percent(rates.alpha), calibration.rule.keeps
    if not calibration.rule.heeds_rate:
        own = np.maximum(calibration.belonging, calibration.floor)
        over = int((own > calibration.rule.fit(own).threshold(rates.alpha)).sum())
        return f"Of {own.size:,} images known to be its own, {over:,} would be missed so."
    if kept is None:
        return (
            f"The rule asks that {share} of its own images be missed so; how many are depends on "
            "how their scores are distributed."
        )
    return f"Of its own images at most {share} would be missed so, {kept}."


def _ratio(score: float, decision: Decision, calibration: Calibration, share: float) -> list[str]:
    """What the score is worth as evidence, where it has one for the condition that it fits.

    `share` is that of all chances which the image's reading was given.
    """
    belonging, foreign = scores_under(calibration, decision.condition or AS_MADE)
    if not belonging.size or not foreign:
        return []
    found = cautious_log10_lr([max(score, calibration.floor)], belonging, foreign)
    log_ratio = float(found.log10_lr[0]) + np.log10(share)
    name = calibration.generator["name"]
    if np.isnan(log_ratio):
        return ["No likelihood ratio is given: no calibration image scored like this one."]
    if log_ratio <= 0:  # It fits foreign images as well, which was said.
        return []
    capped = found.log10_lr[0] > found.high[0] - 1e-3
    allowed = " So few images support no larger claim with 95% confidence." if capped else ""
    return [
        f"Under that condition such a score is estimated to be at least {10**log_ratio:.2g} times "
        f"as probable for an image that {name} made as for one of any foreign group.{allowed}"
    ]


def _compared(decision: Decision, calibration: Calibration) -> dict[str, ForeignGroup]:
    """The foreign groups that q is of: those under the condition that it fits, if it is known."""
    if decision.condition is None or decision.q is None:
        return calibration.foreign
    return compared_with(calibration, [decision.condition]).foreign


def _met_otherwise(
    decision: Decision,
    calibration: Calibration,
    score: float,
    compared: Mapping[str, ForeignGroup],
) -> dict[str, ForeignGroup]:
    """The group that q is of, where it met another edit than the condition that is named."""
    floor = calibration.floor
    if NearestGroup(compared, floor=floor).q([score])[0] == decision.q:
        return {}
    for name, group in calibration.foreign.items():
        if NearestGroup({name: group}, floor=floor).q([score])[0] == decision.q:
            return {name: group}
    return {}


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


def _count(count: int, of: int, one: str, several: str) -> str:
    if not count:
        return f"none {one}"
    return f"all {several}" if count == of else f"{count:,} {one if count == 1 else several}"


def _origins(calibration: Calibration) -> str:
    """The foreign groups' names, those of one origin under different edits once."""
    named = (origin_and_condition(name, calibration)[0] for name in calibration.foreign)
    return _listed(dict.fromkeys(named))


def _listed(names: Iterable[str]) -> str:
    *rest, last = [*names] or [""]
    return f"{', '.join(rest)} and {last}" if rest else last
