"""The zoo's generators against sets of images at 32 px, after chains of edits.

python scripts/evaluate.py --config=configs/evaluate/hard.py --data=DIR --out=FILE.json

None of these is calibrated: the table tells what is left of an own image's evidence.
"""

import ml_collections

EDITS = (
    "crop-1+jpeg-75",  # cropped, then stored
    "resize-0.75+jpeg-75",  # halved in area and back, then stored
    "jpeg-90+jpeg-75",  # stored twice
    "resize-1.5+jpeg-90",  # a screenshot at another scale
    "resize-0.5+jpeg-75+jpeg-50",  # posted, taken from there, and posted again
)


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = ml_collections.ConfigDict()
    config.methods = ("origin",)  # names in jax_origin.METHODS
    config.inspected = ()  # names of generators; empty: all of the zoo
    config.calibrations = ""  # path with {inspected} and {method} in it; empty: the zoo's own
    config.num_images = 100  # belonging images, and images of each foreign group
    config.edits = EDITS  # names as in jax_origin.images.EDITS
    config.seed = 0  # test images and starting points, apart from any calibration's
    config.cache = "~/.cache/jax_origin"  # folder of compiled programs; "": none are kept
    # Foreign images besides the other generators': name to file or folder inside --data (npz with
    # x, or with jpeg and offsets; or a folder of images); an empty one is left out. All three are
    # JPEG files already, before they are edited.
    config.sets = ml_collections.ConfigDict()
    config.sets["cifar10-test"] = "cifar10_test_10k_jpegbytes.npz"  # photographs, not trained on
    config.sets["cifake"] = "cifake_sd14_fake_10k_jpegbytes.npz"  # made by Stable Diffusion 1.4
    config.sets["tiny-imagenet"] = "tinyimagenet32_val_10k_jpegbytes.npz"  # other photographs
    return config
