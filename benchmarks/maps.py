"""How well maps show where an image was changed: quarters of one kind of image in another."""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from numpy.typing import NDArray

from benchmarks.chosen import chosen_sets
from benchmarks.metrics import auc, rate_interval
from benchmarks.near_models import attributor_of
from benchmarks.result_table import markdown_table
from benchmarks.sampling import Images, ProtocolError, generated_images, starting_key
from benchmarks.subjects import measured_on
from jax_origin.distances.part_of_file import cell_side
from jax_origin.images import stored_images
from jax_origin.inversion import Run
from jax_origin.inversion.partial import PartialInverter
from jax_origin.workflow import encoders_of
from jax_origin.workflow.scorer import INSPECTED
from jax_origin.zoo import load_generator


def quarters(num: int, shape: tuple[int, int], *, anywhere: bool, seed: int) -> NDArray[np.bool_]:
    """Rectangles of half of either side, anywhere or each in a corner, bool [N, H, W]."""
    rng = np.random.default_rng(seed)
    height, width = shape
    inside = np.zeros((num, height, width), bool)
    for each in inside:
        free = np.array([height - height // 2, width - width // 2])
        top, left = rng.integers(0, free + 1) if anywhere else free * rng.integers(0, 2, 2)
        each[top : top + height // 2, left : left + width // 2] = True
    return inside


def study(config: ConfigDict, *, data: str, limit: int | None, run: Run) -> dict[str, Any]:
    """Rows by configs/evaluate/maps.py, the calibrations' digests, and what it ran on.

    `data` is the folder of `config.sets`, of which the first is taken; `limit` the most images.
    """
    rows, digests = [], {}
    num = min(config.num_images, limit or config.num_images)
    for name in config.inspected:
        attributor = attributor_of(name, config, run, resize=False, readings="all")
        digests[name] = attributor.calibration.digest
        shape = attributor.generator.image_shape
        own = generated_images({name: load_generator(name)}, num, seed=config.seed)[name]
        sets = [images for _, images in chosen_sets(config, [shape], data=data)]
        if not sets:
            raise ProtocolError("config.sets names no photographs: a quarter of one is pasted")
        photographs = sets[0][:num]
        inverter = PartialInverter(
            attributor.generator,
            attributor.method.recipe,
            key=starting_key(config.seed),
            squares=True,
            encoder=encoders_of(attributor.calibration).get(INSPECTED),
            run=run,
        )
        for where, (title, around, pasted) in itertools.product(
            ("corner", "anywhere"),
            (
                ("own, a quarter of a photograph", own, photographs),
                ("photographs, a quarter of an own image", photographs, own),
            ),
        ):
            inside = quarters(num, shape[:2], anywhere=where == "anywhere", seed=config.seed)
            mixed = np.where(inside[..., None], pasted, around)
            own_there = inside if pasted is own else ~inside
            about = {"inspected": name, "images": title, "where": where}
            for edit in config.edits:
                found = _row(inverter, mixed, own_there, edit, attributor.method.floor)
                rows.append({**about, "edit": edit, **found})
    return {"calibrations": digests, **measured_on(), "rows": rows}


def _row(
    inverter: PartialInverter, mixed: Images, own: NDArray[np.bool_], edit: str, floor: float
) -> dict[str, Any]:
    """How many images have a part that counts, and the area under the ROC of all their cells.

    Cells that lie on a border are neither kind.
    """
    files = stored_images(mixed, edit)
    parts = inverter(files)
    errors: dict[bool, list[NDArray[np.float64]]] = {True: [], False: []}
    for part, file, where in zip(parts, files, own, strict=True):
        side = cell_side(file)
        height, width = where.shape
        cells = where.reshape(height // side, side, width // side, side)
        there = part.cells.numbers > 0
        errors[True].append(part.cells.errors[cells.all(axis=(1, 3)) & there])
        errors[False].append(part.cells.errors[~cells.any(axis=(1, 3)) & there])
    inner, outer = (np.concatenate(errors[kind]) for kind in (True, False))
    return {
        "n": len(files),
        "in_part": sum(part.counts(floor) for part in parts),
        "cells_inside": len(inner),
        "cells_outside": len(outer),
        "auc": auc(inner, outer) if len(inner) and len(outer) else None,
        "evaluations": float(np.mean([part.steps for part in parts])),
    }


def table(result: Mapping[str, Any]) -> str:
    """A result of `study` in Markdown."""
    heading = "inspected|images|where|edit|in part|95%|cells: inside, outside|area under the ROC"
    cells = [[*heading.split("|"), "evaluations"]]
    for row in result["rows"]:
        _, low, high = rate_interval(row["in_part"], row["n"])
        cells.append(
            [
                *(row["inspected"], row["images"], row["where"], row["edit"]),
                f"{row['in_part']}/{row['n']}",
                f"{low:.0%} to {high:.0%}",
                f"{row['cells_inside']}, {row['cells_outside']}",
                "–" if row["auc"] is None else f"{row['auc']:.3f}",
                f"{row['evaluations']:.0f}",
            ]
        )
    return markdown_table(cells, right=[i > 3 for i in range(len(cells[0]))])
