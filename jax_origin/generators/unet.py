"""The U-Net of DDPM (Ho, Jain, Abbeel; NeurIPS 2020) and of what followed it."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from jax_origin.generators.convolution import Conv
from jax_origin.generators.unet_blocks import (
    Attention,
    Downsample,
    GroupNorm,
    ResidualBlock,
    Upsample,
    time_features,
)

RESAMPLE = ("conv", "resnet")
_MOST = 64  # levels, and blocks of a level: what a file says is built one by one


@dataclasses.dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """The architecture's options; those of diffusers' ``UNet2DModel`` under plainer names.

    Attributes:
      widths: Channels of each level, the full resolution first; each level halves the size.
      blocks: Residual blocks a level on the way down; one more on the way up.
      attention: The levels with attention after each block, 0 the full resolution.
      in_channels: Image channels in.
      out_channels: Image channels out.
      classes: How many labels there are; None for a model without.
      resample: ``conv``, a strided convolution down, repetition and a convolution up; or
        ``resnet``, a residual block that resizes.
      downsample_padding: 1, or 0 for padding below and right only; of ``conv``.
      scale_shift: Time and label scale and shift each block's second norm, rather than being
        added before it.
      head_channels: Channels of an attention head; None for `heads` heads.
      heads: Heads of each attention where `head_channels` is None.
      norm_groups: Groups of each norm.
      norm_epsilon: Added to each norm's variance.
      middle_attention: Whether the middle has attention.
      middle_norm_groups: Groups of that attention's norm; None leaves the norm out.
      middle_divisor: Divides each sum of branches in the middle.
      time_channels: Sines and cosines of the time; None for as many as the first width.
      embedding_channels: Length of the embedding; None for four times the first width.
      flip_sin_to_cos: Cosines come before sines.
      freq_shift: Taken from the divisor of the frequencies' exponents.
      heads_outermost: Whether OpenAI's file arranges its array of queries, keys and values by head
        first (guided-diffusion's default). The network is the same.
    """

    widths: tuple[int, ...]
    blocks: int = 2
    attention: tuple[int, ...] = ()
    in_channels: int = 3
    out_channels: int = 3
    classes: int | None = None
    resample: str = "conv"
    downsample_padding: int = 1
    scale_shift: bool = False
    head_channels: int | None = None
    heads: int = 1
    norm_groups: int = 32
    norm_epsilon: float = 1e-5
    middle_attention: bool = True
    middle_norm_groups: int | None = 32
    middle_divisor: float = 1.0
    time_channels: int | None = None
    embedding_channels: int | None = None
    flip_sin_to_cos: bool = True
    freq_shift: float = 0.0
    heads_outermost: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        object.__setattr__(self, "attention", tuple(self.attention))
        if not 1 <= len(self.widths) <= _MOST or not 1 <= self.blocks <= _MOST:
            raise ValueError(f"a U-Net has 1 to {_MOST} widths, and 1 to {_MOST} blocks a level")
        if not self.norm_epsilon > 0:
            raise ValueError(f"norm_epsilon must be positive, not {self.norm_epsilon}")
        if self.resample not in RESAMPLE:
            raise ValueError(f"resample must be one of {RESAMPLE}, not {self.resample!r}")
        if self.downsample_padding not in (0, 1):
            raise ValueError(f"downsample_padding must be 0 or 1, not {self.downsample_padding}")
        if not set(self.attention) <= set(range(len(self.widths))):
            raise ValueError(f"attention at {self.attention}, but levels are {len(self.widths)}")

    @classmethod
    def of(cls, options: "UNetConfig | Mapping[str, Any]") -> "UNetConfig":
        """These options; raises a ValueError if one is unknown, wrong or missing."""
        if isinstance(options, UNetConfig):
            return options
        unknown = sorted(set(options) - {field.name for field in dataclasses.fields(cls)})
        if unknown or "widths" not in options:
            raise ValueError(f"unet: unknown {unknown}" if unknown else "unet: it has no widths")
        return cls(**options)

    def check_image_size(self, size: int) -> None:
        """Raises a ValueError if images of this side cannot be halved from level to level."""
        times = 2 ** (len(self.widths) - 1)
        if not isinstance(size, int) or size < 1 or size % times:
            raise ValueError(f"image_size must be a multiple of {times}, not {size!r}")

    def check_label(self, label: int | None) -> None:
        """Raises a ValueError if the network knows no such label, or needs one."""
        if self.classes is None:
            if label is not None:
                raise ValueError(f"label must be None, the network has no classes: {label!r}")
        elif not isinstance(label, int) or not 0 <= label < self.classes:
            raise ValueError(f"label must be 0 to {self.classes - 1}, not {label!r}")

    def as_dict(self) -> dict[str, Any]:
        """The options as JSON."""
        fields = dataclasses.asdict(self)
        return {name: list(v) if isinstance(v, tuple) else v for name, v in fields.items()}


class _Level(nnx.Module):
    """Blocks of one resolution, with or without attention, and what leads to the next."""

    def __init__(
        self, blocks: list[ResidualBlock], attentions: list[Attention], resample: nnx.Module | None
    ):
        self.blocks, self.attentions = nnx.List(blocks), nnx.List(attentions)
        self.resample = resample

    def block(self, index: int) -> Callable[[jax.Array, jax.Array], jax.Array]:
        """A block and the attention after it, as one function."""

        def call(x: jax.Array, embedding: jax.Array) -> jax.Array:
            x = self.blocks[index](x, embedding)
            return self.attentions[index](x, embedding) if len(self.attentions) else x

        return call


class UNet(nnx.Module):
    """A U-Net over images, conditioned on a time and perhaps a label.

    By its options it is diffusers' ``UNet2DModel`` (Apache-2.0) or OpenAI's ``UNetModel`` of
    guided-diffusion and consistency_models (MIT). It computes in the dtype of its weights.

    Attributes:
      remat: Set to True, the backward pass recomputes each block: less memory, a third more time.
    """

    def __init__(self, config: UNetConfig, *, rngs: nnx.Rngs):
        # How a file had it, once read: the same network has the same fingerprint.
        self.config = dataclasses.replace(config, heads_outermost=False)
        self.remat = False
        widths, depth = config.widths, len(config.widths)
        embedding = config.embedding_channels or 4 * widths[0]
        norm: dict[str, Any] = {"groups": config.norm_groups, "epsilon": config.norm_epsilon}
        shared = {**norm, "embedding": embedding, "scale_shift": config.scale_shift}

        def residual(ins: int, outs: int, **more: Any) -> ResidualBlock:
            return ResidualBlock(ins, outs, **shared, **more, rngs=rngs)

        def attention(width: int, **more: Any) -> Attention:
            size = config.head_channels
            heads = config.heads if size is None else width // size
            if size is not None and (size < 1 or width % size):
                raise ValueError(f"{width} channels do not divide into heads of {size}")
            return Attention(width, heads=heads, **{**norm, **more}, rngs=rngs)

        def attentions(level: int, count: int) -> list[Attention]:
            count = count if level in config.attention else 0
            return [attention(widths[level]) for _ in range(count)]

        def resample(level: int, way: str) -> nnx.Module | None:
            if level == (depth - 1 if way == "down" else 0):
                return None
            width = widths[level]
            if config.resample == "resnet":
                return residual(width, width, resize=way)
            if way == "down":
                return Downsample(width, config.downsample_padding, rngs=rngs)
            return Upsample(width, rngs=rngs)

        time_channels = config.time_channels or widths[0]
        self.time1 = nnx.Linear(time_channels, embedding, rngs=rngs)
        self.time2 = nnx.Linear(embedding, embedding, rngs=rngs)
        classes = config.classes
        self.labels = None if classes is None else nnx.Embed(classes, embedding, rngs=rngs)
        self.input = Conv(config.in_channels, widths[0], 3, rngs=rngs)
        down, up = [], []
        channels, skips = widths[0], [widths[0]]
        for level, width in enumerate(widths):
            blocks = []
            for _ in range(config.blocks):
                blocks.append(residual(channels, width))
                channels = width
                skips.append(channels)
            part = resample(level, "down")
            down.append(_Level(blocks, attentions(level, config.blocks), part))
            if part is not None:
                skips.append(channels)
        middle = {"divisor": config.middle_divisor}
        ends = [residual(channels, channels, **middle) for _ in range(2)]
        options = {"groups": config.middle_norm_groups, **middle}
        between = [attention(channels, **options)] if config.middle_attention else []
        self.middle = _Level(ends, between, None)
        for level in reversed(range(depth)):
            blocks = []
            for _ in range(config.blocks + 1):
                blocks.append(residual(channels + skips.pop(), widths[level]))
                channels = widths[level]
            up.append(_Level(blocks, attentions(level, config.blocks + 1), resample(level, "up")))
        self.down, self.up = nnx.List(down), nnx.List(up)
        self.norm = GroupNorm(channels, config.norm_groups, config.norm_epsilon)
        self.output = Conv(channels, config.out_channels, 3, zero=True, rngs=rngs)

    def __call__(
        self, images: jax.Array, times: jax.Array, labels: jax.Array | None = None
    ) -> jax.Array:
        """Images [N, H, W, in_channels] and times [N] to float32 [N, H, W, out_channels].

        Labels are int [N], or float [N, classes], weights of the labels' embeddings; None for a
        model without.
        """
        config, dtype = self.config, self.input.kernel[...].dtype
        features = time_features(
            times,
            config.time_channels or config.widths[0],
            flip_sin_to_cos=config.flip_sin_to_cos,
            freq_shift=config.freq_shift,
        )
        embedding = self.time2(nnx.silu(self.time1(features.astype(dtype))))
        if self.labels is not None:
            if labels is None:
                raise ValueError(f"this U-Net needs a label, one of {config.classes}")
            table = self.labels.embedding[...]
            weights = jnp.issubdtype(labels.dtype, jnp.floating)
            embedding = embedding + (labels.astype(dtype) @ table if weights else table[labels])
        run = self._run
        x = self.input(images.astype(dtype))
        skips = [x]
        for level in self.down:
            for i in range(config.blocks):
                x = run(level.block(i), x, embedding)
                skips.append(x)
            if level.resample is not None:
                x = run(level.resample, x, embedding)
                skips.append(x)
        first, last = self.middle.blocks
        x = run(first, x, embedding)
        for part in self.middle.attentions:
            x = run(part, x, embedding)
        x = run(last, x, embedding)
        for level in self.up:
            for i in range(config.blocks + 1):
                x = run(level.block(i), jnp.concatenate([x, skips.pop()], axis=-1), embedding)
            if level.resample is not None:
                x = run(level.resample, x, embedding)
        return self.output(nnx.silu(self.norm(x))).astype(jnp.float32)

    def _run(self, part: Callable[..., jax.Array], x: jax.Array, embedding: jax.Array) -> jax.Array:
        return (jax.checkpoint(part) if self.remat else part)(x, embedding)
