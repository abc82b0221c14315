"""What the commands make of their settings: rates, where it runs, other processes."""

import contextlib
import itertools
from collections.abc import Iterable
from typing import Any

import jax
from ml_collections import ConfigDict

from jax_origin.calibration import Calibration, Rates
from jax_origin.cli.command import CommandError, blamed_on, check_writable
from jax_origin.images import Decoders, search_images
from jax_origin.inversion import Run
from jax_origin.runtime import join_processes, keep_compiled_programs, usable_cores
from jax_origin.workflow import Method, circumstances
from jax_origin.workflow.looks import readings_of

_MANY = 256  # To start processes takes as long as opening so many small files.
_MOST_DECODERS = 4  # And two at least: one waits whenever whoever asks it is busy.
_RATES = ("alpha", "beta", "max_false_attribution", "fdr")


def begin(config: ConfigDict) -> None:
    """Does what comes before any other use of JAX, and checks the numbers in the settings.

    Raises:
      CommandError: If a rate is not in (0, 1), or another number is out of its range.
      ClusterError: If this process is to be one of several, and cannot be.
    """
    for name in _RATES:
        rate = config.get(name)
        if rate is not None and not 0 < rate < 1:
            raise CommandError(f"--{name}={rate}: must lie strictly between 0 and 1")
    if not -(2**31) <= config.seed < 2**32:
        raise CommandError(f"--seed={config.seed}: must have at most 32 bits")
    if (config.get("decoders") or 0) < 0:
        raise CommandError(f"--decoders={config.decoders}: must be 0 or more")
    if not config.get("decode_seconds", 1.0) > 0:
        raise CommandError(f"--decode_seconds={config.decode_seconds:g}: must be above 0")
    if config.get("metrics"):
        check_writable(config.metrics, "--metrics")
    keep_compiled_programs(config.cache)
    if config.get("distributed"):
        names = ("coordinator", "num_processes", "process_id")
        join_processes(**{name: config[name] for name in names})


def files_in(where: str | None, config: ConfigDict) -> list[str]:
    """The image files of a place, none without one; says what it leaves out."""
    if where is None:
        return []
    found = search_images(where, all_files=config.all_files)
    if found.left_out:
        print(f"{where}: {found.left_out}")
    return found.paths


def warn_of(calibration: Calibration, config: ConfigDict) -> None:
    """Says what is not as it was when a calibration was made, and what is asked for in vain."""
    name = calibration.generator["name"]
    if changed := circumstances(calibration):
        said = "; ".join(changed)
        print(f"warning: {name}: {said}: an image in some hundreds may come out otherwise")
    reads = readings_of(Method.of(calibration), calibration, rates_of(config), config.readings)
    if reads != config.readings == "all":
        only = "whole images of a prior's own are searched for a part, once, at beta"
        read = "turns, retouching and cuts are read" if reads == "usual" else "nothing else is read"
        print(f"warning: {name}: --readings=all: {only}; here {read}")


def rates_of(config: ConfigDict) -> Rates:
    """The rates of error in the settings; None where one is not given."""
    return Rates(*(config.get(name) for name in ("alpha", "beta", "max_false_attribution")))


def run_of(config: ConfigDict, **options: Any) -> Run:
    """Where and how inversions run; raises CommandError if the number of blocks is wrong."""
    with blamed_on("--config.blocks"):
        return Run(blocks=config.blocks, **options)


def decoders_of(
    config: ConfigDict, files: Iterable[Any]
) -> contextlib.AbstractContextManager[Decoders | None]:
    """The processes that open image files; none for few files, unless the settings name some."""
    num = config.decoders
    if num is None:
        many = len(list(itertools.islice(files, _MANY))) == _MANY
        num = many * max(2, min(_MOST_DECODERS, usable_cores() - 1))
    if not num:
        return contextlib.nullcontext()
    return Decoders(num, seconds=config.decode_seconds)


def run_settings(config: ConfigDict, names: Iterable[str]) -> dict[str, Any]:
    """What a run's verdicts depend on, besides generator and calibration."""
    return {**{name: config[name] for name in names}, "kind of device": jax.default_backend()}
