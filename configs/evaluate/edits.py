"""The zoo's generators against sets of images at 32 px, all of them edited as images often are.

python scripts/evaluate.py --config=configs/evaluate/edits.py --data=DIR --out=FILE.json

There is a row for each edit and foreign group: belonging and foreign images are edited alike, and
TPR and FPR are those of the calibrations named here. One edit, or a chain of two, is written
--config.edits="('clean', 'resize-0.75+jpeg-75')", and calibrations of your own
--config.calibrations='FOLDER/{inspected}-{method}.json'.
"""

import ml_collections

from jax_origin.images import DEFAULT_CONDITIONS


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = ml_collections.ConfigDict()
    config.methods = ("origin",)  # names in jax_origin.METHODS
    config.inspected = ()  # names of generators; empty: all of the zoo
    config.calibrations = ""  # path with {inspected} and {method} in it; empty: the zoo's own
    config.num_images = 100  # belonging images, and images of each foreign group
    config.edits = DEFAULT_CONDITIONS  # names as in jax_origin.images.EDITS
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
