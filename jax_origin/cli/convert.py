"""Converts a published checkpoint, and compares it with what PyTorch reads."""

import json
import os
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from absl import flags

from jax_origin.checkpoints import Checkpoint, CheckpointError, hub
from jax_origin.cli.command import CommandError, check_writable
from jax_origin.generators import KINDS, Autoencoder, Generator, open_generator, with_settings
from jax_origin.generators.convert import halves_of, open_reference
from jax_origin.generators.files import WEIGHTS, convert_checkpoint

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
    checkpoint = open_reference(source, KINDS[given.kind])
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
    cls = KINDS[kind]
    path = source
    if source.startswith(hub.PREFIX):
        path = hub.fetch(source, root=None, parts=cls.reference_parts)
    theirs = _read_by_torch(path, cls)
    if os.path.isdir(path):
        generator = open_generator(source, kind=kind, config=config)
        latent = isinstance(generator, Autoencoder)
        error = (_of_autoencoders if latent else _of_unets)(generator, theirs)
        what = "encoder's and the decoder's" if latent else "U-Net's"
        if not error <= _TOLERANCE:
            raise CheckpointError(f"the {what} outputs are not PyTorch's: off by {error:.1e}")
        return f"\nverified: the {what} outputs are PyTorch's, to {error:.1e} of their deviation"
    known = dict(_tensors(theirs))
    for name, array in checkpoint.arrays.items():
        # Ours may lack the keys that lead to all of them.
        values = [value for key, value in known.items() if key.endswith(f".{name}")]
        if not values:
            raise CheckpointError(f"{path}: PyTorch reads no {name}")
        if not any(np.array_equal(array, value) for value in values):
            raise CheckpointError(f"{path}: {name} is not what PyTorch reads")
    return f"\nverified: {len(checkpoint.arrays)} arrays equal those that PyTorch reads"


def _read_by_torch(path: str, cls: type[Generator]) -> Any:
    """The network of a folder, as diffusers reads it; a file's tensors, dictionaries nested."""
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
            parts = (part for part in cls.reference_parts if os.path.isdir(f"{path}/{part}"))
            part, name = next(parts, None), "UNet2DModel"
            if cls.reference_classes:
                with open(os.path.join(path, part or "", "config.json")) as file:
                    name = json.load(file)["_class_name"]
            network = getattr(diffusers, name).from_pretrained(
                path, subfolder=part, local_files_only=True, low_cpu_mem_usage=False
            )
            return network.to(torch.float32).eval()
        halves = halves_of(path, cls)
        if halves:
            return {half: _tensors_of(torch, file) for half, file in halves.items()}
        return _tensors_of(torch, path)
    except Exception as error:  # They raise whatever the file makes them raise.
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"--verify: PyTorch cannot read {path}: {reason}") from None


def _tensors_of(torch: Any, path: str) -> Any:
    if path.endswith(".safetensors"):
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _of_unets(generator: Any, network: Any) -> float:
    """The largest difference between a U-Net's outputs and PyTorch's, over their deviation."""
    import torch

    shape = (2, *generator.image_shape)
    noise = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    times, labels = np.array([10, 700], np.float32), np.zeros(2, np.int32)
    named = {} if generator.label is None else {"class_labels": torch.tensor(labels).long()}
    ours = jax.jit(lambda x: generator.unet(x, times, labels))(noise)
    with torch.no_grad():
        made = network(_there(torch, noise), torch.tensor(times), **named).sample
    return _difference(ours, made)


def _of_autoencoders(generator: Any, network: Any) -> float:
    """The same of encoder and decoder, on one image of eight cells to a side, and on its latent."""
    import torch

    side = 8 * generator.factor
    whole: Any = with_settings(generator, {"image_size": side, "margin": 0, "phase": [0, 0]})
    image = np.random.default_rng(0).random((1, side, side, whole.channels), np.float32)
    found = whole.posterior(2 * image - 1)[0]
    kind, raw = whole.kind, np.asarray(found)
    frame = kind == "autoencoder_wan"  # of a video, one frame
    with torch.no_grad():
        there, latent = (_there(torch, x, frame) for x in (2 * image - 1, raw))
        encoded = network.encode(there)
        encoded = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded[0]
        if kind == "vq_model":
            encoded = network.quantize(encoded)[0]
        options = {"force_not_quantize": True} if kind == "vq_model" else {}
        decoded = network.decode(latent, **options).sample
    pairs = ((raw, encoded), (whole.decode(found), decoded))
    return max(_difference(ours, theirs[:, :, 0] if frame else theirs) for ours, theirs in pairs)


def _there(torch: Any, images: np.ndarray, frame: bool = False) -> Any:
    """Images as PyTorch has them, channels first, perhaps as a video of one frame."""
    tensor = torch.tensor(images.transpose(0, 3, 1, 2))
    return tensor[:, :, None] if frame else tensor


def _difference(ours: Any, theirs: Any) -> float:
    theirs = theirs.numpy().transpose(0, 2, 3, 1)
    return float(np.abs(np.asarray(ours) - theirs).max() / theirs.std())


def _tensors(value: Any, keys: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Each tensor as an array, after the keys that lead to it, a dot before each."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _tensors(part, f"{keys}.{key}")
    elif hasattr(value, "detach"):
        yield keys, value.detach().float().numpy()
