"""Attribution of image files, and the demonstration.

jax-origin attribute --config=MY_COPY.py --config.images=DIR
"""

import ml_collections
from ml_collections import config_dict


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = ml_collections.ConfigDict()
    config.generator = "dcgan-cifar10"  # a zoo name, a directory, or a .safetensors file
    config.kind = config_dict.placeholder(str)  # which architecture a .safetensors file holds
    config.images = config_dict.placeholder(str)  # folder, glob or file; None: a demonstration
    config.calibration = config_dict.placeholder(str)  # file; None: the one that the zoo ships
    config.method = config_dict.placeholder(str)  # None: the calibration's, "origin" in the zoo
    config.alpha = config_dict.placeholder(float)  # rate of false exclusion; None: the method's
    config.beta = config_dict.placeholder(float)  # rate of false attribution; None: the method's
    # Rate that false attribution keeps under in each foreign group, with 95% confidence by exact
    # counts; refused where the calibration has too few independent negatives. None: beta alone.
    config.max_false_attribution = config_dict.placeholder(float)
    config.reference = config_dict.placeholder(str)  # reference generator, if calibrated with one
    config.resize = False  # resize images of another size, and say so in their records
    # Folder for verdicts.jsonl, contact_sheet.png and run.json. None: the first of runs/attribute,
    # runs/attribute-2, ... that is free or holds this very run.
    config.workdir = config_dict.placeholder(str)
    config.seed = 1  # starting points; the demonstration's images
    config.full_scores = False  # go on inverting images that are sure to belong
    # Blocks of lanes on each device at a time; None: as many as its memory holds. No verdict
    # depends on it.
    config.blocks = config_dict.placeholder(int)
    config.cache = "~/.cache/jax_origin"  # folder of compiled programs; "": none are kept
    config.sheet_images = 60  # how many images the contact sheet shows at the most
    return config
