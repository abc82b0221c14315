import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmarks.rule_sizes import DISTRIBUTIONS, RULES, rule_sizes, size_table

pytestmark = pytest.mark.outer
TABLE = Path(__file__).parents[2] / "docs" / "rule_sizes.md"


@pytest.fixture(scope="module")
def sizes():
    return list(rule_sizes(nums=(20, 100), draws=400, kde_draws=10))


def test_every_rule_is_measured_on_every_distribution(sizes):
    assert [size[:3] for size in sizes] == [
        (name, num, rule) for name in DISTRIBUTIONS for num in (20, 100) for rule in RULES
    ]


def test_conformal_follows_its_law_whatever_the_distribution(sizes):
    for size in sizes:
        if size.rule == "conformal":
            law = stats.beta({20: 1, 100: 5}[size.num], {20: 20, 100: 96}[size.num])
            # Three standard errors of 400 draws, and what a quantile of them varies by.
            assert size.mean == pytest.approx(law.mean(), abs=3 * law.std() / 20)
            assert law.cdf(size.low) == pytest.approx(0.05, abs=0.035)
            assert law.cdf(size.high) == pytest.approx(0.95, abs=0.035)
            assert size.over == pytest.approx(law.sf(0.05), abs=0.08)
        if size.rule == "conformal, confidence 0.95":
            assert size.over <= 0.05 + 0.033
            assert (size.mean == 0) == (size.num < 59)


def test_the_other_rules_are_right_where_their_assumptions_hold_and_only_there(sizes):
    mean = {size[:3]: size.mean for size in sizes}
    assert mean["normal", 100, "t"] == pytest.approx(0.05, abs=0.005)
    assert mean["normal", 100, "grubbs"] == pytest.approx(0.001, abs=3e-4)
    assert mean["log-normal, sigma 1", 100, "grubbs"] > 0.01


def test_the_table_says_from_how_many_scores_on_a_confidence_excludes():
    assert "at N under 59 means" in size_table([], alpha=0.05)
    assert "at N under 299 means" in size_table([], alpha=0.01)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_distributions_are_drawn_from_as_they_are_judged(name):
    drawn = DISTRIBUTIONS[name].draw(np.random.default_rng(0), 20_000)
    assert stats.kstest(drawn, lambda x: 1 - DISTRIBUTIONS[name].exceeding(x)).pvalue > 0.001


def test_the_committed_table_is_the_simulations(sizes):
    table = TABLE.read_text(encoding="utf-8")
    made = size_table(sizes, alpha=0.05)
    assert table.split("\n## ")[0] == made.split("\n## ")[0]
    *sections, shipped = table.split("\n## ")[1:]
    assert shipped.startswith("What ships: asked for 1%")
    # Beta(2, 199): what the rank rule keeps whatever the distribution, nine times in ten.
    assert (
        shipped.count("| 200 | 1.00% (0.2% to 2.4%), ")
        + shipped.count("| 200 | 0.99% (0.2% to 2.3%), ")
        >= 1
    )
    for section, fresh in zip(sections, made.split("\n## ")[1:], strict=True):
        lines, made_lines = section.splitlines(), fresh.splitlines()
        assert lines[:4] == made_lines[:4]  # the distribution and the rules
        rows = {line.split(" | ")[0]: re.findall(r"[\d.]+(?=% \()", line) for line in lines[4:]}
        assert list(rows) == ["| 20", "| 50", "| 100", "| 500", "| 1,000"]
        (made_row,) = (line for line in made_lines if line.startswith("| 100 "))
        means = np.array(re.findall(r"[\d.]+(?=% \()", made_row), float)
        # The kde rule was drawn ten times only.
        assert np.array(rows["| 100"], float)[:-1] == pytest.approx(means[:-1], abs=0.4)
