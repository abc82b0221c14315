"""Records of data sets, as TFRecord and ArrayRecord files hold them: mostly a tf.train.Example.

An Example names features, each a list of bytes, of floats or of integers
(`tensorflow/core/example/feature.proto`).
"""

import functools
from collections.abc import Mapping
from typing import Any

from jax_origin.images import ImageError
from jax_origin.images.formats import format_of
from jax_origin.sources.entry import SIDE_BYTES

_IMAGES = ("image/encoded", "image", "jpg", "jpeg", "png", "webp")
# A map of features is, in the file, a row of names and features.
_SCHEMA = """
name: "jax_origin/example.proto"  package: "jax_origin"  syntax: "proto3"
message_type { name: "BytesList"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_BYTES } }
message_type { name: "FloatList"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_FLOAT } }
message_type { name: "Int64List"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_INT64 } }
message_type { name: "Feature"
  field { name: "bytes_list" number: 1 type: TYPE_MESSAGE type_name: ".jax_origin.BytesList" }
  field { name: "float_list" number: 2 type: TYPE_MESSAGE type_name: ".jax_origin.FloatList" }
  field { name: "int64_list" number: 3 type: TYPE_MESSAGE type_name: ".jax_origin.Int64List" } }
message_type { name: "Named"
  field { name: "key" number: 1 type: TYPE_STRING }
  field { name: "value" number: 2 type: TYPE_MESSAGE type_name: ".jax_origin.Feature" } }
message_type { name: "Features"
  field { name: "feature" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE
          type_name: ".jax_origin.Named" } }
message_type { name: "Example"
  field { name: "features" number: 1 type: TYPE_MESSAGE type_name: ".jax_origin.Features" } }
"""

Features = Mapping[str, list[Any]]


def image_of(record: bytes, key: str) -> bytes:
    """The bytes of a record's image: those of a feature, or the record, if it is an image itself.

    The feature is the first that is there of image/encoded, image, jpg, jpeg, png and webp, or the
    only one of bytes.

    Raises:
      ImageError: of `key`: the record is no Example, or holds no image.
    """
    if _is_image(record):
        return record
    texts = {name: each for name, each in _features(record, key).items() if _is_bytes(each)}
    name = next((name for name in _IMAGES if name in texts), None)
    if name is None and len(texts) == 1:
        (name,) = texts
    if name is None:
        listed = (
            f"its features of bytes are {', '.join(texts)}" if texts else "it has none of bytes"
        )
        raise ImageError(key, f"holds no feature {', '.join(_IMAGES[:-1])} or webp ({listed})")
    if len(texts[name]) != 1:
        raise ImageError(key, f"holds {len(texts[name])} images in its feature {name}, not one")
    return bytes(texts[name][0])


def said_of(record: bytes, key: str) -> dict[str, Any]:
    """What a record's features say besides images: texts and numbers, lists where several.

    Raises:
      ImageError: of `key`: the record is no Example.
    """
    features = {} if _is_image(record) else _features(record, key)
    said = {name: [_text(value) for value in values] for name, values in features.items()}
    return {
        name: values[0] if len(values) == 1 else values
        for name, values in said.items()
        if None not in values and name not in _IMAGES
    }


def _is_image(record: bytes) -> bool:
    return record[:1] != b"\n" and format_of(record) is not None  # An Example begins so.


def _is_bytes(values: list[Any]) -> bool:
    return bool(values) and isinstance(values[0], bytes)


def _text(value: Any) -> Any:
    """A value; bytes as text, None where they are none."""
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode() if len(value) <= SIDE_BYTES else None
    except UnicodeDecodeError:
        return None


def _features(record: bytes, key: str) -> Features:
    example, error = _message()
    try:
        named = example.FromString(record).features.feature
    except error:
        raise ImageError(key, "is neither an image nor a tf.train.Example") from None
    found = {}
    for each in named:
        kinds = (each.value.bytes_list, each.value.float_list, each.value.int64_list)
        found[each.key] = [value for kind in kinds for value in kind.value]
    return found


@functools.cache
def _message() -> tuple[Any, type[Exception]]:
    """The class of Examples, and what it raises of bytes that are none."""
    from google.protobuf import (
        descriptor_pb2,
        descriptor_pool,
        message,
        message_factory,
        text_format,
    )

    pool = descriptor_pool.DescriptorPool()
    pool.Add(text_format.Parse(_SCHEMA, descriptor_pb2.FileDescriptorProto()))
    example = pool.FindMessageTypeByName("jax_origin.Example")
    return message_factory.GetMessageClass(example), message.DecodeError
