"""Attributes image files: a verdict, a record and a picture for each."""

import contextlib
import shlex
from typing import Any

import jax
from ml_collections import ConfigDict

from jax_origin.calibration import Calibration
from jax_origin.cli.command import CommandError, blamed_on
from jax_origin.cli.dry_run import planned
from jax_origin.cli.settings import (
    begin,
    decoders_of,
    files_in,
    rates_of,
    run_of,
    run_settings,
    warn_of,
)
from jax_origin.cli.showing import showing
from jax_origin.cli.terminal import coloured
from jax_origin.generators import generator_name
from jax_origin.inversion import Run, Statistics
from jax_origin.runs import (
    Workdir,
    count_table,
    default_workdir,
    demonstration_files,
    explanations,
    format_warning,
    sheet_row,
    statistics_line,
    verdict_table,
    write_contact_sheet,
)
from jax_origin.runtime import telling_others, wait_for_all
from jax_origin.workflow import Attributor, get_method, load_calibration
from jax_origin.zoo import demonstration_images, load_generator, zoo_names

_WORKDIR = "runs/attribute"
_CHECKED, _CHECK_COSTS = 8, 0.02  # Images scored again, at the most this share of a run.
_VERDICTS_DEPEND_ON = (
    *("images", "alpha", "beta", "max_false_attribution", "resize", "readings", "full_scores"),
    "seed",
)


@telling_others()
def main(config: ConfigDict) -> int:
    """Attributes images, or the demonstration's; returns the exit code, 2 if every file failed."""
    if config.sheet_images < 1:
        raise CommandError(f"--config.sheet_images={config.sheet_images}: must be at least 1")
    begin(config)
    statistics, key = Statistics(), jax.random.key(config.seed)
    paths = files_in(config.images, config)
    shown = showing(metrics=config.metrics, statistics=statistics)
    with shown as bar, decoders_of(config, paths) as decoders:
        run = run_of(config, statistics=statistics, progress=bar, decoders=decoders)
        attributor = _attributor(config, run, key)
        if config.dry_run:
            images = len(paths) or _demonstrated(attributor, key)
            print(planned(attributor, images, run=run, key=key).table)
            return 0
        _warn_of_drift(attributor, config, images=len(paths))
        with _workdir(config, attributor) as workdir:
            if config.images is None:
                folder = workdir.path / "images"
                paths = demonstration_files(folder, [generator_name(attributor.generator)], key=key)
            drawn = frozenset(paths[: config.sheet_images])
            profile = config.profile
            with jax.profiler.trace(profile) if profile else contextlib.nullcontext():
                for verdict in attributor.stream(workdir.waiting(paths)):
                    kept = verdict.path in drawn
                    bar.count(workdir.write(verdict, keep_reconstruction=kept))
    wait_for_all("verdicts")
    failed = False
    if jax.process_index() == 0:
        records = workdir.records(paths)
        failed = all(record["error"] is not None for record in records)
        _report(records, attributor, config)
        _draw_sheet(workdir, records[: config.sheet_images], attributor)
    if statistics.images:
        print(statistics_line(statistics))
    if jax.process_index() == 0 and not failed:
        print(_next(records, attributor, config))
    return 2 if failed else 0


def _attributor(config: ConfigDict, run: Run, key: jax.Array) -> Attributor:
    generator = load_generator(config.generator, kind=config.kind)
    reference = load_generator(config.reference) if config.reference else None
    with blamed_on("--method"):
        wanted = get_method(config.method or "origin", generator).name
    calibration = (
        Calibration.load(config.calibration)
        if config.calibration
        else load_calibration(generator, method=wanted)
    )
    # What "origin" may be was chosen when it was calibrated.
    if config.method and not (wanted == "origin" and calibration.measured.found_again):
        calibration.require(method_name=wanted)
    if config.images is None and generator_name(generator) not in zoo_names():
        raise CommandError(
            f"--images: say which images {generator_name(generator)!r} is to be tried on"
        )
    return Attributor(
        generator,
        calibration,
        key=key,
        rates=rates_of(config),
        reference=reference,
        full_scores=config.full_scores,
        resize=config.resize,
        readings=config.readings,
        run=run,
    )


def _warn_of_drift(attributor: Attributor, config: ConfigDict, *, images: int) -> None:
    """Says what is not as it was when the calibration was made, and scores some of it again."""
    warn_of(attributor.calibration, config)
    enough = images * _CHECK_COSTS >= _CHECKED
    if {"always": True, "never": False}.get(config.check_calibration, enough) is False:
        return
    again = attributor.score_again(_CHECKED)
    if again is not None and again.moved:
        print(
            f"warning: {again.moved} of {again.num} calibration images score otherwise now, by a "
            f"factor of up to {again.worst:.3g}: calibrate again before you rely on verdicts"
        )
    elif again is not None:
        print(f"{again.num} calibration images, scored again, have the scores that they had")


def _workdir(config: ConfigDict, attributor: Attributor) -> Workdir:
    settings = {
        "generator": attributor.calibration.generator["fingerprint"],
        "calibration": attributor.calibration.digest,
        "lanes in a block": attributor.method.recipe.block,
        **run_settings(config, _VERDICTS_DEPEND_ON),
    }
    return Workdir(config.workdir or default_workdir(_WORKDIR, settings), settings)


def _demonstrated(attributor: Attributor, key: jax.Array) -> int:
    """How many images the demonstration has."""
    made = demonstration_images([generator_name(attributor.generator)], key=key)
    return sum(map(len, made.values()))


def _report(records: list[dict[str, Any]], attributor: Attributor, config: ConfigDict) -> None:
    print(f"\n{coloured(verdict_table(records))}\n")
    if config.explain:
        print(f"{explanations(records, attributor.calibration, rates=attributor.rates)}\n")
    own = generator_name(attributor.generator) if config.images is None else None
    print(count_table(records, own=own))
    if warning := format_warning(records):
        print(warning)


def _next(records: list[dict[str, Any]], attributor: Attributor, config: ConfigDict) -> str:
    """What to do next: to ask about one image, the first of those that need a look most."""
    known = [record for record in records if record["error"] is None]
    order = ("undecided", "not_recognised", "belongs")
    path = min(known, key=lambda record: order.index(record["verdict"]))["path"]
    others = (config.kind, config.reference, config.method, config.max_false_attribution)
    if any(others) or not attributor.calibration.foreign:
        return "explain: the same command with --explain"  # `ask` takes none of these.
    candidate = f"{config.generator}={config.calibration}" if config.calibration else None
    words = ["jax-origin", "ask", path, f"--candidate={candidate or config.generator}"]
    rates = {"alpha": attributor.rates.alpha, "beta": attributor.rates.beta}
    words += [f"--{name}={rate:g}" for name, rate in rates.items() if rate not in (None, 0.01)]
    if config.resize:
        words.append("--resize")
    if config.readings != "usual":
        words.append(f"--readings={config.readings}")
    return f"explain one image, on a page: {shlex.join(words)}"


def _draw_sheet(workdir: Workdir, records: list[dict[str, Any]], attributor: Attributor) -> None:
    shape = attributor.generator.image_shape
    rows = [
        sheet_row(
            each,
            workdir.reconstruction(each),
            image_shape=shape,
            part_map=workdir.part_map(each),
        )
        for each in records
    ]
    path = workdir.path / "contact_sheet.png"
    title = f"{generator_name(attributor.generator)}, {attributor.method.name}"
    write_contact_sheet(path, rows, title=title)
    print(f"\nverdicts: {workdir.records_path}\npictures: {path}")
