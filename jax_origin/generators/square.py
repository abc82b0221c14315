"""What the zoo's architectures share: arguments kept as attributes, and square images."""

from typing import Any, ClassVar

from jax_origin.generators.base import Generator


class SquareGenerator(Generator):
    """A generator of square images that keeps its constructor's arguments as attributes.

    Attributes:
      arguments: Names of the constructor's arguments; each is an attribute of the same name.
      image_size: Side of the image.
      channels: Image channels.
      latent_dim: Length of the latent vector; a class with other latents has a `latent_shape`.
    """

    arguments: ClassVar[tuple[str, ...]]
    image_size: int
    channels: int
    latent_dim: int

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments as JSON; they shape the map together with the weights."""
        return {name: _json(getattr(self, name)) for name in self.arguments}

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """(latent_dim,)."""
        return (self.latent_dim,)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return (self.image_size, self.image_size, self.channels)


def _json(value: Any) -> Any:
    if hasattr(value, "as_dict"):
        return value.as_dict()
    return list(value) if isinstance(value, tuple) else value
