"""An audit: several candidates, many images.

jax-origin audit --config=MY_COPY.py --config.images=DIR --config.out=runs/audit
"""

import ml_collections
from ml_collections import config_dict


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = ml_collections.ConfigDict()
    config.candidates = ()  # zoo names or directories, DIR=CALIBRATION; (): all of the zoo
    config.images = config_dict.placeholder(str)  # folder, glob or file; None: a demonstration
    config.alpha = 0.01  # rate of false exclusion, for each candidate
    config.beta = 0.01  # rate of false attribution, for each candidate
    config.fdr = 0.05  # false discovery rate of exclusions, and of attributions, over all images
    # "bh" or "by": Benjamini and Hochberg's procedure, or Benjamini and Yekutieli's, which allows
    # any dependence between tests. None: the first where it is proven, the second elsewhere.
    config.fdr_procedure = config_dict.placeholder(str)
    config.resize = False  # resize images of another size, and say so in their records
    # Folder for findings.jsonl, findings.md, and each candidate's records. None: the first of
    # runs/audit, runs/audit-2, ... that is free or holds this very audit.
    config.out = config_dict.placeholder(str)
    config.seed = 1  # starting points; the demonstration's images
    # Blocks of lanes on each device at a time; None: as many as its memory holds. No verdict
    # depends on it.
    config.blocks = config_dict.placeholder(int)
    config.cache = "~/.cache/jax_origin"  # folder of compiled programs; "": none are kept
    return config
