"""Was this image made by this model? A verdict for each image.

python scripts/attribute.py                                   a demonstration on a zoo generator
python scripts/attribute.py --images=DIR                      your images, the same generator
python scripts/attribute.py --generator=DIR --calibration=FILE --images='photos/*.png'

Run again after a kill, the same command goes on with the images that have no verdict yet. With
--distributed several processes, started by the cluster or with --coordinator, --num_processes and
--process_id, share the images among them; each writes a file of verdicts of its own.
"""

import contextlib
import pathlib

import jax
import numpy as np
import tqdm
from absl import app, flags
from ml_collections import ConfigDict, config_flags
from PIL import Image

from jax_origin.attribution import check_calibration
from jax_origin.audit import (
    RecordError,
    RecordWriter,
    RunError,
    SheetRow,
    attribute_files,
    begin_run,
    count_table,
    demonstration_files,
    explanations,
    format_warning,
    own_files,
    plan_table,
    read_all_records,
    statistics_line,
    verdict_table,
    write_contact_sheet,
)
from jax_origin.calibration import Calibration, CalibrationError
from jax_origin.checkpoints import CheckpointError
from jax_origin.command import command, define_processes, overridden
from jax_origin.images import ImageError, as_uint8, decode_image, find_images, save_png
from jax_origin.inversion import Engine, Statistics
from jax_origin.methods import Method, get_method
from jax_origin.runtime import ClusterError, keep_compiled_programs, wait_for_all
from jax_origin.scoring import learned_starts
from jax_origin.zoo import calibration_path, demonstration_images, load_generator, zoo_names

_CONFIGS = pathlib.Path(__file__).parent.parent / "configs"
_CONFIG = config_flags.DEFINE_config_file(
    "config", str(_CONFIGS / "attribute.py"), "All settings; the flags below override them."
)
_OVERRIDES = [
    flags.DEFINE_string("generator", None, "Zoo name, directory, or .safetensors file."),
    flags.DEFINE_string("kind", None, "Which architecture a .safetensors file holds."),
    flags.DEFINE_string("images", None, "Folder, glob or single file; none: a demonstration."),
    flags.DEFINE_string("calibration", None, "Calibration file; none: the zoo's own."),
    flags.DEFINE_string("method", None, "origin or ronan; none: the calibration's."),
    flags.DEFINE_float("alpha", None, "Rate of false exclusion.", 0, 1),
    flags.DEFINE_float("beta", None, "Rate of false attribution.", 0, 1),
    flags.DEFINE_float("max_false_attribution", None, "A limit kept with 95% confidence.", 0, 1),
    flags.DEFINE_string("reference", None, "Reference generator, if calibrated with one."),
    flags.DEFINE_bool("resize", None, "Resize images of another size, and say so."),
    flags.DEFINE_bool("full_scores", None, "Go on inverting images that are sure to belong."),
    flags.DEFINE_string("workdir", None, "Folder for verdicts.jsonl and contact_sheet.png."),
    flags.DEFINE_integer("seed", None, "For starting points and the demonstration's images."),
]
_EXPLAIN = flags.DEFINE_bool("explain", False, "Print each verdict in plain words as well.")
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Say what it would take, and stop.")
_PROFILE = flags.DEFINE_string("profile", None, "Folder for a trace of the run.")
_join_processes = define_processes()
_ERRORS = (CalibrationError, CheckpointError, ClusterError, ImageError, RecordError, RunError)


@command("attribute", *_ERRORS)
def main() -> None:
    """Reads the flags, runs, and prints."""
    config = overridden(_CONFIG.value, _OVERRIDES)
    keep_compiled_programs(config.cache)
    _join_processes()
    run(config, dry_run=_DRY_RUN.value, profile=_PROFILE.value)


def run(config: ConfigDict, *, dry_run: bool = False, profile: str | None = None) -> None:
    """Attributes the images that the config names, or the demonstration's."""
    workdir = pathlib.Path(config.workdir)
    for name in ("alpha", "beta", "max_false_attribution"):
        if config[name] is not None and not 0 < config[name] < 1:
            raise RunError(f"--{name}={config[name]}: must lie strictly between 0 and 1")
    if config.sheet_images < 1:
        raise RunError(f"--config.sheet_images={config.sheet_images}: must be at least 1")
    generator = load_generator(config.generator, kind=config.kind)
    reference = load_generator(config.reference) if config.reference else None
    try:
        wanted = get_method(config.method or "origin", generator).name
    except ValueError as error:
        raise CalibrationError(f"--method: {error}") from None
    calibration = Calibration.load(config.calibration or calibration_path(generator.name, wanted))
    if config.method:
        calibration.require(method_name=wanted)
    check_calibration(calibration, generator, reference=reference)
    channels = generator.image_shape[2]
    if channels != 3:
        raise RunError(
            f"{generator.name!r} makes images of {channels} channels; files are read as RGB: use "
            "jax_origin.attribute with arrays"
        )
    where = config.images
    if where is None and generator.name not in zoo_names():
        raise ImageError("--images", f"say which images {generator.name!r} is to be tried on")
    paths = [] if where is None else find_images(where)
    key = jax.random.key(config.seed)
    method = Method.from_dict(calibration.method)
    if dry_run:
        engine = Engine(
            generator,
            method.inversion,
            key=key,
            learned=learned_starts(calibration).get("generator"),
            blocks=config.blocks,
        )
        times = method.draws * (1 if reference is None else 2)
        num = len(paths)
        if where is None:
            num = sum(map(len, demonstration_images(generator.name, key=key).values()))
        print(plan_table(engine.plan(), images=num, times=times, blocks=engine.blocks))
        return
    begin_run(
        workdir,
        {
            "generator": calibration.generator["fingerprint"],
            "calibration": calibration.digest,
            "device": jax.default_backend(),
            "lane_block": method.inversion.block,
            "images": config.images,
            **{name: config[name] for name in ("alpha", "beta", "max_false_attribution")},
            **{name: config[name] for name in ("resize", "full_scores", "seed")},
        },
    )
    if where is None:
        paths = demonstration_files(workdir / "images", generator.name, key=key)
    shown = {path: i for i, path in enumerate(paths[: config.sheet_images])}
    statistics = Statistics()
    waiting, records_path = own_files(paths, workdir)
    evaluations = method.evaluations(generator.latent_shape)
    evaluations *= 1 if reference is None else 2
    with (
        RecordWriter(records_path) as writer,
        jax.profiler.trace(profile) if profile else contextlib.nullcontext(),
        tqdm.tqdm(total=len(waiting) * evaluations, unit="evaluation") as bar,
    ):
        for outcome in attribute_files(
            waiting,
            generator,
            calibration,
            key=key,
            writer=writer,
            alpha=config.alpha,
            beta=config.beta,
            max_false_attribution=config.max_false_attribution,
            resize=config.resize,
            reference=reference,
            full_scores=config.full_scores,
            blocks=config.blocks,
            statistics=statistics,
            progress=bar.update,
        ):
            if outcome.image is None:
                bar.update(evaluations)
            made = outcome.verdict.reconstruction if outcome.verdict else None
            if made is not None and outcome.path in shown:
                save_png(_reconstruction(workdir, shown[outcome.path]), as_uint8(made[None])[0])
    wait_for_all("verdicts")
    if jax.process_index() == 0:
        done = read_all_records(workdir)
        if missing := [path for path in paths if path not in done]:
            raise RunError(
                f"{workdir}: no record of {missing[0]} and of {len(missing) - 1} others: all "
                "processes must see the same images, and share --workdir"
            )
        records = [done[path] for path in paths]
        print(f"\n{verdict_table(records)}\n")
        if _EXPLAIN.value:
            rates = {"alpha": config.alpha, "beta": config.beta}
            print(f"{explanations(records, calibration, **rates)}\n")
        print(count_table(records, own=generator.name if config.images is None else None))
        if warning := format_warning(records):
            print(warning)
        sheet = workdir / "contact_sheet.png"
        size = generator.image_shape[:2]
        rows = [_sheet_row(records[i], size, _reconstruction(workdir, i)) for i in shown.values()]
        write_contact_sheet(sheet, rows, title=f"{generator.name}, {method.name}")
        print(f"\nverdicts: {records_path}\npictures: {sheet}")
    if statistics.images:
        print(statistics_line(statistics))


def _reconstruction(workdir: pathlib.Path, place: int) -> pathlib.Path:
    return workdir / "reconstructions" / f"{place:05d}.png"


def _sheet_row(record: dict, size: tuple[int, int], reconstruction: pathlib.Path) -> SheetRow:
    path = pathlib.Path(record["path"])
    image = made = None
    if record["verdict"] is not None:
        image = decode_image(path, size=size, resize=True).pixels
        made = np.asarray(Image.open(reconstruction)) if reconstruction.exists() else None
    loss = "not read" if record["loss"] is None else f"{path.name}\nloss {record['loss']:.1e}"
    return SheetRow(image, made, loss, record["verdict"], path.parent.name)


if __name__ == "__main__":
    app.run(main)
