"""What a command would take, before it does anything."""

from typing import NamedTuple

import jax

from jax_origin.inversion import Engine, Run
from jax_origin.runs import plan_table
from jax_origin.workflow import Attributor, encoders_of


class Taken(NamedTuple):
    """What inversions would take: a table in words, and seconds, if no image ends early."""

    table: str
    seconds: float


def planned(attributor: Attributor, images: int, *, run: Run, key: jax.Array) -> Taken:
    """What so many images would take; its steps are compiled, and timed on empty lanes."""
    encoder = encoders_of(attributor.calibration).get("generator")
    recipe, times = attributor.method.recipe, attributor.inversions
    engine = Engine(attributor.generator, recipe, key=key, encoder=encoder, run=run)
    plan = engine.plan()
    table = plan_table(plan, images=images, times=times, blocks=engine.blocks)
    return Taken(table, times * sum(stage.seconds(images) for stage in plan))
