"""Converts a published checkpoint, and compares it with what PyTorch reads."""

import json
import os
from typing import Any

import jax
import numpy as np
from absl import flags
from ml_collections import ConfigDict

from jax_origin.checkpoints import Checkpoint, CheckpointError, hub, read_checkpoint
from jax_origin.cli.command import CommandError, check_writable
from jax_origin.generators.files import WEIGHTS, convert_checkpoint, open_generator

# Of the outputs' deviation. Float32 sums in another order leave about 1e-5 in a deep network.
_TOLERANCE = 1e-3


def main(_: ConfigDict | None, given: flags.FlagValues) -> int:
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
    reference = convert_checkpoint(
        source,
        out,
        kind=given.kind,
        config=config,
        dtype=given.dtype,
        card={"name": name, "source": os.path.basename(source)},
    )
    for theirs_name, ours in reference.names.items():
        shape = list(checkpoint.arrays.shapes[theirs_name])
        print(f"{theirs_name} {shape} -> {', '.join(ours) or 'dropped'}")
    print(f"config: {json.dumps(reference.config)}{verified}")
    numbers = sum(int(np.prod(shape)) for shape in reference.arrays.shapes.values())
    size = os.path.getsize(os.path.join(out, WEIGHTS))
    print(f"wrote {out}: {len(reference.arrays)} arrays, {numbers:,} numbers, {size:,} bytes")
    return 0


def _verified(checkpoint: Checkpoint, kind: str, source: str, config: dict[str, Any]) -> str:
    """What PyTorch makes of the checkpoint, as a line to print.

    Raises:
      CheckpointError: If PyTorch reads it otherwise, or cannot.
    """
    path = hub.fetch(source, root=None) if source.startswith(hub.PREFIX) else source
    if os.path.isdir(path):
        error = _difference(open_generator(source, kind=kind, config=config), path)
        return f"\nverified: the U-Net's outputs are PyTorch's, to {error:.1e} of their deviation"
    _compare(checkpoint, path)
    return f"\nverified: {len(checkpoint.arrays)} arrays equal those that PyTorch reads"


def _diffusers_unet(path: str) -> Any:
    """The U-Net of a folder, as diffusers reads it."""
    try:
        import diffusers
        import torch
    except ImportError:
        raise CheckpointError(
            "--verify of a folder needs PyTorch and diffusers: pip install torch diffusers"
        ) from None
    part = "unet" if os.path.isdir(os.path.join(path, "unet")) else None
    try:
        network = diffusers.UNet2DModel.from_pretrained(
            path, subfolder=part, local_files_only=True, low_cpu_mem_usage=False
        )
    except Exception as error:  # It raises whatever the folder makes it raise.
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"--verify: diffusers cannot read {path}: {reason}") from None
    return network.to(torch.float32).eval()


def _difference(generator: Any, path: str) -> float:
    """The largest difference between the U-Net's outputs and diffusers', over their deviation."""
    network = _diffusers_unet(path)
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


def _compare(checkpoint: Checkpoint, path: str) -> None:
    """Refuses a file of which PyTorch reads other arrays than we do, or not all of them."""
    theirs = _torch_arrays(path)
    for name, array in checkpoint.arrays.items():
        # Ours may lack the keys that lead to all of them.
        known = [value for key, value in theirs.items() if key == name or key.endswith(f".{name}")]
        if not known:
            raise CheckpointError(f"{path}: PyTorch reads no {name}")
        if not any(np.array_equal(array, value) for value in known):
            raise CheckpointError(f"{path}: {name} is not what PyTorch reads")


def _torch_arrays(source: str) -> dict[str, np.ndarray]:
    """The arrays of a file as PyTorch reads them, by the keys that lead to them."""
    try:
        import torch
    except ImportError:
        raise CheckpointError("--verify needs PyTorch: pip install torch") from None
    if source.endswith(".safetensors"):
        from safetensors.torch import load_file

        tree: Any = load_file(source)
    else:
        try:
            tree = torch.load(source, map_location="cpu", weights_only=True)
        except Exception as error:  # It raises whatever the file makes it raise.
            reason = str(error).splitlines()[0]
            raise CheckpointError(f"--verify: PyTorch cannot read {source}: {reason}") from None
    found: dict[str, np.ndarray] = {}

    def walk(value: Any, path: tuple[str, ...]) -> None:
        if isinstance(value, torch.Tensor):
            found[".".join(path)] = value.detach().float().numpy()
        elif isinstance(value, dict):
            for key, part in value.items():
                walk(part, (*path, str(key)))

    walk(tree, ())
    return found
