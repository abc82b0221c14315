"""The globals a pickle may name besides tensors: containers, NumPy arrays, plain objects."""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from jax_origin.checkpoints.arrays import LazyArray, is_shape
from jax_origin.checkpoints.file_part import FilePart


class Attributes(dict):
    """An object, read as the dict of its attributes."""

    def build(self, state: Any) -> None:
        """Takes the attributes that the pickle gives the object."""
        self.update(_as(dict, state))


class PickledArray:
    """An array inside a pickle; `array` is None until its state has been read."""

    def __init__(self, array: LazyArray | None = None):
        self.array = array

    def build(self, state: Any) -> None:
        """Takes the state of a NumPy array: version, shape, dtype, whether Fortran order, bytes."""
        _, shape, dtype, fortran, data = state
        self.array = _numpy_array(data, dtype, shape, "F" if fortran else "C").array


class Dtype:
    """A NumPy dtype of plain numbers, in the byte order that the pickle states."""

    def __init__(self, code: Any, align: Any = False, copy: Any = True):
        if not re.fullmatch(r"[<>=|]?([biufc]\d{1,2}|\?)", _as(str, code)):
            raise ValueError("only dtypes of plain numbers are read")
        self.dtype = np.dtype(code)

    def build(self, state: Any) -> None:
        """Takes the state of a dtype; for plain numbers only the byte order counts."""
        if state[1] not in ("<", ">", "=", "|"):
            raise ValueError("a byte order that is none")
        self.dtype = self.dtype.newbyteorder(state[1])


def _numpy_array(data: Any, dtype: Any, shape: Any, order: Any) -> PickledArray:
    stored, shape = _as(Dtype, dtype).dtype, tuple(_as((tuple, list), shape))
    if order not in ("C", "F"):
        raise ValueError("a wrong order")
    if not is_shape(shape) or math.prod(shape) * stored.itemsize != _size(data):
        raise ValueError("a shape that does not fit its data")

    def read() -> np.ndarray:
        flat = np.frombuffer(data if isinstance(data, bytes) else data.read(), stored)
        return flat.reshape(shape, order=order).astype(stored.newbyteorder("="))

    return PickledArray(LazyArray(shape, stored.newbyteorder("="), read))


def _numpy_scalar(dtype: Any, data: Any) -> Any:
    stored = _as(Dtype, dtype).dtype
    if _size(data) != stored.itemsize:
        raise ValueError("a number of the wrong size")
    return np.frombuffer(data if isinstance(data, bytes) else data.read(), stored)[0].item()


def _numpy_placeholder(cls: Any, shape: Any, code: Any) -> PickledArray:
    return PickledArray()


def _bytes_of_text(text: Any, encoding: Any) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise ValueError("another encoding than latin1")
    return _as(str, text).encode("latin-1")


def _attributes(pairs: Any = ()) -> Attributes:
    return Attributes(_dict(pairs))


def _default_dict(factory: Any = None, pairs: Any = ()) -> dict:
    return _dict(pairs)


def _dict(pairs: Any = ()) -> dict:
    if not isinstance(pairs, dict):
        # As in an opcode: hashing nested tuples may take for ever.
        for name, _ in _as((list, tuple), pairs):
            _as((str, int), name)
    return dict(pairs)


def _list(values: Any = ()) -> list:
    return list(_as((list, tuple), values))


def _set(values: Any = ()) -> set:
    for value in _as((list, tuple), values):
        _as((str, int, float), value)
    return set(values)


def _path(*parts: Any) -> str:
    return "/".join(_as(str, part) for part in parts)


def _as(kind: type | tuple[type, ...], value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"a {type(value).__name__} where it cannot be")
    return value


def _size(data: Any) -> int:
    return data.size if isinstance(data, FilePart) else len(_as(bytes, data))


def _complex(real: Any, imaginary: Any) -> complex:
    return complex(_as(float, real), _as(float, imaginary))


_NUMPY_CORES = ("numpy.core", "numpy._core")
PLAIN: dict[str, Callable[..., Any] | None] = {
    **dict.fromkeys(("argparse.Namespace", "types.SimpleNamespace"), _attributes),
    **dict.fromkeys(("dnnlib.util.EasyDict", "dnnlib.EasyDict"), _attributes),
    **{
        f"{module}.AttributeDict": _attributes  # a module's hyperparameters, by its version
        for module in (
            *("pytorch_lightning.utilities.parsing", "lightning.pytorch.utilities.parsing"),
            *("lightning_fabric.utilities.data", "lightning.fabric.utilities.data"),
        )
    },
    **dict.fromkeys(("builtins.set", "builtins.frozenset"), _set),
    **dict.fromkeys(("builtins.list", "collections.deque"), _list),
    **dict.fromkeys(("builtins.dict", "collections.OrderedDict", "collections.Counter"), _dict),
    **dict.fromkeys(f"builtins.{name}" for name in ("int", "float", "bool", "str")),
    "builtins.complex": _complex,
    "collections.defaultdict": _default_dict,
    "_codecs.encode": _bytes_of_text,
    "numpy.dtype": Dtype,
    "numpy.ndarray": None,
    **{f"{core}.multiarray._reconstruct": _numpy_placeholder for core in _NUMPY_CORES},
    **{f"{core}.multiarray.scalar": _numpy_scalar for core in _NUMPY_CORES},
    **{f"{core}.numeric._frombuffer": _numpy_array for core in _NUMPY_CORES},
    **{
        f"{module}.{kind}Path": _path
        for module in ("pathlib", "pathlib._local")
        for kind in ("Posix", "PurePosix", "Windows", "PureWindows")
    },
}
"""Our function for each global; None if it may be named but not called."""
