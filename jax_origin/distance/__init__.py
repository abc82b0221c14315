"""Distances between an image and its reconstruction."""

from jax_origin.distance.pixel import DISTANCES, OBJECTIVES, l1, l2, log_l2

__all__ = ["DISTANCES", "OBJECTIVES", "l1", "l2", "log_l2"]
