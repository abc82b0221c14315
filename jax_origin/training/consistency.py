"""Consistency distillation (Song, Dhariwal, Chen, Sutskever; ICML 2023, algorithm 2)."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from jax_origin.generators import DDIM, Consistency, fingerprint, generator_name
from jax_origin.generators.consistency import karras_sigmas
from jax_origin.generators.unet import UNet
from jax_origin.generators.unet_blocks import time_features
from jax_origin.training.recipe import (
    AveragedTask,
    Losses,
    State,
    checked_teacher,
    mirrored_signed,
)


@dataclasses.dataclass(eq=False, kw_only=True)
class ConsistencyTask(AveragedTask):
    """A network that makes of noise in one step what its teacher makes of it in many.

    An image with noise of one level is led to the level below by a Heun step of the teacher's
    probability flow (Karras et al., NeurIPS 2022, algorithm 1); the student is to make the same
    of both, the one below being judged by an average of its weights. The distance is pseudo-Huber
    (Song, Dhariwal; ICLR 2024, equation 8), of root mean squares.

    The teacher speaks of images and noise whose shares are those of a DDPM schedule. x with noise
    of level sigma is x / sqrt(1 + sigma^2) to it, at the time whose share of signal is
    1 / (1 + sigma^2), interpolated in log sigma between the schedule's times.

    A student with the teacher's U-Net begins with its weights. With sigma_data=1 and a teacher
    that predicts v, it begins as its denoiser exactly, its network's output being -v, but for what
    it is told of the time: 250 log sigma. The last layer of its time embedding is fitted, so that
    its embedding of a level is the teacher's of the time with as much noise.

    Args:
      cls: The student's class, `Consistency` or one with its `unet` and `denoise`.
      config: Its configuration. The first of `sigmas` is the highest level.
      teacher: A `DDIM` without classes, or where `load_generator` finds one; the attribute is its
        name and fingerprint, for the card.
      levels: Noise levels, on Karras' schedule.
      target_decay: Decay a step of the averaged weights that the student is compared with.
      huber: Root mean square below which the distance is quadratic, and above which it is linear.
      **options: As `AveragedTask` takes them.

    Raises:
      CheckpointError: If the teacher does not load.
      ValueError: If there is no teacher, it is no DDIM, makes images of another shape, either
        network has classes, or levels are fewer than 2.
    """

    teacher: Any
    levels: int = 18
    target_decay: float = 0.95
    huber: float = 0.00054

    def __post_init__(self) -> None:
        super().__post_init__()
        student, levels = self._outline, self.levels
        self._teacher = found = _checked_teacher(self.teacher, student)
        if levels < 2:
            raise ValueError(f"levels must be at least 2, not {levels}")
        self.teacher = {"name": generator_name(found), "fingerprint": fingerprint(found)}
        self._teacher_graph = nnx.split(found)[0]
        sigmas = karras_sigmas(
            range(levels), steps=levels, sigma_min=student.sigma_min, sigma_max=student.sigmas[0]
        )
        self._sigmas = np.array(sigmas, np.float32)
        self._times = _teacher_times(found, np.array(sigmas))

    def init(self, key: jax.Array) -> State:
        """The teacher's weights, where they fit, and fresh optimiser state."""
        student = self._make(key)
        if student.unet.config == self._teacher.unet.config:
            _begin_as_teacher(student, self._teacher)
        params = jax.tree.map(jnp.copy, nnx.state(student))
        return {
            **self._begin(params),
            "target": jax.tree.map(jnp.copy, params),
            "teacher": jax.tree.map(jnp.copy, nnx.state(self._teacher)),
        }

    def _step(self, state: State, images: jax.Array, key: jax.Array) -> tuple[State, Losses]:
        flip_key, level_key, noise_key = jax.random.split(key, 3)
        count = images.shape[0]
        real = mirrored_signed(images, flip_key)
        level = jax.random.randint(level_key, (count,), 0, len(self._sigmas) - 1)
        high, low = (jnp.asarray(self._sigmas)[level + i] for i in range(2))
        x = real + high.reshape(-1, 1, 1, 1) * jax.random.normal(noise_key, real.shape)
        below = self._toward_image(nnx.merge(self._teacher_graph, state["teacher"]), x, level)
        target = nnx.merge(self._graph, state["target"]).denoise(below, low)

        def loss(params: Any) -> jax.Array:
            made = nnx.merge(self._graph, params).denoise(x, high)
            squares = jnp.mean((made - target) ** 2, axis=(1, 2, 3))
            return jnp.mean(jnp.sqrt(squares + self.huber**2) - self.huber)

        new, losses = self._after(state, loss)
        share = 1 - self.target_decay
        new["target"] = optax.incremental_update(new["params"], state["target"], share)
        return new, losses

    def _toward_image(self, teacher: DDIM, x: jax.Array, level: jax.Array) -> jax.Array:
        """Images with noise, [N, H, W, C], of a level [N], led to the next lower one."""

        def slope(x: jax.Array, level: jax.Array) -> jax.Array:
            sigma = jnp.asarray(self._sigmas)[level].reshape(-1, 1, 1, 1)
            signal = jax.lax.rsqrt(1 + sigma**2)
            times = jnp.asarray(self._times)[level]
            image, _ = teacher.estimate(signal * x, times, signal, sigma * signal)
            return (x - image) / sigma

        fall = jnp.diff(jnp.asarray(self._sigmas))[level].reshape(-1, 1, 1, 1)
        first = slope(x, level)
        second = slope(x + fall * first, level + 1)
        return x + fall * (first + second) / 2


def _checked_teacher(teacher: str | DDIM, student: Consistency) -> DDIM:
    found = checked_teacher(teacher, DDIM, student)
    if found.label is not None:
        raise ValueError("the teacher has classes: the task trains networks without classes")
    return found


def _teacher_times(teacher: DDIM, sigmas: np.ndarray) -> np.ndarray:
    """The times at which the teacher knows these noise levels, float32."""
    share = np.maximum(teacher.schedule.alphas_cumprod().astype(np.float64), 1e-30)
    known = np.log((1 - share) / share) / 2
    return np.interp(np.log(sigmas), known, np.arange(len(share))).astype(np.float32)


def _begin_as_teacher(student: Consistency, teacher: DDIM) -> None:
    """Gives the student the teacher's weights, and an embedding of its own times that fits them.

    Predictions of v and of the noise are, up to scale, the image's negative.
    """
    nnx.update(student.unet, nnx.state(teacher.unet))
    if teacher.schedule.prediction_type != "sample":
        output = student.unet.output
        output.kernel[...] = -output.kernel[...]
        output.bias[...] = -output.bias[...]
    sigmas = np.geomspace(student.sigma_min, student.sigmas[0], 1000)
    hidden = _time_layer(student.unet, (250 * np.log(sigmas)).astype(np.float32))
    wanted = teacher.unet.time2(_time_layer(teacher.unet, _teacher_times(teacher, sigmas)))
    columns = np.pad(np.asarray(hidden, np.float64), ((0, 0), (0, 1)), constant_values=1)
    fitted = np.linalg.lstsq(columns, np.asarray(wanted, np.float64), rcond=1e-6)[0]
    last = nnx.state(student.unet.time2)
    last["kernel"][...], last["bias"][...] = jnp.float32(fitted[:-1]), jnp.float32(fitted[-1])
    nnx.update(student.unet.time2, last)


def _time_layer(unet: UNet, times: np.ndarray) -> jax.Array:
    config = unet.config
    features = time_features(
        jnp.asarray(times),
        config.time_channels or config.widths[0],
        flip_sin_to_cos=config.flip_sin_to_cos,
        freq_shift=config.freq_shift,
    )
    return nnx.silu(unet.time1(features))
