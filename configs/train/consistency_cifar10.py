"""Consistency model at 32 px: the zoo's diffusion model, distilled into one step.

python scripts/train_generator.py --config=configs/train/consistency_cifar10.py --config.data=IMAGES
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = ml_collections.ConfigDict()
    config.steps = 4_000  # when training is done
    config.name = "consistency-cifar10"  # what the trained generator is called
    # for the card: what the generator is good for
    config.good_for = (
        "the family of consistency models: the latent is noise of the image's own shape, as a "
        "diffusion model's is, and an image takes one evaluation of the network"
    )
    # for the card: what the images are
    config.data_description = (
        "CIFAR-10 training images, as JPEG copies about 30 dB from the originals"
    )
    config.kind = "consistency"  # architecture, one of jax_origin.generators.KINDS
    config.generator = ml_collections.ConfigDict()  # the architecture's arguments
    config.generator.image_size = 32
    config.generator.sigmas = (80.0,)  # of the steps: one, from noise of this deviation
    config.generator.sigma_min = 0.002  # the noise that an image is said to have
    config.generator.sigma_data = 1.0  # so that a teacher that predicts v is where it begins
    config.generator.unet = ml_collections.ConfigDict()  # the teacher's, whose weights it takes
    config.generator.unet.widths = (16, 32, 64, 64)  # channels at 32, 16, 8 and 4 px
    config.generator.unet.blocks = 1  # residual blocks a level on the way down
    config.generator.unet.attention = (2,)  # at 8 px
    config.generator.unet.scale_shift = True  # how the time enters each block
    config.generator.unet.embedding_channels = 128  # of the time
    config.generator.unet.norm_groups = 8
    config.generator.unet.middle_norm_groups = 8
    config.task = "consistency"  # objective, one of jax_origin.training.TASKS
    config.task_options = ml_collections.ConfigDict()  # the objective's arguments
    config.task_options.teacher = "ddim-cifar10"  # a name of the zoo, or a generator's directory
    config.task_options.steps = config.get_ref("steps")  # the learning rate falls over all of them
    config.task_options.levels = 18  # noise levels; from each one the teacher leads to the next
    config.task_options.learning_rate = 1e-3  # Adam's, at its peak
    config.task_options.target_decay = 0.95  # of the averaged weights that the student follows
    config.task_options.average_decay = 0.999  # of the averaged weights that are kept

    config.data = ""  # folder of images, or npz with x, or with jpeg and offsets
    config.start = 0  # first image used
    config.stop = 50_000  # one past the last image used
    config.batch_size = 32  # images a step
    config.seed = 0  # order of images, noise
    config.checkpoint_every = 250  # steps between checkpoints
    config.grid_every = 500  # steps between sample grids
    config.log_every = 50  # steps between lines of losses.csv
    return config
