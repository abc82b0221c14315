"""Adversarial training as DCGAN does it, with an average of the generator's weights kept."""

import dataclasses
import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from jax_origin.generators import Generator, sample_latents
from jax_origin.training.recipe import Losses, NetworkTask, State, mirrored_signed


class Discriminator(nnx.Module):
    """DCGAN's discriminator (pytorch/examples/dcgan, ``netD``) for any power-of-two size.

    Without its batch norms it has biases, weights that keep the scale of activations (He et al.;
    ICCV 2015), and as a last feature how much the batch varies (Karras et al.; ICLR 2018).

    Args:
      image_size: Side of the image: 4 times a power of two.
      width: Channels of the first stage (``ndf``); each later stage has twice as many.
      channels: Image channels.
      batch_norm: Whether the stages after the first one have batch norms.
      rngs: Keys for the initial weights.
    """

    def __init__(
        self, *, image_size: int, width: int, channels: int, batch_norm: bool = True, rngs: nnx.Rngs
    ):
        depth = image_size.bit_length() - 3
        sizes = [channels, *(width * 2**i for i in range(depth))]
        init = nnx.initializers.normal(0.02) if batch_norm else nnx.initializers.he_normal()
        conv = functools.partial(nnx.Conv, use_bias=not batch_norm, kernel_init=init, rngs=rngs)
        self.batch_norm = batch_norm
        self.convs = nnx.List(
            [conv(i, o, (4, 4), strides=2, padding=1) for i, o in itertools.pairwise(sizes)]
        )
        normed = sizes[2:] if batch_norm else []
        self.norms = nnx.List([nnx.BatchNorm(size, momentum=0.9, rngs=rngs) for size in normed])
        features = 16 * sizes[-1] + (not batch_norm)
        self.output = nnx.Linear(features, 1, kernel_init=nnx.initializers.normal(0.02), rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        """Images [N, H, W, C] in [-1, 1] to logits [N], high for real ones."""
        x = images
        for i, conv in enumerate(self.convs):
            x = conv(x)
            if self.batch_norm and i:
                x = self.norms[i - 1](x)
            x = nnx.leaky_relu(x, 0.2)
        x = x.reshape(x.shape[0], -1)
        if not self.batch_norm:
            variation = jnp.sqrt(jnp.var(x, axis=0) + 1e-8).mean()
            x = jnp.concatenate([x, jnp.broadcast_to(variation, (len(x), 1))], axis=1)
        return self.output(x)[:, 0]


@dataclasses.dataclass(eq=False, kw_only=True)
class GanTask(NetworkTask):
    """Non-saturating GAN loss, Adam on both networks, exponential average of the generator.

    Args:
      cls: The generator's class.
      config: Its configuration.
      discriminator_width: Channels of the discriminator's first stage.
      learning_rate: Adam's.
      discriminator_learning_rate: The discriminator's, if it has one of its own.
      batch_norm: Whether the discriminator has batch norms.
      gradient_penalty: Weight of R1 (Mescheder, Geiger, Nowozin; ICML 2018), gamma in
        ``gamma / 2 |gradient of a real image's logit|^2``; taken on a quarter of the batch.
      average_decay: Decay a step of the averaged generator, which is the one that is kept.
      latent_batch: Latents a pass when the averaged generator's batch statistics are measured.
    """

    discriminator_width: int = 64
    learning_rate: float = 2e-4
    discriminator_learning_rate: float | None = None
    batch_norm: bool = True
    gradient_penalty: float = 0.0
    average_decay: float = 0.999
    latent_batch: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        rates = (self.learning_rate, self.discriminator_learning_rate or self.learning_rate)
        self._optimizer, self._critic_optimizer = (optax.adam(r, b1=0.5, b2=0.999) for r in rates)
        critic = nnx.eval_shape(lambda: self._make_discriminator(jax.random.key(0)))
        self._critic_graph = nnx.split(critic)[0]

    def _make_discriminator(self, key: jax.Array) -> Discriminator:
        return Discriminator(
            image_size=self._outline.image_shape[0],
            width=self.discriminator_width,
            channels=self._outline.image_shape[2],
            batch_norm=self.batch_norm,
            rngs=nnx.Rngs(key),
        )

    def init(self, key: jax.Array) -> State:
        """Fresh weights and optimiser states."""
        keys = jax.random.split(key)
        generator, critic = self._make(keys[0]), self._make_discriminator(keys[1])
        params, rest = nnx.state(generator, nnx.Param, nnx.Not(nnx.Param))
        critic_params, critic_rest = nnx.state(critic, nnx.Param, nnx.Not(nnx.Param))
        return {
            "params": params,
            "rest": rest,
            "average": jax.tree.map(jnp.copy, params),
            "optimizer": self._optimizer.init(params),
            "critic_params": critic_params,
            "critic_rest": critic_rest,
            "critic_optimizer": self._critic_optimizer.init(critic_params),
        }

    def _step(self, state: State, images: jax.Array, key: jax.Array) -> tuple[State, Losses]:
        flip_key, latent_key = jax.random.split(key)
        real = mirrored_signed(images, flip_key)

        def generate(params: Any) -> tuple[jax.Array, Any]:
            generator = nnx.merge(self._graph, params, state["rest"], copy=True)
            # Clipped pixels would hide from the discriminator how far beyond the range they are.
            make = getattr(generator, "unclipped", generator)
            fake = make(sample_latents(generator, latent_key, images.shape[0])) * 2 - 1
            return fake, nnx.state(generator, nnx.Not(nnx.Param))

        def judge(params: Any, rest: Any, batch: jax.Array) -> tuple[jax.Array, Any]:
            critic = nnx.merge(self._critic_graph, params, rest, copy=True)
            return critic(batch), nnx.state(critic, nnx.Not(nnx.Param))

        (fake, rest), pull_back = jax.vjp(generate, state["params"])

        def critic_loss(params: Any) -> tuple[jax.Array, Any]:
            real_logits, critic_rest = judge(params, state["critic_rest"], real)
            fake_logits, critic_rest = judge(params, critic_rest, jax.lax.stop_gradient(fake))
            loss = jnp.mean(nnx.softplus(-real_logits)) + jnp.mean(nnx.softplus(fake_logits))
            if self.gradient_penalty:
                some = real[: max(1, len(real) // 4)]
                slopes = jax.grad(lambda batch: judge(params, critic_rest, batch)[0].sum())(some)
                loss += self.gradient_penalty / 2 * jnp.sum(slopes**2) / len(some)
            return loss, critic_rest

        (loss_d, critic_rest), grads = jax.value_and_grad(critic_loss, has_aux=True)(
            state["critic_params"]
        )
        updates, critic_optimizer = self._critic_optimizer.update(grads, state["critic_optimizer"])
        critic_params = optax.apply_updates(state["critic_params"], updates)

        def generator_loss(fake: jax.Array) -> jax.Array:
            logits, _ = judge(critic_params, critic_rest, fake)
            return jnp.mean(nnx.softplus(-logits))

        loss_g, toward_real = jax.value_and_grad(generator_loss)(fake)
        (grads,) = pull_back((toward_real, jax.tree.map(jnp.zeros_like, rest)))
        updates, optimizer = self._optimizer.update(grads, state["optimizer"])
        params = optax.apply_updates(state["params"], updates)
        average = optax.incremental_update(params, state["average"], 1 - self.average_decay)
        new = {
            "params": params,
            "rest": rest,
            "average": average,
            "optimizer": optimizer,
            "critic_params": critic_params,
            "critic_rest": critic_rest,
            "critic_optimizer": critic_optimizer,
        }
        return new, {"loss_d": loss_d, "loss_g": loss_g}

    def generator(self, state: State, key: jax.Array) -> Generator:
        """The averaged generator; batch statistics are measured anew, for its own weights."""
        copies = jax.tree.map(jnp.copy, (state["average"], state["rest"]))
        generator = nnx.merge(self._graph, *copies)
        measured = jax.tree.leaves(nnx.state(generator, nnx.BatchStat))
        for i in range(40 if measured else 0):
            latents = sample_latents(generator, jax.random.fold_in(key, i), self.latent_batch)
            _measure(generator, latents)
        generator.eval()
        return generator


@nnx.jit
def _measure(generator: Generator, latents: jax.Array) -> None:
    generator(latents)
