"""The zoo's autoencoders at 32 px, by five methods, in every kind of file.

python scripts/evaluate.py --config=configs/evaluate/latent/zoo.py --data=DIR --out=FILE.json

Own images are reencoded photographs. Foreign ones are such images of the other autoencoders, and
photographs. AEROBLADE's pass is compared by mean squared error, for which no weights are needed;
with those of LPIPS, --config.methods="(jax_origin.aeroblade(FILE),)" from Python.
"""

import ml_collections

from benchmarks.settings import evaluation_config
from jax_origin import Method, Rates, Recipe, Stage, decision_rules, solvers, starts

EDITS = (
    *("clean", "jpeg-95", "jpeg-90", "jpeg-75", "jpeg-60", "jpeg-50", "webp-80"),
    "resize-0.5",
)
ONE_PASS = Method(
    "one-pass",
    Recipe(
        start=starts.Encoded(sampled=True),
        stages=(Stage(solvers.Measure(), steps=1),),
        lane_block=8,
    ),
    decision=decision_rules.Published(),
    rates=Rates(0.05),
    floor=0.0,
)


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = evaluation_config()
    config.title = "Autoencoders of 32 px"
    config.methods = ("origin", "aedr", ONE_PASS, "latent_tracer", "ronan")
    config.inspected = (
        *("autoencoder-kl-cifar10", "autoencoder-kl-cifar10-b"),
        *("autoencoder-tiny-cifar10", "vq-cifar10"),
    )
    config.others = "alike"
    config.edits = EDITS
    config.reencoded.tests = "cifar10_test_10k_jpegbytes.npz#0/2"
    config.reencoded.calibrations = "cifar10_train_50k_jpegbytes.npz"
    config.sets = {
        "cifar10": "cifar10_lossless_4k.npz",
        "tiny-imagenet": "tinyimagenet32_val_10k_jpegbytes.npz#0/2",
    }
    config.seed = 3
    return config
