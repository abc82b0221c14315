"""Rows against the published recipe: seconds an image, and accuracy where it ran in full."""

import dataclasses
import time
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics import auc, decision_rates, tpr_at_fpr
from benchmarks.subjects import (
    Attributed,
    Images,
    Row,
    Sizes,
    Subject,
    attributed,
    ratio_row,
)
from jax_origin.calibration import Calibration, Futility, decide
from jax_origin.inversion import Run, StartTraining, learn_start
from jax_origin.workflow import METHODS, encoders_of
from jax_origin.workflow.calibrate import Calibrator
from jax_origin.workflow.scorer import INSPECTED

PUBLISHED_STEPS = METHODS["ronan"].recipe.stages[0].steps
BATCH = 64


class PeerRun(NamedTuple):
    """What the published recipe gave for N images in B batches.

    Attributes:
      losses: The lowest mean squared error that each image came to, float64 [N].
      seconds: Seconds that each batch took, [B].
      sizes: Images in each batch, [B].
    """

    losses: NDArray[np.float64]
    seconds: list[float]
    sizes: list[int]

    def per_image(self, steps: int) -> list[float]:
        """Seconds an image for the whole recipe, by batch, of which `steps` steps were run."""
        whole = PUBLISHED_STEPS / steps
        pairs = zip(self.seconds, self.sizes, strict=True)
        return [whole * seconds / size for seconds, size in pairs]


class Peer(Protocol):
    """The published recipe (Adam at 0.1 on the mean squared error from a sample of the prior)."""

    description: str

    def invert(self, images: Images, *, steps: int, batch: int, seed: int) -> PeerRun:
        """Inverts images [N, H, W, C], `batch` at a time, each for `steps` steps."""
        ...


def peer_rows(
    subject: Subject, peer: Peer, sizes: Sizes, *, published: Calibration | None = None
) -> list[Row]:
    """Seconds an image of the published recipe over those of `jax_origin.attribute`.

    All sides take turns, `sizes.repeats` times, on the same mixture of half belonging and half
    foreign images; what this package runs has been compiled before.

    Args:
      subject: The generator, its calibration, and the images.
      peer: The published recipe, with the same weights.
      sizes: How much is timed. Where `peer_steps` are those of the publication and `peer_images`
        all of `mixed`, the rows hold both sides' accuracy.
      published: A calibration with the published rule; the published recipe's verdicts are decided
        by it, where it is given.

    Returns:
      ``vs_ronan_recipe`` (one image at a time) and ``vs_batched_torch`` (batches of 64), each with
      futility off and on; ``learned_start_pays_after`` where the method learns its start.
    """
    images, belongs = subject.mixed(sizes.mixed)
    variants = futility_variants(subject, sizes.futility_images)
    attributed(subject, images[:1])
    ours: dict[str, list[Attributed]] = {variant: [] for variant in variants}
    alone: list[PeerRun] = []
    together: list[PeerRun] = []
    for i in range(sizes.repeats):
        few = images[: sizes.peer_images]
        alone.append(peer.invert(few, steps=sizes.peer_steps, batch=1, seed=i))
        together.append(peer.invert(images, steps=sizes.batched_steps, batch=BATCH, seed=i))
        for variant, calibration in variants.items():
            ours[variant].append(attributed(subject, images, calibration=calibration))
    rows = []
    for name, runs, steps in (
        ("vs_ronan_recipe", alone, sizes.peer_steps),
        ("vs_batched_torch", together, sizes.batched_steps),
    ):
        accuracy = None
        if steps == PUBLISHED_STEPS and len(runs[0].losses) == len(images):
            accuracy = peer_accuracy(runs[0].losses, belongs, published)
        for variant in variants:
            row = _row(name, subject, peer, runs, ours[variant], steps=steps, variant=variant)
            row["accuracy"] = {"ours": our_accuracy(ours[variant][0], belongs)}
            if accuracy is not None:
                full = attributed(subject, images, calibration=variants[variant], full_scores=True)
                row["accuracy"]["ours"] |= ranking(_scores(full), belongs)
                row["accuracy"]["reference"] = accuracy
            rows.append(row)
    off = next(iter(variants))
    published_seconds = float(
        np.median([s for run in alone for s in run.per_image(sizes.peer_steps)])
    )
    saved = published_seconds - float(np.median([run.per_image for run in ours[off]]))
    return rows + learned_start_rows(subject, saved=saved, steps=sizes.training_steps)


def futility_variants(subject: Subject, num: int) -> dict[str, Calibration]:
    """The subject's calibration without and with giving images up.

    Where the calibration has no futility curve, one is fitted as if `num` own images were scored;
    its p-values are then those of the calibration without it.

    Returns:
      Calibrations by "futility off" and "futility on".
    """
    calibration = subject.calibration
    given_up = calibration.measured.given_up
    if not given_up.levels:
        calibrator = Calibrator(
            subject.generator,
            subject.method,
            conditions=None,
            reference=None,
            key=jax.random.key(0),
            run=None,
        )
        calibrator.train(encoders_of(calibration).get(INSPECTED))
        calibrator.fit_futility(num)
        given_up = calibrator.futility

    def so(given_up: Futility) -> Calibration:
        return dataclasses.replace(calibration, measured=calibration.measured.giving_up(given_up))

    return {"futility off": so(Futility()), "futility on": so(given_up)}


def learned_start_rows(subject: Subject, *, saved: float, steps: int) -> list[Row]:
    """After how many images the training of a learned start has paid.

    Args:
      subject: The generator.
      saved: Seconds an image that are saved.
      steps: Training steps that are timed; the rest is scaled.

    Returns:
      One row; none where the calibration learned no start, or nothing is saved.
    """
    if INSPECTED not in encoders_of(subject.calibration) or saved <= 0:
        return []
    training = StartTraining()  # As `calibrate` trains one, whatever the calibration's own was.
    steps = max(2, min(steps, training.steps))
    seconds = training_seconds(subject, training, steps)
    return [
        ratio_row(
            "learned_start_pays_after",
            f"{subject.name}, images",
            ours=[seconds],
            reference=[saved],
            unit="s of training; s saved an image",
            speed_up=False,
            training=dataclasses.asdict(training),
            note=f"{steps} steps of training were timed and scaled to {training.steps}; saved "
            "against the published recipe one image at a time, futility off",
        )
    ]


def training_seconds(subject: Subject, training: StartTraining, steps: int) -> float:
    """Seconds to train a start, compiling included, told from its first `steps` steps."""
    marks = [time.perf_counter()]
    some = dataclasses.replace(training, steps=steps)
    run = Run(progress=lambda *_: marks.append(time.perf_counter()))
    learn_start(subject.generator, some, key=jax.random.key(0), run=run)
    end = time.perf_counter()
    # Steps are dispatched before they are done: only the end is waited for.
    first, rest = marks[1] - marks[0], (end - marks[1]) / (steps - 1)
    return first + rest * (training.steps - 1)


def our_accuracy(run: Attributed, belongs: NDArray[np.bool_]) -> dict[str, float]:
    """Rates of right, wrong and undecided verdicts; empty where one of the two kinds is missing."""
    return _rates([verdict.verdict or "undecided" for verdict in run.verdicts], belongs)


def peer_accuracy(
    losses: NDArray[np.float64], belongs: NDArray[np.bool_], published: Calibration | None
) -> dict[str, float]:
    """AUC and TPR at 1% FPR of losses; rates of verdicts too, where a calibration decides them."""
    found = ranking(losses, belongs)
    if published is not None:
        found |= _rates([d.verdict for d in decide(losses, published)], belongs)
    return found


def ranking(scores: NDArray[np.float64], belongs: NDArray[np.bool_]) -> dict[str, float]:
    """How well scores separate the belonging images from the others."""
    own, foreign = scores[belongs], scores[~belongs]
    if not len(own) or not len(foreign):
        return {}
    return {"auc": auc(own, foreign), "tpr_at_1_fpr": tpr_at_fpr(own, foreign, fpr=0.01)}


def _rates(verdicts: list[str], belongs: NDArray[np.bool_]) -> dict[str, float]:
    own = [v for v, kept in zip(verdicts, belongs, strict=True) if kept]
    foreign = [v for v, kept in zip(verdicts, belongs, strict=True) if not kept]
    return decision_rates(own, foreign) if own and foreign else {}


def _scores(run: Attributed) -> NDArray[np.float64]:
    return np.array([np.inf if v.score is None else v.score for v in run.verdicts])


def _row(
    name: str,
    subject: Subject,
    peer: Peer,
    theirs: list[PeerRun],
    ours: list[Attributed],
    *,
    steps: int,
    variant: str,
) -> Row:
    """A batch of the reference is a repeat; beside it stands our figure of the same round."""
    reference = [seconds for run in theirs for seconds in run.per_image(steps)]
    beside = [mine.per_image for run, mine in zip(theirs, ours, strict=True) for _ in run.seconds]
    note = f"reference: {peer.description}"
    if steps != PUBLISHED_STEPS:
        note += f"; {steps} steps were timed and scaled to {PUBLISHED_STEPS}"
    more: dict[str, Any] = {
        "our_evaluations": ours[0].evaluations,
        "their_evaluations": PUBLISHED_STEPS,
        "images": len(ours[0].verdicts),
        "their_images": len(theirs[0].losses),
        "rounds": len(ours),
        "note": note,
    }
    return ratio_row(
        name,
        f"{subject.name}, {variant}",
        ours=beside,
        reference=reference,
        unit="s an image",
        **more,
    )
