"""Images: files in, arrays out, errors by name."""

from jax_origin.images.ahead import map_ahead
from jax_origin.images.alike import Alike, edits_alike
from jax_origin.images.arrays import as_float, as_uint8, pixels_sha256, short_digest
from jax_origin.images.decode import SUFFIXES, DecodedImage, decode_bytes, decode_image
from jax_origin.images.edits import (
    EDITS,
    EditStep,
    edit_images,
    parse_edit,
    stored_images,
)
from jax_origin.images.decode import ImageError
from jax_origin.images.file_set import (
    UNKNOWN_FILE,
    Stored,
    StoredArrays,
    as_images,
    stack_stored,
    stored_image,
    stored_pixels,
)
from jax_origin.images.jpeg import YCBCR
from jax_origin.images.load import find_images, jpeg_share, load_images
from jax_origin.images.opened import OpenedImage, decode_stored, open_image
from jax_origin.images.photographs import photograph_crops
from jax_origin.images.png import save_png
from jax_origin.images.resizing import Resizing, find_resizings

__all__ = [
    "EDITS",
    "SUFFIXES",
    "UNKNOWN_FILE",
    "YCBCR",
    "Alike",
    "DecodedImage",
    "EditStep",
    "ImageError",
    "OpenedImage",
    "Resizing",
    "Stored",
    "StoredArrays",
    "as_float",
    "as_images",
    "as_uint8",
    "decode_bytes",
    "decode_image",
    "decode_stored",
    "edit_images",
    "edits_alike",
    "find_images",
    "find_resizings",
    "jpeg_share",
    "load_images",
    "map_ahead",
    "open_image",
    "parse_edit",
    "photograph_crops",
    "pixels_sha256",
    "save_png",
    "short_digest",
    "stack_stored",
    "stored_image",
    "stored_images",
    "stored_pixels",
]
