"""Writes the results in docs/results.md and README anew from the files in benchmarks/results/.

python scripts/results.py
"""

import pathlib
import sys

from absl import app, flags

# benchmarks/ lies beside the package, and is no part of it.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks.results_section import ResultsError, results_section, results_table, with_results
from jax_origin.cli.command import command
from jax_origin.files import atomic_write

_ROOT = pathlib.Path(__file__).parent.parent
_RESULTS = flags.DEFINE_string(
    "results", str(_ROOT / "benchmarks/results"), "The folder that holds the files."
)
_PAGE = flags.DEFINE_string("page", str(_ROOT / "docs/results.md"), "The page with all tables.")
_README = flags.DEFINE_string("readme", str(_ROOT / "README.md"), "The text with the small table.")


@command("results", ResultsError)
def main() -> None:
    """Makes the sections, puts each in its place, and says so."""
    made = {
        _PAGE.value: results_section(_RESULTS.value),
        _README.value: results_table(_RESULTS.value),
    }
    for where, section in made.items():
        try:
            before = pathlib.Path(where).read_text(encoding="utf-8")
            text = with_results(before, section)
            with atomic_write(where) as path:
                pathlib.Path(path).write_text(text, encoding="utf-8")
        except OSError as error:
            raise ResultsError(f"{where}: {error.strerror}") from None
        except ResultsError as error:
            raise ResultsError(f"{where}: {error}") from None
        print(f"{where}: {'as it was' if text == before else 'rewritten'}")


if __name__ == "__main__":
    app.run(main)
