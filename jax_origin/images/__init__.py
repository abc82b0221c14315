"""Images: files in, arrays out, errors by name."""

from jax_origin.images.ahead import map_ahead
from jax_origin.images.arrays import as_float, as_uint8, pixels_sha256
from jax_origin.images.decode import SUFFIXES, DecodedImage, decode_bytes, decode_image
from jax_origin.images.errors import ImageError
from jax_origin.images.load import find_images, load_images
from jax_origin.images.photographs import photograph_crops
from jax_origin.images.png import save_png

__all__ = [
    "SUFFIXES",
    "DecodedImage",
    "ImageError",
    "as_float",
    "as_uint8",
    "decode_bytes",
    "decode_image",
    "find_images",
    "load_images",
    "map_ahead",
    "photograph_crops",
    "pixels_sha256",
    "save_png",
]
