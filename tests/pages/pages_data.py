"""Made-up audits, and how their pages are read."""

import html.parser
import re
from pathlib import Path

import numpy as np

from jax_origin.audit import Candidate, combine
from jax_origin.calibration import Rates
from jax_origin.images import save_png
from tests.audit.findings_data import NAMES, made_up, record, unread

RATES = Rates(0.01, 0.01)
LEAST = 1 / 101
CANDIDATES = [Candidate(name, name, made_up(name)) for name in NAMES]
OWN, FOREIGN = (0.5, LEAST, 5e-3), (LEAST, 0.5, 5.0)
HOSTILE = "<script>alert(1)</script>\"'&\u202egnp.png"


def judged(path: str, p: float, q: float, score: float, **changes) -> dict:
    verdict = {(True, True): "belongs", (False, False): "not_recognised"}.get(
        (p > 0.01, q <= 0.01), "undecided"
    )
    reason = None
    if verdict == "undecided":
        reason = "fits both" if p > 0.01 else "fits neither"
    more = {"verdict": verdict, "loss": score, "reading": None, "tried": None, "reason": reason}
    return record(path, p, q, score, **{**more, **changes})


def audited(of_a: dict, of_b: dict, *, errors: dict | None = None, **options):
    """Findings of images by path, from (p, q, score) under each candidate; and of unread files."""
    broken = [
        {**unread(path, error), "verdict": None, "loss": None, "reading": None, "tried": None}
        for path, error in (errors or {}).items()
    ]
    records = {
        name: [*(judged(path, *values) for path, values in of.items()), *broken]
        for name, of in zip(NAMES, (of_a, of_b), strict=True)
    }
    calibrations = {candidate.name: candidate.calibration for candidate in CANDIDATES}
    return combine(records, calibrations, rates=RATES, **options)


def mixed(folder: Path):
    """Findings of seven images, one of each kind, whose files lie in a folder."""
    images = {
        "a/1.png": (OWN, FOREIGN),
        "a/2.png": (FOREIGN, FOREIGN),
        "b/3.png": (FOREIGN, OWN),
        "b/4.png": (OWN, OWN),
        f"photos/{HOSTILE.replace('/', '_')}": (FOREIGN, FOREIGN),
        "photos/6.png": ((LEAST, LEAST, 0.5), FOREIGN),
    }
    rng = np.random.default_rng(0)
    for name in images:
        save_png(folder / name, rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    first, second = (
        {str(folder / name): values[k] for name, values in images.items()} for k in (0, 1)
    )
    return audited(first, second, errors={str(folder / "photos/torn.png"): "is empty"})


class Page(html.parser.HTMLParser):
    """A page's elements, with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._said: list[str] = []
        self._skipped = 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._skipped += tag in ("script", "style")

    def handle_endtag(self, tag):
        self._skipped -= tag in ("script", "style")

    def handle_data(self, data):
        if not self._skipped:
            self._said.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self._said)).strip()

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]
