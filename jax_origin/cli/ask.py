"""Answers which model made one image, in three lines and on a page."""

import hashlib
import json
from typing import Any

import jax
from ml_collections import ConfigDict

from jax_origin.audit import Panel, open_candidates
from jax_origin.cli.command import CommandError, check_writable
from jax_origin.cli.settings import begin, rates_of, run_of, run_settings, warn_of
from jax_origin.cli.showing import showing
from jax_origin.images.decode import read_file
from jax_origin.pages import answer_in_json, image_page, three_lines, write_page
from jax_origin.zoo import absent_names, standard_names, zoo_names

_OUT = "runs/ask"
_NO_CALIBRATION = "the zoo holds it out, or has no calibration for it; see --candidate"
_NOT_HERE = "not on this machine; get them: jax-origin zoo get --all"
_ANSWERS_DEPEND_ON = ("alpha", "beta", "resize", "readings", "seed")


def main(config: ConfigDict) -> int:
    """Asks about one image; returns the exit code, 0 for any answer."""
    if config.image is None:
        raise CommandError("name an image: jax-origin ask IMAGE")
    data = read_file(config.image)
    digest = hashlib.sha256(data).hexdigest()
    out = config.out or f"{_OUT}/{digest[:12]}.html"
    check_writable(out, "--out")
    begin(config)
    panel, held_out = panel_of(config)
    with showing() as told:
        answer = panel.ask(data, config.image, watch=lambda share: told("asking", share, 1.0))
    answer.left_out.update(held_out)
    settings = run_settings(config, _ANSWERS_DEPEND_ON)
    write_page(out, image_page(answer, data, settings=settings))
    if config.json:
        print(json.dumps({**answer_in_json(answer), "page": out}, allow_nan=False))
        return 0
    print("\n".join(three_lines(answer)))
    if answer.left_out:
        print("\nnot asked about:")
        for reason in dict.fromkeys(answer.left_out.values()):
            names = [name for name, why in answer.left_out.items() if why == reason]
            print(f"  {', '.join(names)}: {reason}")
    print(f"\npage: {out}")
    return 0


def panel_of(config: ConfigDict, **options: Any) -> tuple[Panel, dict[str, str]]:
    """The candidates in the settings, or the zoo's; and which of the zoo's are left out, and why.

    Warnings of what is not as it was when a calibration was made go to the standard output.
    """
    sources = list(config.candidate or config.candidates) or standard_names()
    held_out: dict[str, str] = {}
    if not (config.candidate or config.candidates):
        held_out = {name: _NO_CALIBRATION for name in zoo_names() if name not in sources}
        held_out |= dict.fromkeys(absent_names(), _NOT_HERE)
    # Candidates of other sizes are left out for each image by itself.
    candidates = open_candidates(sources, resize=True)
    if not config.get("json"):
        for candidate in candidates:
            warn_of(candidate.calibration, config)
    panel = Panel(
        candidates,
        key=jax.random.key(config.seed),
        rates=rates_of(config),
        resize=config.resize,
        readings=config.readings,
        run=run_of(config),
        **options,
    )
    return panel, held_out
