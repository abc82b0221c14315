"""What an evaluation's measures depend on besides its settings."""

import dataclasses
import hashlib
import importlib.metadata
import os
import platform
from collections.abc import Sequence
from typing import Any

import jax

from benchmarks.protocol import Comparison
from benchmarks.sampling import Images
from jax_origin.generators import fingerprint
from jax_origin.images import Stored
from jax_origin.workflow import Method

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "pillow")


def circumstances(compared: Sequence[Comparison]) -> dict[str, Any]:
    """What the measures depend on besides the settings, as plain JSON.

    Args:
      compared: What was compared.

    Returns:
      machine, versions, generators (fingerprint by name), methods (settings by name), calibrations
      (digest, file's name, the foreign groups that it knew and the reference's fingerprint) and
      images (number and SHA-256 by group; "group, edit" where they were edited).
    """
    groups = {
        name if each.edit == "clean" else f"{name}, {each.edit}": images
        for each in compared
        for name, images in each.groups.items()
    }
    calibrated = {(each.inspected, each.method.name): each for each in compared}
    return {
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "cpus": os.cpu_count(),
            "backend": jax.default_backend(),
            "devices": [device.device_kind for device in jax.devices()],
        },
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _PACKAGES},
        },
        "generators": {each.inspected: fingerprint(each.generator) for each in calibrated.values()},
        "methods": {each.method.name: _as_asked(each.method).to_json() for each in compared},
        "calibrations": [
            {
                "inspected": each.inspected,
                "method": each.method.name,
                "digest": each.calibration.digest,
                "file": os.path.basename(each.calibration.path),
                "foreign": list(each.calibration.foreign),
                "reference": each.calibration.reference,
            }
            for each in calibrated.values()
        ],
        "images": {
            name: {"num": len(images), "sha256": hashlib.sha256(_bytes(images)).hexdigest()}
            for name, images in groups.items()
        },
    }


def _bytes(images: Images | list[Stored]) -> bytes:
    """The pixels, one image after the other."""
    shown = (image.pixels if isinstance(image, Stored) else image for image in images)
    return b"".join(pixels.tobytes() for pixels in shown)


def _as_asked(method: Method) -> Method:
    """A method without what its score measured: the calibration's digest stands for that."""
    if not method.score.fits:
        return method
    return dataclasses.replace(method, score=type(method.score)())
