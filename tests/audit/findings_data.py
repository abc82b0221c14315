"""Calibrations and records of made-up candidates, whose scores are known."""

import dataclasses

import numpy as np

from jax_origin.calibration import Calibration, ForeignGroup
from tests.calibration.made_up import calibrated

NUM = 100
NAMES = ("a", "b")


def made_up(name: str, foreign: dict[str, ForeignGroup] | None = None, **changes) -> Calibration:
    """Own scores from 1e-3 to 1e-2, after jpeg-75 ten times these; foreign ones from 1 on."""
    own = np.linspace(1e-3, 1e-2, NUM)
    other = next(other for other in NAMES if other != name)
    if foreign is None:
        foreign = {
            group: ForeignGroup(np.linspace(low, 10 * low, NUM), NUM)
            for group, low in {
                other: 1.0,
                "photos": 2.0,
                f"{other} after jpeg-75": 3.0,
                "photos after jpeg-75": 4.0,
            }.items()
        }
    made = calibrated(own, foreign, conditions={"jpeg-75": 10 * own}, of=name, floor=1e-6)
    return dataclasses.replace(made, **changes)


def record(path: str, p: float | None, q: float | None, score: float | None, **changes) -> dict:
    found = {"condition": "as made", "score_kind": "full", "sha256": f"sha of {path}"}
    found |= {"stored": "pixels", "note": None, "reason": None, "error": None}
    return {"path": path, "p": p, "q": q, "score": score, **found, **changes}


def unread(path: str, error: str) -> dict:
    nothing = dict.fromkeys(("condition", "score_kind", "sha256", "stored", "reason"))
    return record(path, None, None, None, **nothing, error=error)
