"""Reading other people's weight files into plain arrays, safely."""

from jax_origin.checkpoints.rename import CheckpointError, Rename, rename
from jax_origin.checkpoints.safetensors import read_safetensors, write_safetensors

__all__ = ["CheckpointError", "Rename", "read_safetensors", "rename", "write_safetensors"]
