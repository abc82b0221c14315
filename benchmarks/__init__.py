"""Evaluations and benchmarks of jax_origin, beside the package; README.md lists the files."""
