"""What pages say in sentences: the answer, the numbers that carry it, what it does not cover."""

from collections.abc import Iterable, Mapping, Sequence

from jax_origin.audit import Candidate
from jax_origin.audit.candidates import coverage
from jax_origin.calibration import Calibration, Conformal, Decision, Rates
from jax_origin.calibration.decision_rules import (
    DRIFT,
    FITS_BOTH,
    FITS_NEITHER,
    IN_PART,
    TOO_LITTLE,
)
from jax_origin.calibration.rules import percent
from jax_origin.evidence import Naming, explain
from jax_origin.evidence.naming import SEVERAL_FIT
from jax_origin.images import share_of_chances
from jax_origin.pages.survey import NOT_EXAMINED, NOT_RECOGNISED, UNDECIDED, Record, Survey

_MOST_NAMED = 6


def answer_of_many(found: Survey) -> str:
    """What was found of many images, in one sentence."""
    count, num = found.outcomes, found.num
    if num == 0:
        return "There was no image to examine."
    named = [(n, who) for who, n in count.most_common() if who in found.makers.values()]
    made = [f"that {who} made {_number(n, num)}" for n, who in named[:_MOST_NAMED]]
    if rest := sum(n for n, _ in named[_MOST_NAMED:]):
        made.append(f"that another candidate made {_number(rest, num)}")
    parts = [f"the findings support {listed(made)}"] if made else []
    if n := count[NOT_RECOGNISED]:
        whom = "the candidate" if len(found.makers) == 1 else "any candidate"
        it = "it" if n == 1 else "them"
        parts.append(f"for {_number(n, num)} there is no evidence that {whom} made {it}")
    if n := count[UNDECIDED]:
        parts.append(f"{_number(n, num)} {_are(n)} undecided")
    if n := count[NOT_EXAMINED]:
        parts.append(f"{_number(n, num)} could not be examined")
    return f"Of {images(num)}, {'; '.join(parts)}."


def answer_of_one(
    naming: Naming | None, records: Mapping[str, Record], error: str | None = None
) -> str:
    """What was found of one image, in one sentence."""
    candidates = [*records]
    if naming is None:
        return f"No answer: {error or 'the image could not be examined'}."
    if naming.verdict == "named":
        together = ""
        if len(naming.named) > 1:
            together = " (these cannot be told apart)"
        return f"The findings support that {listed(naming.named, 'or')} made this image{together}."
    if naming.verdict == "none":
        whom = candidates[0]
        if len(candidates) > 1:
            whom = f"any of the {len(candidates)} candidates ({listed(candidates)})"
        return f"There is no evidence that {whom} made this image."
    return f"Undecided: {in_plain_words(naming.reason)}."


def in_plain_words(reason: str | None) -> str:
    """Why an image is undecided, for a reader who knows none of the words."""
    if not reason:
        return "no reason was given"
    if reason.startswith(SEVERAL_FIT):
        return f"the image fits the own images of {reason.partition(': ')[2]}"
    if reason == FITS_BOTH:
        return "the image fits a candidate's own images, and images of other origin as well"
    if reason.startswith(FITS_NEITHER):
        near = reason.partition(": ")[2].split(", ")
        return (
            f"the image fits no candidate's own images, but is nearer to {listed(near, 'or')} than "
            "images of other origin are, as an image of its own would be that met an edit which "
            "was not calibrated"
        )
    if reason == TOO_LITTLE:
        return "there is too little in the picture to tell"
    if IN_PART in reason:
        return f"a part of the image fits, and the numbers are of all of it ({reason})"
    if reason.startswith(DRIFT):
        return f"no image like this one was calibrated ({reason})"
    return reason


def numbers_of_one(naming: Naming | None, records: Mapping[str, Record], rates: Rates) -> str:
    """The numbers that carry the answer about one image, in one or two sentences."""
    if naming is None:
        return "No numbers: nothing could be measured."
    assert rates.alpha is not None and rates.beta is not None
    says = []
    for name in spoken_of(naming, records):
        p, q = records[name]["p"], records[name]["q"]
        if p is None:
            continue
        says.append(f"{percent(p)} of {name}'s own images fit no better than this one (p)")
        if q is not None:
            others = f"{percent(q)} of the nearest group of other origin fit as well (q)"
            says[-1] += f", and {others}, this one counted in"
    limits = (
        f"a candidate is ruled out at p of {percent(rates.alpha)} or less, and an image is "
        f"attributed only at q of {percent(rates.beta)} or less"
    )
    return f"{'; '.join(says)}. The limits were fixed before: {limits}."


def spoken_of(naming: Naming | None, records: Mapping[str, Record]) -> tuple[str, ...]:
    """The candidates that an answer rests on most: named, fitting, or the one that came nearest.

    One that made a part alone comes before those that made nothing.
    """
    if naming is None:
        return ()
    asked = [name for name, record in records.items() if record["p"] is not None]
    parts = {n for n in asked if str(records[n].get("reason")).startswith(IN_PART)}
    nearest = sorted(asked, key=lambda n: (n not in parts, -records[n]["p"], records[n]["score"]))
    return (naming.named or naming.fitting or tuple(nearest[:1]))[:3]


def not_covered_of_one(naming: Naming | None, candidates: Sequence[Candidate]) -> str:
    """What the answer about one image does not say, in one or two sentences."""
    edits = dict.fromkeys(edit for c in candidates for edit in c.calibration.conditions)
    known = f" than those calibrated ({', '.join(edits)})" if edits else ""
    if naming is None:
        return "Nothing is said of this image."
    if naming.verdict == "named":
        origins = dict.fromkeys(origin for c in candidates for origin in c.origins)
        groups = [origin for origin in origins if origin not in {c.name for c in candidates}]
        return (
            "It is not the probability that the answer is right, and it speaks of no origin but "
            f"the candidates and the groups compared ({', '.join(groups) or 'none'}). A picture "
            "that somebody passed through the model counts as made by it."
        )
    if naming.verdict == "none":
        return (
            f"One of them may have made it and another edit{known} came after; and it does not "
            "mean that a camera, or any other model, made it."
        )
    return (
        "Undecided speaks neither for a candidate nor against one; another version of the picture, "
        "larger or less edited, may settle it."
    )


def meaning(rates: Rates, candidates: Sequence[Candidate]) -> list[tuple[str, str]]:
    """The words and numbers of a page, each with what it means."""
    assert rates.alpha is not None and rates.beta is not None
    a, b, num = percent(rates.alpha), percent(rates.beta), len(candidates)
    shared, _ = coverage(candidates)
    groups = listed(dict.fromkeys(group.label for group in shared)) or "none"
    many = f" ({num} candidates × {b})" if num > 1 else ""
    rules = {candidate.calibration.rule.kind for candidate in candidates} - {Conformal.kind}
    unsure = f" The {listed(sorted(rules))} rule asks for that rate, and does not promise it."
    return [
        (
            "How it is done",
            "A model that makes images does so from numbers that it is given. For each image and "
            "each candidate a computer looks for the numbers whose picture comes nearest to the "
            "image. A candidate's own images it can repaint almost exactly, others it cannot.",
        ),
        ("Score", "How far the nearest picture stays from the image: the lower, the nearer."),
        (
            "Made by …",
            "Of all candidates this one alone is not ruled out, and the image is repainted more "
            f"nearly than all but at most {b} of the images of other origin compared.",
        ),
        (
            "Not recognised",
            "All candidates are ruled out, and none repaints the image more nearly than images of "
            "other origin. There is no evidence that one of them made it, as made or after the "
            "calibrated edits. It may still be theirs after another edit, and it does not say who "
            "made it.",
        ),
        ("Undecided", "Everything else; the reason stands beside it."),
        (
            "p",
            "The share of a candidate's own images that fit no better than this one, this one "
            f"counted in. At {a} or less the candidate is ruled out, which happens to at most {a} "
            "of its own images on average. They must be fresh, made with the settings calibrated, "
            f"and have met no edit but those calibrated.{unsure if rules else ''}",
        ),
        (
            "q",
            "The same for images of other origin, of the group that fits best. Only at "
            f"{b} or less is an image attributed. So an image of a group that all candidates were "
            f"compared with ({groups}) is given a name with a probability of at most "
            f"{percent(min(1.0, num * rates.beta))}{many}.",
        ),
    ]


def limits(rates: Rates, candidates: Sequence[Candidate]) -> list[str]:
    """What a page does not cover, a sentence or two each."""
    assert rates.alpha is not None and rates.beta is not None
    edits = dict.fromkeys(edit for c in candidates for edit in c.calibration.conditions)
    shared, _ = coverage(candidates)
    origins = listed(dict.fromkeys(group.label for group in shared))
    wrong = 999 * rates.beta / (999 * rates.beta + 1 - rates.alpha)
    return [
        "“Not recognised” clears nobody. An image of a candidate's own that met an edit which was "
        f"not calibrated is not recognised. Calibrated are: {listed(edits) or 'none'}.",
        "“Made by” speaks of the models asked about. A copy whose weights differ by about 1% "
        "counts as the same model, and a photograph that somebody passed through a model counts "
        "as made by it. Where two models share the last part (the decoder), that part is named.",
        "Images of other origin were compared in groups"
        + (f" ({origins})" if origins else ", and no group was compared with all candidates")
        + ". How often an image of any further origin is given a name is not known.",
        "No number here is the probability that one answer is right: that also depends on what was "
        "known before. If one image in 1,000 were a candidate's, up to "
        f"{wrong:.0%} of the images attributed to it could be attributed wrongly.",
        "The rates hold on average over calibrations, one image at a time, and not for images that "
        "were chosen by what was found of them, that served for calibration or training, or that "
        "are near copies of one another.",
    ]


def explained(record: Record, calibration: Calibration, rates: Rates) -> str:
    """A record's verdict in plain words; its error where it has none."""
    if record["verdict"] is None:
        return f"It could not be examined: {record['error']}."
    return explain(
        Decision(**{name: record[name] for name in Decision._fields}),
        calibration,
        score=record["score"],
        rates=rates,
        reading=record.get("reading"),
        share=share_of_chances(record.get("reading"), record.get("tried") or ()),
        tried=record.get("tried") or (),
    )


def listed(names: Iterable[str], word: str = "and") -> str:
    """Names as a sentence has them: "a, b and c"."""
    *rest, last = [*names] or [""]
    return f"{', '.join(rest)} {word} {last}" if rest else last


def images(num: int) -> str:
    """So many images, in words."""
    return "1 image" if num == 1 else f"{num:,} images"


def _number(num: int, of: int) -> str:
    return "it" if num == of == 1 else f"{num:,}"


def _are(num: int) -> str:
    return "is" if num == 1 else "are"
