"""The evidence lower bound, with the observation noise at its best value for each batch."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from jax_origin.generators import Generator
from jax_origin.training.recipe import adam, frozen, mirrored


class VaeTask:
    """Sigma-VAE (Rybkin, Daniilidis, Levine; ICML 2021, equation 7): D/2 log(mse) + beta KL.

    Args:
      cls: The generator's class; has `posterior(images) -> (mean, log variance)`.
      config: Its configuration.
      steps: Steps over which the learning rate falls to zero on a cosine, after a rise over the
        first tenth of them, 200 at most.
      learning_rate: Adam's peak rate.
      beta: Weight of the divergence; above 1, samples from the prior get better and
        reconstructions worse.
    """

    def __init__(
        self,
        cls: Callable[..., Any],
        config: dict[str, Any],
        *,
        steps: int,
        learning_rate: float = 1e-3,
        beta: float = 1.0,
    ):
        self._make = lambda rngs: cls(**config, rngs=rngs)
        self._graph = nnx.split(nnx.eval_shape(lambda: self._make(nnx.Rngs(0))))[0]
        self._optimizer = adam(learning_rate, steps=steps)
        self._beta = beta
        self.step = jax.jit(self._step, donate_argnums=0)

    def init(self, key: jax.Array) -> dict[str, Any]:
        """Fresh weights and optimiser state."""
        params, rest = nnx.state(self._make(nnx.Rngs(key)), nnx.Param, nnx.Not(nnx.Param))
        return {"params": params, "rest": rest, "optimizer": self._optimizer.init(params)}

    def _step(
        self, state: dict[str, Any], images: jax.Array, key: jax.Array
    ) -> tuple[dict[str, Any], dict[str, jax.Array]]:
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
            total = dimensions / 2 * jnp.log(mse) + self._beta * divergence
            rest = nnx.state(model, nnx.Not(nnx.Param))
            return total / dimensions, (rest, mse, divergence)

        (total, (rest, mse, divergence)), grads = jax.value_and_grad(loss, has_aux=True)(
            state["params"]
        )
        updates, optimizer = self._optimizer.update(grads, state["optimizer"])
        params = optax.apply_updates(state["params"], updates)
        new = {"params": params, "rest": rest, "optimizer": optimizer}
        return new, {"loss": total, "mse": mse, "divergence": divergence}

    def generator(self, state: dict[str, Any], key: jax.Array) -> Generator:
        """The model as trained so far."""
        del key
        return frozen(self._graph, state["params"], state["rest"])
