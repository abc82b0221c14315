"""Distances between an image and its reconstruction."""

from jax_origin.distance.pixel import DISTANCES, OBJECTIVES, l1, l2, log_l2
from jax_origin.distance.stored import as_stored, stored_l1, stored_l2

__all__ = ["DISTANCES", "OBJECTIVES", "as_stored", "l1", "l2", "log_l2", "stored_l1", "stored_l2"]
