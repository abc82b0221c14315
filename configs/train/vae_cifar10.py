"""Convolutional VAE at 32 px on CIFAR-10's training images.

python scripts/train_generator.py --config=configs/train/vae_cifar10.py --config.data=IMAGES
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = ml_collections.ConfigDict()
    config.steps = 5_000  # when training is done
    config.name = "vae-cifar10"  # what the trained generator is called
    # for the card: what the generator is good for
    config.good_for = (
        "the family of generators that are easy to invert: smooth images, a latent of 64, an "
        "encoder to start from"
    )
    # for the card: what the images are
    config.data_description = (
        "CIFAR-10 training images, as JPEG copies about 30 dB from the originals"
    )
    config.kind = "vae"  # architecture, one of jax_origin.generators.KINDS
    config.generator = ml_collections.ConfigDict()  # the architecture's arguments
    config.generator.image_size = 32
    config.generator.latent_dim = 64
    config.generator.width = 48
    config.task = "vae"  # objective, one of jax_origin.training.TASKS
    config.task_options = ml_collections.ConfigDict()  # the objective's arguments
    config.task_options.steps = config.get_ref("steps")  # the learning rate falls over all of them
    config.task_options.learning_rate = 1e-3
    config.task_options.beta = 12.0

    config.data = ""  # folder of images, or npz with x, or with jpeg and offsets
    config.start = 0  # first image used
    config.stop = 50_000  # one past the last image used
    config.batch_size = 64  # images a step
    config.seed = 0  # weights, order of images, noise
    config.checkpoint_every = 500  # steps between checkpoints
    config.grid_every = 500  # steps between sample grids
    config.log_every = 50  # steps between lines of losses.csv
    return config
