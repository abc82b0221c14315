"""The zoo's generators against sets of images at 32 px, after chains of edits.

python scripts/evaluate.py --config=configs/evaluate/hard.py --data=DIR --out=FILE.json

None of these is calibrated: the table tells what is left of an own image's evidence.
"""

import ml_collections

from benchmarks.settings import evaluation_config

EDITS = (
    "crop-1+jpeg-75",  # cropped, then stored
    "resize-0.75+jpeg-75",  # halved in area and back, then stored
    "jpeg-90+jpeg-75",  # stored twice
    "resize-1.5+jpeg-90",  # a screenshot at another scale
    "resize-0.5+jpeg-75+jpeg-50",  # posted, taken from there, and posted again
)


def get_config() -> ml_collections.ConfigDict:
    """The defaults of `evaluation_config`, and what this evaluation changes."""
    config = evaluation_config()
    config.title = "Generators of the zoo, after chains of edits"
    config.methods = ("origin",)
    config.edits = EDITS
    return config
