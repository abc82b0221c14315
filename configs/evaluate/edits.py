"""The zoo's generators against sets of images at 32 px, all of them edited as images often are.

python scripts/evaluate.py --config=configs/evaluate/edits.py --data=DIR --out=FILE.json

There is a row for each edit and foreign group: belonging and foreign images are edited alike, and
TPR and FPR are those of the calibrations named here. One edit, or a chain of two, is written
--config.edits="('clean', 'resize-0.75+jpeg-75')", and calibrations of your own
--config.calibrations='FOLDER/{inspected}-{method}.json'.
"""

import ml_collections

from benchmarks.settings import evaluation_config

EDITS = (
    *("clean", "jpeg-90", "jpeg-75", "webp-80"),
    *("resize-0.75", "resize-0.5", "resize-0.9-bicubic"),  # the last one is not calibrated
    *("crop-1", "crop-3"),  # nor are these
)


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = evaluation_config()
    config.title = "All images edited alike"
    config.methods = ("origin",)
    config.edits = EDITS
    return config
