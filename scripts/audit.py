"""Which of these models made each image, or none? Findings for several candidates, many images.

python scripts/audit.py                                        a demonstration on the zoo
python scripts/audit.py --images=DIR --out=DIR                 your images, the zoo's generators
python scripts/audit.py --candidate=dcgan-cifar10 --candidate=DIR=CALIBRATION --images=DIR

Each candidate's records lie in a folder of its own under --out, one line an image. Run again after
a kill, the same command goes on with the images that have none; with another candidate it runs that
one alone. With --distributed several processes share the images, as in attribute.py.
"""

import importlib.util
import pathlib

import jax
import tqdm
from absl import app, flags
from ml_collections import ConfigDict, config_flags

from jax_origin.audit import (
    Candidate,
    RecordError,
    RecordWriter,
    RunError,
    attribute_files,
    begin_run,
    combine,
    demonstration_files,
    findings_report,
    findings_table,
    folder_table,
    format_warning,
    open_candidates,
    own_files,
    read_results,
    rows,
    tell_apart,
    truth_line,
    write_findings,
)
from jax_origin.calibration import CalibrationError
from jax_origin.checkpoints import CheckpointError
from jax_origin.command import command, define_processes, overridden
from jax_origin.files import atomic_write
from jax_origin.images import ImageError, find_images
from jax_origin.methods import Method
from jax_origin.runtime import ClusterError, keep_compiled_programs, wait_for_all
from jax_origin.zoo import load_generator, zoo_names

_CONFIGS = pathlib.Path(__file__).parent.parent / "configs"
_CONFIG = config_flags.DEFINE_config_file(
    "config", str(_CONFIGS / "audit.py"), "All settings; the flags below override them."
)
_CANDIDATES = flags.DEFINE_multi_string(
    "candidate", [], "Zoo name or directory, or DIR=CALIBRATION; repeatable. None: all of the zoo."
)
_OVERRIDES = [
    flags.DEFINE_string("images", None, "Folder, glob or single file; none: a demonstration."),
    flags.DEFINE_float("alpha", None, "Rate of false exclusion, for each candidate."),
    flags.DEFINE_float("beta", None, "Rate of false attribution, for each candidate."),
    flags.DEFINE_float("fdr", None, "False discovery rate over all images and candidates."),
    flags.DEFINE_bool("resize", None, "Resize images of another size, and say so."),
    flags.DEFINE_string("out", None, "Folder for findings.jsonl, findings.md and the records."),
    flags.DEFINE_integer("seed", None, "For starting points and the demonstration's images."),
]
_PLOTS = flags.DEFINE_bool("plots", False, "Draw Tippett and PAV plots; needs Matplotlib.")
_join_processes = define_processes()
_ERRORS = (CalibrationError, CheckpointError, ClusterError, ImageError, RecordError, RunError)


@command("audit", *_ERRORS)
def main() -> None:
    """Reads the flags, runs, and prints."""
    config = overridden(_CONFIG.value, _OVERRIDES)
    if _CANDIDATES.value:
        config.candidates = tuple(_CANDIDATES.value)
    keep_compiled_programs(config.cache)
    _join_processes()
    run(config, plots=_PLOTS.value)


def run(config: ConfigDict, *, plots: bool = False) -> None:
    """Examines the images that the config names, or the demonstration's, under each candidate."""
    for name in ("alpha", "beta", "fdr"):
        if not 0 < config[name] < 1:
            raise RunError(f"--{name}={config[name]}: must lie strictly between 0 and 1")
    if config.fdr_procedure not in (None, "bh", "by"):
        raise RunError(f'--config.fdr_procedure={config.fdr_procedure}: must be "bh" or "by"')
    if plots and importlib.util.find_spec("matplotlib") is None:
        raise RunError("--plots: Matplotlib is not installed (pip install matplotlib)")
    out = pathlib.Path(config.out)
    sources = config.candidates or zoo_names(calibrated="origin")
    opened = open_candidates(sources, resize=config.resize)
    candidates, indistinguishable = tell_apart(opened)
    own = [candidate.source for candidate in candidates]
    if config.images is None and not {*own} <= {*zoo_names()}:
        raise ImageError("--images", "say which images the candidates are to be tried on")
    paths = [] if config.images is None else find_images(config.images)
    for candidate in candidates:
        begin_run(
            out / candidate.folder,
            {
                "generator": candidate.calibration.generator["fingerprint"],
                "calibration": candidate.calibration.digest,
                "device": jax.default_backend(),
                "lane_block": Method.from_dict(candidate.calibration.method).inversion.block,
                **{name: config[name] for name in ("images", "alpha", "beta", "resize", "seed")},
            },
        )
    key = jax.random.key(config.seed)
    if config.images is None:
        paths = demonstration_files(out / "images", own[0], others=12, key=key)
    for candidate in candidates:
        _examine(paths, candidate, config, key=key)
    if jax.process_index() > 0:
        return
    findings = combine(
        paths,
        {c.name: read_results(out / c.folder, paths) for c in candidates},
        {c.name: c.calibration for c in candidates},
        alpha=config.alpha,
        beta=config.beta,
        indistinguishable=indistinguishable,
        rate=config.fdr,
        procedure=config.fdr_procedure,
    )
    write_findings(out / "findings.jsonl", findings)
    with atomic_write(out / "findings.md") as temporary:
        pathlib.Path(temporary).write_text(findings_report(findings, candidates), encoding="utf-8")
    print(f"\n{findings_table(findings)}\n\n{folder_table(findings)}")
    if warning := format_warning(list(rows(findings))):
        print(warning)
    if config.images is None:
        print(truth_line(findings))
    print(f"\nfindings: {out / 'findings.jsonl'}\nreport: {out / 'findings.md'}")
    if plots:
        _draw(candidates, out)


def _examine(paths: list[str], candidate: Candidate, config: ConfigDict, *, key: jax.Array) -> None:
    """Gives each image that has none its record under the candidate."""
    folder = pathlib.Path(config.out) / candidate.folder
    waiting, records_path = own_files(paths, folder)
    method = Method.from_dict(candidate.calibration.method)
    evaluations = method.evaluations(candidate.calibration.generator["latent_shape"])
    total = len(waiting) * evaluations
    with (
        RecordWriter(records_path) as writer,
        tqdm.tqdm(total=total, unit="evaluation", desc=candidate.name) as bar,
    ):
        outcomes = attribute_files(
            waiting,
            load_generator(candidate.source),
            candidate.calibration,
            key=key,
            writer=writer,
            alpha=config.alpha,
            beta=config.beta,
            resize=config.resize,
            full_scores=True,
            blocks=config.blocks,
            progress=bar.update,
        )
        for outcome in outcomes:
            if outcome.image is None:
                bar.update(evaluations)
    wait_for_all(f"records {candidate.name}")


def _draw(candidates: list[Candidate], out: pathlib.Path) -> None:
    from jax_origin.audit.evidence_plot import draw_evidence

    for candidate in candidates:
        path = out / candidate.folder / "evidence.png"
        if draw_evidence(candidate.calibration, path, title=candidate.name):
            print(f"plots: {path}")
        else:
            print(f"plots: none for {candidate.name}: too few images to cross-fit ratios")


if __name__ == "__main__":
    app.run(main)
