"""Calibrations of scores that a test makes up; all else in them is the same everywhere."""

import numpy as np

from jax_origin.calibration import (
    Calibration,
    Conformal,
    ForeignGroup,
    Measured,
    Rates,
    TwoErrors,
)

METHOD = {
    "name": "origin",
    "recipe": {"start": {"kind": "prior"}},
    "score": {"kind": "loss"},
    "rule": {"kind": "conformal", "confidence": None},
    "decision": {"kind": "two_errors"},
    "rates": {"alpha": 0.01, "beta": 0.01, "max_false_attribution": None},
    "floor": 1e-5,
}


def calibrated(
    belonging,
    foreign=None,
    *,
    conditions=None,
    of="tiny",
    rule=Conformal(),  # noqa: B008
    decision=TwoErrors(),  # noqa: B008
    alpha=0.01,
    beta=0.01,
    floor=1e-5,
    measured=Measured(),  # noqa: B008
) -> Calibration:
    """Foreign groups are `ForeignGroup`, or scores of as many sources; `of` names the generator."""
    groups = {
        name: group if isinstance(group, ForeignGroup) else ForeignGroup(group, len(group))
        for name, group in (foreign or {}).items()
    }
    parts = {"rule": rule, "decision": decision, "rates": Rates(alpha, beta)}
    return Calibration(
        generator={
            "name": of,
            "fingerprint": f"fingerprint of {of}",
            "latent_shape": [4],
            "image_shape": [8, 8, 3],
        },
        method=METHOD | {name: part.to_json() for name, part in parts.items()} | {"floor": floor},
        belonging=np.asarray(belonging),
        conditions=conditions or {},
        foreign=groups,
        measured=measured,
        seed=0,
        keys={},
        packages={},
        platform="cpu",
    )
