"""Consistency models (Song, Dhariwal, Chen, Sutskever; ICML 2023): noise to image in one step."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_origin.generators.blocks import clip_straight_through
from jax_origin.generators.diffusion import DiffusionGenerator, stored_network
from jax_origin.generators.unet import UNetConfig
from jax_origin.generators.unet_reference import infer_unet

RELAXED = "relaxed"
_LABEL_SCALE = 16.0  # a unit vector's softmax gives its class all but 1e-4 of the weight, of 1000


def karras_sigmas(
    places: Sequence[int],
    *,
    steps: int = 40,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    rho: float = 7.0,
) -> tuple[float, ...]:
    """Noise levels at some places of Karras' schedule (NeurIPS 2022, equation 5).

    Places go from 0, the highest level, to steps - 1, the lowest. OpenAI's for two steps are (0,
    22) of 40 for cd_imagenet64, (0, 106) of 201 for ct_imagenet64.
    """
    top, bottom = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    return tuple((top + place / (steps - 1) * (bottom - top)) ** rho for place in places)


class Consistency(DiffusionGenerator):
    """A consistency model: noise to an image, in one step or a few with fixed noise between.

    The arithmetic is that of OpenAI's consistency_models (cm/karras_diffusion.py, MIT; their
    ``stochastic_iterative`` sampler) and of diffusers' ``ConsistencyModelPipeline`` (Apache-2.0).
    But all images share one draw of the noise between steps, from `noise_seed`.

    Args:
      image_size: Side of the image.
      unet: The network, `UNetConfig` or its fields.
      sigmas: Noise level of each step, falling; the first multiplies the latent. See
        `karras_sigmas`.
      label: The class whose images it makes; None for a network without classes. "relaxed" puts
        the class into the latent, behind the flattened noise: one number a class. A softmax of 16
        times these numbers weighs the classes' embeddings, and the prior draws unit vectors. To
        search all labels exactly, invert one generator for each label.
      noise_seed: Of the noise between steps.
      clip_denoised: Clip each step's image to [-1, 1], its gradient passed straight through.
      sigma_data: Deviation of the data.
      sigma_min: The level at which the network returns its input.
      rngs: Keys for the initial weights.
    """

    kind: ClassVar[str] = "consistency"
    default_method: ClassVar[str] = "origin-consistency"
    arguments = (
        *("image_size", "sigmas", "label", "noise_seed", "clip_denoised"),
        *("sigma_data", "sigma_min"),
    )

    def __init__(
        self,
        *,
        image_size: int = 64,
        unet: UNetConfig | Mapping[str, Any],
        sigmas: Sequence[float] = (80.0,),
        label: int | str | None = None,
        noise_seed: int = 0,
        clip_denoised: bool = True,
        sigma_data: float = 0.5,
        sigma_min: float = 0.002,
        rngs: nnx.Rngs,
    ):
        network = UNetConfig.of(unet)
        if label != RELAXED:
            network.check_label(label)  # type: ignore[arg-type]
        elif network.classes is None:
            raise ValueError("label='relaxed', but the network has no classes")
        if network.out_channels != network.in_channels:
            raise ValueError("unet: in_channels and out_channels must be the same")
        falling = all(a > b for a, b in itertools.pairwise([*sigmas, sigma_min]))
        if not len(sigmas) or not falling:
            raise ValueError(f"sigmas must fall, and stay above sigma_min={sigma_min}: {sigmas}")
        self.sigmas = tuple(float(sigma) for sigma in sigmas)
        self.noise_seed = noise_seed
        self.clip_denoised = clip_denoised
        self.sigma_data = sigma_data
        self.sigma_min = sigma_min
        super().__init__(network, image_size=image_size, label=label, rngs=rngs)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """The noise's, (H, W, C); with a relaxed label (H * W * C + classes,)."""
        if self.label != RELAXED:
            return self.image_shape
        return (int(np.prod(self.image_shape)) + (self.unet.config.classes or 0),)

    def sample_latents(self, key: jax.Array, num: int) -> jax.Array:
        """Standard normal noise; a relaxed label is one of the classes."""
        if self.label != RELAXED:
            return jax.random.normal(key, (num, *self.latent_shape))
        noise_key, label_key = jax.random.split(key)
        classes = self.unet.config.classes or 0
        noise = jax.random.normal(noise_key, (num, self.latent_shape[0] - classes))
        labels = jax.random.randint(label_key, (num,), 0, classes)
        return jnp.concatenate([noise, jax.nn.one_hot(labels, classes)], axis=-1)

    def __call__(self, latents: jax.Array) -> jax.Array:
        """Latents [N, *latent_shape] to images [N, H, W, C] in [0, 1]."""
        count, labels = latents.shape[0], None
        latents = latents.astype(jnp.float32)
        if self.label == RELAXED:
            size = int(np.prod(self.image_shape))
            labels = jax.nn.softmax(_LABEL_SCALE * latents[:, size:])
            latents = latents[:, :size].reshape(count, *self.image_shape)
        elif isinstance(self.label, int):
            labels = jnp.full(count, self.label)
        x = latents * self.sigmas[0]
        for i, sigma in enumerate(self.sigmas):
            if i:
                between = np.random.default_rng((self.noise_seed, i))
                noise = between.standard_normal(self.image_shape).astype(np.float32)
                x = x + noise[None] * np.float32(np.sqrt(sigma**2 - self.sigma_min**2))
            x = self.denoise(x, sigma, labels)
            if self.clip_denoised:
                x = 2 * clip_straight_through(x / 2 + 0.5) - 1
        return clip_straight_through(x / 2 + 0.5)

    def noise_in(self, images: jax.Array, deviation: float) -> jax.Array:
        """What its one evaluation takes away; of a relaxed label, without a class' word."""
        count, labels = len(images), None
        if isinstance(self.label, int):
            labels = jnp.full(count, self.label)
        elif self.label == RELAXED:
            classes = self.latent_shape[0] - int(np.prod(self.image_shape))
            labels = jnp.full((count, classes), 1 / classes)
        x = images.astype(jnp.float32) * 2 - 1
        return (x - self.denoise(x, deviation, labels)) / deviation

    def denoise(
        self, x: jax.Array, sigma: float | jax.Array, labels: jax.Array | None = None
    ) -> jax.Array:
        """One evaluation: images without their noise, float32 [N, H, W, C], not clipped.

        `x` are images in [-1, 1] with noise of deviation `sigma`, one for all or float32 [N];
        labels are as `UNet` takes them.
        """
        xp = jnp if isinstance(sigma, jax.Array) else np
        level = xp.reshape(sigma, (-1, 1, 1, 1))
        total = xp.sqrt(level**2 + self.sigma_data**2)
        above = level - self.sigma_min
        skip = self.sigma_data**2 / (above**2 + self.sigma_data**2)
        out = above * self.sigma_data / total
        times = xp.float32(250 * xp.log(level + 1e-44)).reshape(-1)
        scaled = x * xp.float32(1 / total)
        predicted = self.unet(scaled, jnp.broadcast_to(times, (x.shape[0],)), labels)
        return xp.float32(out) * predicted + xp.float32(skip) * x

    @classmethod
    def infer_config(cls, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """As `Generator` has it: 64 px, label 0 with classes (ImageNet); 256 px without (LSUN)."""
        unet = infer_unet(arrays)
        size, label = (256, None) if unet["classes"] is None else (64, 0)
        return {"image_size": size, "unet": unet, "label": label}

    @classmethod
    def reference_config(cls, stored: Mapping[str, Any]) -> dict[str, Any]:
        """Our configuration for one that `stored_network` reads."""
        # OpenAI's attention, flash or legacy, splits queries, keys and values before heads.
        arguments, sampler = stored_network(stored, heads_outermost=False)
        return {
            **arguments,
            "sigmas": [sampler.get("sigma_max", 80.0)],
            "clip_denoised": sampler.get("clip_denoised", True),
            "sigma_data": sampler.get("sigma_data", 0.5),
            "sigma_min": sampler.get("sigma_min", 0.002),
        }
