"""Reading other people's weight files into plain arrays, safely."""

from jax_origin.checkpoints.arrays import LazyArrays
from jax_origin.checkpoints.read import read_checkpoint
from jax_origin.checkpoints.rename import CheckpointError, Rename, rename, renamed
from jax_origin.checkpoints.safetensors import read_safetensors, write_safetensors
from jax_origin.checkpoints.tree import Checkpoint

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "LazyArrays",
    "Rename",
    "read_checkpoint",
    "read_safetensors",
    "rename",
    "renamed",
    "write_safetensors",
]
