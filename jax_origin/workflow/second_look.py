"""Further looks at images that do not fit as they are: as if turned, retouched or reframed."""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jax_origin.calibration import Calibration, Decision, Futility, Rates
from jax_origin.calibration.decision_rules import FITS_NEITHER, REFRAMED, RETOUCHED, TOO_LITTLE
from jax_origin.generators import GeneratorLike
from jax_origin.images import Stored, Turn, turned_alternatives
from jax_origin.inversion import Run
from jax_origin.inversion.reframed import Framed, frame_of, unframed
from jax_origin.inversion.retouched import retouching_of
from jax_origin.workflow.likeness import decider_alike, likeness
from jax_origin.workflow.methods import Method
from jax_origin.workflow.scorer import Asked, Scored, Scorer
from jax_origin.workflow.verdict import Verdict

_GLANCE = 2
"""Steps after which the nearest of readings is known, from a start that is learned.

Of 96 images of the zoo's GAN and VAE, mirrored, turned, and stored as JPEG 75, it was the right one
in all of them after one step, by a factor of 2 to 3.
"""
_TIMES = 2.0
"""What a score counts as retouched or reframed: of 912 foreign files, one scored under half of the
lowest as retouched."""


def glancing(method: Method, futility: Futility) -> tuple[Method, Futility]:
    """The method with a stage before it, after which one reading goes on; its futility.

    A search from elsewhere takes its whole first stage to tell readings apart.
    """
    recipe, (first, *_) = method.recipe, method.recipe.stages
    if not recipe.start.needs_encoder or first.steps <= _GLANCE or first.rounds > 1:
        return method, futility
    glance = dataclasses.replace(first, steps=_GLANCE)
    later = later_by(glance.checks(recipe.chunk), futility)
    recipe = dataclasses.replace(recipe, stages=(glance, *recipe.stages))
    return dataclasses.replace(method, recipe=recipe), later


def later_by(checks: int, futility: Futility) -> Futility:
    """A futility that gives up so many checks later."""
    if not futility.levels:
        return futility
    return futility._replace(levels=(*[math.inf] * checks, *futility.levels))


def may_look_again(method: Method, calibration: Calibration, rates: Rates) -> bool:
    """Whether more readings can be paid for: q is judged, of whole files that are inverted once."""
    judged = calibration.decision.judges_q and bool(calibration.foreign)
    of_files = method.recipe.distance.of_files and not method.windows
    once = method.draws == 1 and calibration.reference is None and not method.score.twice
    return judged and of_files and once and rates.max_false_attribution is None


class Reading(NamedTuple):
    """What an image was taken for.

    Attributes:
      words: What was done to it.
      share: Of the look's chances, how much this reading is given.
      tried: All that the look tried, in words.
      made: What the model's image of it is as the file has it; float32 [H, W, C].
      times: What the score counts beside those of foreign images, to which the reading makes it
        easier.
    """

    words: str
    share: float
    tried: tuple[str, ...]
    made: NDArray[np.float32]
    times: float = 1.0


class Look:
    """Decides once more on images that do not fit, as if they had met something. See `SecondLook`.

    A look of another kind says what it asks of a verdict's image, and what it read.

    Args:
      calibration: The one that verdicts are made with.
      rates: The rates that they are made with; `may_look_again` says of which.
      make_scorer: Makes what scores the readings, once.
      run: Where and how.
      advance: Told of the share of an image's look that is done, where it is looked at.
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
        """The verdicts on images as read so, where they fit; else those that were given."""
        asked: list[Asked] = []
        for verdict in verdicts:
            assert verdict.image is not None
            found = self._asked(verdict, verdict.image.stored)
            if found is None:
                self.advance(1.0)
                yield verdict
            else:
                asked.append(found)
        for scored in self._scorer().stream(asked) if asked else ():
            if self._run.statistics is not None:  # It is the same image.
                self._run.statistics.images -= 1
            verdict, *_ = scored.tag
            yield self._judged(verdict, scored)

    def _asked(self, verdict: Verdict, stored: Stored) -> Asked | None:
        """What is scored, its tag beginning with the verdict; None where nothing can be."""
        raise NotImplementedError

    def _read(self, scored: Scored) -> Reading:
        """What an image was taken for."""
        raise NotImplementedError

    def _judged(self, verdict: Verdict, scored: Scored) -> Verdict:
        first, found, read = verdict.inversion, scored.inversion, self._read(scored)
        assert first is not None and verdict.image is not None
        steps = first.steps + found.steps
        like = likeness(verdict.image.stored, self._calibration)
        as_it_is = dataclasses.replace(
            verdict,
            inversion=first._replace(steps=steps),
            tried=(*verdict.tried, *read.tried),
        )
        if not np.isfinite(scored.score):
            return as_it_is
        decided = self._decided(read.share)
        decision = decided(scored.score, like, scored.least)
        harder = decided(read.times * scored.score, like, scored.least)
        # Without foreign groups nobody looks again.
        assert harder.q is not None and self._rates.beta is not None
        if decision.verdict == "belongs" and harder.q > read.share * self._rates.beta:
            return as_it_is
        if decision.verdict == "not_recognised" or decision.reason in (FITS_NEITHER, TOO_LITTLE):
            return as_it_is
        return dataclasses.replace(
            as_it_is,
            inversion=found._replace(steps=steps, reconstruction=read.made),
            score=scored.score,
            decision=decision._replace(q=min(1.0, harder.q / read.share)),
            reading=read.words,
        )

    def _find_decided(self, share: float) -> Callable[..., Decision]:
        """What decides on images of a reading, which may be attributed at a share of beta alone."""
        beta = self._rates.beta
        assert beta is not None  # q is judged.
        rates = dataclasses.replace(self._rates, beta=share * beta)
        return decider_alike(self._calibration, rates=rates)


class SecondLook(Look):
    """Decides on images as if they had been turned or mirrored.

    All turns race (`glancing`), and the nearest is inverted to the end. Each is a further chance
    for a foreign image: a turn may attribute at its share of beta alone, and its q is divided by
    that share. So all turns together attribute at most beta of a foreign group.
    """

    def _asked(self, verdict: Verdict, stored: Stored) -> Asked | None:
        file, turns = turned_alternatives(stored)
        return Asked((verdict, turns), file, verdict.reference) if turns else None

    def _read(self, scored: Scored) -> Reading:
        _, turns = scored.tag
        turn: Turn = turns[int(scored.inversion.reading)]
        tried = tuple(each.words for each in turns)
        return Reading(turn.words, turn.share, tried, turn(scored.inversion.reconstruction))


class RetouchingLook(Look):
    """Decides on images as if their colours or sharpness had been changed: see `Retouching`.

    What was changed is found beside the latent, by the same steps. The generic code gets as many
    numbers more, so that foreign images score about as they do as they are; to be safe, the score
    counts twice beside theirs. It is one chance more for them: retouching attributes at most beta
    of a foreign group, beside what turns may.

    Args:
      generator: The inspected generator; `make_scorer` scores by `Retouched` of it.
    """

    def __init__(self, generator: GeneratorLike, calibration: Calibration, **options: Any) -> None:
        super().__init__(calibration, **options)
        self._generator = generator

    def _asked(self, verdict: Verdict, stored: Stored) -> Asked | None:
        # Blurred images look resized. What they lost is found with their sharpness.
        return self._scorer().asked((verdict,), dataclasses.replace(stored, resizings=()))

    def _read(self, scored: Scored) -> Reading:
        done = retouching_of(self._generator, np.asarray(scored.inversion.latent))
        words = f"{RETOUCHED} (about {done.words})"
        made = np.asarray(scored.inversion.reconstruction)
        return Reading(words, 1.0, (RETOUCHED,), made, _TIMES)


class ReframingLook(Look):
    """Decides on images as if a part of one had been cut out, or it had been turned: see `Frame`.

    As `RetouchingLook` does: the frame is found beside the latent, and has chances of its own.

    Args:
      start: Where its search begins; `make_scorer` scores by `Reframed` from it.
    """

    def __init__(self, start: Framed, calibration: Calibration, **options: Any) -> None:
        super().__init__(calibration, **options)
        self._start = start

    def _asked(self, verdict: Verdict, stored: Stored) -> Asked | None:
        return self._scorer().asked((verdict,), unframed(stored))

    def _read(self, scored: Scored) -> Reading:
        found = scored.inversion
        words = f"{REFRAMED} (about {frame_of(np.asarray(found.latent)).words})"
        tried = f"{REFRAMED} to {self._start.least:.0%} of a side or more"
        made = np.asarray(found.reconstruction)
        return Reading(words, 1.0, (tried,), made, _TIMES)
