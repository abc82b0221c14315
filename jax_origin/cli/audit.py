"""Examines images under several candidates, and writes findings and a report."""

import contextlib
import functools
import importlib.util
import itertools
import math
import os
import pathlib
import platform
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
from ml_collections import ConfigDict

from jax_origin.audit import (
    Candidate,
    Findings,
    begin_manifest,
    examine,
    findings_report,
    findings_table,
    finish_manifest,
    folder_table,
    made_with,
    open_audit,
    open_candidates,
    sources_of,
    tell_apart,
    truth_line,
    write_findings,
)
from jax_origin.audit.part_files import need_pyarrow
from jax_origin.audit.weighing import words
from jax_origin.cli.command import CommandError, blamed_on
from jax_origin.cli.dry_run import planned
from jax_origin.cli.settings import (
    begin,
    decoders_of,
    rates_of,
    run_of,
    run_settings,
    warn_of,
)
from jax_origin.cli.showing import Counting, showing
from jax_origin.cli.stopping import stop_when_told
from jax_origin.files import atomic_write, remove_unfinished
from jax_origin.images import ImageError
from jax_origin.inversion import Statistics
from jax_origin.pages import audit_page, write_page
from jax_origin.parts import installing
from jax_origin.runs import (
    RunError,
    RunFolder,
    default_workdir,
    demonstration_files,
    format_warning,
    on_cluster,
    share_out,
    statistics_line,
)
from jax_origin.runtime import keep_compiled_programs, telling_others, wait_for_all
from jax_origin.sources import Source, find_layout, open_sources, reader
from jax_origin.sources.places import is_address
from jax_origin.workflow import Attributor
from jax_origin.zoo import load_generator, standard_names, zoo_names

_OUT = "runs/audit"
_RECORD = 100 / 2**20  # MiB on disk of an image under a candidate, about.
_VERDICTS_DEPEND_ON = ("images", "alpha", "beta", "resize", "readings", "seed")


@telling_others()
def main(config: ConfigDict) -> int:
    """Examines images, or the demonstration's, under each candidate.

    Returns:
      The exit code: 2 if every file failed, else 0.
    """
    if config.fdr_procedure not in (None, "bh", "by"):
        raise CommandError(f'--config.fdr_procedure={config.fdr_procedure}: must be "bh" or "by"')
    if config.plots and importlib.util.find_spec("matplotlib") is None:
        raise CommandError(f"--plots: Matplotlib is not installed ({installing('plots')})")
    if not config.part_seconds > 0:
        raise CommandError(f"--config.part_seconds={config.part_seconds}: must be above 0")
    if config.ray and config.distributed:
        raise CommandError("--ray: leave --distributed out; Ray says who the workers are")
    if config.shares < 1:
        raise CommandError(f"--shares={config.shares}: must be 1 or more")
    need_pyarrow()
    if config.ray:
        jax.config.update("jax_platforms", "cpu")  # GPUs are the workers'.
    begin(config)
    with on_cluster(config.ray) if config.ray else contextlib.nullcontext():
        return _audit(config)


def _audit(config: ConfigDict) -> int:
    """Examines images, and writes the findings; returns the exit code."""
    key = jax.random.key(config.seed)
    names = config.candidate or config.candidates or standard_names()
    candidates, indistinguishable = tell_apart(open_candidates(names, resize=config.resize))
    demonstration = config.images is None and not config.source
    if demonstration and not {c.source for c in candidates} <= {*zoo_names()}:
        raise CommandError("--images: say which images the candidates are to be tried on")
    with blamed_on("--layout"):
        layout = find_layout(config.layout) if config.layout else None
    options: dict[str, Any] = {"layout": layout, "all_files": config.all_files}
    open_sources(sources_of(config), **options)  # One that is not there says so now.
    if config.dry_run:
        _plan(candidates, open_sources(sources_of(config), **options), config, key)
        return 0
    _check_rates(candidates, config, key)
    settings = run_settings(config, _VERDICTS_DEPEND_ON)
    if config.source:
        settings["source"] = list(config.source)
    if config.ray:
        settings["kind of device"] = _kind_of_workers(config)
    folder = config.out or default_workdir(_OUT, settings)
    with stop_when_told(), RunFolder(folder, settings, flag="--out") as out:
        wait_for_all("folder")
        if jax.process_index() == 0:
            remove_unfinished(out.path)
        if demonstration:
            made = [candidate.source for candidate in candidates]
            demonstration_files(out.path / "images", made, others=12, key=key)
        wait_for_all("images")
        source = open_sources(sources_of(config, out.path), **options)
        if jax.process_index() == 0:
            for candidate in candidates:  # Before anything of an earlier run is overwritten.
                candidate.check_folder(out.path, settings)
            begin_manifest(
                out.path,
                candidates,
                settings=settings,
                rates={n: config[n] for n in ("alpha", "beta", "fdr", "fdr_procedure")},
                indistinguishable=indistinguishable,
            )
        near = [text for text in sources_of(config, out.path) if not is_address(text)]
        counted = near == sources_of(config, out.path)  # From far away, it would be read twice.
        total = Counting(open_sources(near, **options) if counted else None)
        if config.ray:
            num = _examine_by_ray(candidates, out.path, settings, config)
        else:
            num = _examine(source, candidates, out.path, settings, config, total)
        if not num:
            where = ", ".join(sources_of(config))
            raise ImageError(where, "; ".join(["holds no images", *source.left_out]))
        if jax.process_index() > 0:
            return 0
        for line in source.left_out:
            print(line)
        chain = finish_manifest(out.path, images=num)
    findings = open_audit(out.path).findings()
    _report(findings, candidates, out.path, settings, source, chain, demonstration=demonstration)
    if config.plots:
        _draw(candidates, out.path)
    return 0 if findings.examined.any() else 2


def _examine(
    source: Source,
    candidates: Sequence[Candidate],
    out: pathlib.Path,
    settings: Mapping[str, Any],
    config: ConfigDict,
    total: Callable[[], int | None],
    *,
    share: tuple[int, int] | None = None,
) -> int:
    """Examines a source's images under each candidate; returns how many there are."""
    num, statistics = 0, Statistics()
    _, shares = share or (0, 1)
    shown = showing(metrics=config.metrics, statistics=statistics)
    with decoders_of(config, source) as decoders, shown as bar:
        run = run_of(config, progress=bar, decoders=decoders, statistics=statistics)
        for candidate in candidates:
            warn_of(candidate.calibration, config)
            written = {"made_with": made_with(), "part_seconds": config.part_seconds}
            with candidate.journal(out, settings, **written, share=share) as journal:
                num = examine(
                    source,
                    candidate,
                    journal,
                    key=jax.random.key(config.seed),
                    rates=rates_of(config),
                    resize=config.resize,
                    readings=config.readings,
                    reconstructions=math.ceil(config.reconstructions / shares),
                    run=run,
                    total=total,
                    watch=bar.count,
                )
            if not num:
                break
    if statistics.images:
        print(statistics_line(statistics))
    return num


def _examine_by_ray(
    candidates: Sequence[Candidate],
    out: pathlib.Path,
    settings: Mapping[str, Any],
    config: ConfigDict,
) -> int:
    """Has workers of a Ray cluster examine the images; returns how many there are."""
    for candidate in candidates:  # What an earlier run left half-written goes; faults are named.
        with candidate.journal(out, settings):
            pass
    given = {**config.to_dict(), "source": sources_of(config, out)}
    work = functools.partial(
        _examine_share, given, candidates, os.getcwd(), os.path.abspath(out), dict(settings)
    )
    with showing(metrics=config.metrics) as bar:
        tell = functools.partial(bar, "shares")
        found = share_out(work, config.shares, address=config.ray, tell=tell)
    for candidate in candidates:
        remove_unfinished(out / candidate.folder / "parts")
    return max(found)


def _kind_of_workers(config: ConfigDict) -> str:
    """The kind of device that workers of the Ray cluster have, asked of one."""
    (kind,) = share_out(_kind_of_device, 1, address=config.ray)
    if kind == "tpu":
        raise CommandError("--ray: its workers have TPUs, which share work by --distributed alone")
    return kind


def _kind_of_device(_: int) -> str:
    return jax.default_backend()


def _examine_share(
    given: Mapping[str, Any],
    candidates: Sequence[Candidate],
    where: str,
    out: str,
    settings: Mapping[str, Any],
    share: int,
) -> int:
    """Examines a share of the images; in a worker, which is another process."""
    with contextlib.suppress(OSError):  # Another machine needs it for relative paths only.
        os.chdir(where)
    kind, expected = _kind_of_device(share), settings["kind of device"]
    if kind != expected:
        at = platform.node()
        raise RunError(f"--ray: a worker on {at} runs on {kind}, others on {expected}: mend it")
    config = ConfigDict({**given, "metrics": None})
    keep_compiled_programs(config.cache)
    layout = find_layout(config.layout) if config.layout else None
    source = open_sources(list(config.source), layout=layout, all_files=config.all_files)
    folder, of = pathlib.Path(out), (share, config.shares)
    return _examine(source, candidates, folder, settings, config, Counting(None), share=of)


def _check_rates(candidates: Sequence[Candidate], config: ConfigDict, key: jax.Array) -> None:
    """Has the last candidate's calibration refuse the rates before the first one's work begins."""
    for candidate in candidates:
        _attributor(candidate, config, key)


def _attributor(candidate: Candidate, config: ConfigDict, key: jax.Array) -> Attributor:
    return Attributor(
        load_generator(candidate.source),
        candidate.calibration,
        key=key,
        rates=rates_of(config),
        full_scores=True,
        resize=config.resize,
        readings=config.readings,
    )


def _plan(
    candidates: Sequence[Candidate], source: Source, config: ConfigDict, key: jax.Array
) -> None:
    """Prints what the audit would take, candidate by candidate; of no images, for a thousand."""
    images = sum(1 for _ in source) or 1000
    seconds = 0.0
    for candidate in candidates:
        attributor = _attributor(candidate, config, key)
        found = planned(attributor, images, run=run_of(config), key=key)
        seconds += found.seconds
        print(f"{candidate.name}\n{found.table}\n")
    each, mebibytes = "candidate" if len(candidates) == 1 else "candidates", _RECORD * images
    print(
        f"{images} images, {len(candidates)} {each}: {seconds:.1f} s on this machine, less what "
        f"ends early and equal files; records of about {mebibytes * len(candidates):.0f} MiB"
    )


def _report(
    findings: Findings,
    candidates: Sequence[Candidate],
    out: pathlib.Path,
    settings: Mapping[str, Any],
    source: Source,
    chain: str,
    *,
    demonstration: bool,
) -> None:
    """Writes and prints the findings."""
    write_findings(out / "findings.jsonl", findings)
    with atomic_write(out / "findings.md") as temporary:
        pathlib.Path(temporary).write_text(findings_report(findings, candidates), encoding="utf-8")
    page = audit_page(findings, candidates, out, settings=settings, read=reader(source))
    write_page(out / "report.html", page)
    print(f"\n{findings_table(findings)}\n\n{folder_table(findings)}")
    if warning := format_warning(_stored(findings)):
        print(warning)
    if demonstration:
        print(truth_line(findings))
    print(f"\nhash over all records: {chain}")
    print(f"findings: {out / 'findings.jsonl'}\nreport: {out / 'findings.md'}")
    print(f"page: {out / 'report.html'}")


def _stored(findings: Findings) -> Iterator[dict[str, Any]]:
    """Of each image its verdict, and what its file was taken for."""
    stored, naming = words(findings.records[findings.candidates[0]], "stored"), findings.naming
    pairs = Counter(zip(naming.codes.tolist(), stored.codes.tolist(), strict=True))
    for (case, code), num in pairs.items():
        found = naming.cases[case]
        said = {"verdict": found and found.verdict, "stored": [*stored.values, None][code]}
        yield from itertools.repeat(said, num)


def _draw(candidates: Sequence[Candidate], out: pathlib.Path) -> None:
    from jax_origin.figures import draw_evidence  # It needs Matplotlib.

    for candidate in candidates:
        path = out / candidate.folder / "evidence.png"
        if draw_evidence(candidate.calibration, path, title=candidate.name):
            print(f"plots: {path}")
        else:
            print(f"plots: none for {candidate.name}: too few images to cross-fit ratios")
