"""Making a calibration: images of known origin, inverted and scored."""

import dataclasses
import importlib.metadata
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike, NDArray

from jax_origin.calibration import (
    AS_MADE,
    Calibration,
    CalibrationError,
    ForeignGroup,
    Futility,
    Measured,
    edited_group,
    parse_condition,
)
from jax_origin.calibration.rules import scores_needed
from jax_origin.generators import (
    GeneratorLike,
    decoder_family,
    decoder_fingerprint,
    fingerprint,
    generator_name,
    inspected,
)
from jax_origin.images import Stored, find_resizings
from jax_origin.images.edits import parse_edit
from jax_origin.inversion import (
    Inversion,
    Run,
    StartEncoder,
    StartTraining,
    learn_start,
    require_key,
)
from jax_origin.scores import Loss, ReferenceRatio, Score
from jax_origin.workflow.belonging import Belonging
from jax_origin.workflow.drift import IMAGES, STARTS
from jax_origin.workflow.foreign_images import FittedGroup, fitted_group
from jax_origin.workflow.futility import fitted_on, futility_of
from jax_origin.workflow.judged_windows import listed
from jax_origin.workflow.likeness import conditions_alike, kept_of
from jax_origin.workflow.makers import edited, makers_of
from jax_origin.workflow.methods import METHODS, Method, get_method
from jax_origin.workflow.scorer import INSPECTED, REFERENCE, Scored, Scorer

# Further tags that a key is folded with.
_ENCODER, _CURVES, _TYPICAL, _TRIED = 4, 5, 6, 7
SHORT = METHODS["origin"]
LONGER = (METHODS["origin-patient"], METHODS["origin-thorough"])
"""What "origin" may be: the next one where one misses too many of the generator's own images.

A method of another name keeps its recipe, whatever it is.
"""
_NUM_TRIED, _MAY_MISS = 100, 1  # Own images that each is tried on, and may miss.
_TRAINED_LONGER = 3  # Times: the start that goes with the longer ones.
_FOUND = 0.2  # Of what is promising: an image that scores so is found, with room for harder ones.
_LOOK_RESIZED = 0.05  # A share of images that look resized that chance alone hardly gives.
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")


def calibrate(
    generator: GeneratorLike,
    *,
    method: str | Method = "origin",
    num_belonging: int | None = None,
    belonging: Any = None,
    foreign: Mapping[str, Any] | None = None,
    conditions: Sequence[str] | None = None,
    reference: GeneratorLike | None = None,
    encoder: StartEncoder | None = None,
    futility: bool | None = None,
    key: jax.Array,
    seed: int | None = None,
    run: Run | None = None,
) -> Calibration:
    """Scores images of known origin: the generator's own with fresh latents, and foreign ones.

    Args:
      generator: The generator to inspect.
      method: A name in `jax_origin.METHODS`, or a `Method`; "origin" is the one that suits the
        generator: its `default_method`, or else what finds 99 of 100 of its own images again, a
        learned start and one of three recipes (`Calibrator.choose_recipe`).
      num_belonging: How many images the generator makes, the method's `num_images` without it. Each
        is rounded to 8 bits, as a file would hold it. Excluding at rate alpha needs at least
        1/alpha - 1. Of images that are given: all, or half where something is fitted beforehand.
      belonging: Images that the generator made, uint8 or float [N, H, W, C], or `BelongingImages`:
        for one without a prior to draw from, such as an autoencoder; see also `reencoded_images`.
        p then refers to images such as these. Draws of the prior without it.
      foreign: Foreign images by group name, uint8 or float [M, H, W, C], or `ForeignImages`.
        Attributing with a false rate of beta needs at least 1/beta - 1 in each group. Images of a
        group that are equal to the pixel are of one source, and so are all sources that share one.
      conditions: Edits that images may have met since they were made, by their names in
        `jax_origin.images.EDITS`; the method's own without it. Belonging and foreign images are
        calibrated as they are and after each; an edited foreign group counts as another group.
        Settings under which the generator may have been used are conditions, too: an entry of its
        `config`, alone ("truncation_psi=0.7") or followed by an edit ("num_steps=50+jpeg-75").
      reference: Another generator; then the score is the ratio of losses under the two.
      encoder: For a recipe that starts from a trained encoder. Trained here without it, which takes
        minutes on a small machine; `run.cache` keeps it.
      futility: Whether to stop early on images whose score falls more slowly than those of the
        generator's own do. How those fall is fitted on others of its own: 800 as made, and as many
        under all edits together, 400 of one at the most, and four times as many as are calibrated.
        What it costs in own images given up is in the scores that are calibrated, and so in p. None
        means: with what "origin" may be, where at least 100 draws of the prior are calibrated.
      key: A JAX key. The same key gives the same calibration on the same machine.
      seed: The number that the key was made from, if any; only noted down.
      run: Where and how.

    Raises:
      ValueError: If a group's images are no images of the generator's shape; if the generator
        breaks its contract.
      CalibrationError: If scores are not finite, or too few for the method's rule; if the
        reference makes images of another shape, or futility is asked for beside it; if a group's
        sources are not one for each image.
    """
    calibrator = Calibrator(
        generator, method, conditions=conditions, reference=reference, key=key, run=run
    )
    given = (foreign or {}).items()
    windows = calibrator.method.windows
    groups = {
        name: fitted_group(of, calibrator.generator, name, windows=windows) for name, of in given
    }
    num = calibrator.from_where(belonging, num_belonging, futility=bool(futility))
    calibrator.check_sizes(num, groups, futility=bool(futility))
    calibrator.train(encoder)
    calibrator.choose_recipe()
    if calibrator.gives_up(num) if futility is None else futility:
        calibrator.fit_futility(num)
    calibrator.fit_score(num)
    return calibrator.calibration(num, groups, seed=seed)


class Calibrator:
    """What `calibrate` does, step by step.

    The steps are `train`, `choose_recipe`, `fit_futility`, `fit_score` and `calibration`. Its
    arguments are those of `calibrate`.
    """

    def __init__(
        self,
        generator: GeneratorLike,
        method: str | Method,
        *,
        conditions: Sequence[str] | None,
        reference: GeneratorLike | None,
        key: jax.Array,
        run: Run | None,
    ) -> None:
        require_key(key)
        self.generator, self.run, self.key = inspected(generator), run or Run(), key
        self.reference = None if reference is None else inspected(reference)
        self.method = get_method(method, generator)
        if self.reference is not None:
            self.method = _with_reference(self.method, self.generator, self.reference)
        if conditions is None:  # Edits are of files, which are in colour or grey.
            conditions = self.method.conditions if generator.image_shape[2] in (1, 3) else ()
        # A wrong name is refused now, not when the images have been scored.
        self.makers = makers_of(self.generator, conditions, self.method)
        self.edits = [name for name in self.makers if not parse_condition(name).settings]
        self.belonging = Belonging(self.generator)
        self.encoders: dict[str, StartEncoder] = {}
        self.futility = Futility()
        self.found_again: dict[str, tuple[int, int]] = {}
        self._tried: list[Scored] = []  # By the recipe that was chosen.
        self._trains = False

    def from_where(self, given: Any, num: int | None, *, futility: bool) -> int:
        """Takes own images that are given, or none; returns how many are to be scored."""
        fitted = futility or self.method.score.fits
        windows = self.method.windows
        self.belonging = Belonging.of(
            self.generator, given, num=num, fitted=fitted, windows=windows
        )
        shape = tuple(self.generator.image_shape)
        cuts = [edit for edit in self.edits if any(s.family == "cut" for s in parse_edit(edit))]
        if cuts and any(image.shape != shape for image in self.belonging.given or ()):
            raise CalibrationError(
                f"condition {cuts[0]!r}: cuts are calibrated with own images of {shape} (H, W, C)"
            )
        return self.belonging.num or (self.method.num_images if num is None else num)

    def check_sizes(self, num: int, groups: Mapping[str, FittedGroup], *, futility: bool) -> None:
        """Refuses, before anything is inverted, what would be refused in the end."""
        if num < 1:
            raise CalibrationError(f"num_belonging must be at least 1, not {num}")
        if futility and self.reference is not None:
            raise CalibrationError(
                "futility gives images up by their loss under one model, and a ratio needs both in "
                "full: leave out futility, or the reference"
            )
        rates, rule = self.method.rates, self.method.rule
        rates.require(judges_q=self.method.decision.judges_q)
        try:  # A score that the generator is nothing for says so, and a rule that needs more.
            self.method.score.looking(self.generator)
            fitted = rule.fit(np.linspace(1.0, 2.0, num))
        except ValueError as error:
            raise CalibrationError(str(error)) from None
        if rates.alpha is not None and fitted.threshold(rates.alpha) == np.inf:
            raise CalibrationError(
                f"num_belonging={num}: {rule.shortfall(rates.alpha, num)}; give more images, or a "
                "method with a larger alpha"
            )
        beta = rates.beta
        if not self.method.decision.judges_q or beta is None:
            return
        for name, group in groups.items():
            if group.independent < scores_needed(beta):
                raise CalibrationError(
                    f"foreign group {name!r} holds images of {group.independent} independent "
                    f"sources: at beta={beta:g} it could never be told from the generator's own, "
                    f"which needs at least {scores_needed(beta)}; give more sources, or a method "
                    "with a larger beta"
                )

    def train(self, encoder: StartEncoder | None = None) -> None:
        """Trains the encoders that the recipe starts from; one that is given serves instead."""
        if self.method.recipe.start.needs_encoder:
            self.encoders = self._trained(StartTraining(), encoder)
            self._trains = encoder is None

    def _trained(
        self, training: StartTraining, given: StartEncoder | None = None
    ) -> dict[str, StartEncoder]:
        models = {INSPECTED: self.generator, REFERENCE: self.reference}
        own_key = jax.random.fold_in(self.key, _ENCODER)
        encoders = {}
        for role, model in models.items():
            if model is not None:
                found = given if role == INSPECTED else None
                encoders[role] = found or learn_start(model, training, key=own_key, run=self.run)
        return encoders

    def choose_recipe(self) -> None:
        """Takes the first recipe that "origin" may be which finds the generator's own images again.

        Each is tried on a hundred draws of the prior that serve nothing else, until one misses one
        or none; or else the first that finds about as many as any is taken. Those after the short
        one begin with a start that is trained three times as long. An image is found again where
        its score is a fifth of what futility spares (`Score.promising`), or comes to the method's
        floor, under which scores tell nothing more. Of a generator whose images are given nothing
        is drawn, and nothing chosen.
        """
        ours = self.method
        if self.belonging.num or (ours.name, ours.recipe) != (SHORT.name, SHORT.recipe):
            return
        again, self._tried = self._finds_again(ours)
        first, enough = self.encoders, _NUM_TRIED - _MAY_MISS
        if again < enough and self._trains:
            training = StartTraining()
            longer = dataclasses.replace(training, steps=_TRAINED_LONGER * training.steps)
            self.encoders = self._trained(longer)
        for each in LONGER:
            if again >= enough:
                break
            method = dataclasses.replace(ours, name=each.name, recipe=each.recipe)
            more, tried = self._finds_again(method)
            if more >= enough or more > again + _MAY_MISS:
                self.method, self._tried, again = method, tried, more
        if self.method is ours:
            self.encoders = first

    def _finds_again(self, method: Method) -> tuple[int, list[Scored]]:
        """How many of the generator's own images a method finds again, and all that it tried."""
        near = _FOUND * method.score.promising
        advance = self.run.counter(f"trying {method.name}", _NUM_TRIED)
        wanted = {"": _NUM_TRIED}
        (tried,) = self._invert_others(wanted, _TRIED, advance, accept=near, method=method)
        found = [one.score <= near or str(one.inversion.ended) == "floor" for one in tried]
        self.found_again[method.name] = (sum(found), len(tried))
        return sum(found), tried

    def gives_up(self, num: int) -> bool:
        """Whether futility is fitted without being asked for, where so many own images are scored.

        It is with the recipes that "origin" may be, where own images are drawn and a hundred are
        scored or more: the farthest of a few says little of the next one.
        """
        known = (self.method.name, self.method.recipe)
        ours = known in [(each.name, each.recipe) for each in (SHORT, *LONGER)]
        return ours and self.reference is None and not self.belonging.num and num >= _NUM_TRIED

    def fit_futility(self, num: int) -> None:
        """Finds the levels above which no own image was while its distance fell.

        As made, and after each edit: edited images fall more slowly. An image whose score is
        promising is never given up: an edit that nobody calibrated may have kept it there. So these
        images are inverted no further, and many cost little.
        """
        promising = self.method.score.promising
        made, some = map(self.belonging.num_others, fitted_on(num, len(self.edits)))
        made = max(0, made - len(self._tried))
        wanted = {"": made, **dict.fromkeys(self.edits, some)}
        advance = self.run.counter("fitting futility", sum(wanted.values()))
        groups = self._invert_others(wanted, _CURVES, advance, accept=promising)
        groups[0] = self._tried + groups[0]
        falls = [np.stack([one.inversion.curve / one.unit for one in found]) for found in groups]
        units = [np.array([one.unit for one in found]) for found in groups]
        floor = max(self.method.floor, self.method.recipe.floor)
        hops = self.method.recipe.hops > 0
        self.futility = futility_of(falls, units, floor=floor, promising=promising, hops=hops)

    def fit_score(self, num: int) -> None:
        """Has the score measure what it must, on other own images than are calibrated."""
        score = self.method.score
        if not score.fits:
            return
        num *= score.fitted_on
        advance = self.run.counter("fitting the score", self.belonging.num_others(num))
        (found,) = self._invert_others({"": num}, _TYPICAL, advance, looking=score)
        own = Inversion.stacked([each.inversion for each in found])
        try:
            score = score.fit(own)
        except ValueError as error:
            raise CalibrationError(f"under {generator_name(self.generator)!r}: {error}") from None
        self.method = dataclasses.replace(self.method, score=score)

    def calibration(
        self, num: int, groups: Mapping[str, FittedGroup], *, seed: int | None
    ) -> Calibration:
        """Scores the generator's own images, and the foreign ones."""
        image_key, start_key = (jax.random.fold_in(self.key, tag) for tag in (IMAGES, STARTS))
        total = num * (1 + len(self.makers))
        total += sum(len(group.images) for group in groups.values()) * (1 + len(self.edits))
        scored = self._scorer(self.method, start_key, self.run.counter("scoring", total))
        belonging = self.belonging.images(num, key=image_key, maker=self.generator)
        by_condition, unseen = {}, {}
        own, says = self._own(scored, belonging, "belonging")
        left_out = {AS_MADE: int(np.count_nonzero(~says))}
        if own is None:
            raise CalibrationError(
                f"{left_out[AS_MADE]} of {num} belonging images say too little to be judged: give "
                "more images, with more texture in them"
            )
        # It may end in a resize.
        resized = np.mean([len(find_resizings(pixels)) > 0 for pixels in belonging])
        looks_resized = bool(resized > _LOOK_RESIZED)
        for name, maker in self.makers.items():
            same = maker is self.generator
            made = belonging
            if not same:
                made = self.belonging.images(num, key=image_key, maker=maker)
            after = edited(made, parse_condition(name).edit)
            kept, says = self._own(scored, after, f"belonging, {name}")
            left_out[name] = int(np.count_nonzero(~says))
            if kept is None:
                continue
            by_condition[name] = kept
            unseen[name] = sum(
                name not in self._alike(image, looks_resized)
                for image, counts in zip(after, says, strict=True)
                if counts and isinstance(image, Stored)
            )
        edits = [edit for edit in self.edits if edit in by_condition]
        foreign: dict[str, ForeignGroup] = {}
        for name, group in groups.items():
            foreign |= self._foreign(scored, name, group, edits)
        return Calibration(
            generator={
                "name": generator_name(self.generator),
                "fingerprint": fingerprint(self.generator),
                "latent_shape": list(self.generator.latent_shape),
                "image_shape": list(self.generator.image_shape),
                **_decoder(self.generator),
            },
            belonging=own,
            conditions=by_condition,
            foreign=foreign,
            measured=Measured(
                score=self.method.score.to_json() if self.method.score.fits else None,
                looks_resized=looks_resized,
                scored_block=self.method.recipe.block,
                unseen={name: count for name, count in unseen.items() if count},
                found_again=self.found_again,
                belonging=self.belonging.source,
                plain={name: count for name, count in left_out.items() if count},
            ).giving_up(self.futility),
            seed=seed,
            **self._circumstances(),
        )

    def _circumstances(self) -> dict[str, Any]:
        """What a calibration holds besides what was measured."""
        method, score = self.method, self.method.score
        if score.fits:
            method = dataclasses.replace(method, score=type(score)())
        after = "then the draw, but for the first, then " if method.draws > 1 else "then "
        return {
            "method": method.to_json(),
            "reference": None if self.reference is None else fingerprint(self.reference),
            "keys": {
                "key": np.asarray(jax.random.key_data(self.key)).tolist(),
                "images": f"fold_in(key, {IMAGES})",
                "starts": f"fold_in(key, {STARTS}), {after}each image's SHA-256, then the restart",
            },
            "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
            "platform": jax.default_backend(),
            "encoders": {role: e.config for role, e in self.encoders.items()} or None,
            "encoder_weights": {
                f"{role}.{name}": array
                for role, encoder in self.encoders.items()
                for name, array in encoder.arrays().items()
            },
        }

    def _scorer(
        self,
        method: Method,
        key: jax.Array,
        advance: Callable[[float], None],
        looking: Score | None = None,
    ) -> Scorer:
        return Scorer(
            self.generator,
            method,
            key=key,
            reference=self.reference,
            encoders=self.encoders,
            futility=self.futility,
            run=self.run,
            advance=advance,
            looking=looking,
        )

    def _invert_others(
        self,
        wanted: Mapping[str, int],
        tag: int,
        advance: Callable[[float], None],
        *,
        accept: float = 0.0,
        method: Method | None = None,
        looking: Score | None = None,
    ) -> list[list[Scored]]:
        """Inverts own images that serve nothing else: so many after each edit, down to a score.

        All go together: of a few the last would take as long as many.
        """
        key = jax.random.fold_in(self.key, tag)
        image_key, start_key = (jax.random.fold_in(key, part) for part in (IMAGES, STARTS))
        images = [
            list(edited(self.belonging.others(num, key=image_key), edit)) if num > 0 else []
            for edit, num in wanted.items()
        ]
        method = dataclasses.replace(method or self.method, draws=1)
        if method.score.distance_at(1.0, 1.0) is None:  # The distance is all that is asked for.
            method = dataclasses.replace(method, score=Loss(), floor=0.0)
        scorer = self._scorer(method, start_key, advance, looking)
        found = iter(scorer.found([*itertools.chain(*images)], accept=accept or None))
        return [list(itertools.islice(found, len(some))) for some in images]

    def _alike(self, image: Stored, looks_resized: bool) -> tuple[str, ...]:
        """The conditions that would have left such a file."""
        kept = kept_of(image, self.generator.image_shape)
        return conditions_alike(image, self.makers, looks_resized=looks_resized, kept=kept)[0]

    def _own(
        self, scorer: Scorer, images: Any, what: str
    ) -> tuple[NDArray[np.float64] | None, NDArray[np.bool_]]:
        """Scores of own images, and which of them say enough for the method, bool [N].

        None instead of scores where so few do that the method's alpha could exclude nothing.
        """
        found, enough = scorer.found(images), self.method.enough
        scores = self._checked([each.score for each in found], what)
        says = np.array([enough is None or each.least <= enough for each in found])
        alpha, rule = self.method.rates.alpha, self.method.rule
        if says.all():
            return scores, says
        try:
            several = alpha is None or rule.fit(scores[says]).threshold(alpha) < np.inf
        except ValueError:
            several = False
        return (scores[says] if several else None), says

    def _foreign(
        self, scorer: Scorer, name: str, group: FittedGroup, edits: Sequence[str]
    ) -> dict[str, ForeignGroup]:
        """A foreign group's scores, as it is and after each edit."""
        pixels = listed(group.images)
        scores = self._checked(scorer.scores(group.images), name)
        found = {name: group.scored(scores, pixels)}
        for edit in edits:
            after, title = edited(pixels, edit), edited_group(name, edit)
            scores = self._checked(scorer.scores(after), title)
            found[title] = group.scored(scores, (image.pixels for image in after))
        return found

    def _checked(self, scores: ArrayLike, group: str) -> NDArray[np.float64]:
        scores = np.asarray(scores, np.float64)
        if missing := int((~np.isfinite(scores)).sum()):
            raise CalibrationError(
                f"{missing} of {len(scores)} {group} images have no finite score under "
                f"{generator_name(self.generator)!r}: its weights or its output hold NaN"
            )
        return scores


def _with_reference(method: Method, generator: GeneratorLike, reference: GeneratorLike) -> Method:
    """The method with a ratio to the reference for its score."""
    ours, theirs = (tuple(g.image_shape) for g in (generator, reference))
    if ours != theirs:
        raise CalibrationError(
            f"the reference makes images of {theirs} (H, W, C), the generator {ours}: choose a "
            "reference of the same size"
        )
    recipe = dataclasses.replace(method.recipe, floor=0.0)
    return dataclasses.replace(method, recipe=recipe, score=ReferenceRatio(), draws=1, floor=0.0)


def _decoder(generator: GeneratorLike) -> dict[str, Any]:
    """An autoencoder's decoder, and who shares it."""
    if (decoder := decoder_fingerprint(generator)) is None:
        return {}
    family = decoder_family(decoder)
    shared = {} if family is None else {"family": family.name, "models": list(family.models)}
    return {"decoder": {"fingerprint": decoder, **shared}}
