"""Recipes side by side: what they recover, and cost."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from benchmarks.metrics import tpr_at_fpr
from benchmarks.subjects import Images, Row, ratio_row, starting_key
from jax_origin.calibration import Calibration
from jax_origin.generators import GeneratorLike
from jax_origin.inversion import (
    Recipe,
    Run,
    StartEncoder,
    StartTraining,
    Statistics,
    invert,
    learn_start,
)
from jax_origin.inversion.starts import Encoded
from jax_origin.workflow import METHODS, encoders_of
from jax_origin.workflow.scorer import INSPECTED

RECOVERED = 1e-5
"""A belonging 8-bit image is recovered where its mean squared error is at most this."""

WITHIN = 0.01
"""A chosen recipe's shares lie at most so far under the best ones."""


def recovery_rows(
    name: str,
    generator: GeneratorLike,
    recipes: Mapping[str, Recipe],
    *,
    own: Images,
    foreign: Images,
    encoder: StartEncoder | None = None,
) -> Iterator[Row]:
    """One row a recipe, as they come; `mark_choice` then says which is to be taken.

    Args:
      name: What the rows call the generator.
      generator: The generator.
      recipes: Recipes by name; those that start from an encoder that is not there are left out.
      own: The generator's own images, uint8 [N, H, W, C].
      foreign: Foreign images, uint8 [M, H, W, C].
      encoder: For recipes that start from a trained encoder.

    Yields:
      ``recovery`` rows: the ratio is the published recipe's gradient evaluations an image over
      this one's, on as many belonging as foreign images, one repeat an image of the smaller kind.
      Beside it generator, recipe, config, recovered (share of belonging images with a mean squared
      error of at most 1e-5), tpr_at_1_fpr (by the tracked distance), evaluations_belonging and
      evaluations_foreign (means), and seconds_per_image, compiling left out.
    """
    (published,) = METHODS["ronan"].recipe.stages
    for title, recipe in recipes.items():
        if isinstance(recipe.start, Encoded) and not hasattr(generator, "encode"):
            continue
        if recipe.start.needs_encoder and encoder is None:
            continue
        losses: list[np.ndarray] = []
        scores: list[np.ndarray] = []
        evaluations: list[np.ndarray] = []
        seconds: list[float] = []
        for images in (own, foreign):
            statistics = Statistics()
            found = invert(
                generator,
                images,
                recipe,
                key=starting_key(),
                encoder=encoder,
                run=Run(statistics=statistics),
            )
            for values, given in ((losses, found.loss), (scores, found.distance)):
                values.append(np.where(np.isfinite(given), given, np.inf))
            evaluations.append(found.steps)
            phases = statistics.seconds
            seconds.append((sum(phases.values()) - phases["compile"]) / len(images))
        both = min(map(len, evaluations))
        each = (evaluations[0][:both] + evaluations[1][:both]) / 2
        yield ratio_row(
            "recovery",
            f"{name}, {title}",
            ours=each.tolist(),
            reference=[float(published.steps)] * both,
            unit="gradient evaluations an image",
            generator=name,
            recipe=title,
            config=recipe.to_json(),
            belonging=len(own),
            foreign=len(foreign),
            recovered=float(np.mean(losses[0] <= RECOVERED)),
            tpr_at_1_fpr=tpr_at_fpr(*scores, fpr=0.01),
            evaluations_belonging=float(evaluations[0].mean()),
            evaluations_foreign=float(evaluations[1].mean()),
            seconds_per_image=sum(seconds) / 2,
        )


def start_of(
    generator: GeneratorLike,
    calibration: Calibration | None,
    *,
    training: StartTraining,
    run: Run,
) -> StartEncoder:
    """The encoder that a calibration holds; without one, an encoder trained here and kept."""
    shipped = encoders_of(calibration) if calibration is not None else {}
    if INSPECTED in shipped:
        return shipped[INSPECTED]
    return learn_start(generator, training, key=jax.random.key(0), run=run)


def mark_choice(rows: Iterable[Row]) -> list[Row]:
    """Says of each generator's recipes which lie on the front, and which is to be taken.

    On a front lies a recipe that no other one beats: as good a share for fewer evaluations, or a
    better one for as many. Chosen is the cheapest recipe within one point of the best TPR at 1%
    FPR and of the best recovery; where none has both, the cheapest of those with the best recovery
    among those within one point of the best TPR. Only recipes that track the distance that `origin`
    does are chosen from, where there is one: one on pixels may be cheaper, and takes a generator's
    own image for a foreign one as soon as it is compressed.

    Returns:
      The rows, with on_front (bool, for recovery or for TPR) and chosen (bool) added.
    """
    rows = list(rows)
    marked = []
    for name in dict.fromkeys(row["generator"] for row in rows):
        group = [row for row in rows if row["generator"] == name]
        tracked = METHODS["origin"].recipe.distance.to_json()
        same = [row for row in group if row["config"]["distance"] == tracked]
        chosen = _choice(same or group)["recipe"]
        front = set(pareto_front(group, "recovered")) | set(pareto_front(group, "tpr_at_1_fpr"))
        for row in group:
            on_front = row["recipe"] in front
            marked.append({**row, "on_front": on_front, "chosen": row["recipe"] == chosen})
    return marked


def pareto_front(rows: Sequence[Row], share: str) -> list[str]:
    """Names of the recipes that no other one beats, cheapest first.

    Args:
      rows: One generator's.
      share: The field that is to be high; evaluations are to be low.
    """
    front: list[str] = []
    best = -math.inf
    for row in sorted(rows, key=lambda row: (mean_evaluations(row), -row[share])):
        if row[share] > best:
            best = row[share]
            front.append(row["recipe"])
    return front


def mean_evaluations(row: Row) -> float:
    """Gradient evaluations an image, as many belonging as foreign."""
    return (row["evaluations_belonging"] + row["evaluations_foreign"]) / 2


def recovery_table(rows: Sequence[Row]) -> str:
    """The recipes as a Markdown table, cheapest first by generator; the chosen one in bold."""
    lines = [
        "| generator | recipe | recovered | TPR at 1% FPR | evaluations: own | foreign "
        "| ms an image | front |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in sorted(rows, key=lambda row: (row["generator"], mean_evaluations(row))):
        recipe = f"**{row['recipe']}**" if row["chosen"] else row["recipe"]
        lines.append(
            f"| {row['generator']} | {recipe} | {row['recovered']:.1%} "
            f"| {row['tpr_at_1_fpr']:.1%} | {row['evaluations_belonging']:.0f} "
            f"| {row['evaluations_foreign']:.0f} | {1e3 * row['seconds_per_image']:.1f} "
            f"| {'yes' if row['on_front'] else ''} |"
        )
    return "\n".join(lines)


def limited(recipe: Recipe, steps: int | None) -> Recipe:
    """The recipe with no stage longer than `steps`; for trying a sweep out."""
    if steps is None:
        return recipe
    stages = [dataclasses.replace(s, steps=min(s.steps, steps)) for s in recipe.stages]
    return dataclasses.replace(recipe, stages=tuple(stages))


def _choice(rows: Sequence[Row]) -> dict[str, Any]:
    best_tpr = max(row["tpr_at_1_fpr"] for row in rows)
    near = [row for row in rows if row["tpr_at_1_fpr"] >= best_tpr - WITHIN]
    best = max(row["recovered"] for row in rows)
    both = [row for row in near if row["recovered"] >= best - WITHIN]
    if not both:
        best = max(row["recovered"] for row in near)
        both = [row for row in near if row["recovered"] >= best - WITHIN]
    return min(both, key=mean_evaluations)
