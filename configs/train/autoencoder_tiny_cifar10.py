r"""Tiny autoencoder at 32 px, in the latents of the zoo's first KL autoencoder.

Train the teacher first, or name where it lies: --config.task_options.teacher=DIRECTORY.

python scripts/train_generator.py --config=configs/train/autoencoder_tiny_cifar10.py \
  --config.data=IMAGES
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = ml_collections.ConfigDict()
    config.steps = 1_600  # when training is done
    config.name = "autoencoder-tiny-cifar10"  # what the trained generator is called
    # for the card: what the generator is good for
    config.good_for = (
        "the family of TAESD: another decoder and encoder for the latents of "
        "autoencoder-kl-cifar10, whose hard foreign group it is as well"
    )
    # for the card: what the images are
    config.data_description = (
        "CIFAR-10 training images 0 to 24,999, as JPEG copies about 30 dB from the originals"
    )
    config.kind = "autoencoder_tiny"  # architecture, one of jax_origin.generators.KINDS
    config.generator = ml_collections.ConfigDict()  # the architecture's arguments
    config.generator.image_size = 32
    config.generator.latent_channels = 4
    # layers and the channels that each makes; a block is three convolutions
    config.generator.encoder = (
        *(("conv", 16), ("block", 16), ("down", 32), ("block", 32), ("down", 64)),
        *(("block", 64), ("block", 64), ("conv", 4)),
    )
    config.generator.decoder = (
        *(("conv_relu", 64), ("block", 64), ("block", 64), ("up", 32), ("block", 32)),
        *(("up", 16), ("block", 16), ("conv", 3)),
    )
    config.task = "autoencoder_tiny"  # objective, one of jax_origin.training.TASKS
    config.task_options = ml_collections.ConfigDict()  # the objective's arguments
    # a name of the zoo, or a generator's directory
    config.task_options.teacher = "autoencoder-kl-cifar10"
    config.task_options.steps = config.get_ref("steps")  # the learning rate falls over all of them
    config.task_options.learning_rate = 1e-3  # Adam's, at its peak
    config.task_options.average_decay = 0.99  # of the averaged weights that are kept

    config.data = ""  # folder of images, or npz with x, or with jpeg and offsets
    config.start = 0  # first image used
    config.stop = 25_000  # one past the last image used
    config.batch_size = 32  # images a step
    config.seed = 0  # weights, order of images
    config.checkpoint_every = 250  # steps between checkpoints
    config.grid_every = 500  # steps between grids of reconstructions
    config.log_every = 50  # steps between lines of losses.csv
    return config
