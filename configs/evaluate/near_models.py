"""Copies of generators of the zoo under the originals' calibrations: how near is too near.

python scripts/evaluate.py --config=configs/evaluate/near_models.py --data=DIR --out=FILE.json

Without --data nothing is trained, and the tables say so.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = ml_collections.ConfigDict()
    config.study = "near_models"  # the module of benchmarks/ that runs it
    config.title = "How near two models may be and still be told apart"  # stands over the table
    config.inspected = ("dcgan-cifar10", "vae-cifar10")  # generators of the zoo
    config.num_images = 60  # of each copy, of the same latents
    # Each weight is multiplied by 1 + share * n, n standard normal.
    config.jitters = (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
    # Copies by further training: what it is called, and the file inside --data of the images. One
    # that is not there is left out, and so is training of other generators than GANs and VAEs.
    config.sets = ml_collections.ConfigDict()
    config.sets["its own data"] = "cifar10_train_50k_jpegbytes.npz"
    config.sets["other data"] = "tinyimagenet32_val_10k_jpegbytes.npz"
    config.num_training = 10_000  # the first images of each file
    # After which a copy is taken; 64 images a step. At 0 a GAN's batch statistics are measured
    # anew, and nothing else changes.
    config.training_steps = (0, 10, 100)
    # A path with {inspected} and {method} in it. Empty: the zoo's own.
    config.calibrations = ""
    config.seed = 2  # latents, starting points, jitter
    config.cache = "~/.cache/jax_origin"  # compiled programs; "": none are kept
    return config
