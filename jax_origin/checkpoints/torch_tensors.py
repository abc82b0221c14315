"""PyTorch's tensors in pickles: views of storages that lie elsewhere in the file."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import ml_dtypes
import numpy as np

from jax_origin.checkpoints.arrays import LazyArray, is_shape
from jax_origin.checkpoints.file_part import FilePart
from jax_origin.checkpoints.pickled import Known
from jax_origin.checkpoints.plain_globals import PickledArray


class Block:
    """The bytes of a storage; their place may become known only after the pickle is read."""

    def __init__(self, size: int, where: FilePart | None = None):
        self.size, self.where = size, where
        self.byte_order: Literal["<", ">"] = "<"


class Storage(NamedTuple):
    """A run of `length` numbers that tensors are views of, from byte `start` of a block on."""

    block: Block
    dtype: np.dtype
    start: int
    length: int


_STORAGES = {
    name: np.dtype(getattr(ml_dtypes, kind, None) or kind)
    for name, kind in (
        *(("Double", "float64"), ("Float", "float32"), ("Half", "float16")),
        *(("BFloat16", "bfloat16"), ("Long", "int64"), ("Int", "int32"), ("Short", "int16")),
        *(("Char", "int8"), ("Byte", "uint8"), ("Bool", "bool")),
        *(("ComplexDouble", "complex128"), ("ComplexFloat", "complex64")),
    )
}
STORAGE_DTYPES: dict[str, np.dtype] = {
    **{f"torch.{name}Storage": dtype for name, dtype in _STORAGES.items()},
    "torch.storage.UntypedStorage": np.dtype(np.uint8),
    "torch.storage._UntypedStorage": np.dtype(np.uint8),
}
"""The dtype of each kind of storage that is read."""

_DTYPES = {
    f"torch.{name}": np.dtype(getattr(ml_dtypes, name, None) or name)
    for name in (
        *("float64", "float32", "float16", "bfloat16", "complex128", "complex64", "bool"),
        *("int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8"),
        *("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu"),
    )
}
_MOST_SPREAD = 64 << 20  # bytes: a tensor may repeat its storage's numbers up to this size


def storage_dtype(kind: Any) -> np.dtype:
    """The dtype of a storage's numbers, by its class."""
    if not isinstance(kind, Known) or kind.name not in STORAGE_DTYPES:
        raise ValueError("a storage of a kind that is not read here")
    return STORAGE_DTYPES[kind.name]


def view(storage: Any, offset: Any, size: Any, stride: Any) -> PickledArray:
    """A tensor as a view of its storage, counted in numbers; a ValueError if it does not fit."""
    if not isinstance(storage, Storage):
        raise ValueError("no storage")
    shape, strides = _size(size), _size(stride)
    if len(shape) != len(strides) or not is_shape(shape):
        raise ValueError("sizes that are none, or that do not fit the strides")
    if not all(type(n) is int and 0 <= n < 1 << 58 for n in (offset, *strides)):
        raise ValueError("strides or an offset that are no counts")
    block, dtype, start, count = storage
    numbers, last = 1, offset
    for length, step in zip(shape, strides, strict=True):
        numbers *= length
        last += (length - 1) * step
    if numbers and last >= count:
        raise ValueError(f"a tensor that reaches past the {count} numbers of its storage")
    if numbers * dtype.itemsize > max(count * dtype.itemsize, _MOST_SPREAD):
        raise ValueError(f"a tensor far larger than the {count} numbers of its storage")

    def read() -> np.ndarray:
        if not numbers:
            return np.empty(shape, dtype)
        if block.where is None:  # Every block is found before its tensors are given out.
            raise ValueError("a storage that is nowhere")
        stored = dtype.newbyteorder(block.byte_order)
        first = start + offset * dtype.itemsize
        run = block.where.array(stored, (last - offset + 1,), first).astype(dtype, copy=False)
        return np.ndarray(shape, dtype, run, 0, tuple(step * dtype.itemsize for step in strides))

    return PickledArray(LazyArray(shape, dtype, read))


def _tensor(
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    requires_grad: Any = False,
    hooks: Any = None,
    metadata: Any = None,
) -> PickledArray:
    tensor = view(storage, offset, size, stride)
    for mark, apply in (("conj", np.conj), ("neg", np.negative)):
        if metadata and metadata.get(mark):
            tensor = _after(apply, tensor)
    return tensor


def _tensor_of_dtype(
    storage: Any, offset: Any, size: Any, stride: Any, grad: Any, hooks: Any, dtype: Any, *more: Any
) -> PickledArray:
    if not isinstance(storage, Storage) or not isinstance(dtype, Known):
        raise ValueError("no storage or no dtype")
    if dtype.name not in _DTYPES:
        raise ValueError(f"{dtype.name} is not read here")
    seen = _DTYPES[dtype.name]
    size_in_bytes = storage.length * storage.dtype.itemsize
    typed = storage._replace(dtype=seen, length=size_in_bytes // seen.itemsize)
    return _tensor(typed, offset, size, stride, grad, hooks, *more)


def _after(apply: Callable[[np.ndarray], np.ndarray], tensor: PickledArray) -> PickledArray:
    if (inner := tensor.array) is None:
        raise ValueError("no tensor")
    return PickledArray(inner._replace(read=lambda: apply(inner.read())))


def _parameter(data: Any, *rest: Any) -> Any:
    return data


def _tensor_with_attributes(rebuild: Any, kind: Any, arguments: Any, state: Any) -> Any:
    names = ("torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer")
    if not isinstance(rebuild, Known) or rebuild.name not in _REBUILD or kind.name not in names:
        raise ValueError("a tensor of another class")
    return _REBUILD[rebuild.name](*arguments)


def _size(sizes: Any) -> tuple:
    if not isinstance(sizes, (tuple, list)):
        raise ValueError("no sizes or no strides")
    return tuple(sizes)


def _device(kind: Any, index: Any = None) -> str:
    if not isinstance(kind, str) or not (index is None or isinstance(index, int)):
        raise ValueError("no device")
    return kind if index is None else f"{kind}:{index}"


_REBUILD: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_of_dtype,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
}
TENSORS: dict[str, Callable[..., Any] | None] = {
    **_REBUILD,
    **dict.fromkeys((*STORAGE_DTYPES, *_DTYPES)),
    **dict.fromkeys(f"torch.{name}Tensor" for name in _STORAGES),
    "torch._tensor._rebuild_from_type_v2": _tensor_with_attributes,
    "torch.Tensor": None,
    "torch.nn.parameter.Parameter": None,
    "torch.nn.parameter.Buffer": None,
    "torch.Size": _size,
    "torch.device": _device,
}
"""Our function for each of PyTorch's globals; None if it may be named but not called."""
