"""What the tasks' recipes have in common."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from jax_origin.generators import Generator, generator_name
from jax_origin.zoo import load_generator

State = dict[str, Any]
Losses = dict[str, jax.Array]


@dataclasses.dataclass(eq=False)
class NetworkTask:
    """Trains a generator. A task derives from it and says `init`, `_step` and `generator`.

    Args:
      cls: The generator's class.
      config: Its configuration.
    """

    cls: Callable[..., Any]
    config: dict[str, Any]

    def __post_init__(self) -> None:
        self._outline = nnx.eval_shape(lambda: self._make(jax.random.key(0)))
        self._graph = nnx.split(self._outline)[0]
        self.step = jax.jit(self._step, donate_argnums=0)

    def _make(self, key: jax.Array) -> Any:
        return self.cls(**self.config, rngs=nnx.Rngs(key))

    def _step(self, state: State, images: jax.Array, key: jax.Array) -> tuple[State, Losses]:
        raise NotImplementedError(f"{type(self).__name__} has no _step")


@dataclasses.dataclass(eq=False, kw_only=True)
class AveragedTask(NetworkTask):
    """Trains a network without classes by Adam, and keeps an average of its weights.

    A task derives from it and says `_step`, which ends with `_after` or `_moved`.

    Args:
      steps: As `adam` takes them.
      learning_rate: Adam's peak rate; gradients are clipped to norm 1.
      average_decay: Share of the average that stays in each step; less in the first steps,
        (1 + n) / (10 + n).

    Raises:
      ValueError: If the network has classes.
    """

    steps: int
    learning_rate: float = 1e-3
    average_decay: float = 0.999

    def __post_init__(self) -> None:
        super().__post_init__()
        if getattr(self._outline, "label", None) is not None:
            raise ValueError(f"{type(self).__name__} trains networks without classes")
        self._optimizer = adam(self.learning_rate, steps=self.steps, max_norm=1.0)

    def init(self, key: jax.Array) -> State:
        """Fresh weights and optimiser state."""
        return self._begin(nnx.state(self._make(key)))

    def _begin(self, params: Any) -> State:
        return {
            "params": params,
            "average": jax.tree.map(jnp.copy, params),
            "optimizer": self._optimizer.init(params),
            "done": jnp.zeros((), jnp.int32),
        }

    def _after(self, state: State, loss: Callable[[Any], jax.Array]) -> tuple[State, Losses]:
        """The state after a step down a loss of the weights; what else the state holds stays."""
        value, grads = jax.value_and_grad(loss)(state["params"])
        return self._moved(state, grads), {"loss": value}

    def _moved(self, state: State, grads: Any) -> State:
        """The state after a step of Adam, `_averaged`; what else the state holds stays."""
        updates, optimizer = self._optimizer.update(grads, state["optimizer"])
        params = optax.apply_updates(state["params"], updates)
        average = self._averaged(state, params, "average")
        new = {"params": params, "average": average, "optimizer": optimizer}
        return {**state, **new, "done": state["done"] + 1}

    def _averaged(self, state: State, values: Any, name: str) -> Any:
        """The average that the state holds under this name, with this step's values in it."""
        done = state["done"] + 1
        share = jnp.minimum(self.average_decay, (1 + done) / (10 + done))
        return optax.incremental_update(values, state[name], 1 - share)

    def generator(self, state: State, key: jax.Array) -> Generator:
        """The generator of the averaged weights."""
        del key
        return frozen(self._graph, state["average"])


def adam(
    learning_rate: float, *, steps: int, max_norm: float | None = None
) -> optax.GradientTransformation:
    """Adam, whose rate rises over the first tenth of the steps and falls to zero on a cosine.

    Args:
      learning_rate: The peak rate.
      steps: Steps of the training; the rise takes 200 of them at the most.
      max_norm: Norm to which gradients are clipped; None leaves them.
    """
    rate = optax.warmup_cosine_decay_schedule(0.0, learning_rate, min(200, steps // 10), steps)
    optimizer = optax.adam(rate)
    if max_norm is None:
        return optimizer
    return optax.chain(optax.clip_by_global_norm(max_norm), optimizer)


def checked_teacher(teacher: Any, kind: type[Any], student: Any) -> Any:
    """A teacher of this kind, or the one that `load_generator` finds under this name.

    Raises:
      CheckpointError: If it does not load.
      ValueError: If there is none, it is of another kind, or makes images of another shape.
    """
    if not teacher:
        wanted = f"the directory of a trained {kind.__name__}, or its name in the zoo"
        raise ValueError(f"no teacher: {wanted}")
    found: Any = load_generator(teacher) if isinstance(teacher, str) else teacher
    if not isinstance(found, kind):
        kinds = f"{kind.__name__}, not {type(found).__name__}"
        raise ValueError(f"the teacher must be {kinds}: {generator_name(found)}")
    if found.image_shape != student.image_shape:
        shapes = ("x".join(map(str, made.image_shape)) for made in (found, student))
        raise ValueError("the teacher makes images of {}, the student of {}".format(*shapes))
    return found


def mirrored(images: jax.Array, key: jax.Array) -> jax.Array:
    """Images [N, H, W, C], each with an even chance turned left to right."""
    flip = jax.random.bernoulli(key, shape=(len(images), 1, 1, 1))
    return jnp.where(flip, images[:, :, ::-1], images)


def mirrored_signed(images: jax.Array, key: jax.Array) -> jax.Array:
    """uint8 images [N, H, W, C] as floats in [-1, 1], `mirrored`."""
    return mirrored(images.astype(jnp.float32) / 127.5 - 1, key)


def frozen(graph: nnx.GraphDef, *states: Any) -> Generator:
    """The generator of these weights, as it is inspected; steps that follow leave it alone."""
    generator = nnx.merge(graph, *jax.tree.map(jnp.copy, states))
    generator.eval()
    return generator
