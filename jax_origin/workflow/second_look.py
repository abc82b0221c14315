"""Further looks at images that do not fit as they are: as if turned, retouched or reframed."""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jax_origin.calibration import DRIFT, Calibration, Decision, Futility, Rates
from jax_origin.calibration.decision_rules import (
    EDITED,
    FITS_NEITHER,
    REFRAMED,
    RETOUCHED,
    TOO_LITTLE,
)
from jax_origin.generators import GeneratorLike
from jax_origin.images import (
    TURNS,
    Stored,
    Turn,
    as_float,
    as_part,
    in_grey,
    part_shown,
    share_of_chances,
    turned_alternatives,
)
from jax_origin.inversion import Run, Stage
from jax_origin.inversion.items import Heat
from jax_origin.inversion.reframed import Framed, frame_of, unframed
from jax_origin.inversion.retouched import num_parameters, retouching_of
from jax_origin.inversion.solvers import GaussNewton, Measure, Optax
from jax_origin.inversion.starts import Learned
from jax_origin.workflow.likeness import Likeness, decider_alike, likeness
from jax_origin.workflow.methods import Method
from jax_origin.workflow.scorer import Asked, Scored, Scorer
from jax_origin.workflow.verdict import Verdict

_GLANCES = (
    Stage(Measure(), steps=1),
    Stage(Optax("adam", 0.1), steps=2, objective="l1"),
    Stage(GaussNewton(iterations=5), steps=1),
)
_LATER = 2  # Checks that a search takes longer without the corrections of its start.
_GIVEN_UP = Futility((math.inf, math.inf, 0.6, 5.0, 0.45), power=1.0, ahead=3.0, spares=False)
"""When turns are given up: after the three stages, a look where they stand, and each step.

Of 187 mirrored images of the zoo's GAN that are found the farthest came to 0.5, 3.9 and 0.3. Of 110
foreign ones that take a step 63 are given up after it, and 44 after the next."""
_HEATS = (Heat(len(TURNS), 0.9), Heat(2, 0.8), Heat(1))
"""Whether turns go on after the first of three short stages, and the nearest after the others.

Of own images the right one is far ahead of most. Where one went on after the second, 2 and 3 of 60
of a GAN, mirrored, were missed as PNG and as JPEG 75; of two that take a step 0 and 1 are.
"""
_TIMES = 12.0
"""What a score counts with an edit undone: own images that are found so score 0.01, one in a
hundred 0.03. The 400 smoothest of 4,000 photographs, as PNG and JPEG, come to 0.068, and one of
another set to 0.062."""
_TIMES_OF_PARTS = 8.0
"""What that of a part counts: they score up to 0.05; of 900 foreign files one scored 0.15."""
_NEAR = 2.0
"""What it counts where it may keep an image from being cleared, and no more."""

_ONCE_MORE = 1.0
"""Under which score a JPEG is searched once more, with its borders."""

_LOST = (FITS_NEITHER, TOO_LITTLE)
_MAY_BE_CUT = f"{DRIFT}: it may have been"

_SURE = 0.9
"""Of a side: own images of which less is left are often not found."""

_TIMES_SOUGHT = 1.8
"""How many times a latent's numbers a part must say: with fewer any image comes near to it."""


def glancing(method: Method, futility: Futility) -> tuple[Method, Futility]:
    """The method with three short stages before it, after which one reading goes on; its futility.

    All begin at the start without its corrections, which would take longer than the race. A search
    from elsewhere takes its whole first stage to tell readings apart. One that hops finds images
    late, and gives up as it does.
    """
    recipe, start = method.recipe, method.recipe.start
    if not start.needs_encoder:
        return method, futility
    later = len(_GLANCES)
    if isinstance(start, Learned) and start.corrections:
        start, later = dataclasses.replace(start, corrections=0), later + _LATER
    given_up = later_by(later, futility)
    if futility.levels and not recipe.hops:
        given_up = _GIVEN_UP
    recipe = dataclasses.replace(recipe, start=start, stages=(*_GLANCES, *recipe.stages))
    return dataclasses.replace(method, recipe=recipe), given_up


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

    def is_for(self, verdict: Verdict) -> bool:
        """Whether an image fits no own images, and is a file as calibrated, of their size."""
        if verdict.decision is None or verdict.image is None or in_grey(verdict.image.stored):
            return False
        if verdict.image.stored.unscaled is not None:  # It was read in another way.
            return False
        return verdict.fits_nothing

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
        yield from self._found(asked)

    def _found(self, asked: Sequence[Asked]) -> Iterator[Verdict]:
        """The verdicts on images that were asked for."""
        for scored in self._scored(asked, self._scorer):
            yield self._judged(scored.tag[0], scored)

    def _scored(self, asked: Sequence[Asked], scorer: Callable[[], Scorer]) -> Iterator[Scored]:
        for scored in scorer().stream(asked) if asked else ():
            if self._run.statistics is not None:  # It is the same image.
                self._run.statistics.images -= 1
            yield scored

    def _asked(self, verdict: Verdict, stored: Stored) -> Asked | None:
        """What is scored, its tag beginning with the verdict; None where nothing can be."""
        raise NotImplementedError

    def _read(self, scored: Scored) -> Reading:
        """What an image was taken for."""
        raise NotImplementedError

    def _like(self, stored: Stored) -> Likeness:
        """What a file is compared with."""
        return likeness(stored, self._calibration)

    def _judged(self, verdict: Verdict, scored: Scored) -> Verdict:
        first, found, read = verdict.inversion, scored.inversion, self._read(scored)
        assert first is not None and verdict.image is not None
        steps = first.steps + found.steps
        like = self._like(verdict.image.stored)
        as_it_is = dataclasses.replace(
            verdict,
            inversion=first._replace(steps=steps),
            tried=tuple(dict.fromkeys((*verdict.tried, *read.tried))),
        )
        if not np.isfinite(scored.score):
            return as_it_is
        decided = self._decided(read.share)
        decision = decided(scored.score, like, scored.least)
        harder = decided(read.times * scored.score, like, scored.least)
        # Without foreign groups nobody looks again.
        assert harder.q is not None and self._rates.beta is not None
        refused = decision.verdict == "belongs" and harder.q > read.share * self._rates.beta
        if refused or decision.verdict == "not_recognised" or decision.reason in _LOST:
            near = decided(_NEAR * scored.score, like, scored.least).reason == FITS_NEITHER
            return _not_cleared(as_it_is, read) if refused or near else as_it_is
        loss = np.mean((read.made - as_float(verdict.image.pixels[None])[0]) ** 2)
        return dataclasses.replace(
            as_it_is,
            inversion=found._replace(steps=steps, reconstruction=read.made, loss=loss),
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


def _not_cleared(verdict: Verdict, read: Reading) -> Verdict:
    """A verdict on an image that a reading brings nearer than foreign ones, and not near enough."""
    decision = verdict.decision
    if decision is None or decision.verdict != "not_recognised":
        return verdict
    kind = read.words.partition(" (about")[0].partition(" at (")[0]
    reason = f"{EDITED}: as {kind} it is nearer than foreign images"
    maybe = decision._replace(verdict="undecided", reason=reason)
    return dataclasses.replace(verdict, decision=maybe)


class SecondLook(Look):
    """Decides on images as if they had been turned or mirrored.

    All turns race (`glancing`), and the nearest is inverted to the end, where it is far ahead. Each
    is a further chance for a foreign image: a turn may attribute at its share of beta alone, and
    its q is divided by that share. So all turns together attribute at most beta of a foreign group.

    Args:
      learned: Whether they begin at a start that is learned, which tells them apart.
    """

    def __init__(self, learned: bool, calibration: Calibration, **options: Any) -> None:
        super().__init__(calibration, **options)
        self._learned = learned

    def _asked(self, verdict: Verdict, stored: Stored) -> Asked | None:
        file, turns = turned_alternatives(stored)
        if not turns:
            return None
        # Of an image that is no square fewer turns race, and the nearest goes on.
        heats = _HEATS if len(turns) == len(TURNS) else (Heat(len(turns)),)
        asked = Asked((verdict, turns), file, verdict.reference)
        return asked._replace(heats=heats) if self._learned else asked

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
        share = share_of_chances(words, scored.tag[0].tried)
        return Reading(words, share, (RETOUCHED,), made, _TIMES)


class ReframingLook(RetouchingLook):
    """Decides on images as if a part of one had been cut out, or it had been turned: see `Frame`.

    Its colours and sharpness may have been changed as well: both are found in one search, which is
    one chance for a foreign image. Borders are left aside, where a turn leaves black corners. A
    JPEG that came near is searched once more with them: an enlarged part is better found so. No
    more is calibrated for that; the times that a score counts have to cover it.

    Args:
      generator: The inspected generator; `make_scorer` scores by `Retouched` of `Reframed` of it.
      start: Where its search begins.
    """

    def __init__(
        self, generator: GeneratorLike, start: Framed, calibration: Calibration, **options: Any
    ) -> None:
        super().__init__(generator, calibration, **options)
        self._start = start
        # Another search for the same image, which is counted once.
        make_scorer = options["make_scorer"]
        self._again = functools.cache(lambda: make_scorer(advance=lambda share: None))

    def is_for(self, verdict: Verdict) -> bool:
        """Also whether it looks like a part that was not found: what is blurred does, too."""
        if super().is_for(verdict):
            return True
        alike = verdict.image is not None and verdict.image.stored.unscaled is None
        return alike and (verdict.reason or "").startswith(_MAY_BE_CUT)

    def _asked(self, verdict: Verdict, stored: Stored) -> Asked | None:
        return self._scorer().asked((verdict,), unframed(stored))

    def _found(self, asked: Sequence[Asked]) -> Iterator[Verdict]:
        near: list[Asked] = []
        for scored in self._scored(asked, self._scorer):
            before = scored.tag[0]
            judged = self._judged(before, scored)
            further = self._further(before.image.stored)
            if further and judged.fits_nothing and scored.score < _ONCE_MORE:
                # The second search says whether it is near: it compares more.
                open_still = dataclasses.replace(judged, decision=before.decision)
                near.append(self._again().asked((open_still,), further))
            else:
                yield judged
        for scored in self._scored(near, self._again):
            yield self._judged(scored.tag[0], scored)

    def _further(self, stored: Stored) -> Stored | None:
        """What is searched once more of a file that came near, if anything."""
        return dataclasses.replace(stored, resizings=()) if stored.kind == "jpeg" else None

    def _read(self, scored: Scored) -> Reading:
        read, latent = super()._read(scored), np.asarray(scored.inversion.latent).reshape(-1)
        frame = frame_of(latent[: -num_parameters(self._generator.image_shape[2])])
        tried = (*read.tried, f"{REFRAMED} to {self._start.least:.0%} of a side or more")
        words = [f"{REFRAMED} (about {frame.words})"] * frame.matters
        if not words or retouching_of(self._generator, latent).matters:
            words.append(read.words)
        return read._replace(words=", ".join(words), tried=tried)


class CutLook(ReframingLook):
    """Decides on images as if each were a part of one, enlarged or not: see `as_part`.

    How large the part is, and what enlarged it, is known; where it lay is found beside the latent.
    """

    def is_for(self, verdict: Verdict) -> bool:
        """Whether an image does not belong, and its file may be of such a part."""
        if verdict.decision is None or verdict.image is None or verdict.verdict == "belongs":
            return False
        stored = verdict.image.stored
        if stored.note is not None or in_grey(stored):
            return False
        # One of another size was taken for the whole. Of the whole's size only pixels tell.
        whole = stored.kind == "pixels" and verdict.reading is None
        return stored.unscaled is not None or whole

    def _further(self, stored: Stored) -> None:
        return None

    def _like(self, stored: Stored) -> Likeness:
        # Of a part no more can be known than of the whole.
        bare = dataclasses.replace(stored, unscaled=None, resizing=None, resizings=())
        return super()._like(dataclasses.replace(bare, alternatives=()))

    def _asked(self, verdict: Verdict, stored: Stored) -> Asked | None:
        height, width, _ = self._generator.image_shape
        sought = math.prod(self._generator.latent_shape)
        part = as_part(stored, (height, width))
        if part is None or part.says < _TIMES_SOUGHT * sought:
            return None
        if self._like(stored).unlike is not None:  # It would stay undecided.
            return None
        return self._scorer().asked((verdict, part), part)

    def _judged(self, verdict: Verdict, scored: Scored) -> Verdict:
        judged, way = super()._judged(verdict, scored), scored.tag[1].resizing
        assert judged.decision is not None
        least = min(np.divide(way.kept, way.made))
        if judged.verdict != "not_recognised" or least >= _SURE:
            return judged
        reason = f"{_MAY_BE_CUT} {way.words}"
        return dataclasses.replace(
            judged, decision=judged.decision._replace(verdict="undecided", reason=reason)
        )

    def _read(self, scored: Scored) -> Reading:
        _, part = scored.tag
        latent = np.asarray(scored.inversion.latent).reshape(-1)
        done = retouching_of(self._generator, latent)
        frame = frame_of(latent[: -num_parameters(self._generator.image_shape[2])])
        way = part.resizing
        above, left = np.add(way.before, np.round(np.multiply(frame.shift, way.made), 1))
        words = f"{way.words} at ({above:g}, {left:g})"
        if done.matters:
            words += f", {RETOUCHED} (about {done.words})"
        tried = f"{way.words}, from {self._start.least:.0%} of a side up"
        made = part_shown(part, scored.inversion.reconstruction)
        return Reading(words, share_of_chances(words), (tried,), made, _TIMES_OF_PARTS)
