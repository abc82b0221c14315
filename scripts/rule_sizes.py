"""Real rates of false exclusion of each rule, by simulation, as a Markdown table.

python scripts/rule_sizes.py --out=docs/rule_sizes.md
"""

import functools
import pathlib
import sys

from absl import app, flags
from rich.console import Console
from rich.progress import track

# benchmarks/ lies beside the package, and is no part of it.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks.rule_sizes import (
    SHIPPED_ALPHA,
    SHIPPED_NUMS,
    rule_sizes,
    shipped_table,
    size_table,
)
from jax_origin.cli.command import command
from jax_origin.files import atomic_write

_OUT = flags.DEFINE_string("out", "docs/rule_sizes.md", "The Markdown file to write.")
_ALPHA = flags.DEFINE_float("alpha", 0.05, "The rate of false exclusion asked for.", 0.0, 1.0)
_DRAWS = flags.DEFINE_integer("draws", 10_000, "Simulated calibrations for each entry.", 1)
_KDE_DRAWS = flags.DEFINE_integer("kde_draws", 1_000, "The same for the kde rule.", 1)
_SEED = flags.DEFINE_integer("seed", 0, "Of the random numbers.", 0)


@command("rule_sizes", ValueError)
def main() -> None:
    """Simulates, writes the table and says where."""
    draws, kde_draws = _DRAWS.value, _KDE_DRAWS.value
    simulated = functools.partial(rule_sizes, draws=draws, kde_draws=kde_draws, seed=_SEED.value)
    told = functools.partial(track, description="entries", console=Console(stderr=True))
    entries = simulated(alpha=_ALPHA.value)
    text = size_table(list(told(entries)), alpha=_ALPHA.value)
    shipped = simulated(nums=SHIPPED_NUMS, alpha=SHIPPED_ALPHA)
    text += "\n" + shipped_table(list(told(shipped)))
    with atomic_write(_OUT.value) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
    print(f"wrote {_OUT.value}")


if __name__ == "__main__":
    app.run(main)
