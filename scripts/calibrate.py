"""Makes a calibration: scores of a generator's own images, and of foreign ones.

python scripts/calibrate.py --generator=DIR --foreign photos=DIR --foreign other=FILE.npz --out=FILE

Without --foreign, a zoo generator is calibrated against the zoo's other generators and photographs,
where the method looks at foreign images at all; with --standard_foreign also beside --foreign. So
were the calibrations that the zoo ships, but for ddim-cifar10's: docs/diffusion.md has its command.
"""

import pathlib

import jax
import numpy as np
import tqdm
from absl import app, flags
from ml_collections import ConfigDict, config_flags

from jax_origin.calibrating import ENCODER_TAG, calibrate, evaluations_to_calibrate
from jax_origin.calibration import CalibrationError, shared_images
from jax_origin.checkpoints import CheckpointError
from jax_origin.command import command, overridden
from jax_origin.foreign_images import ForeignImages
from jax_origin.images import ImageError, jpeg_share, load_images
from jax_origin.inversion import StartTraining, learn_start
from jax_origin.methods import get_method
from jax_origin.runtime import keep_compiled_programs
from jax_origin.zoo import load_generator, standard_foreign, zoo_names

_CONFIGS = pathlib.Path(__file__).parent.parent / "configs"
_CONFIG = config_flags.DEFINE_config_file(
    "config", str(_CONFIGS / "calibrate.py"), "All settings; the flags below override them."
)
_FOREIGN = flags.DEFINE_multi_string(
    "foreign", [], "A foreign group, name=DIR (or an npz of images); repeatable."
)
_USED_FOR = flags.DEFINE_multi_string(
    "used_for",
    [],
    "A choice that the foreign images took part in (a recipe, a threshold), as group=WORD, or WORD "
    "for all groups: they get no limit on false attribution; repeatable.",
)
_OVERRIDES = [
    flags.DEFINE_string("generator", None, "Zoo name, directory, or .safetensors file."),
    flags.DEFINE_string("kind", None, "Which architecture a .safetensors file holds."),
    flags.DEFINE_string("method", None, "origin or ronan, or another of jax_origin.METHODS."),
    flags.DEFINE_string("reference", None, "Reference generator: score by the ratio of losses."),
    flags.DEFINE_bool(
        "standard_foreign", None, "Beside --foreign, the groups that a zoo generator has without."
    ),
    flags.DEFINE_bool(
        "futility", None, "Give up images that fall more slowly than belonging ones."
    ),
    flags.DEFINE_integer("num_belonging", None, "Images of the generator's own.", 1),
    flags.DEFINE_integer("num_foreign", None, "Images of each foreign group at the most.", 1),
    flags.DEFINE_integer("seed", None, "For images and starting points."),
    flags.DEFINE_string("out", None, "The calibration file to write."),
]


@command("calibrate", CalibrationError, CheckpointError, ImageError)
def main() -> None:
    """Reads the flags, calibrates, and saves."""
    config = overridden(_CONFIG.value, _OVERRIDES)
    keep_compiled_programs(config.cache)
    run(config, _FOREIGN.value, _USED_FOR.value)


def run(config: ConfigDict, foreign: list[str], used_for: list[str]) -> None:
    """Makes the calibration that the config describes."""
    generator = load_generator(config.generator, kind=config.kind)
    try:
        method = get_method(config.method, generator)
    except ValueError as error:
        raise CalibrationError(str(error)) from None
    num_own, num_foreign = (
        method.num_images if num is None else num
        for num in (config.num_belonging, config.num_foreign)
    )
    reference = load_generator(config.reference) if config.reference else None
    key = jax.random.key(config.seed)
    size = generator.image_shape[:2]
    groups: dict[str, ForeignImages] = {}
    if num_own < 1:
        raise CalibrationError(f"num_belonging must be at least 1, not {num_own}")
    channels = generator.image_shape[2]
    if foreign and channels != 3:
        raise CalibrationError(
            f"{generator.name!r} makes images of {channels} channels; files are read as RGB: use "
            "jax_origin.calibrate with arrays"
        )
    for entry in foreign:
        name, _, where = entry.partition("=")
        if not name or not where:
            raise CalibrationError(f"--foreign={entry}: write name=DIR")
        if name in groups:
            raise CalibrationError(f"--foreign={entry}: there is a group {name!r} already")
        images = load_images(where, size=size)
        order = jax.random.permutation(jax.random.fold_in(key, 2), len(images))
        chosen = images[order[:num_foreign]]
        groups[name] = ForeignImages(chosen)
        if jpeg_share(where) == 1:
            print(
                f"warning: all files of {name!r} are JPEG, and the generator's own images are not: "
                "what tells them apart may be the format. Give foreign images that were never "
                "stored with loss, or judge JPEG files by this calibration alone"
            )
    in_zoo = config.generator in zoo_names()
    if config.standard_foreign and not in_zoo:
        raise CalibrationError(
            f"--standard_foreign: {config.generator!r} is not of the zoo, whose generators are "
            f"{', '.join(zoo_names())}; name its groups with --foreign"
        )
    if (config.standard_foreign or not foreign) and in_zoo and method.beta is not None:
        key_of_images = jax.random.fold_in(key, 2)
        standard = standard_foreign(config.generator, num_foreign, key=key_of_images)
        if twice := sorted(groups.keys() & standard.keys()):
            raise CalibrationError(f"--foreign={twice[0]}=...: a standard group is called so")
        groups |= {n: ForeignImages(images, sources=s) for n, (images, s) in standard.items()}
    for entry in used_for:
        named, given, word = entry.rpartition("=")
        if not word or not groups or (given and named not in groups):
            raise CalibrationError(
                f"--used_for={entry}: write WORD, or GROUP=WORD with a group of "
                f"{', '.join(groups) or 'those that there are (none)'}"
            )
        for name in [named] if given else groups:
            groups[name] = groups[name]._replace(used_for=(*groups[name].used_for, word))
    out = config.out or f"runs/calibrate/{generator.name}-{method.name}.json"
    try:  # Now, not when the work is done.
        pathlib.Path(out).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CalibrationError(f"{out}: cannot be written ({error.strerror})") from None
    evaluations = evaluations_to_calibrate(
        method,
        [generator] if reference is None else [generator, reference],
        num_belonging=num_own,
        num_foreign=sum(len(group.images) for group in groups.values()),
        conditions=config.conditions,
        futility=config.futility,
    )
    learned = None
    if method.inversion.start == "learned":
        training = StartTraining()
        with tqdm.tqdm(total=training.steps, desc="learned start", unit="step") as bar:
            learned = learn_start(
                generator,
                training,
                key=jax.random.fold_in(key, ENCODER_TAG),
                cache=config.cache or None,
                progress=bar.update,
            )
    with tqdm.tqdm(total=evaluations, unit="evaluation") as bar:
        calibration = calibrate(
            generator,
            method=method,
            num_belonging=num_own,
            foreign=groups,
            conditions=config.conditions,
            reference=reference,
            learned=learned,
            futility=config.futility,
            key=key,
            seed=config.seed,
            progress=bar.update,
        )
    calibration.save(out)
    for name, scores in calibration.belonging_by_condition.items():
        print(f"belonging, {name}: {len(scores)} scores, {_range(scores)}")
    for name, group in calibration.foreign.items():
        num, sources = len(group.scores), group.independent
        of = "" if sources == num else f", of {sources} independent sources"
        print(f"{name}: {num} scores, {_range(group.scores)}{of}")
    shared = shared_images({name: calibration.foreign[name] for name in groups})
    for (one, other), num in shared.items():
        print(f"{one} and {other} hold {num} images in common")
    print(f"wrote {out}")


def _range(scores: np.ndarray) -> str:
    return f"{scores.min():.2e} to {scores.max():.2e}"


if __name__ == "__main__":
    app.run(main)
