"""Small diffusion model at 32 px on CIFAR-10's training images, sampled by 20 steps of DDIM.

python scripts/train_generator.py --config=configs/train/ddim_cifar10.py --config.data=IMAGES
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = ml_collections.ConfigDict()
    config.steps = 10_000  # when training is done
    config.name = "ddim-cifar10"  # what the trained generator is called
    # for the card: what the generator is good for
    config.good_for = (
        "the family of diffusion models: the latent is noise of the image's own shape, an image "
        "takes twenty evaluations of the network, and its gradient goes through all of them"
    )
    # for the card: what the images are
    config.data_description = (
        "CIFAR-10 training images, as JPEG copies about 30 dB from the originals"
    )
    config.kind = "ddim"  # architecture, one of jax_origin.generators.KINDS
    config.generator = ml_collections.ConfigDict()  # the architecture's arguments
    config.generator.image_size = 32
    config.generator.num_steps = 20  # of the sampler, each an evaluation of the network
    config.generator.unet = ml_collections.ConfigDict()
    config.generator.unet.widths = (16, 32, 64, 64)  # channels at 32, 16, 8 and 4 px
    config.generator.unet.blocks = 1
    config.generator.unet.attention = (2,)  # at 8 px
    config.generator.unet.scale_shift = True
    config.generator.unet.embedding_channels = 128
    config.generator.unet.norm_groups = 8
    config.generator.unet.middle_norm_groups = 8
    config.generator.schedule = ml_collections.ConfigDict()
    config.generator.schedule.beta_schedule = "squaredcos_cap_v2"
    config.generator.schedule.prediction_type = "v_prediction"
    config.generator.schedule.timestep_spacing = "trailing"  # begins at the last time, pure noise
    config.task = "diffusion"  # objective, one of jax_origin.training.TASKS
    config.task_options = ml_collections.ConfigDict()  # the objective's arguments
    config.task_options.steps = config.get_ref("steps")  # the learning rate falls over all of them
    config.task_options.learning_rate = 1e-3
    config.task_options.average_decay = 0.999

    config.data = ""  # folder of images, or npz with x, or with jpeg and offsets
    config.start = 0  # first image used
    config.stop = 50_000  # one past the last image used
    config.batch_size = 32  # images a step
    config.seed = 0  # weights, order of images, noise
    config.checkpoint_every = 500  # steps between checkpoints
    config.grid_every = 1_000  # steps between sample grids
    config.log_every = 50  # steps between lines of losses.csv
    return config
