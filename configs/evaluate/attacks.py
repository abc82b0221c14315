"""Attacks on the verdicts of generators of the zoo, each at several budgets of visible change.

python scripts/evaluate.py --config=configs/evaluate/attacks.py --out=FILE.json

Photographs of your own: --data=DIR --config.photographs=FILE.npz, or a folder inside DIR.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = ml_collections.ConfigDict()
    config.study = "attacks"  # the module of benchmarks/ that runs it
    config.title = "What an adversary can do, and at what visible cost"  # stands over the table
    config.inspected = ("dcgan-cifar10", "vae-cifar10")  # generators of the zoo
    # Own images pass through the first of these that is not the inspected one.
    config.others = ("vae-cifar10", "dcgan-cifar10")
    config.num_own = 60  # own images that are attacked
    config.num_photographs = 60
    # npz archive or folder inside --data, of the generators' image size. Empty: crops of the few
    # photographs that scikit-image ships, others than the calibrations'.
    config.photographs = ""
    config.budgets = (40.0, 36.0, 32.0)  # PSNR to the original, dB
    # A path with {inspected} and {method} in it. Empty: the zoo's own.
    config.calibrations = ""
    config.seed = 2  # images, starting points, noise
    config.cache = "~/.cache/jax_origin"  # compiled programs; "": none are kept
    return config
