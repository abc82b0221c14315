"""The weights of a calibration's encoders: a file beside the calibration, known by a hash."""

import hashlib
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jax_origin.calibration.checks import CalibrationError
from jax_origin.checkpoints import CheckpointError, read_safetensors


def start_path(path: str | os.PathLike[str]) -> str:
    """Where a calibration's encoder weights lie: beside the calibration itself."""
    return f"{os.path.splitext(os.fspath(path))[0]}.start.safetensors"


def read_weights(path: str) -> dict[str, NDArray[Any]]:
    """Reads the weights, by name, from where `start_path` says.

    Raises:
      CalibrationError: They cannot be read.
    """
    try:
        return read_safetensors(path)
    except CheckpointError as error:
        raise CalibrationError(
            f"its learned start cannot be read ({error}); the two files belong together"
        ) from None


def weights_sha256(weights: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 over the weights' names, types, shapes and numbers, in hex."""
    digest = hashlib.sha256()
    for name, array in sorted(weights.items()):
        digest.update(f"\0{name}\0{array.dtype}\0{array.shape}\0".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
