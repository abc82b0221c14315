"""Settings that every test runs under; a variable that is already set in the environment wins."""

import os
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Programs compiled by one run are read back by the next, scripts started by a test included.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR",
    str(Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "jax_origin" / "tests"),
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")

import jax

# Broadcasting between arrays of different rank hides shape mistakes: in tests it is an error.
jax.config.update("jax_numpy_rank_promotion", "raise")
