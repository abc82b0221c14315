"""Calibrations of scores that a test makes up; all else in them is the same everywhere."""

import numpy as np

from jax_origin.calibration import Calibration, ForeignGroup

METHOD = {
    "name": "origin",
    "inversion": {"steps": 100},
    "score": "loss",
    "rule": "conformal",
    "decision": "two_errors",
    "alpha": 0.01,
    "beta": 0.01,
    "floor": 1e-5,
    "reference": None,
}


def calibrated(belonging, foreign=None, *, conditions=None, of="tiny", **method) -> Calibration:
    """Foreign groups are `ForeignGroup`, or scores of as many sources; `of` names the generator."""
    groups = {
        name: group if isinstance(group, ForeignGroup) else ForeignGroup(group, len(group))
        for name, group in (foreign or {}).items()
    }
    return Calibration(
        generator={
            "name": of,
            "fingerprint": f"fingerprint of {of}",
            "latent_shape": [4],
            "image_shape": [8, 8, 3],
        },
        method=METHOD | method,
        belonging=np.asarray(belonging),
        conditions=conditions or {},
        foreign=groups,
        seed=0,
        keys={},
        packages={},
        platform="cpu",
    )
