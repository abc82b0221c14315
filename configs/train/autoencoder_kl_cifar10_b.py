r"""The same KL autoencoder on the other half of CIFAR-10's training images: a twin.

python scripts/train_generator.py --config=configs/train/autoencoder_kl_cifar10_b.py \
  --config.data=IMAGES
"""

import pathlib
import runpy

import ml_collections

_FIRST_HALF = pathlib.Path(__file__).with_name("autoencoder_kl_cifar10.py")


def get_config() -> ml_collections.ConfigDict:
    """The first half's configuration, but for the images and the seed."""
    config = runpy.run_path(str(_FIRST_HALF))["get_config"]()
    config.name = "autoencoder-kl-cifar10-b"
    # for the card: what the generator is good for
    config.good_for = (
        "a hard foreign group for autoencoder-kl-cifar10: same architecture, other half of the "
        "training images"
    )
    # for the card: what the images are
    config.data_description = (
        "CIFAR-10 training images 25,000 to 49,999, as JPEG copies about 30 dB from the originals"
    )
    config.start = 25_000
    config.stop = 50_000
    config.seed = 1
    return config
