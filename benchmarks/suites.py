"""The suites of a benchmark: which rows are measured, on what, one after the other."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from benchmarks.engine import (
    compile_seconds,
    cost_against_work,
    early_accept_saving,
    engine_overhead,
    peak_memory_per_lane,
    share_of_matmul_peak,
)
from benchmarks.families import FAMILIES, family_overheads, stable_diffusion_autoencoder
from benchmarks.latent_peers import autoencoder_subject, latent_rows
from benchmarks.peers import PUBLISHED_STEPS, Peer, peer_rows
from benchmarks.recovery import limited, recovery_rows, start_of
from benchmarks.subjects import (
    BenchmarkError,
    Row,
    Sizes,
    Subject,
    images_of_known_origin,
)
from jax_origin.calibration import Calibration
from jax_origin.checkpoints import CheckpointError
from jax_origin.generators import GeneratorLike
from jax_origin.inversion import Recipe, Run, StartTraining
from jax_origin.zoo import calibration_path

MakePeer = Callable[[GeneratorLike], Peer | None]
"""Makes the published recipe for a generator; None where there is none."""

_IN_FULL = Sizes(
    repeats=1,
    mixed=100,
    peer_images=100,
    peer_steps=PUBLISHED_STEPS,
    batched_steps=PUBLISHED_STEPS,
)
_LANES = (64, 256, 1024, 4096, 16384)
_LATENT_IMAGES = 128
_LARGE_LANES = (1, 2, 4, 8, 16)  # Of images of 512 px.
_MATRIX = 8192


def timing_suite(
    generators: Mapping[str, GeneratorLike],
    make_peer: MakePeer,
    *,
    calibrations: str | None = None,
    photographs: str | None = None,
    limit: int | None = None,
    accelerator: bool = False,
) -> Iterator[Row]:
    """Speed alone: the suites "cpu" and "accelerator".

    Args:
      generators: By name. The first one stands for all, but where the step itself is measured.
      make_peer: See `MakePeer`; without a peer its rows are left out.
      calibrations: A path in which {name} stands for the generator's name; the zoo's own without.
      photographs: See `images_of_known_origin`.
      limit: No number of images, steps or repeats is larger; None for no limit.
      accelerator: Whether the share of the matmul peak is measured, too; without a limit also on
        the autoencoder of Stable Diffusion.

    Yields:
      Rows, as they are measured.
    """
    sizes = Sizes().limited(limit)
    name = next(iter(generators))
    subject = _subject(name, generators, sizes, calibrations, photographs)
    yield compile_seconds(subject)
    for each, generator in generators.items():
        if getattr(generator, "kind", None) not in FAMILIES:
            yield engine_overhead(each, generator, pairs=sizes.pairs)
    yield from family_overheads(pairs=sizes.pairs)
    yield from peak_memory_per_lane(subject)
    yield early_accept_saving(subject, sizes.early)
    if peer := make_peer(generators[name]):
        yield from peer_rows(subject, peer, sizes)
    yield from cost_against_work(subject, sizes)
    if not accelerator:
        return
    for each, generator in generators.items():
        yield from share_of_matmul_peak(
            each,
            generator,
            pairs=min(5, sizes.pairs),
            lanes=_LANES if limit is None else _LANES[:1],
            size=min(_MATRIX, limit or _MATRIX),
        )
    if limit is None:
        yield from share_of_matmul_peak(
            "autoencoder_kl as in Stable Diffusion, 512 px, random weights",
            stable_diffusion_autoencoder(),
            pairs=min(5, sizes.pairs),
            lanes=_LARGE_LANES,
            size=_MATRIX,
        )


def peers_suite(
    generators: Mapping[str, GeneratorLike],
    make_peer: MakePeer,
    *,
    calibrations: str | None = None,
    photographs: str | None = None,
    limit: int | None = None,
) -> Iterator[Row]:
    """The published recipe in full on each generator, with both sides' accuracy.

    Args:
      generators: By name.
      make_peer: See `MakePeer`; a generator without a peer has no rows.
      calibrations: As `timing_suite` takes them.
      photographs: See `images_of_known_origin`.
      limit: No number of images, steps or repeats is larger; None for no limit.

    Yields:
      Rows, as they are measured.
    """
    sizes = _IN_FULL.limited(limit)
    for name, generator in generators.items():
        if peer := make_peer(generator):
            subject = _subject(name, generators, sizes, calibrations, photographs)
            published = _zoo_calibration(name, "ronan")
            yield from peer_rows(subject, peer, sizes, published=published)


def latent_suite(
    generators: Mapping[str, GeneratorLike],
    make_peer: MakePeer,
    *,
    calibrations: str | None = None,
    photographs: str | None = None,
    limit: int | None = None,
) -> Iterator[Row]:
    """LatentTracer's recipe on each autoencoder, with both sides' accuracy.

    Args:
      generators: Autoencoders by name; each is foreign to the others.
      make_peer: Makes that recipe; a generator without a peer has no rows.
      calibrations: As `timing_suite` takes them.
      photographs: A folder or npz archive of photographs; crops of scikit-image's without it.
      limit: No number of images is larger; None for no limit.

    Yields:
      Rows, as they are measured.
    """
    num = _LATENT_IMAGES if limit is None else min(limit, _LATENT_IMAGES)
    for name, generator in generators.items():
        if peer := make_peer(generator):
            calibration = _given_calibration(name, calibrations)
            subject = autoencoder_subject(
                name,
                generators,
                calibration or Calibration.load(calibration_path(name, "origin-latent")),
                num=num,
                photographs=photographs,
            )
            yield from latent_rows(subject, peer, num=num)


def recovery_suite(
    generators: Mapping[str, GeneratorLike],
    recipes: Mapping[str, Recipe],
    *,
    num_belonging: int,
    num_foreign: int,
    seed: int,
    start_steps: int,
    cache: str | os.PathLike[str] | None,
    calibrations: str | None = None,
    photographs: str | None = None,
    limit: int | None = None,
) -> Iterator[Row]:
    """Recipes side by side on each generator; see `recovery_rows`.

    Args:
      generators: By name.
      recipes: By name.
      num_belonging: Images of the generator's own.
      num_foreign: Foreign images in all.
      seed: For the images.
      start_steps: Of an encoder's training, where no calibration brings one.
      cache: Folder of trained encoders.
      calibrations: As `timing_suite` takes them; their encoders are used.
      photographs: See `images_of_known_origin`.
      limit: No number of images or steps is larger; None for no limit.

    Yields:
      Rows, as they are measured.
    """
    images, steps = ((n if limit is None else min(n, limit)) for n in (num_belonging, start_steps))
    for name, generator in generators.items():
        own, foreign = images_of_known_origin(
            name,
            generators,
            num_own=images,
            num_foreign=num_foreign if limit is None else min(num_foreign, limit),
            purpose="choosing",
            photographs=photographs,
            seed=seed,
        )
        calibration = _given_calibration(name, calibrations) or _zoo_calibration(name, "origin")
        training = StartTraining(steps=steps)
        yield from recovery_rows(
            name,
            generator,
            {title: limited(recipe, limit) for title, recipe in recipes.items()},
            own=own,
            foreign=np.concatenate([*foreign.values()]),
            encoder=start_of(generator, calibration, training=training, run=Run(cache=cache)),
        )


def chosen_recipes(recipes: Mapping[str, Recipe], only: Sequence[str]) -> dict[str, Recipe]:
    """The recipes that are named; all of them where none is.

    Raises:
      BenchmarkError: If there is none of that name.
    """
    for name in only:
        if name not in recipes:
            raise BenchmarkError(f"there is no recipe {name!r}; there are {', '.join(recipes)}")
    return {name: recipes[name] for name in only or recipes}


def _subject(
    name: str,
    generators: Mapping[str, GeneratorLike],
    sizes: Sizes,
    calibrations: str | None,
    photographs: str | None,
) -> Subject:
    most = max(sizes.mixed, *sizes.work)
    calibration = _given_calibration(name, calibrations)
    own, foreign = images_of_known_origin(
        name,
        generators,
        num_own=(most + 1) // 2,
        num_foreign=most // 2,
        purpose="timing",
        photographs=photographs,
    )
    return Subject(
        name=name,
        generator=generators[name],
        calibration=calibration or Calibration.load(calibration_path(name)),
        own=own,
        foreign=foreign,
    )


def _given_calibration(name: str, pattern: str | None) -> Calibration | None:
    return Calibration.load(pattern.replace("{name}", name)) if pattern else None


def _zoo_calibration(name: str, method: str) -> Calibration | None:
    try:
        path = calibration_path(name, method)
    except CheckpointError:
        return None
    return Calibration.load(path)
