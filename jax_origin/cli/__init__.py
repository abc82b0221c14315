"""The command jax-origin: flags are read before anything heavy is imported."""
