"""The zoo's generators against sets of images at 32 px, in a folder of files of all kinds.

python scripts/evaluate.py --config=configs/evaluate/mixed.py --data=DIR --out=FILE.json

200 own images and five or more groups of 200: PNG, JPEG of many qualities, WebP, one after the
other. Calibrations know some of these; the others lie between.
"""

import ml_collections

FILES = (
    *("clean", "jpeg-97", "jpeg-95", "jpeg-90", "jpeg-85", "jpeg-80-444", "jpeg-75"),
    *("jpeg-70", "jpeg-60", "jpeg-50-444", "jpeg-40", "jpeg-30", "webp-80", "webp-90"),
)


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = ml_collections.ConfigDict()
    config.methods = ("origin",)  # names in jax_origin.METHODS
    config.inspected = ()  # names of generators; empty: all of the zoo
    config.calibrations = ""  # path with {inspected} and {method} in it; empty: the zoo's own
    config.num_images = 200  # belonging images, and images of each foreign group
    # Names as in jax_origin.images.EDITS; of those joined by | each image meets the next one.
    config.edits = ("|".join(FILES),)
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
