"""What becomes of images that people drew on, or pasted into; with maps of what was changed.

python scripts/evaluate.py --config=configs/evaluate/parts.py --data=DIR --out=FILE.json
"""

import ml_collections

from configs.evaluate import readings


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = readings.get_config()
    config.title = "Images of which a part was changed"
    config.readings = "all"
    config.edits = (
        *("caption-0.125", "caption-0.125+jpeg-90", "mark-0.1", "mark-0.1+jpeg-90"),
        *("paste-0.25", "paste-0.25+jpeg-90"),
    )
    config.seed = 5  # not used before
    return config
