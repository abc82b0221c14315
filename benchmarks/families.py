"""The engine's overhead on the families whose zoo members are too slow to time, or missing."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from benchmarks.engine import engine_overhead
from benchmarks.subjects import Row
from jax_origin.generators import KINDS, Generator

_LANES = 4
_UNET = {
    "widths": (8, 16, 16),
    "blocks": 1,
    "attention": (2,),
    "scale_shift": True,
    "norm_groups": 4,
    "middle_norm_groups": 4,
}
_SMALL: dict[str, dict[str, Any]] = {
    "stylegan2_ada": {"widths": (64, 64, 32, 32), "z_dim": 64, "w_dim": 64, "mapping_layers": 2},
    "ddim": {"unet": _UNET, "num_steps": 2},
    "consistency": {"unet": _UNET},
    "vae_resnet18": {"latent_dim": 64, "width": 16},
    "autoencoder_kl": {"widths": (16, 32), "blocks": 1, "groups": 8},
    "vq_model": {"widths": (16, 32), "blocks": 1, "groups": 8, "codes": 64},
    "autoencoder_tiny": {
        "encoder": (("conv", 16), ("down", 16), ("block", 16), ("conv", 4)),
        "decoder": (("conv_relu", 16), ("block", 16), ("up", 16), ("conv", 3)),
    },
    "autoencoder_dc": {
        **{"widths": (16, 32), "blocks": (1, 1), "decoder_blocks": (1, 1), "latent_channels": 8},
        **{"attention": (None, ()), "decoder_attention": (None, ()), "head": 8},
        **{"decoder_norms": ("rms_norm",) * 2, "decoder_activations": ("silu",) * 2},
        "latent_std": 1.0,
    },
    "autoencoder_wan": {"widths": (16, 32), "blocks": 1, "latent_channels": 4},
}
FAMILIES = frozenset(_SMALL)
"""Kinds of which one small generator stands for all."""


def family_overheads(*, pairs: int) -> Iterator[Row]:
    """`engine_overhead` of one small generator of each family, at 32 px, with random weights.

    A step costs what it does with trained weights: the same arithmetic on other numbers.

    Args:
      pairs: Chunks that are timed, each beside as many bare gradients.

    Yields:
      Rows of 4 lanes.
    """
    for kind, config in _SMALL.items():
        generator = _with_random_weights(KINDS[kind], {"image_size": 32, **config})
        case = f"{kind}, 32 px, random weights"
        yield engine_overhead(case, generator, pairs=pairs, lanes=_LANES)


def stable_diffusion_autoencoder(image_size: int = 512) -> Generator:
    """The autoencoder of Stable Diffusion at its true widths, with random weights."""
    return _with_random_weights(KINDS["autoencoder_kl"], {"image_size": image_size})


def _with_random_weights(kind: Any, config: Mapping[str, Any]) -> Generator:
    """A generator whose weights NumPy draws: JAX would compile a program for each shape."""
    outline = nnx.eval_shape(lambda: kind(**config, rngs=nnx.Rngs(0)))
    graph, state = nnx.split(outline)
    rng = np.random.default_rng(0)

    def drawn(variable: Any) -> jax.Array:
        if isinstance(variable, nnx.BatchStat):  # A mean, or a variance.
            return jnp.ones(variable.shape, jnp.float32)
        fan_in = math.prod(variable.shape[:-1])
        return jnp.asarray(rng.normal(size=variable.shape) / math.sqrt(fan_in), jnp.float32)

    flat = {path: leaf.replace(drawn(leaf)) for path, leaf in nnx.to_flat_state(state)}
    generator: Generator = nnx.merge(graph, nnx.from_flat_state(flat))
    generator.eval()
    return generator
