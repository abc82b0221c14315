"""All further looks at images that do not fit as they are, one after the other."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax

from jax_origin.calibration import Calibration, Futility, Rates
from jax_origin.calibration.measured import FROM_PRIOR
from jax_origin.generators import GeneratorLike
from jax_origin.inversion import Run, Stage
from jax_origin.inversion.reframed import Framed, Placed, Reframed, ReframedEncoder
from jax_origin.inversion.retouched import Retouched
from jax_origin.inversion.solvers import GaussNewton, Measure
from jax_origin.workflow.in_part import InPart
from jax_origin.workflow.methods import Method
from jax_origin.workflow.scorer import INSPECTED, Scorer, encoders_of
from jax_origin.workflow.second_look import (
    CutLook,
    Look,
    ReframingLook,
    RetouchingLook,
    SecondLook,
    glancing,
    later_by,
    may_look_again,
)
from jax_origin.workflow.verdict import Verdict

READINGS = ("usual", "all", "none")
"""What else images are read as; see `Attributor`."""

_LATER = 2  # Checks that a search for numbers beside the latent may take longer.
_GLANCE = Stage(Measure(), steps=1)
_RACE = Stage(GaussNewton(iterations=3), steps=1)  # After which the best of frames goes on alone.
_SEARCH = Stage(GaussNewton(), steps=18, tolerance=0.05, lanes=1)
# Of 755 own images three more would be found later. Smooth foreign ones go on falling: after 26
# steps one of 800 scored 0.03.
_FIXED = Futility(
    (80.0, 3.0, 1.0, 0.75, 0.65, 0.55, 0.5, 0.45, 0.4, 0.36, 0.3, 0.24, 0.2, 0.15, 0.12, 0.1, 0.08),
    power=1.0,
    ahead=3.0,
    spares=False,
)
"""When a search for a frame ends: at the start, after the race, and after each step.

Of 755 own images of the zoo's GAN and VAE that are found without it, after nine edits and seven, it
loses three. Of 1,248 foreign ones nine in ten are given up within two steps."""
_PARTS = Placed()
"""Where the search for the place of a part begins."""

_WIDE = Framed(lanes=8, least=0.6)
"""Where the search for a frame begins with `--readings=all`: it has ten times as many frames."""


def readings_of(method: Method, calibration: Calibration, rates: Rates, readings: str) -> str:
    """What images are read as indeed, whatever was asked for; both of `READINGS`."""
    if readings == "none" or not may_look_again(method, calibration, rates):
        return "none"
    return "usual" if calibration.measured.belonging != FROM_PRIOR else readings


class Looks:
    """What images are read as that do not fit; each look is at what fits none before it.

    Attributes:
      readings: What they are read as indeed.

    Args:
      generator: The inspected generator.
      method: As `Method.of` the calibration.
      calibration: The one that verdicts are made with.
      readings: As `Attributor` has it.
      rates: The rates that verdicts are made with.
      key: A JAX key.
      run: Where and how.
      advance: Told of the share of a look that is done.
    """

    def __init__(
        self,
        generator: GeneratorLike,
        method: Method,
        calibration: Calibration,
        *,
        readings: str,
        rates: Rates,
        key: jax.Array,
        run: Run,
        advance: Callable[[float], None],
    ) -> None:
        self._looks: list[Look] = []
        self._in_part: InPart | None = None
        self.readings = readings_of(method, calibration, rates, readings)
        if self.readings == "none":
            return
        encoders, futility = encoders_of(calibration), calibration.measured.given_up

        def for_turns(**told: Any) -> Scorer:
            glance, levels = glancing(method, futility)
            options: dict[str, Any] = {"encoders": encoders, "futility": levels, **told}
            return Scorer(generator, glance, key=key, run=run, **options)

        def for_retouched(**told: Any) -> Scorer:
            recipe = dataclasses.replace(method.recipe, stages=method.recipe.stages[:2])
            brief = dataclasses.replace(method, recipe=recipe)
            later = later_by(_LATER, futility)
            return Scorer(Retouched(generator), brief, key=key, run=run, futility=later, **told)

        def for_reframed(start: Framed, **told: Any) -> Scorer:
            stages = (_GLANCE, _RACE, _SEARCH)
            recipe = dataclasses.replace(
                method.recipe, start=start, stages=stages, restarts=start.restarts
            )
            brief = dataclasses.replace(method, recipe=recipe)
            reworked = Retouched(Reframed(generator))
            starts: Any = {role: ReframedEncoder(each) for role, each in encoders.items()}
            levels = _FIXED if futility.levels else futility
            options: dict[str, Any] = {"encoders": starts, "futility": levels, **told}
            return Scorer(reworked, brief, key=key, run=run, **options)

        told: dict[str, Any] = {"rates": rates, "run": run, "advance": advance}
        learned = method.recipe.start.needs_encoder  # It tells turns apart, and frames.
        self._looks = [SecondLook(learned, calibration, make_scorer=for_turns, **told)]
        if learned:
            frames = _WIDE if self.readings == "all" else Framed()
            for look, start in ((CutLook, _PARTS), (ReframingLook, frames)):
                if (most := method.recipe.lane_block) is not None:
                    start = dataclasses.replace(start, lanes=min(start.lanes, most))
                told["make_scorer"] = functools.partial(for_reframed, start)
                self._looks.append(look(generator, start, calibration, **told))
        else:
            told["make_scorer"] = for_retouched
            self._looks.append(RetouchingLook(generator, calibration, **told))
        if (squares := self.readings == "all") or learned:
            options: dict[str, Any] = {"key": key, "encoder": encoders.get(INSPECTED), "run": run}
            self._in_part = InPart(generator, method, squares=squares, **options)

    def __len__(self) -> int:
        """How often an image is inverted besides."""
        return len(self._looks)

    def are_for(self, verdict: Verdict) -> bool:
        """Whether they look at an image; one that they do not look at is done for all of them."""
        if any(look.is_for(verdict) for look in self._looks):
            return True
        for look in self._looks:
            look.advance(1.0)
        return False

    def __call__(self, verdicts: Sequence[Verdict]) -> Iterator[Verdict]:
        """The verdicts on images, as each fits first; else those that were given."""
        going = list(verdicts)
        for look in self._looks:
            seen, others = list[Verdict](), list[Verdict]()
            for verdict in going:
                (seen if look.is_for(verdict) else others).append(verdict)
            look.advance(float(len(others)))
            going = [*others, *look(seen)]
        if self._in_part is None:
            yield from going
            return
        doubtful = [verdict for verdict in going if self._looks[0].is_for(verdict)]
        yield from (verdict for verdict in going if not self._looks[0].is_for(verdict))
        yield from self._in_part(doubtful)
