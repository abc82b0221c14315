"""Distances between reconstructions and images, or what their files hold."""

from jax_origin.distances.base import OBJECTIVES, Distance
from jax_origin.distances.file_set import FileSet, as_stored
from jax_origin.distances.pixels import L1, L2

__all__ = ["L1", "L2", "OBJECTIVES", "Distance", "FileSet", "as_stored"]
