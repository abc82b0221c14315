"""safetensors files: tensors by name, and no code."""

import os
from collections.abc import Mapping

import numpy as np
import safetensors
import safetensors.numpy

from jax_origin.checkpoints.rename import CheckpointError
from jax_origin.files import atomic_write


def read_safetensors(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads every tensor of a safetensors file.

    Raises:
      CheckpointError: If there is no such file, or it is not a whole safetensors file.
    """
    try:
        return safetensors.numpy.load_file(path)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except (safetensors.SafetensorError, OSError, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path}: not a whole safetensors file ({reason})") from None
    except (AttributeError, TypeError) as error:  # NumPy has no such dtype (float8, for one).
        raise CheckpointError(f"{path}: holds a dtype that is not read here ({error})") from None


def write_safetensors(path: str | os.PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays by name; the file is there whole or not at all."""
    # ascontiguousarray would give a scalar an axis.
    contiguous = {name: np.asarray(array, order="C") for name, array in sorted(arrays.items())}
    with atomic_write(path) as temporary:
        safetensors.numpy.save_file(contiguous, temporary)
        os.chmod(temporary, 0o644)  # the library makes it readable by its owner alone
