"""Examines images under several candidates, and writes findings and a report."""

import importlib.util
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from ml_collections import ConfigDict

from jax_origin.audit import (
    Candidate,
    Findings,
    combine,
    examine,
    findings_report,
    findings_table,
    folder_table,
    open_candidates,
    rows,
    tell_apart,
    truth_line,
    write_findings,
)
from jax_origin.cli.command import CommandError
from jax_origin.cli.settings import begin, files_in, rates_of, run_of, run_settings, warn_of_drift
from jax_origin.files import atomic_write
from jax_origin.inversion import progress_bar
from jax_origin.pages import audit_page, write_page
from jax_origin.runs import Workdir, default_workdir, demonstration_files, format_warning
from jax_origin.runtime import wait_for_all
from jax_origin.workflow import Attributor
from jax_origin.zoo import load_generator, standard_names, zoo_names

_OUT = "runs/audit"
_VERDICTS_DEPEND_ON = ("images", "alpha", "beta", "resize", "readings", "seed")


def main(config: ConfigDict) -> int:
    """Examines images, or the demonstration's, under each candidate.

    Returns:
      The exit code: 2 if every file failed, else 0.
    """
    if config.fdr_procedure not in (None, "bh", "by"):
        raise CommandError(f'--config.fdr_procedure={config.fdr_procedure}: must be "bh" or "by"')
    if config.plots and importlib.util.find_spec("matplotlib") is None:
        raise CommandError("--plots: Matplotlib is not installed (pip install matplotlib)")
    begin(config)
    key = jax.random.key(config.seed)
    sources = config.candidate or config.candidates or standard_names()
    candidates, indistinguishable = tell_apart(open_candidates(sources, resize=config.resize))
    if config.images is None and not {c.source for c in candidates} <= {*zoo_names()}:
        raise CommandError("--images: say which images the candidates are to be tried on")
    paths = files_in(config.images, config)
    _check_rates(candidates, config, key)
    settings = run_settings(config, _VERDICTS_DEPEND_ON)
    folder = config.out or default_workdir(_OUT, settings)
    with Workdir(folder, settings, flag="--out") as out:
        if config.images is None:
            names = [candidate.source for candidate in candidates]
            paths = demonstration_files(out.path / "images", names, others=12, key=key)
        records = {}
        for candidate in candidates:
            warn_of_drift(candidate.calibration)
            with candidate.workdir(out.path, settings) as workdir, progress_bar() as bar:
                examine(
                    paths,
                    candidate,
                    workdir,
                    key=key,
                    rates=rates_of(config),
                    resize=config.resize,
                    readings=config.readings,
                    reconstructions=config.reconstructions,
                    run=run_of(config, progress=bar),
                )
                wait_for_all(f"records {candidate.name}")
                if jax.process_index() == 0:
                    records[candidate.name] = workdir.records(paths)
    if jax.process_index() > 0:
        return 0
    findings = combine(
        records,
        {candidate.name: candidate.calibration for candidate in candidates},
        rates=rates_of(config),
        indistinguishable=indistinguishable,
        fdr=config.fdr,
        procedure=config.fdr_procedure,
    )
    _report(findings, candidates, out.path, settings, demonstration=config.images is None)
    if config.plots:
        _draw(candidates, out.path)
    return 0 if findings.examined.any() else 2


def _check_rates(candidates: Sequence[Candidate], config: ConfigDict, key: jax.Array) -> None:
    """Has the last candidate's calibration refuse the rates before the first one's work begins."""
    for candidate in candidates:
        generator = load_generator(candidate.source)
        Attributor(generator, candidate.calibration, key=key, rates=rates_of(config))


def _report(
    findings: Findings,
    candidates: Sequence[Candidate],
    out: pathlib.Path,
    settings: Mapping[str, Any],
    *,
    demonstration: bool,
) -> None:
    """Writes and prints the findings."""
    write_findings(out / "findings.jsonl", findings)
    with atomic_write(out / "findings.md") as temporary:
        pathlib.Path(temporary).write_text(findings_report(findings, candidates), encoding="utf-8")
    write_page(out / "report.html", audit_page(findings, candidates, out, settings=settings))
    print(f"\n{findings_table(findings)}\n\n{folder_table(findings)}")
    if warning := format_warning(list(rows(findings))):
        print(warning)
    if demonstration:
        print(truth_line(findings))
    print(f"\nfindings: {out / 'findings.jsonl'}\nreport: {out / 'findings.md'}")
    print(f"page: {out / 'report.html'}")


def _draw(candidates: Sequence[Candidate], out: pathlib.Path) -> None:
    from jax_origin.audit.evidence_plot import draw_evidence  # It needs Matplotlib.

    for candidate in candidates:
        path = out / candidate.folder / "evidence.png"
        if draw_evidence(candidate.calibration, path, title=candidate.name):
            print(f"plots: {path}")
        else:
            print(f"plots: none for {candidate.name}: too few images to cross-fit ratios")
