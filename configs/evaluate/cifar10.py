"""Each generator of the zoo against all others, and against sets of images at 32 px.

python scripts/evaluate.py --config=configs/evaluate/cifar10.py --data=DIR --out=FILE.json

Several names are written --config.methods="('ronan', 'origin')", and a set's file
'--config.sets["cifake"]=FOLDER'.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = ml_collections.ConfigDict()
    config.methods = ("ronan", "origin")  # names in jax_origin.METHODS
    config.inspected = ()  # names of generators; empty: all of the zoo
    config.calibrations = ""  # path with {inspected} and {method} in it; empty: the zoo's own
    config.num_images = 100  # belonging images, and images of each foreign group
    config.edits = ("clean",)  # names as in jax_origin.images.EDITS; all groups are edited alike
    config.seed = 0  # test images and starting points, apart from any calibration's
    config.cache = "~/.cache/jax_origin"  # folder of compiled programs; "": none are kept
    # Foreign images besides the other generators': name to file or folder inside --data (npz with
    # x, or with jpeg and offsets; or a folder of images); an empty one is left out. All three are
    # JPEG files, which the generators' own images are not.
    config.sets = ml_collections.ConfigDict()
    config.sets["cifar10-test"] = "cifar10_test_10k_jpegbytes.npz"  # photographs, not trained on
    config.sets["cifake"] = "cifake_sd14_fake_10k_jpegbytes.npz"  # made by Stable Diffusion 1.4
    config.sets["tiny-imagenet"] = "tinyimagenet32_val_10k_jpegbytes.npz"  # other photographs
    return config
