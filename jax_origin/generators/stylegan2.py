"""StyleGAN2's generator (Karras et al.; CVPR 2020), as in StyleGAN2-ADA (NeurIPS 2020)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from jax_origin.checkpoints.arrays import LazyArrays
from jax_origin.checkpoints.rename import Rename
from jax_origin.generators import style_layers, stylegan2_reference
from jax_origin.generators.base import SquareGenerator
from jax_origin.generators.blocks import clip_straight_through, stages_to_4x4
from jax_origin.parts import at_least

_CHOICES = {
    "architecture": ("skip", "resnet", "orig"),
    "noise_mode": ("none", "const"),
    "latent_space": ("z", "w", "w+"),
}


class StyleGAN2(SquareGenerator):
    """A mapping network from z to w, and a synthesis network that w controls.

    Names and arithmetic follow ``training/networks.py`` of NVlabs/stylegan2-ada-pytorch (NVIDIA
    Source Code License; no code is taken). Layers that run in float16 there run in float32 here.
    Label, truncation, noise and latent space are part of the map that is inverted.

    Args:
      image_size: Side of the image: 4 times a power of two, at least 8.
      widths: Channels at each resolution, from 4x4 up; by default ``min(32768 / side, 512)``.
      channels: Image channels.
      z_dim: Size of z.
      w_dim: Size of w.
      c_dim: Number of classes; 0 for a network without labels.
      label: The class; None is a label of zeros.
      mapping_layers: Linear layers from z to w.
      mapping_width: Size of the hidden ones; None for `w_dim`.
      embed_width: Size of the label's embedding; None for `w_dim`.
      mapping_rate: Learning rate multiplier of the mapping layers, which scales their weights.
      architecture: "skip" sums an image from every resolution, "resnet" has skips around the
        blocks, "orig" neither.
      noise_mode: "const" adds the noise stored with the network; "none" has none.
      conv_clamp: Limit of the activations; None for none.
      truncation_psi: How far w lies from its mean: 1 leaves it, 0 is the mean.
      truncation_cutoff: How many layers are truncated; None for all.
      latent_space: What is inverted: "z", one "w" for all layers, or "w+", a w for each. From z,
        own images are hardly ever found again.
      rngs: Keys for the initial weights, drawn as in the reference.

    Raises:
      ValueError: If an option is wrong, or two contradict each other.
    """

    kind: ClassVar[str] = "stylegan2_ada"
    default_method: ClassVar[str] = "origin-thorough"
    arguments = (
        *("image_size", "widths", "channels", "z_dim", "w_dim", "c_dim", "label"),
        *("mapping_layers", "mapping_width", "embed_width", "mapping_rate", "architecture"),
        *("noise_mode", "conv_clamp", "truncation_psi", "truncation_cutoff", "latent_space"),
    )
    reference_fields: ClassVar[frozenset[str]] = frozenset({"z_dim"})

    def __init__(
        self,
        *,
        image_size: int = 32,
        widths: Sequence[int] | None = None,
        channels: int = 3,
        z_dim: int = 512,
        w_dim: int = 512,
        c_dim: int = 0,
        label: int | None = None,
        mapping_layers: int = 8,
        mapping_width: int | None = None,
        embed_width: int | None = None,
        mapping_rate: float = 0.01,
        architecture: str = "skip",
        noise_mode: str = "const",
        conv_clamp: float | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        latent_space: str = "w",
        rngs: nnx.Rngs,
    ):
        sides = _sides(image_size)
        widths = tuple(widths or (min(32768 // side, 512) for side in sides))
        self.image_size = image_size
        self.widths = widths
        self.channels = channels
        self.z_dim = z_dim
        self.w_dim = w_dim
        self.c_dim = c_dim
        self.label = label
        self.mapping_layers = mapping_layers
        self.mapping_width = mapping_width or w_dim
        self.embed_width = embed_width or w_dim
        self.mapping_rate = mapping_rate
        self.architecture = architecture
        self.noise_mode = noise_mode
        self.conv_clamp = conv_clamp
        self.truncation_psi = truncation_psi
        self.truncation_cutoff = truncation_cutoff
        self.latent_space = latent_space
        self._check(sides)
        self.mapping = style_layers.Mapping(
            z_dim=z_dim,
            c_dim=c_dim,
            w_dim=w_dim,
            layers=mapping_layers,
            width=self.mapping_width,
            embed_width=self.embed_width,
            rate=mapping_rate,
            rngs=rngs,
        )
        self.const = nnx.Param(jax.random.normal(rngs.params(), (4, 4, widths[0])))
        self.blocks = nnx.List(
            [
                style_layers.Block(
                    *(before, width),
                    w_dim=w_dim,
                    side=side,
                    channels=channels if architecture == "skip" or side == image_size else 0,
                    residual=architecture == "resnet",
                    noise=noise_mode == "const",
                    clamp=conv_clamp,
                    rngs=rngs,
                )
                for before, width, side in zip((0, *widths), widths, sides, strict=False)
            ]
        )

    def _check(self, sides: tuple[int, ...]) -> None:
        """Raises a ValueError if an argument is wrong, or two contradict each other."""
        if len(self.widths) != len(sides):
            raise ValueError(
                f"widths must be {len(sides)} numbers, for sides {sides}, not {self.widths}"
            )
        for name, known in _CHOICES.items():
            if (value := getattr(self, name)) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, not {value!r}")
        for name in ("z_dim", "w_dim", "mapping_layers", "channels"):
            at_least(name, getattr(self, name), 1)
        at_least("widths", min(self.widths), 1)
        if self.mapping_layers > (most := stylegan2_reference.MOST_LAYERS):
            # What a file says is built one by one.
            raise ValueError(f"mapping_layers must be at most {most}, not {self.mapping_layers}")
        if self.label is not None and self.label not in range(self.c_dim):
            known_labels = f"None or a class from 0 to {self.c_dim - 1}, not {self.label!r}"
            reason = known_labels if self.c_dim else "None: the network has no classes"
            raise ValueError(f"label must be {reason}")
        if self.latent_space == "w" and self.truncation_cutoff is not None:
            raise ValueError("one w for all layers has no truncation_cutoff; latent_space='w+' has")

    @property
    def num_ws(self) -> int:
        """How many vectors w the synthesis network takes: one a convolution, one for the image."""
        return 2 * len(self.widths)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """(z_dim,), (w_dim,) or (num_ws, w_dim), by the latent space."""
        shapes = {"z": (self.z_dim,), "w": (self.w_dim,), "w+": (self.num_ws, self.w_dim)}
        return shapes[self.latent_space]

    def sample_latents(self, key: jax.Array, num: int) -> jax.Array:
        """Samples of the prior, [num, *latent_shape]: normal z, or the w that they map to."""
        z = jax.random.normal(key, (num, self.z_dim))
        if self.latent_space == "z":
            return z
        ws = self.styles(z)
        return ws[:, 0] if self.latent_space == "w" else ws

    def styles(self, z: jax.Array) -> jax.Array:
        """Z [N, z_dim] to ws [N, num_ws, w_dim], truncated."""
        w = self.mapping(z, self.label)
        ws = jnp.broadcast_to(w[:, None], (len(w), self.num_ws, self.w_dim))
        if self.truncation_psi == 1:
            return ws
        mean = self.mapping.w_avg[...][None, None]
        truncated = mean + self.truncation_psi * (ws - mean)
        cutoff = self.num_ws if self.truncation_cutoff is None else self.truncation_cutoff
        return jnp.concatenate([truncated[:, :cutoff], ws[:, cutoff:]], axis=1)

    def __call__(self, latents: jax.Array) -> jax.Array:
        """Latents [N, *latent_shape] to images [N, H, W, C] in [0, 1]."""
        return clip_straight_through(self.unclipped(latents))

    def unclipped(self, latents: jax.Array) -> jax.Array:
        """The same without clipping to [0, 1]: what the network is trained on."""
        if self.latent_space == "z":
            ws = self.styles(latents)
        elif self.latent_space == "w":
            ws = jnp.broadcast_to(latents[:, None], (len(latents), self.num_ws, self.w_dim))
        else:
            ws = latents
        const = self.const[...]
        x = jnp.broadcast_to(const[None], (len(ws), *const.shape))
        image = None
        for i, block in enumerate(self.blocks):
            # A block's image shares its vector with the next block's first convolution.
            x, image = block(x, image, ws[:, max(0, 2 * i - 1) : 2 * i + 2])
        assert image is not None  # the last block makes one
        return image / 2 + 0.5

    @classmethod
    def reference_renames(cls, config: Mapping[str, Any]) -> list[Rename]:
        """The names of NVIDIA's code, and those of rosinality/stylegan2-pytorch."""
        return stylegan2_reference.renames(
            _sides(config.get("image_size", 32)),
            mapping_layers=config.get("mapping_layers", 8),
            noise=config.get("noise_mode", "const") == "const",
        )

    @classmethod
    def infer_config(cls, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """As `Generator` has it, but for clamp (None is taken), mapping rate (0.01), settings."""
        return stylegan2_reference.config_of_arrays(arrays)

    @classmethod
    def complete_reference(
        cls, arrays: LazyArrays, beside: LazyArrays, config: Mapping[str, Any]
    ) -> LazyArrays:
        """The arrays with the mean of w, which rosinality's files may lack: then it is measured."""
        return stylegan2_reference.with_mean_style(arrays, beside, config)

    @classmethod
    def reference_config(cls, stored: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration in the ``init_kwargs`` of ``training.networks.Generator``."""
        return stylegan2_reference.config_of_arguments(stored)


def _sides(image_size: int) -> tuple[int, ...]:
    return tuple(4 * 2**i for i in range(stages_to_4x4(image_size) + 1))
