"""Writes README's results anew from the files in benchmarks/results/.

python scripts/results.py
"""

import pathlib
import sys

from absl import app, flags

# benchmarks/ lies beside the package, and is no part of it.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks.results_section import ResultsError, results_section, with_results
from jax_origin.cli.command import command
from jax_origin.files import atomic_write

_ROOT = pathlib.Path(__file__).parent.parent
_RESULTS = flags.DEFINE_string(
    "results", str(_ROOT / "benchmarks/results"), "The folder that holds the files."
)
_README = flags.DEFINE_string("readme", str(_ROOT / "README.md"), "The text that is changed.")


@command("results", ResultsError)
def main() -> None:
    """Makes the section, puts it in its place, and says so."""
    try:
        before = pathlib.Path(_README.value).read_text(encoding="utf-8")
        text = with_results(before, results_section(_RESULTS.value))
        with atomic_write(_README.value) as path:
            pathlib.Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ResultsError(f"{_README.value}: {error.strerror}") from None
    print(f"{_README.value}: {'as it was' if text == before else 'rewritten'}")


if __name__ == "__main__":
    app.run(main)
