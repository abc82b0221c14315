"""Your own distance, score, start, solver and rule, from a calibration to verdicts.

    python examples/own_parts.py                    # calibrates, saves, attributes
    python examples/own_parts.py calibration.json   # loads that calibration, attributes

Each part is a frozen dataclass of a few lines with a `kind`. `register` makes the kind known, so
that a calibration that holds the part can be loaded again: by any program that imports this file
first. Nothing in the package knows of them.
"""

import dataclasses
import sys
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jax_origin as jo
from jax_origin.generators import sample_latents
from jax_origin.workflow import belonging_images


@jo.register
@dataclasses.dataclass(frozen=True)
class Edges(jo.distances.Distance):
    """Squared error of edges, the differences from each pixel to the next, and a little of pixels.

    A distance says its residual; l1, l2 and what Gauss-Newton needs follow from it.
    """

    kind = "edges"
    flat: float = 0.1  # The weight of the pixels themselves.

    def residual(self, images: jax.Array, targets: Any) -> jax.Array:
        """[N, H, W, 3 C], so that it can also be asked where in an image an error lies."""
        off = images - targets
        down = jnp.diff(off, axis=1, append=off[:, -1:])
        along = jnp.diff(off, axis=2, append=off[:, :, -1:])
        return jnp.concatenate([down, along, self.flat * off], axis=3)


@jo.register
@dataclasses.dataclass(frozen=True)
class BestOf(jo.starts.Start):
    """The nearest of several samples of the prior."""

    kind = "best_of"
    samples: int = 16

    def points(self, generator: Any, images: jax.Array, keys: jax.Array, encode: Any = None) -> Any:
        """One point for each key, [N, restarts, *latent_shape]."""

        def of_lane(image: jax.Array, key: jax.Array) -> jax.Array:
            latents = sample_latents(generator, key, self.samples)
            errors = jnp.mean((generator(latents) - image[None]) ** 2, axis=(1, 2, 3))
            return latents[jnp.argmin(errors)]

        return jax.vmap(jax.vmap(of_lane, (None, 0)))(images, keys)


@jo.register
@dataclasses.dataclass(frozen=True)
class ClippedAdam(jo.solvers.FirstOrder):
    """A chain of optax: clipped gradients, Adam, a rate that falls to zero."""

    kind = "clipped_adam"
    learning_rate: float = 0.2

    def transformation(self, steps: int) -> optax.GradientTransformation:
        """The chain, for a stage of so many steps."""
        rate = optax.cosine_decay_schedule(-self.learning_rate, steps)
        return optax.chain(
            optax.clip_by_global_norm(1.0), optax.scale_by_adam(), optax.scale_by_schedule(rate)
        )


@jo.register
@dataclasses.dataclass(frozen=True)
class Surprise(jo.scores.Score):
    """How many times farther than usual, and how far the latent's norm is from the prior's.

    What is usual `fit` measures, on some of the generator's own images.
    """

    kind = "surprise"
    fits = True
    usual: float | None = None

    def fit(self, own: jo.Inversion) -> "Surprise":
        """Knows the median distance of the generator's own images."""
        return Surprise(float(np.median(own.distance)))

    def __call__(self, found: jo.Inversion, reference: jo.Inversion | None = None) -> np.ndarray:
        """One number an image; everything that is known of the inversion is in `found`."""
        latents = np.asarray(found.latent, np.float64).reshape(len(found.latent), -1)
        return found.distance / self.usual + abs((latents**2).mean(axis=1) - 1)


class Tail(NamedTuple):
    """What `Cantelli` knows of the belonging scores."""

    mean: float
    deviation: float

    def p_value(self, scores: Any) -> np.ndarray:
        """At most so much of any distribution lies so far above its mean."""
        above = np.maximum(np.asarray(scores, np.float64) - self.mean, 0.0)
        return 1 / (1 + (above / self.deviation) ** 2)

    def threshold(self, rate: float) -> float:
        """The highest score that is accepted."""
        return self.mean + self.deviation * np.sqrt(1 / rate - 1)


@jo.register
@dataclasses.dataclass(frozen=True)
class Cantelli(jo.rules.Rule):
    """Cantelli's inequality: it asks for a mean and a deviation, and for no distribution."""

    kind = "cantelli"

    def fit(self, scores: Any) -> Tail:
        """Knows the mean and the deviation of belonging scores."""
        return Tail(float(np.mean(scores)), float(np.std(scores, ddof=1)))


METHOD = jo.Method(
    "all_my_own",
    jo.Recipe(
        start=BestOf(),
        stages=(
            jo.Stage(ClippedAdam(), steps=60, objective="l1"),
            jo.Stage(jo.solvers.GaussNewton(), steps=6, tolerance=0.2),
        ),
        distance=Edges(),
    ),
    score=Surprise(),
    rule=Cantelli(),
    rates=jo.Rates(alpha=0.1, beta=0.05),
    floor=0.0,
)


def generate(params: dict[str, jax.Array], latents: jax.Array) -> jax.Array:
    """Latents [N, 6] to images [N, 8, 8, 3]: a small network that nobody trained."""
    hidden = jnp.tanh(latents @ params["first"])
    return jax.nn.sigmoid(hidden @ params["last"]).reshape(-1, 8, 8, 3)


def network(seed: int) -> jo.FunctionGenerator:
    """The network with weights from a seed."""
    draw = np.random.default_rng(seed)
    shapes = {"first": (6, 32), "last": (32, 192)}
    params = {name: draw.normal(size=s).astype(np.float32) * 0.4 for name, s in shapes.items()}
    name = f"network-{seed}"
    return jo.FunctionGenerator(
        generate, params, latent_shape=(6,), image_shape=(8, 8, 3), name=name
    )


def calibrated(generator: jo.FunctionGenerator) -> jo.Calibration:
    """A calibration with all of these parts; its foreign images are another network's."""
    foreign = {"network-1": belonging_images(network(1), 30, key=jax.random.key(3))}
    return jo.calibrate(
        generator, method=METHOD, num_belonging=30, foreign=foreign, key=jax.random.key(0)
    )


def main(arguments: list[str]) -> None:
    """Calibrates or loads, and attributes images of two generators."""
    generator, other = network(0), network(2)
    path = arguments[0] if arguments else "calibration.json"
    if not arguments:
        calibrated(generator).save(path)
    calibration = jo.Calibration.load(path)
    print(f"{path} holds your own:")
    method = jo.Method.of(calibration)
    solver = method.recipe.stages[0].solver
    for part in (method.recipe.start, solver, method.recipe.distance, method.score, method.rule):
        print(f"  {part.family:<9} {part}")
    attributor = jo.Attributor(generator, calibration, key=jax.random.key(2))
    for maker in (generator, other):
        for verdict in attributor(belonging_images(maker, 4, key=jax.random.key(1))):
            print(
                f"An image by {maker.name}: {verdict.verdict:<9}  score {verdict.score:9.2f}  "
                f"p {verdict.p:.3f}  q {verdict.q:.3f}"
            )


if __name__ == "__main__":
    main(sys.argv[1:])
