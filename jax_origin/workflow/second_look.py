"""A second look at images that do not fit as they are: as if they had been turned or mirrored."""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from jax_origin.calibration import Calibration, Decision, Futility, Rates
from jax_origin.calibration.decision_rules import FITS_NEITHER, TOO_LITTLE
from jax_origin.images import Turn, turned_alternatives
from jax_origin.inversion import Run
from jax_origin.workflow.likeness import decider_alike, likeness
from jax_origin.workflow.methods import Method
from jax_origin.workflow.scorer import Asked, Scored, Scorer
from jax_origin.workflow.verdict import Verdict

_GLANCE = 2
"""Steps after which the nearest of readings is known, from a start that is learned.

Of 96 images of the zoo's GAN and VAE, mirrored, turned, and stored as JPEG 75, it was the right one
in all of them after one step, by a factor of 2 to 3.
"""


def glancing(method: Method, futility: Futility) -> tuple[Method, Futility]:
    """The method with a stage before it, after which one reading goes on; its futility.

    A search from elsewhere takes its whole first stage to tell readings apart.
    """
    recipe, (first, *_) = method.recipe, method.recipe.stages
    if not recipe.start.needs_encoder or first.steps <= _GLANCE or first.rounds > 1:
        return method, futility
    glance = dataclasses.replace(first, steps=_GLANCE)
    before = [math.inf] * glance.checks(recipe.chunk) if futility.levels else []
    recipe = dataclasses.replace(recipe, stages=(glance, *recipe.stages))
    later = futility._replace(levels=(*before, *futility.levels))
    return dataclasses.replace(method, recipe=recipe), later


def may_look_again(method: Method, calibration: Calibration, rates: Rates) -> bool:
    """Whether more readings can be paid for: q is judged, of whole files that are inverted once."""
    judged = calibration.decision.judges_q and bool(calibration.foreign)
    of_files = method.recipe.distance.of_files and not method.windows
    once = method.draws == 1 and calibration.reference is None and not method.score.twice
    return judged and of_files and once and rates.max_false_attribution is None


class SecondLook:
    """Decides on images as if they had been turned or mirrored.

    All turns race (`glancing`), and the nearest is inverted to the end. Each is a further chance
    for a foreign image: a turn may attribute at its share of beta alone, and its q is divided by
    that share. So all turns together attribute at most beta of a foreign group.

    Args:
      calibration: The one that verdicts are made with.
      rates: The rates that they are made with; `may_look_again` says of which.
      make_scorer: Makes what scores the readings, once.
      run: Where and how.
      advance: Told of the share of an image's second look that is done, where it is looked at.
    """

    def __init__(
        self,
        calibration: Calibration,
        *,
        rates: Rates,
        make_scorer: Callable[..., Scorer],
        run: Run,
        advance: Callable[[float], None],
    ) -> None:
        self._calibration, self._rates, self._run = calibration, rates, run
        self._scorer = functools.cache(lambda: make_scorer(advance=advance))
        self.advance = advance
        self._decided = functools.cache(self._find_decided)

    def is_for(self, verdict: Verdict, unlike: str | None) -> bool:
        """Whether an image fits no own images, and is a file as calibrated, of their size."""
        if verdict.decision is None or unlike is not None or verdict.image is None:
            return False
        if verdict.image.stored.unscaled is not None:  # It was read in another way.
            return False
        return verdict.verdict == "not_recognised" or verdict.reason == FITS_NEITHER

    def __call__(self, verdicts: Sequence[Verdict]) -> Iterator[Verdict]:
        """The verdicts on images as turned, where they fit so; else those that were given."""
        asked: list[Asked] = []
        for verdict in verdicts:
            assert verdict.image is not None
            file, turns = turned_alternatives(verdict.image.stored)
            if turns:
                asked.append(Asked((verdict, turns), file, verdict.reference))
            else:
                self.advance(1.0)
                yield verdict
        for scored in self._scorer().stream(asked) if asked else ():
            if self._run.statistics is not None:  # It is the same image.
                self._run.statistics.images -= 1
            verdict, turns = scored.tag
            yield self._judged(verdict, turns, scored)

    def _judged(self, verdict: Verdict, turns: Sequence[Turn], scored: Scored) -> Verdict:
        first, found = verdict.inversion, scored.inversion
        assert first is not None and verdict.image is not None
        steps, tried = first.steps + found.steps, tuple(turn.words for turn in turns)
        turn, like = turns[int(found.reading)], likeness(verdict.image.stored, self._calibration)
        as_it_is = dataclasses.replace(verdict, inversion=first._replace(steps=steps), tried=tried)
        if not np.isfinite(scored.score):
            return as_it_is
        decision = self._decided(turn.share)(scored.score, like, scored.least)
        if decision.verdict == "not_recognised" or decision.reason in (FITS_NEITHER, TOO_LITTLE):
            return as_it_is
        assert decision.q is not None  # Without foreign groups nobody looks again.
        return dataclasses.replace(
            as_it_is,
            inversion=found._replace(steps=steps, reconstruction=turn(found.reconstruction)),
            score=scored.score,
            decision=decision._replace(q=min(1.0, decision.q / turn.share)),
            reading=turn.words,
        )

    def _find_decided(self, share: float) -> Callable[..., Decision]:
        """What decides on images of a reading, which may be attributed at a share of beta alone."""
        beta = self._rates.beta
        assert beta is not None  # q is judged.
        rates = dataclasses.replace(self._rates, beta=share * beta)
        return decider_alike(self._calibration, rates=rates)
