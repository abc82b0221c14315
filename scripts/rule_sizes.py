"""Real rates of false exclusion of each rule, by simulation, as a Markdown table.

python scripts/rule_sizes.py --out=docs/rule_sizes.md
"""

import pathlib
import sys

import tqdm
from absl import app, flags

# benchmarks/ lies beside the package, and is no part of it.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks.rule_sizes import rule_sizes, size_table
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
    entries = rule_sizes(
        alpha=_ALPHA.value, draws=_DRAWS.value, kde_draws=_KDE_DRAWS.value, seed=_SEED.value
    )
    text = size_table(list(tqdm.tqdm(entries, unit="entry")), alpha=_ALPHA.value)
    with atomic_write(_OUT.value) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
    print(f"wrote {_OUT.value}")


if __name__ == "__main__":
    app.run(main)
