"""Converts a published checkpoint into a directory that load_generator opens.

python scripts/convert_checkpoint.py --source=FILE --kind=stylegan2_ada --out=DIR
python scripts/convert_checkpoint.py --source=hf://google/ddpm-cifar10-32 --kind=ddim --out=DIR \
    --config='{"num_steps": 20}' --verify

Prints what became of each array. --verify reads the checkpoint with PyTorch too, and compares: of a
folder of diffusers, what its U-Net and ours make of the same noise; of a file that torch.load or
safetensors reads, the arrays, every one. A file holds no network to run, but those that its arrays
are renamed for: the tests compare ours with PyTorch's on arrays of the same names. Network pickles,
.npz and shards with an index cannot be verified so.
"""

import json
import os
from typing import Any

import jax
import numpy as np
from absl import app, flags

from jax_origin.checkpoints import Checkpoint, CheckpointError, hub, read_checkpoint
from jax_origin.command import command
from jax_origin.generators import KINDS, open_generator
from jax_origin.generators.storage import WEIGHTS, convert_checkpoint

_SOURCE = flags.DEFINE_string("source", None, "The checkpoint.", required=True)
_KIND = flags.DEFINE_enum("kind", None, sorted(KINDS), "What it holds.", required=True)
_OUT = flags.DEFINE_string("out", None, "The directory to write.", required=True)
_CONFIG = flags.DEFINE_string("config", "{}", "Arguments of the architecture, as JSON.")
_DTYPE = flags.DEFINE_enum(
    "dtype", None, ["float16", "float32"], "What weights are rounded to; left as they are without."
)
_VERIFY = flags.DEFINE_bool("verify", False, "Compare with what PyTorch reads.")

# Of the outputs' deviation. Float32 sums in another order leave about 1e-5 in a deep network.
_TOLERANCE = 1e-3


@command("convert_checkpoint", CheckpointError, OSError)
def main() -> None:
    """Reads the flags, converts, and prints."""
    try:
        config = json.loads(_CONFIG.value)
        if not isinstance(config, dict):
            raise ValueError("not an object")
    except ValueError as error:
        raise CheckpointError(f"--config={_CONFIG.value}: {error}") from None
    _convert(config)


def _convert(config: dict[str, Any]) -> None:
    source = _SOURCE.value
    checkpoint = read_checkpoint(source)
    # Before anything is written: nothing is left of a checkpoint that was not read right.
    path = hub.fetch(source, root=None) if source.startswith(hub.PREFIX) else source
    folder = os.path.isdir(path)
    verified = ""
    if _VERIFY.value and folder:
        error = _difference(open_generator(source, kind=_KIND.value, config=config), path)
        verified = f"the U-Net's outputs are PyTorch's, to {error:.1e} of their deviation"
    elif _VERIFY.value:
        _compare(checkpoint, path)
        verified = f"{len(checkpoint.arrays)} arrays equal those that PyTorch reads"
    name = os.path.splitext(os.path.basename(source.rstrip("/")))[0]
    reference = convert_checkpoint(
        source,
        _OUT.value,
        kind=_KIND.value,
        config=config,
        dtype=_DTYPE.value,
        card={"name": name, "source": os.path.basename(source)},
    )
    for theirs_name, ours in reference.names.items():
        shape = list(checkpoint.arrays.shapes[theirs_name])
        print(f"{theirs_name} {shape} -> {', '.join(ours) or 'dropped'}")
    numbers = sum(int(np.prod(shape)) for shape in reference.arrays.shapes.values())
    print(f"config: {json.dumps(reference.config)}")
    if verified:
        print(f"verified: {verified}")
    size = os.path.getsize(os.path.join(_OUT.value, WEIGHTS))
    print(
        f"wrote {_OUT.value}: {len(reference.arrays)} arrays, {numbers:,} numbers, {size:,} bytes"
    )


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


if __name__ == "__main__":
    app.run(main)
