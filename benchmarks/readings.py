"""What becomes of images that were turned, cut or saved again, own and foreign ones alike."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from benchmarks.chosen import chosen_sets
from benchmarks.metrics import rate_interval
from benchmarks.near_models import attributor_of
from benchmarks.result_table import markdown_table
from benchmarks.sampling import Images, ProtocolError, generated_images
from benchmarks.subjects import measured_on
from jax_origin.images import Stored, edit_images, stored_images, stored_pixels
from jax_origin.inversion import Run
from jax_origin.workflow import Verdict
from jax_origin.zoo import has_prior, load_generator, standard_names

AS_PNG = " as PNG"
"""The end of an edit's name after which images are saved without loss, whatever it leaves."""


def files_after(images: Images, edit: str) -> list[Stored]:
    """Files of images [N, H, W, C] after an edit of `jax_origin.images.EDITS`, or it `AS_PNG`.

    Raises:
      ProtocolError: If there is no such edit, or images cannot be edited so.
    """
    try:
        if edit.endswith(AS_PNG):
            return stored_pixels(edit_images(images, edit.removesuffix(AS_PNG)))
        return stored_images(images, edit)
    except ValueError as error:
        raise ProtocolError(str(error)) from None


def counted(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """How many of N verdicts are which, what images were read as, and evaluations an image."""
    words = Counter(verdict.verdict or "error" for verdict in verdicts)
    # How much it was retouched, and where it was cut, differs from one image to the next.
    said = [verdict.reading for verdict in verdicts if verdict.reading]
    read = Counter(words.split(" (about")[0].split(" at (")[0] for words in said)
    return {
        "n": len(verdicts),
        **{word: words[word] for word in ("belongs", "not_recognised", "undecided", "error")},
        "in_part": sum(verdict.part is not None for verdict in verdicts),
        "readings": dict(read.most_common()),
        "evaluations": float(np.mean([verdict.steps or 0 for verdict in verdicts])),
    }


def study(config: ConfigDict, *, data: str, limit: int | None, run: Run) -> dict[str, Any]:
    """Rows by configs/evaluate/readings.py, the calibrations' digests, and what it ran on.

    `data` is the folder of `config.sets`, `limit` the most images of a group.
    """
    rows, digests = [], {}
    asked = (config.num_images, config.num_foreign)
    num, others = (min(each, limit or each) for each in asked)
    for name in config.inspected:
        attributor = attributor_of(name, config, run, resize=True, readings=config.readings)
        digests[name] = attributor.calibration.digest
        models = {other: load_generator(other) for other in {name, *standard_names()}}
        if not has_prior(models[name]):
            raise ProtocolError(f"{name}: of an autoencoder only windows are judged, read once")
        alike = {other: made for other, made in models.items() if has_prior(made)}
        groups = generated_images(alike, max(num, others), seed=config.seed)
        own = groups.pop(name)[:num]
        sets = chosen_sets(config, [attributor.generator.image_shape], data=data)
        groups |= dict(sets)
        for edit in config.edits:
            for group, images in {name: own, **groups}.items():
                some = images if group == name else images[:others]
                found = counted(attributor(files_after(some, edit)))
                rows.append({"inspected": name, "edit": edit, "group": group, **found})
    return {"calibrations": digests, **measured_on(), "rows": rows}


def table(result: Mapping[str, Any]) -> str:
    """A result of `study` in Markdown: a row for each generator and edit."""
    heading = "inspected|edit|own belong|95%|own not recognised|foreign attributed|worst group"
    heading += "|in part: own, foreign|own read as|evaluations"
    cells = [heading.split("|")]
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in result["rows"]:
        groups.setdefault((row["inspected"], row["edit"]), []).append(row)
    for (name, edit), rows in groups.items():
        own = next(row for row in rows if row["group"] == name)
        foreign = [row for row in rows if row["group"] != name]
        worst = max(foreign, key=lambda row: row["belongs"] / row["n"])
        _, low, high = rate_interval(own["belongs"], own["n"])
        cells.append(
            [
                *(name, edit, f"{own['belongs']}/{own['n']}", f"{low:.0%} to {high:.0%}"),
                f"{own['not_recognised']}/{own['n']}",
                f"{sum(row['belongs'] for row in foreign)}/{sum(row['n'] for row in foreign)}",
                f"{worst['belongs']}/{worst['n']}",
                f"{own['in_part']}, {sum(row['in_part'] for row in foreign)}",
                next(iter(own["readings"]), "as it is"),
                f"{own['evaluations']:.0f}, {np.mean([row['evaluations'] for row in foreign]):.0f}",
            ]
        )
    return markdown_table(cells, right=[i > 1 for i in range(len(cells[0]))])
