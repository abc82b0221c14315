"""Autoencoder with a codebook, VQGAN's without the GAN, at 32 px on CIFAR-10's training images.

python scripts/train_generator.py --config=configs/train/vq_cifar10.py --config.data=IMAGES
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = ml_collections.ConfigDict()
    config.steps = 1_600  # when training is done
    config.name = "vq-cifar10"  # what the trained generator is called
    # for the card: what the generator is good for
    config.good_for = (
        "the autoencoders with a codebook, as VQGAN's: an image it made is 64 of 1,024 vectors"
    )
    # for the card: what the images are
    config.data_description = (
        "CIFAR-10 training images, all 50,000, as JPEG copies about 30 dB from the originals"
    )
    config.kind = "vq_model"  # architecture, one of jax_origin.generators.KINDS
    config.generator = ml_collections.ConfigDict()  # the architecture's arguments
    config.generator.image_size = 32
    config.generator.latent_channels = 4
    config.generator.codes = 1_024  # vectors in the codebook
    config.generator.widths = (16, 32, 96)  # channels at 32, 16 and 8 px
    config.generator.blocks = 1  # residual blocks a level of the encoder; the decoder has two
    config.generator.groups = 8  # of each norm
    config.task = "autoencoder_vq"  # objective, one of jax_origin.training.TASKS
    config.task_options = ml_collections.ConfigDict()  # the objective's arguments
    config.task_options.steps = config.get_ref("steps")  # the learning rate falls over all of them
    config.task_options.learning_rate = 2e-3  # Adam's, at its peak
    config.task_options.average_decay = 0.99  # of the averaged weights that are kept
    config.task_options.commitment = 0.25  # weight of the encodings' distance from their codes
    config.task_options.patience = 50  # steps unused after which a code is drawn anew

    config.data = ""  # folder of images, or npz with x, or with jpeg and offsets
    config.start = 0  # first image used
    config.stop = 50_000  # one past the last image used
    config.batch_size = 32  # images a step
    config.seed = 0  # weights, order of images, draws of codes
    config.checkpoint_every = 250  # steps between checkpoints
    config.grid_every = 500  # steps between grids of reconstructions
    config.log_every = 50  # steps between lines of losses.csv
    return config
