"""How near two models may be and still be told apart; see docs/near_models.md."""

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from ml_collections import ConfigDict
from numpy.typing import NDArray

from benchmarks.found_calibrations import find_calibration
from benchmarks.metrics import rate_interval
from benchmarks.result_table import markdown_table
from benchmarks.sampling import ProtocolError, starting_key
from benchmarks.subjects import measured_on
from jax_origin.generators import sample_latents
from jax_origin.generators.files import read_card
from jax_origin.images import as_float, as_uint8, load_images
from jax_origin.inversion import Run
from jax_origin.training import TASKS
from jax_origin.workflow import Attributor, Verdict, get_method
from jax_origin.zoo import ZOO, load_generator

_LATENTS = int.from_bytes(b"near", "big")  # folded into the seed's key: latents of no other use
_BATCH = 64  # images a step of training


def copies(generator: Any, *, jitters: Sequence[float], seed: int) -> Iterator[tuple[str, Any]]:
    """The generator itself, then copies of jittered and of rounded weights, each with its name.

    A jitter multiplies each number by 1 + share * n, n standard normal. int8 has 127 steps to
    either side of 0 for each array; vectors (biases, norms) stay as they are, as is usual.
    """
    yield "itself", generator
    for share in jitters:
        rng = np.random.default_rng([seed, round(1e9 * share)])
        yield f"jitter {share:.4g}", _changed(generator, functools.partial(_jittered, share, rng))
    for kind in ("float16", "bfloat16"):
        yield kind, _changed(generator, functools.partial(jnp.asarray, dtype=kind))
    yield "int8", _changed(generator, _int8)


def trained_on(
    generator: Any, task: Mapping[str, Any], images: NDArray[np.uint8], *, steps: Sequence[int]
) -> Iterator[tuple[int, Any]]:
    """The generator after some more steps of training.

    The optimiser begins anew, and so does a GAN's discriminator, which the zoo does not hold.

    Args:
      generator: A GAN or a VAE of the zoo.
      task: What its card says of its training.
      images: uint8 [N, H, W, C].
      steps: After how many a copy is yielded. At 0 nothing is trained, but a GAN's batch statistics
        are measured anew, as they are each time.
    """
    options = {**task, "steps": max(steps)} if "steps" in task else dict(task)
    trainer = TASKS[options.pop("name")](type(generator), generator.config, **options)
    state, key = trainer.init(jax.random.key(0)), jax.random.key(1)
    params, rest = nnx.state(generator, nnx.Param, nnx.Not(nnx.Param))
    own = {"params": params, "rest": rest, "average": params}
    # Copies, since a step gives the arrays of its state away.
    state |= {part: jax.tree.map(jnp.copy, own[part]) for part in own.keys() & state.keys()}
    rng = np.random.default_rng(0)
    for step in range(max(steps) + 1):
        if step in steps:
            yield step, trainer.generator(state, key)
        batch = images[rng.choice(len(images), _BATCH)]
        state, _ = trainer.step(state, batch, jax.random.fold_in(key, step))


def copy_row(attributor: Attributor, copy: Any, latents: jax.Array) -> dict[str, Any]:
    """How near a copy is to the attributor's generator, and what becomes of its images.

    Returns:
      weights, the L2 distance over the norm of the generator's trained weights; psnr, the mean over
      images of the same latents before rounding (120 dB at most); largest, the largest difference
      in grey levels after it; identical, the share of images that are then equal; and
      `verdict_counts` of the copy's.
    """
    ours, theirs = (np.asarray(_made(each, latents)) for each in (attributor.generator, copy))
    errors = np.mean((ours.astype(np.float64) - theirs) ** 2, axis=(1, 2, 3))
    whole, images = (as_uint8(as_float(each)) for each in (ours, theirs))
    apart = np.abs(whole.astype(int) - images).max(axis=(1, 2, 3))
    old, new = (
        jax.tree.leaves(nnx.state(each, nnx.Param)) for each in (attributor.generator, copy)
    )
    moved = optax.global_norm(jax.tree.map(jnp.subtract, new, old))
    return {
        "weights": float(moved / optax.global_norm(old)),
        "psnr": float(np.mean(-10 * np.log10(np.maximum(errors, 1e-12)))),
        "largest": int(apart.max()),
        "identical": float(np.mean(apart == 0)),
        **verdict_counts(attributor(images)),
    }


def study(config: ConfigDict, *, data: str, limit: int | None, run: Run) -> dict[str, Any]:
    """Rows by configs/evaluate/near_models.py, what was left out, what it was measured on.

    `data` is the folder of `config.sets`, `limit` the most images of a copy.
    """
    rows, left_out, digests = [], [], {}
    key = jax.random.fold_in(jax.random.key(config.seed), _LATENTS)
    for name in config.inspected:
        attributor = attributor_of(name, config, run)
        generator, digests[name] = attributor.generator, attributor.calibration.digest
        made = [*copies(generator, jitters=config.jitters, seed=config.seed)]
        task = read_card(ZOO / name)["task"]
        for title, file in config.sets.items():
            path = os.path.join(data, file)
            if not os.path.isfile(path) or task["name"] not in ("gan", "vae"):
                left_out.append(f"{name}, trained on {title}: no GAN or VAE, or no file {path}")
                continue
            images = load_images(path, limit=config.num_training)
            further = trained_on(generator, task, images, steps=config.training_steps)
            made += [(f"{step} steps on {title}", copy) for step, copy in further]
        latents = sample_latents(generator, key, min(config.num_images, limit or config.num_images))
        for what, copy in made:
            rows.append({"generator": name, "copy": what, **copy_row(attributor, copy, latents)})
    return {"left_out": left_out, "calibrations": digests, **measured_on(), "rows": rows}


def table(result: Mapping[str, Any]) -> str:
    """A result of `study` in Markdown."""
    heading = "generator|copy|weights|PSNR|grey levels|equal|n|belong|95%|undecided|95%|score"
    cells = [heading.split("|")]
    for row in result["rows"]:
        near = f"{row['weights']:.1e}|{row['psnr']:.1f}|{row['largest']}|{row['identical']:.0%}"
        cells.append([row["generator"], row["copy"], *near.split("|"), *in_cells(row, "belongs")])
    rows = markdown_table(cells, right=[i > 1 for i in range(len(cells[0]))])
    return "\n\n".join([rows, *(f"Left out: {line}." for line in result["left_out"])])


def attributor_of(
    name: str,
    config: ConfigDict,
    run: Run | None = None,
    *,
    resize: bool = False,
    readings: str = "usual",
) -> Attributor:
    """The attributor of a zoo generator, with full scores; ProtocolError without a calibration.

    `resize` and `readings` are as `Attributor` has them.
    """
    generator = load_generator(name)
    method = get_method("origin", generator)
    calibration = find_calibration(name, method, pattern=config.calibrations)
    if calibration is None:
        raise ProtocolError(f"{name} has no calibration: config.calibrations says where one is")
    key = starting_key(config.seed)
    options: dict[str, Any] = {"resize": resize, "readings": readings, "run": run}
    return Attributor(generator, calibration, key=key, full_scores=True, **options)


def verdict_counts(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """How many verdicts there are of each kind, n in all, and the median distance and score.

    Beside each count, such as belongs, stands belongs_95: the ends of its rate's exact (Clopper and
    Pearson's) interval. Of no verdicts these and the medians are None.
    """
    words = [verdict.verdict for verdict in verdicts]
    distances = [float(each.inversion.distance) for each in verdicts if each.inversion is not None]
    scores = [each.score for each in verdicts if each.score is not None]
    counts: dict[str, Any] = {"n": len(words)}
    for word in ("belongs", "not_recognised", "undecided"):
        counts[word] = count = words.count(word)
        counts[f"{word}_95"] = [*rate_interval(count, len(words))[1:]] if words else None
    for name, values in (("distance", distances), ("score", scores)):
        counts[name] = float(np.median(values)) if values else None
    return counts


def in_cells(row: Mapping[str, Any], word: str) -> list[str]:
    """n; how many have a verdict, and the interval; how many are undecided, likewise; the score."""
    cells = [str(row["n"])]
    for each in (word, "undecided"):
        ends = row[f"{each}_95"]
        cells += [str(row[each]), f"{ends[0]:.1%} to {ends[1]:.1%}" if ends else "-"]
    return [*cells, "-" if row["score"] is None else f"{row['score']:.1e}"]


@nnx.jit
def _made(generator: Any, latents: jax.Array) -> jax.Array:
    return generator(latents)


def _changed(generator: Any, change: Callable[[NDArray[np.float32]], Any]) -> Any:
    graph, state = nnx.split(generator)
    changed = jax.tree.map(lambda w: jnp.asarray(change(np.asarray(w)), w.dtype), state)
    return nnx.merge(graph, changed)


def _jittered(share: float, rng: np.random.Generator, weights: NDArray[np.float32]) -> Any:
    return weights * (1 + share * rng.standard_normal(weights.shape))


def _int8(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    step = np.abs(weights).max() / 127
    return np.rint(weights / step) * step if weights.ndim > 1 and step else weights
