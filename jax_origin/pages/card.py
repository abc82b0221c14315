"""What a page says of each candidate's calibration: what it was made of, and what it keeps."""

from typing import NamedTuple

from jax_origin.audit import Candidate
from jax_origin.audit.evidence_tables import excluded_at_most
from jax_origin.calibration import AS_MADE, FROM_PRIOR, Rates, limits_of_q
from jax_origin.calibration.rules import percent
from jax_origin.evidence import explain_run
from jax_origin.pages.charts import Chart
from jax_origin.pages.words import listed


class GroupRow(NamedTuple):
    """A foreign group in a card: its name, its edits, and how often its images are attributed."""

    origin: str
    conditions: str
    as_low: str
    limit: str


class Card(NamedTuple):
    """A candidate and its calibration.

    Attributes:
      name: The candidate.
      facts: Names and values, one a line.
      groups: The groups of images of other origin that it was compared with.
      paragraphs: What all its verdicts rest on, in words.
      chart: Its scores; None where there is no room for a chart.
    """

    name: str
    facts: list[tuple[str, str]]
    groups: list[GroupRow]
    paragraphs: list[str]
    chart: Chart | None = None


def card(
    candidate: Candidate, rates: Rates, *, read_again: bool = False, chart: Chart | None = None
) -> Card:
    """The card of a candidate's calibration, for the rates asked for.

    `read_again` says whether images that did not fit were read as turned and mirrored.
    """
    own, method = candidate.calibration, candidate.calibration.method
    rates = rates.over(own.rates)
    assert rates.alpha is not None  # A calibration has one.
    height, width, channels = own.generator["image_shape"]
    source = own.measured.belonging
    facts = [
        ("Makes images of", f"{width} × {height} pixels, {channels} channels"),
        ("Method", str(method["name"])),
        ("Its own images", f"{own.belonging.size:,}, {_where_from(source)}"),
        ("Edits calibrated", listed(own.conditions) or "none: images as made alone"),
        ("Its own images ruled out at most", excluded_at_most(own, rates.alpha)),
        ("Weights (fingerprint)", candidate.fingerprint),
        ("Calibration (SHA-256)", own.digest),
        ("Made with", listed(f"{name} {version}" for name, version in own.packages.items())),
        ("Made on", str(own.platform or "not known")),
    ]
    decoder = own.generator.get("decoder")
    if decoder is not None:
        facts.insert(-3, ("Decoder (fingerprint)", str(decoder["fingerprint"])))
    return Card(
        name=candidate.name,
        facts=[(name, value) for name, value in facts if value],
        groups=_group_rows(candidate, rates),
        paragraphs=explain_run(own, rates=rates, read_again=read_again).split("\n\n"),
        chart=chart,
    )


def _where_from(source: str) -> str:
    return "drawn from it" if source == FROM_PRIOR else source


def _group_rows(candidate: Candidate, rates: Rates) -> list[GroupRow]:
    """Groups of one origin whose edits have the same limits share a row."""
    own = candidate.calibration
    if not own.foreign or rates.beta is None:
        return []
    found = limits_of_q(own.foreign, rate=rates.beta).groups
    rows: dict[tuple[str, str, str], list[str]] = {}
    for group in candidate.groups:
        limit = found[group.name]
        if limit.limit is None:
            says = f"not known: used for {listed(limit.used_for)}"
        else:
            says = (
                f"at most {percent(limit.limit)}" if limit.limit else "none: too few to attribute"
            )
        as_low = f"{limit.false:,} of {limit.independent:,}"
        rows.setdefault((group.label, as_low, says), []).append(group.condition)
    return [
        GroupRow(origin, _in_words(conditions, [AS_MADE, *own.conditions]), as_low, limit)
        for (origin, as_low, limit), conditions in rows.items()
    ]


def _in_words(conditions: list[str], all_of_them: list[str]) -> str:
    if len(all_of_them) > 2 and set(conditions) >= set(all_of_them):
        return "as made, and every edit"
    return ", ".join(conditions)
