"""DCGAN at 32 px on the first half of CIFAR-10's training images.

python scripts/train_generator.py --config=configs/train/dcgan_cifar10.py --config.data=IMAGES
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = ml_collections.ConfigDict()
    config.name = "dcgan-cifar10"  # what the trained generator is called
    # for the card: what the generator is good for
    config.good_for = (
        "trying out, testing and timing: a small GAN whose images are objects at a glance; "
        "its twin dcgan-cifar10-b is the hard foreign group"
    )
    # for the card: what the images are
    config.data_description = (
        "CIFAR-10 training images 0 to 24,999, as JPEG copies about 30 dB from the originals"
    )
    config.kind = "dcgan"  # architecture, one of jax_origin.generators.KINDS
    config.generator = ml_collections.ConfigDict()  # the architecture's arguments
    config.generator.image_size = 32
    config.generator.latent_dim = 100
    config.generator.width = 64
    config.task = "gan"  # objective, one of jax_origin.training.TASKS
    config.task_options = ml_collections.ConfigDict()  # the objective's arguments
    config.task_options.discriminator_width = 48
    config.task_options.learning_rate = 2e-4
    config.task_options.average_decay = 0.999

    config.data = ""  # folder of images, or npz with x, or with jpeg and offsets
    config.start = 0  # first image used
    config.stop = 25_000  # one past the last image used
    config.batch_size = 64  # images a step
    config.steps = 8_000  # when training is done
    config.seed = 0  # weights, order of images, noise
    config.checkpoint_every = 500  # steps between checkpoints
    config.grid_every = 500  # steps between sample grids
    config.log_every = 50  # steps between lines of losses.csv
    return config
