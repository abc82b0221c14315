"""StyleGAN2 at 32 px on CIFAR-10's training images.

python scripts/train_generator.py --config=configs/train/stylegan2_cifar10.py --config.data=IMAGES
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = ml_collections.ConfigDict()
    config.name = "stylegan2-cifar10"  # what the trained generator is called
    # for the card: what the generator is good for
    config.good_for = (
        "trying out and testing the StyleGAN2 family: a mapping network, modulated convolutions, "
        "inversion in z, w or w+; its images are objects at a glance"
    )
    # for the card: what the images are
    config.data_description = (
        "CIFAR-10 training images, all 50,000, as JPEG copies about 30 dB from the originals"
    )
    config.kind = "stylegan2_ada"  # architecture, one of jax_origin.generators.KINDS
    config.generator = ml_collections.ConfigDict()  # the architecture's arguments
    config.generator.image_size = 32
    config.generator.widths = (128, 128, 64, 32)  # channels at 4, 8, 16 and 32 px
    config.generator.z_dim = 96
    config.generator.w_dim = 96
    config.generator.mapping_layers = 2
    config.generator.noise_mode = "none"
    config.generator.latent_space = "w"  # what is inverted; the training draws z all the same
    config.task = "gan"  # objective, one of jax_origin.training.TASKS
    config.task_options = ml_collections.ConfigDict()  # the objective's arguments
    config.task_options.discriminator_width = 48
    config.task_options.learning_rate = 2e-3  # the weights are of deviation 1, and scaled in use
    config.task_options.discriminator_learning_rate = 1e-3  # at 2e-4 it learns too slowly
    config.task_options.batch_norm = False  # in the discriminator; it would win at once
    config.task_options.gradient_penalty = 0.05
    config.task_options.average_decay = 0.999

    config.data = ""  # folder of images, or npz with x, or with jpeg and offsets
    config.start = 0  # first image used
    config.stop = 50_000  # one past the last image used
    config.batch_size = 32  # images a step
    config.steps = 12_000  # when training is done
    config.seed = 0  # weights, order of images, noise
    config.checkpoint_every = 500  # steps between checkpoints
    config.grid_every = 500  # steps between sample grids
    config.log_every = 50  # steps between lines of losses.csv
    return config
