"""An audit's findings as tables, and as a report in plain words."""

import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from jax_origin.audit.candidates import Candidate
from jax_origin.audit.evidence_tables import attribution_table, cost_table
from jax_origin.audit.findings import Findings, column
from jax_origin.calibration import Calibration
from jax_origin.calibration.rules import percent
from jax_origin.evidence import Naming, discovery_power
from jax_origin.runs import table
from jax_origin.runs.summary import count_by_folder, right_and_wrong, short_path

_NONE, _UNDECIDED, _ERROR = "none of these", "undecided", "error"
_PROCEDURES = {"bh": "Benjamini and Hochberg", "by": "Benjamini and Yekutieli"}


def findings_table(findings: Findings, *, most: int = 100) -> str:
    """A line for each image, `most` at the most: who made it, its file, and a reason if any."""
    rows = []
    for i, naming in enumerate(findings.naming[:most]):
        errors = (records[i]["error"] for records in findings.records.values())
        remark = next(filter(None, errors)) if naming is None else naming.reason or ""
        rows.append([_outcome(naming), short_path(findings.paths[i]), remark])
    lines = table(["made by", "image", "reason"], rows)
    left = len(findings.paths) - len(rows)
    return lines + (f"\n... and {left} more" if left else "")


def folder_table(findings: Findings) -> str:
    """How many images of each folder got which outcome."""
    folders = count_by_folder(zip(findings.paths, map(_outcome, findings.naming), strict=True))
    columns = dict.fromkeys([*_groups(findings).values(), _NONE, _UNDECIDED, _ERROR])
    rows = [[name, *(str(counts[c]) for c in columns)] for name, counts in folders.items()]
    return table(["folder", *columns], rows)


def truth_line(findings: Findings) -> str:
    """Counts right and wrong findings where a folder's name says who made its images.

    Images of a folder that is called like a candidate are that candidate's, all others nobody's.
    """
    groups = _groups(findings)
    folders = count_by_folder(zip(findings.paths, map(_outcome, findings.naming), strict=True))
    return right_and_wrong(folders, {name: groups.get(name, _NONE) for name in folders})


def findings_report(findings: Findings, candidates: Sequence[Candidate]) -> str:
    """The findings in plain words, as Markdown.

    It says what was found, what the numbers mean, and what stands when all images count as tests.
    Then how good the ratios are, how often foreign images are attributed, and what is not covered.

    Args:
      findings: What was found.
      candidates: The candidates, with the calibrations that decided.
    """
    calibrations = {candidate.name: candidate.calibration for candidate in candidates}
    num, left_out = len(findings.paths), int((~findings.examined).sum())
    reasons = Counter(n.reason for n in findings.naming if n and n.verdict == "undecided")
    sections = [
        "# Findings",
        _words(
            f"{num:,} images were compared with {len(candidates)} "
            f"{'candidate' if len(candidates) == 1 else 'candidates'}: which of them made each, or "
            "none? `findings.jsonl` has a line for each image."
        ),
        folder_table(findings),
    ]
    if reasons:
        listed = "; ".join(f"{reason} ({count:,})" for reason, count in reasons.most_common())
        sections.append(_words(f"Undecided because: {listed}."))
    if left_out:
        sections.append(_words(f"{left_out:,} images could not be examined; their lines say why."))
    sections += [
        "## What the words and numbers mean",
        _meaning(findings, {c.rule.kind for c in calibrations.values()}),
        "## Candidates",
        _candidate_table(candidates),
        _words(_told_apart(findings)),
        "## Many images at once",
        _many(findings, calibrations),
        "## How good the likelihood ratios are",
        _words(
            "Cllr is the cost of the ratios in bits: 0 is perfect, 1 says nothing, more "
            "misleads. Each of the calibrations' own scores is weighed by ratios fitted without "
            "it (ten folds), against one foreign group at a time. In brackets stands a 95% "
            "bootstrap interval. It cannot know of misleading scores where the sample has none. "
            "The last column leaves the group out: what would ratios against the others, in equal "
            "shares, have said of it? It describes this calibration, and promises nothing of other "
            "origins."
        ),
        cost_table(calibrations),
        "## How often a foreign image is attributed",
        _words(
            f"An image is attributed to a candidate if q is at most {findings.beta:g}. With "
            "95% confidence, at most the limit's share of a group's fresh images is attributed. "
            "The limits under `all at once` hold together for all groups of a candidate. Sources "
            "are independent: crops of one photograph are one source. A group has no limit if a "
            "recipe or a threshold was chosen by it."
        ),
        attribution_table(calibrations, rate=findings.beta),
        "## What this does not cover",
        _not_covered(candidates),
    ]
    return "\n\n".join(sections) + "\n"


def _groups(findings: Findings) -> dict[str, str]:
    """What an image is said to be made by, for each candidate: itself, or its group."""
    labels = {name: name for name in findings.candidates}
    for group in findings.indistinguishable:
        labels |= dict.fromkeys(group, " or ".join(group))
    return labels


def _outcome(naming: Naming | None) -> str:
    if naming is None:
        return _ERROR
    outcomes = {"named": " or ".join(naming.named), "none": _NONE}
    return outcomes.get(naming.verdict, _UNDECIDED)


def _meaning(findings: Findings, rules: set[str]) -> str:
    alpha, beta, num = findings.alpha, findings.beta, len(findings.candidates)
    unsure = ", ".join(sorted(rules - {"conformal"}))
    points = [
        "**p** of a candidate says how well an image fits the images known to be its own. The "
        f"candidate is excluded if p is at most {alpha:g}. That happens to at most "
        f"{percent(alpha)} of its own images, on average over calibrations. They must be fresh, "
        "made with the settings calibrated, and have met no edit but those calibrated."
        + (f" The {unsure} rule asks for that rate, and does not promise it." if unsure else ""),
        "**q** says how well an image fits the foreign group of the candidate's calibration "
        f"that it fits best. The image is attributed only if q is at most {beta:g}. That happens "
        f"to at most {percent(beta)} of the images of each group, on average over calibrations. q "
        "speaks of these groups and of no others.",
        "A candidate is **named** if it is the only one that is not excluded, and the image is "
        "attributed to it. **None of these**: all are excluded. **Undecided** is everything "
        "else; an undecided image is not called foreign.",
        "An image that a candidate made is called none of these, or given another's name, with "
        f"a probability of at most {percent(alpha)}, however many candidates there are. An "
        "image of a calibrated foreign group is given a name with a probability of at most "
        f"{percent(min(1, num * beta))} ({num} x {percent(beta)}).",
        "**log10_lr** is a likelihood ratio: how much more probable is such a score for an "
        "image of the candidate's own than for one of a foreign group? 2 means a hundred times. "
        "The images compared with met the condition that the image fits best. `against` names the "
        "foreign group for which the ratio is the least; against any mixture of the groups it is "
        "no less. `log10_lr_limits` are the least and the largest that so few images can support. "
        "It is not the probability that the candidate made the image.",
    ]
    return _points(points)


def _candidate_table(candidates: Sequence[Candidate]) -> str:
    rows = []
    for candidate in candidates:
        own = candidate.calibration
        made_for = [own.generator["fingerprint"][:12], own.digest[:12], own.method["name"]]
        listed = [", ".join(own.belonging_by_condition), ", ".join(candidate.origins)]
        rows.append([candidate.name, *made_for, str(own.belonging.size), *listed])
    head = ["candidate", "fingerprint", "calibration", "method", "own images", "conditions"]
    return table([*head, "foreign groups"], rows)


def _told_apart(findings: Findings) -> str:
    if not findings.indistinguishable:
        return (
            "All candidates can be told apart: no two have one fingerprint, and no two were shown "
            "to accept each other's images as their own."
        )
    listed = "; ".join(", ".join(group) for group in findings.indistinguishable)
    return (
        f"These cannot be told apart, and are named together: {listed}. They have one fingerprint, "
        "or accept each other's images as their own. Images of one do not count as foreign to "
        "another."
    )


def _many(findings: Findings, calibrations: Mapping[str, Calibration]) -> str:
    known, names = findings.tested, findings.candidates
    num_tests = int(known.sum()) * len(names)
    if not num_tests:
        return "No image was examined."
    rows = []
    for k, name in enumerate(names):
        p, q = (column(findings.records[name], x)[known] for x in ("p", "q"))
        counts = (
            (p <= findings.alpha).sum(),
            findings.excluded[:, k].sum(),
            (q <= findings.beta).sum(),
            findings.attributed[:, k].sum(),
        )
        rows.append([name, *(f"{count:,}" for count in counts)])
    head = ["candidate", f"p at most {findings.alpha:g}", "exclusions that stand"]
    head += [f"q at most {findings.beta:g}", "attributions that stand"]
    own = min(s.size for c in calibrations.values() for s in c.belonging_by_condition.values())
    foreign = min(g.scores.size for c in calibrations.values() for g in c.foreign.values())
    by = (findings.excluded_by, findings.attributed_by)
    power = [
        f"{what}: {discovery_power(n, num_tests=num_tests, rate=findings.fdr, method=method).note}."
        for what, n, method in zip(("exclusions", "attributions"), (own, foreign), by, strict=True)
    ]
    said = ", and for attributions that ".join(
        f"of {_PROCEDURES[name]}" for name in dict.fromkeys(by)
    )
    intro = (
        f"The rates above are of one image. Over all {num_tests:,} tests (images x candidates) "
        f"exclusions, or attributions, stand if at most {percent(findings.fdr)} of those that "
        f"stand are false on average, by the procedure {said}. The others may still be right one "
        "by one: so few calibration images can show little among so many tests."
    )
    return "\n\n".join([_words(intro), table(head, rows), _points(power)])


def _not_covered(candidates: Sequence[Candidate]) -> str:
    edits = dict.fromkeys(edit for c in candidates for edit in c.calibration.conditions)
    names = {candidate.name for candidate in candidates}
    origins = dict.fromkeys(o for c in candidates for o in c.origins if o not in names)
    points = [
        "Origins that are neither a candidate nor a calibrated foreign group"
        + (f" ({', '.join(origins)})" if origins else "")
        + ": nothing here bounds how often their images are given a name.",
        "Images that met an edit which was not calibrated"
        + (f" (calibrated: {', '.join(edits)})" if edits else "")
        + ", or were made with other settings: p, and so `none of these`, does not hold for them.",
        "Images that a calibration or a training set used, near copies of one another, and images "
        "that were chosen by what was found of them.",
        "How probable it is that a finding is right: that also depends on what was known before.",
    ]
    return _points(points)


def _points(texts: Iterable[str]) -> str:
    return "\n".join(
        textwrap.fill(text, width=100, initial_indent="- ", subsequent_indent="  ")
        for text in texts
    )


def _words(text: str) -> str:
    return textwrap.fill(text, width=100)
