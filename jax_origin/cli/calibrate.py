"""Makes a calibration, and writes it."""

import dataclasses
import pathlib

import jax
import numpy as np
from ml_collections import ConfigDict
from numpy.typing import NDArray

from jax_origin.calibration import Calibration, Conformal, shared_images, stuck_images
from jax_origin.calibration.rules import scores_needed
from jax_origin.cli.command import CommandError, blamed_on, check_writable
from jax_origin.cli.foreign import chosen_images, foreign_groups
from jax_origin.cli.settings import begin, rates_of, run_of
from jax_origin.cli.showing import showing
from jax_origin.evidence.explain import settled_in_words
from jax_origin.generators import GeneratorLike, generator_name
from jax_origin.images import lossy_share
from jax_origin.workflow import (
    BelongingImages,
    Method,
    calibrate,
    get_method,
    reencoded_images,
)
from jax_origin.zoo import load_generator


def main(config: ConfigDict) -> int:
    """Makes the calibration that the settings describe; returns the exit code, 0."""
    begin(config)
    generator = load_generator(config.generator, kind=config.kind)
    method = _method(config, generator)
    out = config.out or f"runs/calibrate/{generator_name(generator)}-{method.name}.json"
    check_writable(out, "--out")
    if config.cache and method.recipe.start.needs_encoder:
        check_writable(pathlib.Path(config.cache) / "start", "--config.cache")
    reference = load_generator(config.reference) if config.reference else None
    key = jax.random.key(config.seed)
    groups = foreign_groups(config, generator, method, key=jax.random.fold_in(key, 2))
    belonging = _belonging(config, generator, method, key=jax.random.fold_in(key, 3))
    with showing() as bar:
        calibration = calibrate(
            generator,
            method=method,
            num_belonging=config.num_belonging if belonging is None else None,
            belonging=belonging,
            foreign=groups,
            conditions=config.conditions,
            reference=reference,
            futility={"always": True, "never": False}.get(config.futility),
            key=key,
            seed=config.seed,
            run=run_of(config, progress=bar, cache=config.cache or None),
        )
    calibration.save(out)
    _report(calibration, list(groups))
    print(f"wrote {out}")
    return 0


def _method(config: ConfigDict, generator: GeneratorLike) -> Method:
    """The method, with the rates that the calibration is to be used with."""
    with blamed_on("--method"):
        method = get_method(config.method, generator)
    if config.beta is not None and not method.decision.judges_q:
        raise CommandError(f"--beta={config.beta}: {method.name!r} decides by alpha alone")
    method = dataclasses.replace(method, rates=rates_of(config).over(method.rates))
    if config.confidence is not None:
        if method.rule.kind != "conformal":
            raise CommandError(f"--confidence: {method.name!r} has another rule than ranks")
        with blamed_on(f"--confidence={config.confidence}"):
            method = dataclasses.replace(method, rule=Conformal(config.confidence))
    num, alpha = config.num_belonging, method.rates.alpha
    if num is None:
        num = method.num_images
    with blamed_on(f"--num_belonging={num}"):
        fitted = method.rule.fit(np.linspace(1.0, 2.0, max(num, 0)))
    if alpha is not None and fitted.threshold(alpha) == np.inf:
        least = scores_needed(alpha, confidence=config.confidence)
        raise CommandError(
            f"--num_belonging={num}: at alpha={alpha:g} no image could be excluded, which needs at "
            f"least {least}; ask for more images, or a larger --alpha"
        )
    return method


def _belonging(
    config: ConfigDict, generator: GeneratorLike, method: Method, *, key: jax.Array
) -> BelongingImages | None:
    """The generator's own images that the flags name; None for those of its prior."""
    if config.belonging and config.reencode:
        raise CommandError("--reencode: own images are given already, by --belonging")
    where = config.belonging or config.reencode
    if not where:
        return None
    scored = method.num_images if config.num_belonging is None else config.num_belonging
    num = scored * (2 if config.futility == "always" or method.score.fits else 1)
    images = chosen_images(where, num, generator, method, config, key).images
    if config.num_belonging is not None and len(images) < num:
        raise CommandError(
            f"--num_belonging={scored}: {where} holds {len(images)}, {num} are needed"
        )
    if config.belonging and lossy_share(where, all_files=config.all_files):
        print(
            f"warning: files of {where} may be lossy, and are calibrated as if they were lossless. "
            "Give images as the model made them; --conditions calibrates JPEG"
        )
    if config.belonging:
        return BelongingImages(images, f"images of {where}")
    with blamed_on("--reencode"):
        return reencoded_images(generator, images, key=key, source=f"photographs of {where}")


def _report(calibration: Calibration, named: list[str]) -> None:
    for method, (num, of) in calibration.measured.found_again.items():
        line = f"{method} finds {num} of {of} own images again"
        if num < of and method == calibration.method["name"]:
            line += "; an image that is not found may still be the model's"
        print(line)
    for name, scores in calibration.belonging_by_condition.items():
        print(f"belonging, {name}: {len(scores)} scores, {_range(scores)}")
    for name, group in calibration.foreign.items():
        num, sources = len(group.scores), group.independent
        few = "" if sources == num else f", of {sources} independent sources"
        print(f"{name}: {num} scores, {_range(group.scores)}{few}")
    for name, plain in calibration.measured.plain.items():
        kept = name in calibration.belonging_by_condition
        follows = "are left out" if kept else "are too many: such files are not calibrated"
        print(f"{plain} own images, {name}, say too little to be judged, and {follows}")
    for name, unseen in calibration.measured.unseen.items():
        print(f"{unseen} own images after {name} do not look so, and are judged as others")
    if named and calibration.decision.judges_q:
        stuck = stuck_images(calibration)
        print(
            f"own images that foreign ones score as low as: {stuck.num} of {stuck.of} "
            f"({stuck.low:.2%} to {stuck.high:.2%})"
            + (f"; {settled_in_words(stuck)}" if stuck.settled_by else "")
        )
    shared = shared_images({name: calibration.foreign[name] for name in named})
    for (one, other), num in shared.items():
        print(f"{one} and {other} hold {num} images in common")


def _range(scores: NDArray[np.float64]) -> str:
    return f"{scores.min():.2e} to {scores.max():.2e}"
