"""An audit's findings as tables, and as a report in plain words."""

import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from jax_origin.audit.candidates import Candidate, Group, coverage
from jax_origin.audit.evidence_tables import attribution_table, cost_table, excluded_at_most
from jax_origin.audit.findings import Findings, column
from jax_origin.audit.named_table import changed, changed_line, named_section, unexamined_section
from jax_origin.calibration import AS_MADE, FROM_PRIOR, IN_PART, Calibration, Conformal
from jax_origin.calibration.false_attribution import upper_limit
from jax_origin.calibration.rules import percent
from jax_origin.evidence import Naming, discovery_power
from jax_origin.evidence.explain import unseen_conditions
from jax_origin.runs import table
from jax_origin.runs.summary import count_by_folder, right_and_wrong, short_path

_NONE, _UNDECIDED, _ERROR = "not recognised", "undecided", "error"
_SHARE = re.compile(rf"{IN_PART}: \w+%? of it")
_PROCEDURES = {"bh": "Benjamini and Hochberg", "by": "Benjamini and Yekutieli"}


def findings_table(findings: Findings, *, most: int = 100) -> str:
    """A line for each image, `most` at the most: who made it, its file, and a reason if any."""
    rows = []
    for i, naming in enumerate(findings.naming[:most]):
        errors = (records[i]["error"] for records in findings.records.values())
        reason = next(filter(None, errors)) if naming is None else naming.reason
        remark = "; ".join(filter(None, (reason, changed(findings, i))))
        rows.append([_outcome(naming), short_path(findings.paths[i]), remark])
    lines = table(["made by", "image", "reason"], rows)
    left = len(findings.paths) - len(rows)
    return lines + (f"\n... and {left} more" if left else "")


def folder_table(findings: Findings) -> str:
    """How many images of each folder got which outcome."""
    folders = _by_folder(findings)
    columns = dict.fromkeys([*_groups(findings).values(), _NONE, _UNDECIDED, _ERROR])
    rows = [[name, *(str(counts[c]) for c in columns)] for name, counts in folders.items()]
    return table(["folder", *columns], rows)


def truth_line(findings: Findings) -> str:
    """Counts right and wrong findings where a folder's name says who made its images.

    Images of a folder that is called like a candidate are that candidate's, all others nobody's.
    """
    groups = _groups(findings)
    folders = _by_folder(findings)
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
    shared, lacking = coverage(candidates)
    num, left_out = len(findings.paths), int((~findings.examined).sum())
    reasons = _reasons(findings)
    sections = [
        "# Findings",
        _words(
            f"{num:,} images were compared with {len(candidates)} "
            f"{'candidate' if len(candidates) == 1 else 'candidates'}: which of them made each, if "
            "any? `findings.jsonl` has a line for each image."
        ),
        folder_table(findings),
    ]
    if reasons:
        listed = "; ".join(f"{reason} ({count:,})" for reason, count in reasons.most_common())
        sections.append(_words(f"Undecided because: {listed}."))
    if left_out:
        sections.append(f"{left_out:,} images could not be examined; a table below says why.")
    sections += [
        *changed_line(findings),
        *named_section(findings),
        *unexamined_section(findings),
        "## What the words and numbers mean",
        _meaning(findings, {c.rule.kind for c in calibrations.values()}),
        "## Candidates",
        _candidate_table(candidates, findings.alpha),
        *_own_images(calibrations),
        _words(_told_apart(findings) + _matched(candidates)),
        "## Which foreign images the bound on names covers",
        _covered(shared, lacking),
        "## Many images at once",
        _many(findings, calibrations),
        "## How good the likelihood ratios are",
        _words(
            "Cllr is the cost of the ratios in bits: 0 is perfect, 1 says nothing, more "
            "misleads. Each of the calibrations' own scores is weighed by ratios fitted without "
            "it (ten folds), against one foreign group at a time. In brackets stands a 95% "
            "bootstrap interval. It cannot know of misleading scores where the sample has none. A "
            "score without data counts as a ratio of 1; how many there are is said. "
            "The last column leaves the group out: what would ratios against the others, in equal "
            "shares, have said of it? It describes this calibration, and promises nothing of other "
            "origins."
        ),
        cost_table(calibrations),
        "## How often a foreign image is attributed",
        _words(
            f"An image is attributed to a candidate if q is at most {findings.beta:g}. With "
            "95% confidence, at most the limit's share of a group's fresh images is attributed. It "
            "rests on how many of the group's sources may score as low as an attributed image. "
            "The limits under `all at once` hold together for all groups of a candidate. Sources "
            "are independent: crops of one photograph are one source. A group has no limit if a "
            "recipe or a threshold was chosen by it."
        ),
        attribution_table(calibrations, rate=findings.beta),
        "## How many attributions are wrong",
        _wrong_attributions(findings.alpha, findings.beta),
        "## What this does not cover",
        _not_covered(candidates, shared),
    ]
    return "\n\n".join(sections) + "\n"


def _groups(findings: Findings) -> dict[str, str]:
    """What an image is said to be made by, for each candidate: itself, or its group."""
    labels = {name: name for name in findings.candidates}
    for group in findings.indistinguishable:
        labels |= dict.fromkeys(group, " or ".join(group))
    return labels


def _by_folder(findings: Findings) -> dict[str, Counter[str]]:
    outcomes = [_outcome(case) for case in findings.naming.cases]
    found = map(outcomes.__getitem__, findings.naming.codes.tolist())
    return count_by_folder(zip(findings.paths, found, strict=True))


def _reasons(findings: Findings) -> Counter[str]:
    """How many images are undecided for which reason, in the order in which they come.

    Those of which a part was made count together, whatever their shares.
    """
    naming = findings.naming
    found: Counter[str] = Counter()
    codes, first, counts = np.unique(naming.codes, return_index=True, return_counts=True)
    for place in np.argsort(first):
        case = naming.cases[codes[place]]
        if case is not None and case.verdict == "undecided":
            found[_SHARE.sub(IN_PART, case.reason or "")] += int(counts[place])
    return found


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
        "made with the settings calibrated, and have met no edit but those calibrated. "
        "`excluded at most`, in the table of candidates, is the upper 95% limit for the very "
        "calibration, with the count that it rests on."
        + (f" The {unsure} rule asks for that rate, and does not promise it." if unsure else ""),
        "**q** says how well an image fits the foreign group of the candidate's calibration "
        f"that it fits best. The image is attributed only if q is at most {beta:g}. That happens "
        f"to at most {percent(beta)} of the images of each group, on average over calibrations. q "
        "speaks of these groups and of no others.",
        "A candidate is **named** if it is the only one that is not excluded, and the image is "
        "attributed to it. **Not recognised**: all are excluded, and it comes nearer to none than "
        "foreign images do. There is no evidence that any of them made the image, as made or after "
        "the calibrated edits; it may still be their own after another edit. **Undecided** is "
        "everything else.",
        "An image that a candidate made, and that met no other edit, is not recognised, or given "
        f"another's name, with a probability of at most {percent(alpha)}, however many candidates "
        "there are. An image of a foreign group that all candidates' calibrations contain is given "
        f"a name with a probability of at most {percent(min(1, num * beta))} ({num} x "
        f"{percent(beta)}).",
        "**log10_lr** is a likelihood ratio: how much more probable is such a score for an "
        "image of the candidate's own than for one of a foreign group? 1 means ten times. "
        "The images compared with met the condition that the image fits best. Of several groups, "
        "`against` names the one whose ratio is the nearest to 1; against any mixture of them the "
        "ratio says no less. Where groups disagree log10_lr is 0. `log10_lr_limits` are the least "
        "and the largest that so few images can support, with 95% confidence: of 100 foreign "
        f"images none is as low, so the share is at most {percent(upper_limit(0, 100))}, and the "
        f"ratio at most {1 / upper_limit(0, 100):.0f}. It is not the probability that the "
        "candidate made the image.",
        "A ratio under 1, log10_lr under 0, speaks for the foreign group, and against the images "
        "calibrated as the candidate's. It does not weigh that the candidate made the image and an "
        "edit that was not calibrated came after: an own image that was mirrored gets a ratio "
        "under 1, although the candidate made it. Between a candidate's scores and the foreign "
        "ones no image was calibrated: there is **no data**, and no ratio. `log10_lr_note` says "
        "which it is.",
    ]
    return _points(points)


def _candidate_table(candidates: Sequence[Candidate], alpha: float) -> str:
    rows = []
    for candidate in candidates:
        own = candidate.calibration
        made_for = [own.generator["fingerprint"][:12], own.digest[:12], own.method["name"]]
        listed = [", ".join(own.belonging_by_condition), ", ".join(candidate.origins)]
        counts = [str(own.belonging.size), excluded_at_most(own, alpha)]
        rows.append([candidate.name, *made_for, *counts, *listed])
    head = ["candidate", "fingerprint", "calibration", "method", "own images", "excluded at most"]
    return table([*head, "conditions", "foreign groups"], rows)


def _own_images(calibrations: Mapping[str, Calibration]) -> list[str]:
    """What own images are where no prior made them, and which do not look as they were edited."""
    parts: list[str] = []
    sources = {name: own.measured.belonging for name, own in calibrations.items()}
    if given := [f"{name}: {source}" for name, source in sources.items() if source != FROM_PRIOR]:
        parts += ["p refers to images such as these:", _points(given)]
    told = {name: " ".join(unseen_conditions(own)) for name, own in calibrations.items()}
    if points := [f"{name}: {said}" for name, said in told.items() if said]:
        intro = "p and `excluded at most` are of images that look as if they had met their edit."
        parts += [intro, _points(points)]
    return parts


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


def _matched(candidates: Sequence[Candidate]) -> str:
    """How foreign groups were matched with candidates, and which models count as one."""
    namesakes = {other.name: other for other in candidates}
    by_name, others = list[str](), list[str]()
    for candidate in candidates:
        for group in candidate.groups:
            namesake = namesakes.get(group.origin)
            if namesake and group.condition == AS_MADE:
                where = f"{group.label} of {candidate.name}'s calibration"
                by_name += [where] if group.made_by is None else []
                others += [] if namesake.made(group) else [where]
    text = ""
    if by_name:
        text += (
            " These foreign groups were matched with a candidate by name, since they do not say "
            f"which generator made their images: {', '.join(by_name)}."
        )
    if others:
        text += (
            " These are called like a candidate, but another model made their images: "
            f"{', '.join(others)}."
        )
    return text + (
        " A model whose weights differ from a candidate's by about 1% is accepted as the "
        "candidate: models this near are one (see docs/near_models.md)."
    )


def _covered(shared: Sequence[Group], lacking: Mapping[str, Sequence[Group]]) -> str:
    """The groups that all calibrations contain, and those that one lacks."""
    listed = "; ".join(f"{origin} ({edits})" for origin, edits in _by_origin(shared))
    intro = (
        f"All candidates' calibrations contain: {listed}."
        if shared
        else "No foreign group is in all candidates' calibrations: nothing bounds how often a "
        "foreign image is given a name."
    )
    rows = [[name, *row] for name, groups in lacking.items() for row in _by_origin(groups)]
    if not rows:
        return _words(intro)
    intro += (
        " For the pairs below nothing bounds how often the group's images are given the "
        "candidate's name: its calibration lacks the group."
    )
    return _words(intro) + "\n\n" + table(["candidate", "lacks", "conditions"], rows)


def _by_origin(groups: Iterable[Group]) -> list[tuple[str, str]]:
    found: dict[str, list[str]] = {}
    for group in groups:
        found.setdefault(group.label, []).append(group.condition)
    return [(label, ", ".join(conditions)) for label, conditions in found.items()]


def _wrong_attributions(alpha: float, beta: float) -> str:
    """The expected share of wrong attributions, by how many images are the candidate's."""
    rows = []
    for others in (9, 99, 999):
        wrong, right = others * beta, 1 - alpha
        rows.append([f"1 in {others + 1:,}", f"{wrong / (wrong + right):.0%}"])
    intro = (
        "The share of a candidate's attributions that are wrong depends on how many of the images "
        "it made. The table takes the rates asked for: its own images are attributed to it at "
        f"{percent(1 - alpha)}, all others at {percent(beta)}."
    )
    return _words(intro) + "\n\n" + table(["made by the candidate", "wrong attributions"], rows)


def _many(findings: Findings, calibrations: Mapping[str, Calibration]) -> str:
    known, names = findings.tested, findings.candidates
    num_tests = int(known.sum()) * len(names)
    if not num_tests:
        examined = findings.examined.any()
        return f"No image was {'tested: all are undecided' if examined else 'examined'}."
    rows = []
    for k, name in enumerate(names):
        p, q = (column(findings.records[name], x)[known] for x in ("p", "q"))
        found = (
            (p <= findings.alpha).sum(),
            findings.excluded[:, k].sum(),
            (q <= findings.beta).sum(),
            findings.attributed[:, k].sum(),
        )
        rows.append([name, *(f"{count:,}" for count in found)])
    head = ["candidate", f"p at most {findings.alpha:g}", "exclusions that stand"]
    head += [f"q at most {findings.beta:g}", "attributions that stand"]
    foreign = min(g.independent for c in calibrations.values() for g in c.foreign.values())
    counts = [("attributions", foreign, findings.attributed_by)]
    if all(c.rule == Conformal() for c in calibrations.values()):  # Others give no ranks.
        own = min(s.size for c in calibrations.values() for s in c.belonging_by_condition.values())
        counts.insert(0, ("exclusions", own, findings.excluded_by))
    power = [
        f"{what}: {discovery_power(n, num_tests=num_tests, rate=findings.fdr, method=method).note}."
        for what, n, method in counts
    ]
    said = ", and for attributions that ".join(
        f"of {_PROCEDURES[name]}"
        for name in dict.fromkeys([findings.excluded_by, findings.attributed_by])
    )
    intro = (
        f"The rates above are of one image. Over all {num_tests:,} tests (images x candidates) "
        f"exclusions, or attributions, stand if at most {percent(findings.fdr)} of those that "
        f"stand are false on average, by the procedure {said}. The others may still be right one "
        "by one: so few calibration images can show little among so many tests."
    )
    return "\n\n".join([_words(intro), table(head, rows), _points(power)])


def _not_covered(candidates: Sequence[Candidate], shared: Sequence[Group]) -> str:
    edits = dict.fromkeys(edit for c in candidates for edit in c.calibration.conditions)
    origins = [origin for origin, _ in _by_origin(shared)]
    points = [
        "Origins that are neither a candidate nor a foreign group of all calibrations"
        + (f" ({', '.join(origins)})" if origins else "")
        + ": nothing here bounds how often their images are given a name.",
        "Images that met an edit which was not calibrated"
        + (f" (calibrated: {', '.join(edits)})" if edits else "")
        + f", or were made with other settings: p, and so `{_NONE}`, does not hold for them.",
        "Images that a calibration or a training set used, near copies of one another, and images "
        "that were chosen by what was found of them.",
        "How probable it is that one finding is right: that also depends on what was known before.",
    ]
    return _points(points)


def _points(texts: Iterable[str]) -> str:
    return "\n".join(
        textwrap.fill(text, width=100, initial_indent="- ", subsequent_indent="  ")
        for text in texts
    )


def _words(text: str) -> str:
    return textwrap.fill(text, width=100)
