"""Converts a published checkpoint, and compares it with what PyTorch reads."""

import json
import os
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from absl import flags

from jax_origin.checkpoints import Checkpoint, CheckpointError, hub, read_checkpoint
from jax_origin.cli.command import CommandError, check_writable
from jax_origin.generators.files import WEIGHTS, convert_checkpoint, open_generator

# Of the outputs' deviation. Float32 sums in another order leave about 1e-5 in a deep network.
_TOLERANCE = 1e-3


def main(given: flags.FlagValues) -> int:
    """Converts the checkpoint that the flags name; returns the exit code, 0."""
    try:
        config = json.loads(given.config or "{}")
        if not isinstance(config, dict):
            raise ValueError("not an object")
    except ValueError as error:
        raise CommandError(f"--config={given.config}: {error}") from None
    source, out = given.source, given.out
    checkpoint = read_checkpoint(source)
    # Before anything is written: nothing is left of a checkpoint that was not read right.
    verified = _verified(checkpoint, given.kind, source, config) if given.verify else ""
    check_writable(os.path.join(out, WEIGHTS), "--out")
    name = os.path.splitext(os.path.basename(source.rstrip("/")))[0]
    card = {"name": name, "source": os.path.basename(source)}
    reference = convert_checkpoint(
        source, out, kind=given.kind, config=config, dtype=given.dtype, card=card
    )
    for theirs, ours in reference.names.items():
        shape = list(checkpoint.arrays.shapes[theirs])
        print(f"{theirs} {shape} -> {', '.join(ours) or 'dropped'}")
    print(f"config: {json.dumps(reference.config)}{verified}")
    numbers = sum(int(np.prod(shape)) for shape in reference.arrays.shapes.values())
    size = os.path.getsize(os.path.join(out, WEIGHTS))
    print(f"wrote {out}: {len(reference.arrays)} arrays, {numbers:,} numbers, {size:,} bytes")
    return 0


def _verified(checkpoint: Checkpoint, kind: str, source: str, config: dict[str, Any]) -> str:
    """A line that says PyTorch reads the same; raises CheckpointError if not, or if it cannot."""
    path = hub.fetch(source, root=None) if source.startswith(hub.PREFIX) else source
    theirs = _read_by_torch(path)
    if os.path.isdir(path):
        error = _difference(open_generator(source, kind=kind, config=config), theirs)
        return f"\nverified: the U-Net's outputs are PyTorch's, to {error:.1e} of their deviation"
    known = dict(_tensors(theirs))
    for name, array in checkpoint.arrays.items():
        # Ours may lack the keys that lead to all of them.
        values = [value for key, value in known.items() if key.endswith(f".{name}")]
        if not values:
            raise CheckpointError(f"{path}: PyTorch reads no {name}")
        if not any(np.array_equal(array, value) for value in values):
            raise CheckpointError(f"{path}: {name} is not what PyTorch reads")
    return f"\nverified: {len(checkpoint.arrays)} arrays equal those that PyTorch reads"


def _read_by_torch(path: str) -> Any:
    """The U-Net of a folder, as diffusers reads it; the tensors of a file, dictionaries nested."""
    try:
        import torch

        if os.path.isdir(path):
            import diffusers
    except ImportError as error:
        raise CheckpointError(
            f"--verify needs PyTorch, for a folder diffusers too: pip install {error.name}"
        ) from None
    try:
        if os.path.isdir(path):
            part = "unet" if os.path.isdir(os.path.join(path, "unet")) else None
            network = diffusers.UNet2DModel.from_pretrained(
                path, subfolder=part, local_files_only=True, low_cpu_mem_usage=False
            )
            return network.to(torch.float32).eval()
        if path.endswith(".safetensors"):
            from safetensors.torch import load_file

            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # They raise whatever the file makes them raise.
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"--verify: PyTorch cannot read {path}: {reason}") from None


def _difference(generator: Any, network: Any) -> float:
    """The largest difference between the U-Net's outputs and PyTorch's, over their deviation."""
    import torch

    shape = (2, *generator.image_shape)
    noise = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    times, labels = np.array([10, 700], np.float32), np.zeros(2, np.int32)
    named = {} if generator.label is None else {"class_labels": torch.tensor(labels).long()}
    ours = jax.jit(lambda x: generator.unet(x, times, labels))(noise)
    with torch.no_grad():
        channels_first = torch.tensor(noise.transpose(0, 3, 1, 2))
        made = network(channels_first, torch.tensor(times), **named).sample
    theirs = made.numpy().transpose(0, 2, 3, 1)
    error = float(np.abs(np.asarray(ours) - theirs).max() / theirs.std())
    if not error <= _TOLERANCE:
        raise CheckpointError(f"the U-Net's outputs are not PyTorch's: off by {error:.1e}")
    return error


def _tensors(value: Any, keys: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Each tensor as an array, after the keys that lead to it, a dot before each."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _tensors(part, f"{keys}.{key}")
    elif hasattr(value, "detach"):
        yield keys, value.detach().float().numpy()
