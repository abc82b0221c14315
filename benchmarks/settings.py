"""The settings that every evaluation has; a file under configs/evaluate/ changes some of them."""

import ml_collections
from ml_collections import config_dict


def evaluation_config() -> ml_collections.ConfigDict:
    """The settings, each with a default; every field can be overridden on the command line."""
    config = ml_collections.ConfigDict()
    config.title = "An evaluation"  # stands over the tables
    # Names in jax_origin.METHODS, or methods of your own: jax_origin.Method, each with its name.
    config.methods = ("ronan", "origin")
    # Generators besides the zoo's, as ({"name": "mine", "source": PATH, "kind": "stylegan2_ada",
    # "config": {"label": 3}},): what jax_origin.load_generator takes; kind and config may be left
    # out. {data} in a source stands for --data.
    config.generators = ()
    config.inspected = ()  # names of generators; empty: those above, or without any all of the zoo
    # Foreign generators: "all", "none", "same_architecture", "other_architectures" or "alike" (with
    # a prior, as the inspected one has it, or without).
    config.others = "all"
    # Foreign images besides the generators': name to file or folder inside --data (npz with x, or
    # with jpeg and offsets; or a folder of images); an empty one is left out. All three are JPEG
    # files already, which the generators' own images are not.
    config.sets = ml_collections.ConfigDict()
    config.sets["cifar10-test"] = "cifar10_test_10k_jpegbytes.npz"  # photographs, not trained on
    config.sets["cifake"] = "cifake_sd14_fake_10k_jpegbytes.npz"  # made by Stable Diffusion 1.4
    config.sets["tiny-imagenet"] = "tinyimagenet32_val_10k_jpegbytes.npz"  # other photographs
    # What generators without a prior, such as autoencoders, make images of: archives inside --data,
    # for tests and for calibrations that are made. Empty: such a generator is no foreign group. A
    # part of an archive is written FILE#1/3: see benchmarks.sampling.chosen_images.
    config.reencoded = ml_collections.ConfigDict({"tests": "", "calibrations": ""})
    # Foreign images for calibrations that are made, beside generators' and plain pictures; as sets.
    config.calibration_sets = ml_collections.ConfigDict()
    # A group of crops of photographs that scikit-image ships, others than the calibrations'.
    config.photographs = False
    # Groups of pictures that say little: each kind that is drawn, and the sets blurred or faded.
    config.plain = False
    config.edits = ("clean",)  # names as in jax_origin.images.EDITS; all groups are edited alike
    config.num_images = 100  # belonging images, and images of each foreign group
    config.num_belonging = config_dict.placeholder(int)  # belonging images; None: num_images
    # A path with {inspected} and {method} in it. Empty: the zoo's own; where it has none, one is
    # made as scripts/calibrate.py does, and kept beside the scores.
    config.calibrations = ""
    # Images of each group of a calibration that is made; None: the method's own number.
    config.num_calibration = config_dict.placeholder(int)
    # A generator, by its name: methods with the score "reference_ratio" divide by its losses.
    config.reference = config_dict.placeholder(str)
    # Numbers of belonging scores to calibrate with, drawn from those of the belonging images: what
    # p alone does then; empty: nothing of it. See benchmarks.calibration_size.
    config.calibration_sizes = ()
    config.alphas = (0.01, 0.05, 0.1)  # rates of false exclusion asked for there
    # How many times the sources of each foreign group are halved, to calibrate with one half and
    # decide on the other. Errors on all fresh images are then counted as well, and what likelihood
    # ratios cost. 0: nothing of it. See benchmarks.fresh_sources and ratio_costs.
    config.source_splits = 0
    config.split_rate = 0.05  # beta there; the calibrations' own rates hold for all fresh images
    config.picture = "scores"  # or "methods", or "sizes": see benchmarks/evaluation_picture.py
    # Test images and starting points, apart from any calibration's. The recipe was chosen with the
    # images of seeds 0 and 1 in sight; those of 2 were first looked at when it was settled.
    config.seed = 2
    config.cache = "~/.cache/jax_origin"  # learned starts, compiled programs; "": none are kept
    return config


def without_sets(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """The settings with the sets left out, which need --data; photographs stand in for them."""
    for name in config.sets:
        config.sets[name] = ""
    config.photographs = True
    return config
