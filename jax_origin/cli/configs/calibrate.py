"""A calibration for a generator.

jax-origin calibrate --config=MY_COPY.py --config.generator=DIR
"""

import ml_collections
from ml_collections import config_dict


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = ml_collections.ConfigDict()
    config.generator = "dcgan-cifar10"  # a zoo name, a directory, or a .safetensors file
    config.kind = config_dict.placeholder(str)  # which architecture a .safetensors file holds
    config.method = "origin"  # a name in jax_origin.METHODS; "origin" as the family has it
    config.reference = config_dict.placeholder(str)  # reference generator: score by loss ratio
    config.alpha = config_dict.placeholder(float)  # rates that it is to be used with; None: the
    config.beta = config_dict.placeholder(float)  # method's
    # Images of the generator's own, and of each foreign group at the most; None: the method's own.
    config.num_belonging = config_dict.placeholder(int)
    config.num_foreign = config_dict.placeholder(int)
    # Edits to calibrate under besides images as made, names as in jax_origin.images.EDITS, and
    # settings of the generator, such as "('jpeg-90', 'webp-80', 'truncation_psi=0.7')"; None: the
    # method's own, "()": none.
    config.conditions = config_dict.placeholder(tuple)
    # Beside foreign groups that are named, those that a zoo generator has without any.
    config.standard_foreign = False
    config.futility = False  # give images up that fall more slowly than belonging ones do
    config.seed = 0  # images and starting points
    # Blocks of lanes on each device at a time; None: as many as its memory holds.
    config.blocks = config_dict.placeholder(int)
    config.cache = "~/.cache/jax_origin"  # learned starts, compiled programs; "": none kept
    config.out = config_dict.placeholder(str)  # None: runs/calibrate/<generator>-<method>.json
    return config
