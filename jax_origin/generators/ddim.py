"""DDIM (Song, Meng, Ermon; ICLR 2021): a diffusion model as a deterministic map from noise."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_origin.generators.blocks import clip_straight_through
from jax_origin.generators.diffusion import DiffusionGenerator, stored_network
from jax_origin.generators.diffusion_schedule import Schedule, Steps
from jax_origin.generators.undo_step import draw_input, undo_step
from jax_origin.generators.unet import UNetConfig
from jax_origin.generators.unet_reference import infer_unet

_UNDOING = 6
"""Evaluations by which `DDIM.undo` undoes each step but the last."""
_FARTHEST = 5  # deviations of noise, beyond which it is as good as never drawn
_ROUNDING = 2 / 255 / 12**0.5  # the deviation of what 8 bits leave out, in images of [-1, 1]


class DDIM(DiffusionGenerator):
    """Noise to an image by a fixed number of DDIM steps without added noise (eta = 0).

    The arithmetic is that of diffusers' ``DDIMPipeline`` with a ``DDIMScheduler`` (Apache-2.0).
    The estimate of the image is clipped with its gradient passed straight through. The steps are
    one ``lax.scan``, each rematerialised: a gradient keeps the image before each step, and the
    activations of one step.

    Args:
      image_size: Side of the image.
      unet: The network, `UNetConfig` or its fields. Channels that it predicts beyond the image's,
        a learned variance, are dropped.
      schedule: The noise schedule, `Schedule` or its fields.
      num_steps: How many steps.
      label: The class whose images it makes; None for a network without classes.
      inversion_iterations: Rounds of fixed-point iteration for each step of `encode`.
      rngs: Keys for the initial weights.
    """

    kind: ClassVar[str] = "ddim"
    default_method: ClassVar[str] = "origin-diffusion"
    arguments = ("image_size", "schedule", "num_steps", "label", "inversion_iterations")

    def __init__(
        self,
        *,
        image_size: int = 32,
        unet: UNetConfig | Mapping[str, Any],
        schedule: Schedule | Mapping[str, Any] | None = None,
        num_steps: int = 50,
        label: int | None = None,
        inversion_iterations: int = 1,
        rngs: nnx.Rngs,
    ):
        network, self.schedule = UNetConfig.of(unet), Schedule.of(schedule or {})
        network.check_label(label)
        if network.out_channels < network.in_channels:
            raise ValueError("unet: it predicts fewer channels than it takes")
        if not isinstance(inversion_iterations, int) or inversion_iterations < 1:
            raise ValueError(f"inversion_iterations must be at least 1, not {inversion_iterations}")
        self.schedule.steps(num_steps)  # raises if there cannot be so many
        self.num_steps = num_steps
        self.inversion_iterations = inversion_iterations
        super().__init__(network, image_size=image_size, label=label, rngs=rngs)

    def __call__(self, latents: jax.Array) -> jax.Array:
        """Noise [N, H, W, C] to images [N, H, W, C] in [0, 1]."""
        steps = self.schedule.steps(self.num_steps)
        x = self._run(self._step, latents.astype(jnp.float32), steps)
        return clip_straight_through(x / 2 + 0.5)

    def _step(self, x: jax.Array, at: Steps, *, clip: bool = True) -> jax.Array:
        schedule = self.schedule
        bound = schedule.clip_sample_range
        image, noise = self.estimate(x, at.times, at.signal, at.noise)
        if schedule.clip_sample and clip:
            image = (2 * clip_straight_through(image / (2 * bound) + 0.5) - 1) * bound
            if schedule.use_clipped_model_output:
                noise = (x - at.signal * image) / at.noise
        return at.next_signal * image + at.next_noise * noise

    def undo(self, images: jax.Array, noise: jax.Array) -> jax.Array:
        """Images to a draw of the noise that leads to them: each step's input from its output.

        `undo_step` undoes all steps but the last, without their clipping, which would lead a draw
        off the sampler's path. The last step removes the noise from its input. So `draw_input`
        draws that input, and moves it only as far as the image, to its rounding, requires.

        Images are [N, H, W, C] in [0, 1], the noise is standard normal; the result is float32.
        """
        steps = self.schedule.steps(self.num_steps)
        paces = np.where(
            steps.noise > steps.signal,
            steps.noise / np.maximum(steps.next_noise, 1e-6),
            steps.signal / steps.next_signal,
        )

        def undone(x: jax.Array, at: tuple[Steps, jax.Array]) -> tuple[jax.Array, None]:
            step, pace = functools.partial(self._step, at=at[0], clip=False), at[1]
            x = undo_step(step, x, x, pace=pace, iterations=_UNDOING)
            bound = at[0].signal + _FARTHEST * at[0].noise
            return jnp.clip(x, -bound, bound), None

        x = images.astype(jnp.float32) * 2 - 1
        last = Steps(*(part[-1] for part in steps))
        x = draw_input(
            functools.partial(self._step, at=last),
            x,
            mean=last.signal * x,
            deviation=last.noise,
            noise=noise,
            rounding=_ROUNDING,
        )
        others = (Steps(*(part[-2::-1] for part in steps)), paces[-2::-1])
        return jax.lax.scan(undone, x, jax.tree.map(jnp.asarray, others))[0]

    def encode(self, images: jax.Array) -> jax.Array:
        """Images [N, H, W, C] to noise that leads back near them: DDIM inversion, unclipped.

        Each step is undone by `inversion_iterations` fixed-point rounds, begun at its output.
        """

        def undo(x: jax.Array, at: Steps) -> jax.Array:
            guess = x
            for _ in range(self.inversion_iterations):
                noise = self.estimate(guess, at.times, at.signal, at.noise)[1]
                image = (x - at.next_noise * noise) / at.next_signal
                guess = at.signal * image + at.noise * noise
            return guess

        steps = Steps(*(part[::-1] for part in self.schedule.steps(self.num_steps)))
        return self._run(undo, images.astype(jnp.float32) * 2 - 1, steps)

    def estimate(
        self, x: jax.Array, times: jax.Array, signal: jax.Array, noise: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """The network's estimate of the image and the noise that x mixes, not clipped.

        Args:
          x: ``signal * image + noise * noise``, images in [-1, 1]; float32 [N, H, W, C].
          times: What the network is told, for all images, or float32 [N].
          signal: Square root of the share of signal in x, for all, or [N, 1, 1, 1].
          noise: Square root of the share of noise in x, likewise.
        """
        count = x.shape[0]
        labels = None if self.label is None else jnp.full(count, int(self.label))
        predicted = self.unet(x, jnp.broadcast_to(times, (count,)), labels)[..., : x.shape[-1]]
        if self.schedule.prediction_type == "epsilon":
            return (x - noise * predicted) / signal, predicted
        if self.schedule.prediction_type == "sample":
            return predicted, (x - signal * predicted) / noise
        return signal * x - noise * predicted, signal * predicted + noise * x

    def noise_in(self, images: jax.Array, deviation: float) -> jax.Array:
        """At the time whose noise is nearest to so much; see the base class."""
        shares = self.schedule.alphas_cumprod().astype(np.float64)
        with np.errstate(divide="ignore"):
            time = int(np.abs(np.log(1 / shares - 1) - 2 * np.log(deviation)).argmin())
        signal, noise = (jnp.float32(part**0.5) for part in (shares[time], 1 - shares[time]))
        x = signal * (images.astype(jnp.float32) * 2 - 1)
        return self.estimate(x, jnp.float32(time), signal, noise)[1]

    def _run(
        self, step: Callable[[jax.Array, Steps], jax.Array], x: jax.Array, steps: Steps
    ) -> jax.Array:
        kept = jax.checkpoint(step, prevent_cse=False)
        arrays = Steps(*map(jnp.asarray, steps))
        return jax.lax.scan(lambda x, at: (kept(x, at), None), x, arrays)[0]

    @classmethod
    def infer_config(cls, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """As `Generator` has it; the rest as published, with DDPM's schedule and label 0 if any."""
        unet = infer_unet(arrays)
        openai = "input_blocks.0.0.weight" in arrays
        unet["heads_outermost"] = openai
        return {
            "image_size": 256 if len(unet["widths"]) > 5 else 64 if openai else 32,
            "unet": unet,
            "schedule": Schedule(use_clipped_model_output=openai).as_dict(),
            "label": None if unet["classes"] is None else 0,
        }

    @classmethod
    def reference_config(cls, stored: Mapping[str, Any]) -> dict[str, Any]:
        """Our configuration for one that `stored_network` reads."""
        arguments, scheduler = stored_network(
            stored, heads_outermost=not stored.get("use_new_attention_order", False)
        )
        openai = "num_channels" in stored
        read = _guided_diffusion_schedule if openai else Schedule.of_diffusers
        return {**arguments, "schedule": read(scheduler).as_dict()}


def _guided_diffusion_schedule(stored: Mapping[str, Any]) -> Schedule:
    total, name = stored.get("diffusion_steps", 1000), stored.get("noise_schedule", "linear")
    known = {"linear": "linear", "cosine": "squaredcos_cap_v2"}
    if name not in known:
        raise ValueError(f"noise_schedule must be one of {tuple(known)}, not {name!r}")
    return Schedule(
        num_train_timesteps=total,
        beta_schedule=known[name],
        beta_start=0.1 / total,
        beta_end=20 / total,
        prediction_type="sample" if stored.get("predict_xstart", False) else "epsilon",
        use_clipped_model_output=True,
    )
