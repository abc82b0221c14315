"""What becomes of images that people turned, cut, retouched or saved again, own and foreign.

python scripts/evaluate.py --config=configs/evaluate/readings.py --data=DIR --out=FILE.json
"""

import ml_collections

from benchmarks.settings import evaluation_config


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = evaluation_config()
    config.study = "readings"  # the module of benchmarks/ that runs it
    config.title = "Images that were turned, cut, retouched or saved again"
    config.inspected = ("dcgan-cifar10", "dcgan-cifar10-b", "vae-cifar10")
    # Names in jax_origin.images.EDITS; with " as PNG" images are saved without loss after it.
    config.edits = (
        *("clean", "turn-0-mirrored", "turn-180", "turn-90", "turn-90-mirrored"),
        *("turn-0-mirrored+jpeg-75", "turn-180-mirrored+jpeg-90"),
        *("jpeg-90 as PNG", "jpeg-60 as PNG", "jpeg-60+jpeg-90", "jpeg-75+jpeg-85"),
        *("gain-0.8", "gain-1.25", "offset-20", "offset-20-darker", "gamma-0.7", "gamma-1.4"),
        *("tint-0.25", "saturation-0.5", "saturation-1.5", "gain-1.25+offset-20-darker+jpeg-85"),
        *("blur-0.5", "blur-1", "sharpen-1"),
        *("trim-0.95", "trim-0.9", "trim-0.85", "trim-0.9+jpeg-90", "tilt-5", "tilt-5+jpeg-90"),
        *("cut-0.95", "cut-0.85", "cut-0.75", "cut-0.6", "cut-0.9+jpeg-90", "cut-0.85+scale-2.5"),
        *("trim-0.75", "trim-0.6", "jpeg-75+cut-0.95+jpeg-90", "jpeg-60+jpeg-90+jpeg-75"),
        *("scale-2-bicubic+jpeg-75 as PNG", "scale-1.5+jpeg-75 as PNG"),
        *("mark-0.1", "caption-0.125", "paste-0.25", "mark-0.1+jpeg-90", "caption-0.125+jpeg-90"),
        *("scale-2.5", "scale-1.3-bicubic+jpeg-85", "scale-2+jpeg-60", "scale-4-bicubic+jpeg-85"),
    )
    config.num_foreign = config.num_images  # of each foreign group
    config.seed = 4  # not used before
    # What images are read as, as `Attributor` has it; see configs/evaluate/parts.py for "all".
    config.readings = "usual"
    return config
