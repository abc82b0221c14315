"""Autoencoders of latent models: by reconstruction, with a codebook, or in a teacher's latents."""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_origin.generators import (
    Autoencoder,
    AutoencoderKL,
    AutoencoderTiny,
    Generator,
    VQModel,
    fingerprint,
    generator_name,
)
from jax_origin.training.recipe import (
    AveragedTask,
    Losses,
    State,
    checked_teacher,
    mirrored_signed,
)


class Found(NamedTuple):
    """What a step found out beside the loss.

    Attributes:
      losses: Scalars for the log.
      latents: What the decoder took, [N, h, w, C].
      encodings: What the encoder gave, before a codebook had its say, [N, h, w, C].
    """

    losses: Losses
    latents: jax.Array
    encodings: jax.Array


@dataclasses.dataclass(eq=False, kw_only=True)
class ReconstructionTask(AveragedTask):
    """Makes an autoencoder give images back: the mean of |error| and of its square, in [-1, 1].

    A task derives from it, and says `_losses` and its network's class, `trains`. What is kept is
    the average of the weights, as `AveragedTask` has it. `latent_mean` and `latent_std` of the
    generator are those of its latents of the training images, by channel: averages over the steps,
    like the weights.

    Raises:
      ValueError: If the network is of another class, or its canvases are larger than its images.
    """

    trains: ClassVar[type[Autoencoder]]

    def __post_init__(self) -> None:
        if not issubclass(self.cls, self.trains):  # type: ignore[arg-type]
            name = getattr(self.cls, "__name__", self.cls)
            raise ValueError(f"{type(self).__name__} trains {self.trains.__name__}, not {name}")
        super().__post_init__()
        if self._outline.canvas_shape != self._outline.image_shape:
            cells = f"{self._outline.factor} pixels, without margin and phase"
            raise ValueError(f"{type(self).__name__} trains on images of whole cells of {cells}")
        shape = (self._outline.latent_channels,)
        mean, std = self._outline.latent_mean, self._outline.latent_std
        self._whitening = tuple(np.broadcast_to(np.float32(each), shape) for each in (mean, std))

    def init(self, key: jax.Array) -> State:
        """Fresh weights, optimiser state, and moments of latents as the configuration has them."""
        mean, std = map(jnp.asarray, self._whitening)
        return {**super().init(key), "moments": {"mean": mean, "square": mean**2 + std**2}}

    def _step(self, state: State, images: jax.Array, key: jax.Array) -> tuple[State, Losses]:
        new, found, _ = self._descended(state, images, key)
        return new, found.losses

    def _descended(
        self, state: State, images: jax.Array, key: jax.Array
    ) -> tuple[State, Found, Any]:
        """The state after a step down `_losses`, what was found out, and the gradient."""
        flip_key, noise_key = jax.random.split(key)
        real = mirrored_signed(images, flip_key)

        def loss(params: Any) -> tuple[jax.Array, Found]:
            return self._losses(nnx.merge(self._graph, params), state, real, noise_key)

        grads, found = jax.grad(loss, has_aux=True)(state["params"])
        moments = {"mean": found.latents, "square": jnp.square(found.latents)}
        moments = {name: each.mean((0, 1, 2)) for name, each in moments.items()}
        moments = self._averaged(state, moments, "moments")
        return {**self._moved(state, grads), "moments": moments}, found, grads

    def _losses(
        self, model: Any, state: State, real: jax.Array, key: jax.Array
    ) -> tuple[jax.Array, Found]:
        """The loss of a network on images [N, H, W, C] in [-1, 1]."""
        raise NotImplementedError(f"{type(self).__name__} has no _losses")

    def generator(self, state: State, key: jax.Array) -> Generator:
        """The generator of the averaged weights, its latents white."""
        made: Any = super().generator(state, key)
        mean, square = (np.asarray(state["moments"][name]) for name in ("mean", "square"))
        # A channel that says the same of all images still has a deviation above 0.
        std = np.sqrt(np.maximum(square - mean**2, 1e-8))
        made.latent_mean, made.latent_std = tuple(mean.tolist()), tuple(std.tolist())
        return made


@dataclasses.dataclass(eq=False, kw_only=True)
class AutoencoderTask(ReconstructionTask):
    """KL autoencoder of latent diffusion (Rombach et al., CVPR 2022), without its discriminator.

    Args:
      kl_weight: Weight of the divergence of an image's posterior from N(0, I), where the
        reconstruction's errors are sums over the image's numbers.
      **options: As `AveragedTask` takes them.
    """

    trains: ClassVar[type[Autoencoder]] = AutoencoderKL
    kl_weight: float = 1e-6

    def _losses(
        self, model: Any, state: State, real: jax.Array, key: jax.Array
    ) -> tuple[jax.Array, Found]:
        mean, log_variance = model.posterior(real)
        noise = jax.random.normal(key, mean.shape)
        made = model.decode(mean + jnp.exp(log_variance / 2) * noise)
        error, mse = _errors(made, real)
        terms = jnp.exp(log_variance) + mean**2 - 1 - log_variance
        divergence = 0.5 * jnp.sum(terms) / len(real)
        total = error + self.kl_weight * divergence / real[0].size
        losses = {"loss": total, "mse": mse, "divergence": divergence}
        return total, Found(losses, mean, mean)


@dataclasses.dataclass(eq=False, kw_only=True)
class VqTask(ReconstructionTask):
    """VQ-VAE (van den Oord, Vinyals, Kavukcuoglu; NeurIPS 2017, equation 3), VQGAN's autoencoder.

    The gradient passes the codebook straight through. A code that no image has used for `patience`
    steps becomes an encoding drawn from the batch (Dhariwal et al.; Jukebox, 2020, section 3.1).
    Fresh codes have waited that long already: those that the first step does not use are drawn.

    Args:
      commitment: Weight of the encodings' squared distance from their codes, beta.
      patience: Steps that a code may go unused.
      **options: As `AveragedTask` takes them.

    Raises:
      ValueError: If `patience` is below 1, or the network is of another class.
    """

    trains: ClassVar[type[Autoencoder]] = VQModel
    commitment: float = 0.25
    patience: int = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.patience < 1:
            raise ValueError(f"patience must be at least 1, not {self.patience}")

    def init(self, key: jax.Array) -> State:
        """As `ReconstructionTask` has it; all codes have waited already."""
        idle = jnp.full(self._outline.codes, self.patience, jnp.int32)
        return {**super().init(key), "idle": idle}

    def _step(self, state: State, images: jax.Array, key: jax.Array) -> tuple[State, Losses]:
        step_key, draw_key = jax.random.split(key)
        new, found, grads = self._descended(state, images, step_key)
        # A code that is nobody's nearest has no gradient at all.
        used = jnp.any(_codebook(grads) != 0, axis=1)
        idle = jnp.where(used, 0, state["idle"] + 1)
        dead = idle > self.patience
        encodings = found.encodings.reshape(-1, found.encodings.shape[-1])
        drawn = encodings[jax.random.randint(draw_key, dead.shape, 0, len(encodings))]
        for name in ("params", "average"):
            revived = jnp.where(dead[:, None], drawn, _codebook(new[name]))
            new[name] = self._with_codebook(new[name], revived)
        new["idle"] = jnp.where(dead, 0, idle)
        return new, {**found.losses, "codes_used": jnp.mean(used.astype(jnp.float32))}

    def _losses(
        self, model: Any, state: State, real: jax.Array, key: jax.Array
    ) -> tuple[jax.Array, Found]:
        encodings = model.quant(model.encoder(real))
        codes = model.quantised(encodings)
        made = model.decode(encodings + jax.lax.stop_gradient(codes - encodings))
        error, mse = _errors(made, real)
        learned = jnp.mean((codes - jax.lax.stop_gradient(encodings)) ** 2)
        committed = jnp.mean((jax.lax.stop_gradient(codes) - encodings) ** 2)
        total = error + learned + self.commitment * committed
        losses = {"loss": total, "mse": mse, "quantisation": committed}
        return total, Found(losses, codes, encodings)

    def _with_codebook(self, params: Any, table: jax.Array) -> Any:
        model: Any = nnx.merge(self._graph, params, copy=True)
        model.codebook.embedding[...] = table
        return nnx.state(model)


@dataclasses.dataclass(eq=False, kw_only=True)
class TinyTask(ReconstructionTask):
    """A small autoencoder in a teacher's latents, as TAESD (madebyollin/taesd) is in SD's.

    Its encoder learns to give the teacher's latents, its decoder to make the image of them. Both
    are the teacher's white ones: `AutoencoderTiny` bounds what it decodes to 3 deviations.

    Args:
      teacher: An autoencoder with latents of the same shape, or where `load_generator` finds one;
        the attribute is its name and fingerprint, for the card.
      **options: As `AveragedTask` takes them.

    Raises:
      CheckpointError: If the teacher does not load.
      ValueError: If there is no teacher, it is no autoencoder, its images or latents are of another
        shape, or the network is of another class.
    """

    trains: ClassVar[type[Autoencoder]] = AutoencoderTiny
    teacher: Any

    def __post_init__(self) -> None:
        super().__post_init__()
        self._teacher = found = checked_teacher(self.teacher, Autoencoder, self._outline)
        shapes = [made.latent_shape for made in (found, self._outline)]
        if shapes[0] != shapes[1]:
            raise ValueError("the teacher's latents are {}, the student's {}".format(*shapes))
        self.teacher = {"name": generator_name(found), "fingerprint": fingerprint(found)}
        self._teacher_graph = nnx.split(found)[0]

    def init(self, key: jax.Array) -> State:
        """As `ReconstructionTask` has it, with the teacher's weights beside."""
        return {**super().init(key), "teacher": jax.tree.map(jnp.copy, nnx.state(self._teacher))}

    def _losses(
        self, model: Any, state: State, real: jax.Array, key: jax.Array
    ) -> tuple[jax.Array, Found]:
        teacher = nnx.merge(self._teacher_graph, state["teacher"])
        wanted = teacher.encode(real / 2 + 0.5)
        encodings = model.posterior(real)[0]
        error, mse = _errors(model.decode(wanted), real)
        off = jnp.mean((encodings - wanted) ** 2)
        losses = {"loss": error + off, "mse": mse, "latents": off}
        return error + off, Found(losses, wanted, encodings)

    def generator(self, state: State, key: jax.Array) -> Generator:
        """The generator of the averaged weights; its latents are the teacher's."""
        return AveragedTask.generator(self, state, key)


def _errors(made: jax.Array, real: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Of images in [-1, 1] the mean of |error| and of its square together; the latter in [0, 1]."""
    off = made - real
    square = jnp.mean(off**2)
    return jnp.mean(jnp.abs(off)) + square, square / 4


def _codebook(params: Any) -> jax.Array:
    return params["codebook"]["embedding"][...]
