"""Draws a figure, and writes its numbers beside it."""

import importlib.util
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import jax
from ml_collections import ConfigDict

from jax_origin.calibration import Calibration
from jax_origin.cli.command import CommandError, check_writable
from jax_origin.cli.settings import begin, rates_of, run_of
from jax_origin.images import search_images
from jax_origin.inversion import progress_bar
from jax_origin.parts import installing
from jax_origin.workflow import Attributor, Verdict, load_calibration
from jax_origin.zoo import load_generator

if TYPE_CHECKING:
    from jax_origin.figures import Drawn
    from jax_origin.figures.given_files import Chosen

_GENERATOR = "dcgan-cifar10"


def main(config: ConfigDict) -> int:
    """Draws what the settings ask for; returns the exit code, 0."""
    if importlib.util.find_spec("matplotlib") is None:
        raise CommandError(f"Matplotlib is not installed ({installing('plots')})")
    from jax_origin.figures import FORMATS, styled, write_figure, write_numbers

    if config.figure is None:
        raise CommandError(f"name a figure, {', '.join(_FIGURES)}: jax-origin plot FIGURE INPUT...")
    if not config.input:
        raise CommandError(f"{config.figure}: give {_INPUTS[config.figure]}")
    if config.most < 1:
        raise CommandError(f"--most={config.most}: must be at least 1")
    out = pathlib.Path(config.out or f"runs/plot/{config.figure}.png")
    if out.suffix.lower() not in FORMATS:
        raise CommandError(f"--out={out}: name a file that ends in {' or '.join(FORMATS)}")
    check_writable(out, "--out")
    begin(config)
    with styled():
        drawn = _FIGURES[config.figure](config)
        write_figure(drawn.figure, out)
    print(f"figure: {out}\nnumbers: {write_numbers(drawn.rows, out)}")
    return 0


def _scores(config: ConfigDict) -> "Drawn":
    from jax_origin.figures import draw_scores
    from jax_origin.figures.given_files import scored_candidates

    candidates = scored_candidates(config.input, _chosen(config))
    return draw_scores(candidates, rates=rates_of(config), condition=config.condition)


def _roc(config: ConfigDict) -> "Drawn":
    from jax_origin.figures import draw_roc
    from jax_origin.figures.given_files import error_curves

    panels, read_off = error_curves(config.input, _chosen(config))
    return draw_roc(panels, read_off=read_off)


def _det(config: ConfigDict) -> "Drawn":
    from jax_origin.figures import draw_det
    from jax_origin.figures.given_files import error_curves

    panels, read_off = error_curves(config.input, _chosen(config))
    return draw_det(panels, read_off=read_off)


def _robustness(config: ConfigDict) -> "Drawn":
    from jax_origin.figures import draw_robustness
    from jax_origin.figures.given_files import summary_rows

    return draw_robustness(summary_rows(config.input, _chosen(config)))


def _cost(config: ConfigDict) -> "Drawn":
    from jax_origin.figures import draw_cost
    from jax_origin.figures.given_files import recovery_rows

    return draw_cost(recovery_rows(config.input, _chosen(config)))


def _curves(config: ConfigDict) -> "Drawn":
    from jax_origin.figures import draw_curves

    # One inversion an image: the evaluations of others would stand on the same axis.
    attributor, verdicts = _attributed(config, "none")
    shape = attributor.generator.latent_shape
    return draw_curves(verdicts, attributor.method.recipe, latent_shape=shape)


def _pictures(config: ConfigDict) -> "Drawn":
    from jax_origin.figures import draw_pictures

    return draw_pictures(_attributed(config, "usual")[1])


_FIGURES: dict[str, Callable[[ConfigDict], "Drawn"]] = {
    **{"scores": _scores, "roc": _roc, "det": _det, "robustness": _robustness, "cost": _cost},
    **{"curves": _curves, "pictures": _pictures},
}
_SCORED = "a calibration file, a zoo generator's name or an audit's folder"
_INPUTS = {
    "scores": _SCORED,
    **dict.fromkeys(("roc", "det"), f"{_SCORED}, or the results of an evaluation"),
    "robustness": "the results of an evaluation, such as benchmarks/results/storage.json",
    "cost": "the results of the suite recovery, such as benchmarks/results/recovery.json",
    **dict.fromkeys(("curves", "pictures"), "images: files, folders or patterns"),
}


def _chosen(config: ConfigDict) -> "Chosen":
    from jax_origin.figures.given_files import Chosen

    return Chosen(config.generator, config.method, config.condition)


def _attributed(config: ConfigDict, readings: str) -> tuple[Attributor, list[Verdict]]:
    """Judges the images in full, `most` of them, in their order."""
    paths = [path for where in config.input for path in search_images(where).paths]
    if len(paths) > config.most:
        print(f"the first {config.most} of {len(paths)} images are drawn (--most)")
    generator = load_generator(config.generator or _GENERATOR)
    calibration = (
        Calibration.load(config.calibration)
        if config.calibration
        else load_calibration(generator, method=config.method or "origin")
    )
    with progress_bar() as bar:
        attributor = Attributor(
            generator,
            calibration,
            key=jax.random.key(config.seed),
            rates=rates_of(config),
            full_scores=True,
            resize=config.resize,
            readings=readings,
            run=run_of(config, progress=bar),
        )
        return attributor, attributor(paths[: config.most])
