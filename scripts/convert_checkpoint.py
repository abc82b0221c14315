"""Converts a published checkpoint into a directory that load_generator opens.

python scripts/convert_checkpoint.py --source=FILE --kind=stylegan2_ada --out=DIR
python scripts/convert_checkpoint.py --source=hf://google/ddpm-cifar10-32 --kind=ddim --out=DIR \
    --config='{"num_steps": 20}' --verify

Prints what became of each array; --verify reads the file with PyTorch too, and compares.
"""

import json
import os
from typing import Any

import numpy as np
from absl import app, flags

from jax_origin.checkpoints import CheckpointError, read_checkpoint
from jax_origin.generators import KINDS
from jax_origin.generators.storage import WEIGHTS, convert_checkpoint

_SOURCE = flags.DEFINE_string("source", None, "The checkpoint.", required=True)
_KIND = flags.DEFINE_enum("kind", None, sorted(KINDS), "What it holds.", required=True)
_OUT = flags.DEFINE_string("out", None, "The directory to write.", required=True)
_CONFIG = flags.DEFINE_string("config", "{}", "Arguments of the architecture, as JSON.")
_DTYPE = flags.DEFINE_enum(
    "dtype", None, ["float16", "float32"], "What weights are rounded to; left as they are without."
)
_VERIFY = flags.DEFINE_bool("verify", False, "Compare the arrays with those that PyTorch reads.")


def main(argv: list[str]) -> None:
    """Reads the flags, converts, and prints."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown argument {argv[1]!r}; is a flag's value missing its '='?")
    try:
        config = json.loads(_CONFIG.value)
        if not isinstance(config, dict):
            raise ValueError("not an object")
    except ValueError as error:
        raise SystemExit(f"convert_checkpoint: --config={_CONFIG.value}: {error}") from None
    try:
        _convert(config)
    except (CheckpointError, OSError) as error:
        raise SystemExit(f"convert_checkpoint: {error}") from None


def _convert(config: dict[str, Any]) -> None:
    source = _SOURCE.value
    checkpoint = read_checkpoint(source)
    # Before the work: what is asked for cannot be done with every file.
    theirs = _torch_arrays(source) if _VERIFY.value else {}
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
    for array_name, array in theirs.items():
        if not np.array_equal(checkpoint.arrays[array_name], array):
            raise CheckpointError(f"{source}: {array_name} is not what PyTorch reads")
    if _VERIFY.value:
        print(f"verified: {len(theirs)} arrays equal those that PyTorch reads")
    size = os.path.getsize(os.path.join(_OUT.value, WEIGHTS))
    print(
        f"wrote {_OUT.value}: {len(reference.arrays)} arrays, {numbers:,} numbers, {size:,} bytes"
    )


def _torch_arrays(source: str) -> dict[str, np.ndarray]:
    """The arrays of a file as PyTorch reads them, by the names that our reader gives them."""
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
    ours = read_checkpoint(source).arrays
    return {
        name: array
        for name in ours
        for theirs, array in found.items()
        if theirs == name or theirs.endswith(f".{name}")
    }


if __name__ == "__main__":
    app.run(main)
