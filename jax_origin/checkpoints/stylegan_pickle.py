"""Pickles of whole networks: StyleGAN2-ADA's, StyleGAN3's, EDM's, and PyTorch modules.

StyleGAN's classes (`torch_utils/persistence.py` of NVlabs/stylegan2-ada-pytorch) are pickled with
the source of the module that defines them, which their own reader executes. This reader
ignores the source: a module is its `_parameters`, `_buffers`, `_modules` and the arguments that it
was made with. Storages lie inside as byte strings, each a complete torch.save file.
"""

from typing import Any

from jax_origin.checkpoints.file_part import FilePart
from jax_origin.checkpoints.pickled import Budget, Known
from jax_origin.checkpoints.plain_globals import PLAIN
from jax_origin.checkpoints.torch_file import LEGACY_HEAD, read_torch_legacy
from jax_origin.checkpoints.torch_tensors import TENSORS, Storage
from jax_origin.checkpoints.tree import Module

_PERSISTENT = "torch_utils.persistence._reconstruct_persistent_obj"
# Classes and functions that are named, and never called: a callback as a key, an activation.
_NAMED_ONLY = ("pytorch_lightning.", "lightning.", "torch.nn.functional.", "torch._C._nn.")


class Globals:
    """The globals that a checkpoint's pickle may name."""

    def __init__(self, budget: Budget):
        self._calls = {
            **PLAIN,
            **TENSORS,
            _PERSISTENT: _persistent_object,
            "torch.storage._load_from_bytes": lambda data: _storage_in(data, budget),
        }

    def __call__(self, name: str) -> Known | None:
        """Finds a global; a ValueError tells why one is refused, if that is worth telling."""
        if name in self._calls:
            return Known(name, self._calls[name])
        if name.startswith("dnnlib.tflib."):
            raise ValueError(
                "a network of StyleGAN's TensorFlow era; convert it with legacy.py of "
                "NVlabs/stylegan2-ada-pytorch"
            )
        if name.startswith("torch.nn.modules."):
            return Known(name, Module)
        if name.startswith(_NAMED_ONLY):
            return Known(name)
        return None


def _persistent_object(meta: Any) -> Module:
    if not isinstance(meta, dict) or meta.get("type") != "class":
        raise ValueError("it does not describe a class")
    state = meta.get("state")
    if not isinstance(state, dict):
        raise ValueError("an object without a state")
    return Module(state)


def _storage_in(data: Any, budget: Budget) -> Storage:
    if not isinstance(data, FilePart) or data.head(len(LEGACY_HEAD)) != LEGACY_HEAD:
        raise ValueError("not a storage that PyTorch wrote")

    def find(name: str) -> Known | None:
        # Without calls there is no file within this one in turn.
        return Known(name) if name in TENSORS else None

    storage = read_torch_legacy(data, find, budget)
    if not isinstance(storage, Storage):
        raise ValueError("a file in a file that holds no storage")
    return storage
