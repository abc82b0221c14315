"""The page of one image: the answer, the numbers that carry it, and what it does not cover."""

import hashlib
from collections.abc import Mapping
from typing import Any

from jax_origin.audit import Answer, rows
from jax_origin.calibration import Rates
from jax_origin.pages.card import card
from jax_origin.pages.charts import chart
from jax_origin.pages.pictures import GAIN, Picture, data_uri, drawn
from jax_origin.pages.render import render
from jax_origin.pages.words import (
    answer_of_one,
    explained,
    limits,
    meaning,
    not_covered_of_one,
    numbers_of_one,
    spoken_of,
)
from jax_origin.runs import heat

_LARGEST = 512
_KINDS = {"named": "named", "none": "none", "undecided": "undecided"}


def three_lines(answer: Answer) -> tuple[str, str, str]:
    """The answer, the numbers that carry it, and what it does not cover."""
    (naming,), records = answer.findings.naming, answer.record
    return (
        answer_of_one(naming, records),
        numbers_of_one(naming, records, _rates(answer)),
        not_covered_of_one(naming, answer.candidates),
    )


def answer_in_json(answer: Answer) -> dict[str, Any]:
    """The three lines, what was not asked about, and the row of `jax_origin.audit.rows`."""
    says, numbers, not_covered = three_lines(answer)
    return {
        "answer": says,
        "numbers": numbers,
        "not_covered": not_covered,
        "left_out": dict(answer.left_out),
        **next(rows(answer.findings)),
    }


def image_page(answer: Answer, data: bytes, *, settings: Mapping[str, Any] | None = None) -> str:
    """The answer about one image as one file of HTML.

    Args:
      answer: As `jax_origin.audit.Panel.ask` gives it.
      data: The bytes of the image's file, for their hash.
      settings: What was asked with, as plain values.
    """
    (naming,), (path,), records = answer.findings.naming, answer.findings.paths, answer.record
    rates, name = _rates(answer), path.rpartition("/")[2]
    says, numbers, not_covered = three_lines(answer)
    first = [*spoken_of(naming, records)]
    ordered = [*first, *(each for each in records if each not in first)]
    calibrations = {each.name: each.calibration for each in answer.candidates}
    sections = []
    for each in sorted(answer.candidates, key=lambda c: ordered.index(c.name)):
        record = records[each.name]
        about = card(
            each,
            rates,
            read_again=bool(record.get("tried")),
            chart=chart(each, rates, score=record["score"], condition=record["condition"]),
        )
        text = explained(record, calibrations[each.name], rates)
        sections.append((about, text, _picture(answer, each.name)))
    values = {
        "name": name,
        "path": path,
        "answer": says,
        "numbers": numbers,
        "not_covered": not_covered,
        "kind": _KINDS.get(naming.verdict, "error") if naming else "error",
        "picture": sections[0][2],
        "records": {each: records[each] for each in ordered},
        "sections": sections,
        "left_out": answer.left_out,
        "notes": [*dict.fromkeys(r["note"] for r in records.values() if r["note"])],
        "stored": next((r["stored"] for r in records.values() if r["stored"]), None),
        "meaning": meaning(rates, answer.candidates),
        "limits": limits(rates, answer.candidates),
        "gain": GAIN,
        "settings": dict(settings or {}),
        "files": {name: hashlib.sha256(data).hexdigest()},
    }
    return render("image.html", values)


def _rates(answer: Answer) -> Rates:
    return Rates(answer.findings.alpha, answer.findings.beta)


def _picture(answer: Answer, name: str) -> Picture:
    made = answer.reconstructions.get(name)
    if made is None or made.shape != answer.pixels.shape:
        return drawn(answer.pixels, largest=_LARGEST)
    picture = drawn(answer.pixels, made, made_by=name, largest=_LARGEST)
    if (part := answer.maps.get(name)) is None:
        return picture
    return picture._replace(map=data_uri(heat(answer.pixels, part), largest=_LARGEST))
