import numpy as np
import pytest

from benchmarks.calibration_size import calibration_size_rows
from benchmarks.sampling import ProtocolError


def test_sizes_of_rules_on_known_scores():
    rng = np.random.default_rng(0)
    own, foreign = rng.normal(size=4000) + 10, {"near": rng.normal(size=999) + 13, "far": [90, 99]}
    foreign["far"] = np.array(foreign["far"], float)
    rows = calibration_size_rows(own, foreign, nums=(20, 100), alphas=(0.01, 0.05), draws=300)
    found = {(row["rule"], row["num"], row["alpha"]): row for row in rows}
    # 20 scores cannot exclude at 1% by rank; 100 exclude what docs/rule_sizes.md says.
    assert found["conformal", 20, 0.01]["tpr"] is found["conformal", 20, 0.01]["fpr"] is None
    for row in rows:
        assert row["group"] == "near"
        if row["tpr"] is not None:
            assert row["tpr_low"] <= row["tpr"] <= row["tpr_high"]
            assert 1 - row["tpr"] == pytest.approx(row["excluded_if_normal"], abs=0.01)
    assert found["conformal", 100, 0.05]["tpr"] == pytest.approx(1 - 5 / 101, abs=0.01)
    assert found["grubbs", 100, 0.05]["tpr"] > 0.995  # 0.1%, not 5%
    assert found["grubbs", 100, 0.05]["fpr"] > found["conformal", 100, 0.05]["fpr"] > 0.05


def test_sizes_that_cannot_be_had_are_named():
    own, foreign = np.arange(10.0), {"photos": np.arange(5.0)}
    with pytest.raises(ProtocolError, match="10 of 10 belonging scores leave none to judge"):
        calibration_size_rows(own, foreign, nums=(10,), alphas=(0.05,))
    with pytest.raises(ProtocolError, match="grubbs rule needs at least 3"):
        calibration_size_rows(own, foreign, nums=(2,), alphas=(0.05,))
    with pytest.raises(ProtocolError, match="no finite score"):
        calibration_size_rows(np.array([1, np.inf]), foreign, nums=(1,), alphas=(0.05,))
