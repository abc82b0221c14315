r"""KL autoencoder of latent diffusion at 32 px, on the first half of CIFAR-10's training images.

python scripts/train_generator.py --config=configs/train/autoencoder_kl_cifar10.py \
  --config.data=IMAGES
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = ml_collections.ConfigDict()
    config.steps = 1_600  # when training is done
    config.name = "autoencoder-kl-cifar10"  # what the trained generator is called
    # for the card: what the generator is good for
    config.good_for = (
        "the autoencoders of latent diffusion models: 12 numbers of an image for one of its "
        "latent, as FLUX.1's has; its twin autoencoder-kl-cifar10-b is the hard foreign group"
    )
    # for the card: what the images are
    config.data_description = (
        "CIFAR-10 training images 0 to 24,999, as JPEG copies about 30 dB from the originals"
    )
    config.kind = "autoencoder_kl"  # architecture, one of jax_origin.generators.KINDS
    config.generator = ml_collections.ConfigDict()  # the architecture's arguments
    config.generator.image_size = 32
    config.generator.latent_channels = 4
    config.generator.widths = (16, 32, 96)  # channels at 32, 16 and 8 px
    config.generator.blocks = 1  # residual blocks a level of the encoder; the decoder has two
    config.generator.groups = 8  # of each norm
    config.task = "autoencoder"  # objective, one of jax_origin.training.TASKS
    config.task_options = ml_collections.ConfigDict()  # the objective's arguments
    config.task_options.steps = config.get_ref("steps")  # the learning rate falls over all of them
    config.task_options.learning_rate = 2e-3  # Adam's, at its peak
    config.task_options.average_decay = 0.99  # of the averaged weights that are kept
    config.task_options.kl_weight = 1e-6  # of the divergence, as in latent diffusion

    config.data = ""  # folder of images, or npz with x, or with jpeg and offsets
    config.start = 0  # first image used
    config.stop = 25_000  # one past the last image used
    config.batch_size = 32  # images a step
    config.seed = 0  # weights, order of images, noise
    config.checkpoint_every = 250  # steps between checkpoints
    config.grid_every = 500  # steps between grids of reconstructions
    config.log_every = 50  # steps between lines of losses.csv
    return config
