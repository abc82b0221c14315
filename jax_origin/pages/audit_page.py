"""The page of an audit: what was asked, the answer, and what it rests on."""

import functools
import hashlib
import os
import pathlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from jax_origin.audit import Candidate, Findings
from jax_origin.audit.weighing import column
from jax_origin.calibration import Rates
from jax_origin.images.decode import read_file
from jax_origin.pages.card import card
from jax_origin.pages.charts import chart
from jax_origin.pages.pictures import GAIN, Picture, pictures_of
from jax_origin.pages.render import render
from jax_origin.pages.survey import (
    NOT_EXAMINED,
    NOT_RECOGNISED,
    UNDECIDED,
    Record,
    Seen,
    Survey,
    counted,
    seen,
    survey,
)
from jax_origin.pages.words import (
    answer_of_many,
    explained,
    in_plain_words,
    limits,
    meaning,
    spoken_of,
)

_SAMPLES = 240
_MOST_BYTES = 6_000_000  # of pictures
_MOST_ROWS = 40
_MOST_CHARTS = 12
# Parts of records are cut where a run was interrupted: the manifest has their hashes.
_FILES = ("findings.jsonl", "run.json", "*/run.json")

Find = Callable[[Record], os.PathLike[str]]


class Item(NamedTuple):
    """An image of the gallery.

    Attributes:
      image: What was found of it.
      picture: How it looks.
      kind: "named", "none", "undecided" or "error": its sign and its colour.
      says: The finding in a sentence.
      right: Whether it agrees with its group's name; None where that says nothing.
      nearest: The lowest of its scores; None without one.
      texts: The verdicts of the candidates that matter most, in words.
    """

    image: Seen
    picture: Picture
    kind: str
    says: str
    right: bool | None
    nearest: float | None
    texts: list[str]


def audit_page(
    findings: Findings,
    candidates: Sequence[Candidate],
    folder: str | os.PathLike[str],
    *,
    settings: Mapping[str, Any] | None = None,
    samples: int = _SAMPLES,
    read: Callable[[str], bytes] = read_file,
) -> str:
    """The findings of an audit as one file of HTML.

    Args:
      findings: What was found.
      candidates: The candidates, with the calibrations that decided.
      folder: The audit's folder: reconstructions that were kept lie there, and the files of
        findings and records, whose hashes the page gives.
      settings: What the audit was run with, as plain values.
      samples: How many images the gallery shows at the most.
      read: Reads the bytes of an image, by its path in the findings; an ImageError or OSError where
        it cannot.
    """
    rates, folder = Rates(findings.alpha, findings.beta), pathlib.Path(folder)
    reconstructions = {c.name: functools.partial(c.reconstruction, folder) for c in candidates}
    kept = frozenset[str]().union(*map(_listed_in, reconstructions.values()))

    def can_be_drawn(image: Seen) -> bool:
        return f"{image.sha256}.png" in kept

    found = survey(seen(findings), makers_of(findings), samples=samples, preferred=can_be_drawn)
    shapes = {c.name: c.calibration.generator["image_shape"] for c in candidates}
    calibrations = {c.name: c.calibration for c in candidates}
    items, room = list[Item](), _MOST_BYTES
    for image in found.samples:
        picture = Picture(None)
        if room > 0:
            picture = pictures_of(image, reconstructions, shapes, read=read)
            room -= picture.size
        texts = [
            explained(image.records[name], calibrations[name], rates)
            for name in spoken_of(image.naming, image.records)
        ]
        items.append(_item(image, picture, texts, found))
    read_again = any(r.get("tried") for image in found.samples for r in image.records.values())
    cards = [
        card(
            each,
            rates,
            read_again=read_again,
            chart=chart(each, rates, asked=_binned(findings, each)) if i < _MOST_CHARTS else None,
        )
        for i, each in enumerate(candidates)
    ]
    values = {
        "answer": answer_of_many(found),
        "found": found,
        "candidates": [candidate.name for candidate in candidates],
        "outcomes": outcomes_of(found),
        "groups": _groups(found),
        "reasons": [
            (in_plain_words(reason), count)
            for reason, count in found.reasons.most_common(_MOST_ROWS)
        ],
        "meaning": meaning(rates, candidates),
        "items": items,
        "gain": GAIN,
        "drawn": sum(item.picture.reconstruction is not None for item in items),
        "cards": cards,
        "many": _many(findings),
        "fdr": findings.fdr,
        "alike": findings.indistinguishable,
        "limits": limits(rates, candidates),
        "settings": dict(settings or {}),
        "files": _hashes(folder),
    }
    return render("audit.html", values, script="gallery.js")


def _binned(findings: Findings, candidate: Candidate) -> Counter[int]:
    return counted(column(findings.records[candidate.name], "score"))


def makers_of(findings: Findings) -> dict[str, str]:
    """By candidate, what an image of it is said to be made by: itself, or its group."""
    makers = {name: name for name in findings.candidates}
    for group in findings.indistinguishable:
        makers |= dict.fromkeys(group, " or ".join(group))
    return makers


def outcomes_of(found: Survey) -> dict[str, tuple[str, int]]:
    """The outcomes that there can be, each with its kind and its count."""
    kinds = dict.fromkeys(found.makers.values(), "named")
    kinds |= {NOT_RECOGNISED: "none", UNDECIDED: "undecided", NOT_EXAMINED: "error"}
    return {name: (kind, found.outcomes[name]) for name, kind in kinds.items()}


def _item(image: Seen, picture: Picture, texts: list[str], found: Survey) -> Item:
    scores = [record["score"] for record in image.records.values() if record["score"] is not None]
    if image.naming is None:
        errors = {str(record["error"]) for record in image.records.values() if record["error"]}
        kind, says = "error", f"It could not be examined: {'; '.join(sorted(errors))}."
    elif image.naming.verdict == "named":
        kind, says = "named", f"The findings support that {image.outcome} made it."
    elif image.naming.verdict == "none":
        kind, says = "none", "No evidence that a candidate made it."
    else:
        kind, says = "undecided", f"Undecided: {in_plain_words(image.naming.reason)}."
    right = found.is_right(image.group, image.outcome)
    return Item(image, picture, kind, says, right, min(scores, default=None), texts)


def _groups(found: Survey) -> list[tuple[str, str, dict[str, int]]]:
    """The groups with most images: name, what its images should come out as, and counts."""
    by_size = sorted(found.groups.items(), key=lambda entry: -entry[1].total())
    rows = [(name, found.truth(name), dict(counts)) for name, counts in by_size[:_MOST_ROWS]]
    return sorted(rows, key=lambda row: (row[0] not in found.makers, row[0]))


def _many(findings: Findings) -> list[tuple[str, int, int]]:
    """By candidate, how many exclusions and attributions stand when all images count as tests."""
    return [
        (name, int(findings.excluded[:, k].sum()), int(findings.attributed[:, k].sum()))
        for k, name in enumerate(findings.candidates)
    ]


def _hashes(folder: pathlib.Path) -> dict[str, str]:
    """The SHA-256 of the files that the findings and records of an audit lie in, by name."""
    names = [
        path.relative_to(folder).as_posix()
        for pattern in _FILES
        for path in sorted(folder.glob(pattern))
        if path.is_file()
    ]
    shown = names[:_MOST_ROWS]
    found = {}
    for name in shown:
        with open(folder / name, "rb") as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _listed_in(find: Find) -> frozenset[str]:
    """The names of the reconstructions that lie where one would lie."""
    try:
        return frozenset(os.listdir(os.path.dirname(find({"sha256": ""}))))
    except OSError:
        return frozenset()
