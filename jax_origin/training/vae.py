"""The evidence lower bound, with the observation noise at its best value for each batch."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from jax_origin.generators import Generator
from jax_origin.training.recipe import Losses, NetworkTask, State, adam, frozen, mirrored


@dataclasses.dataclass(eq=False, kw_only=True)
class VaeTask(NetworkTask):
    """Sigma-VAE (Rybkin, Daniilidis, Levine; ICML 2021, equation 7): D/2 log(mse) + beta KL.

    Args:
      cls: The generator's class; has `posterior(images) -> (mean, log variance)`.
      config: Its configuration.
      steps: As `adam` takes them.
      learning_rate: Adam's peak rate.
      beta: Weight of the divergence; above 1, samples from the prior get better and
        reconstructions worse.
    """

    steps: int
    learning_rate: float = 1e-3
    beta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._optimizer = adam(self.learning_rate, steps=self.steps)

    def init(self, key: jax.Array) -> State:
        """Fresh weights and optimiser state."""
        params, rest = nnx.state(self._make(key), nnx.Param, nnx.Not(nnx.Param))
        return {"params": params, "rest": rest, "optimizer": self._optimizer.init(params)}

    def _step(self, state: State, images: jax.Array, key: jax.Array) -> tuple[State, Losses]:
        flip_key, noise_key = jax.random.split(key)
        real = mirrored(images.astype(jnp.float32) / 255, flip_key)

        def loss(params: Any) -> tuple[jax.Array, Any]:
            model = nnx.merge(self._graph, params, state["rest"], copy=True)
            mean, log_variance = model.posterior(real)
            noise = jax.random.normal(noise_key, mean.shape)
            decoded = model(mean + jnp.exp(log_variance / 2) * noise)
            mse = jnp.mean((decoded - real) ** 2)
            terms = jnp.exp(log_variance) + mean**2 - 1 - log_variance
            divergence = 0.5 * jnp.mean(jnp.sum(terms, axis=-1))
            dimensions = real[0].size
            total = (dimensions / 2 * jnp.log(mse) + self.beta * divergence) / dimensions
            losses = {"loss": total, "mse": mse, "divergence": divergence}
            return total, (nnx.state(model, nnx.Not(nnx.Param)), losses)

        grads, (rest, losses) = jax.grad(loss, has_aux=True)(state["params"])
        updates, optimizer = self._optimizer.update(grads, state["optimizer"])
        params = optax.apply_updates(state["params"], updates)
        return {"params": params, "rest": rest, "optimizer": optimizer}, losses

    def generator(self, state: State, key: jax.Array) -> Generator:
        """The model as trained so far."""
        del key
        return frozen(self._graph, state["params"], state["rest"])
