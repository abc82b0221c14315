"""LPIPS, the learned perceptual distance, and the file of its weights.

It compares what layers of a classifier make of both images: Zhang, Isola, Efros, Shechtman, Wang;
"The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018; version 0.1 of
the `lpips` package (richzhang/PerceptualSimilarity: lpips/lpips.py, lpips/pretrained_networks.py).
The weights do not ship: `convert_lpips` makes a file of published ones.
"""

import dataclasses
import functools
import hashlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jax_origin.checkpoints import (
    CheckpointError,
    LazyArrays,
    read_checkpoint,
    write_safetensors,
)
from jax_origin.checkpoints.file_part import open_file
from jax_origin.checkpoints.rename import conv
from jax_origin.checkpoints.safetensors import open_safetensors
from jax_origin.distances.base import Distance
from jax_origin.parts import one_of, register


class _Conv(NamedTuple):
    """A convolution and a ReLU; `name` is torchvision's, after "features."."""

    name: str
    channels: int
    size: int = 3
    stride: int = 1
    padding: int = 1

    def shapes(self, ins: int) -> dict[str, tuple[int, ...]]:
        return {
            f"features.{self.name}.weight": (self.channels, ins, self.size, self.size),
            f"features.{self.name}.bias": (self.channels,),
        }

    def __call__(self, x: jax.Array, arrays: Mapping[str, jax.Array]) -> jax.Array:
        kernel, bias = (arrays[f"features.{self.name}.{part}"] for part in ("weight", "bias"))
        made = jax.lax.conv_general_dilated(
            x,
            kernel,
            (self.stride, self.stride),
            [(self.padding, self.padding)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return jax.nn.relu(made + bias[None, None, None])


class _Fire(NamedTuple):
    """SqueezeNet's module: a convolution to few channels, two from there to `channels` in all."""

    name: str
    squeezed: int
    channels: int

    @property
    def parts(self) -> tuple[_Conv, _Conv, _Conv]:
        half = self.channels // 2
        return (
            _Conv(f"{self.name}.squeeze", self.squeezed, 1, 1, 0),
            _Conv(f"{self.name}.expand1x1", half, 1, 1, 0),
            _Conv(f"{self.name}.expand3x3", half),
        )

    def shapes(self, ins: int) -> dict[str, tuple[int, ...]]:
        squeeze, one, three = self.parts
        return squeeze.shapes(ins) | one.shapes(self.squeezed) | three.shapes(self.squeezed)

    def __call__(self, x: jax.Array, arrays: Mapping[str, jax.Array]) -> jax.Array:
        squeeze, *expand = self.parts
        squeezed = squeeze(x, arrays)
        return jnp.concatenate([part(squeezed, arrays) for part in expand], axis=3)


class _Pool(NamedTuple):
    """The largest of each window, every 2 pixels; with `ceil` also of one that is cut off."""

    size: int
    ceil: bool = False

    def __call__(self, x: jax.Array) -> jax.Array:
        over = [(side - self.size) % 2 if self.ceil else 0 for side in x.shape[1:3]]
        padding = ((0, 0), (0, over[0]), (0, over[1]), (0, 0))
        window, strides = (1, self.size, self.size, 1), (1, 2, 2, 1)
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, strides, padding)


def _convs(channels: int, *names: str) -> tuple[_Conv, ...]:
    return tuple(_Conv(name, channels) for name in names)


_BACKBONES: dict[str, tuple[tuple[_Conv | _Fire | _Pool, ...], ...]] = {
    "vgg16": (
        _convs(64, "0", "2"),
        (_Pool(2), *_convs(128, "5", "7")),
        (_Pool(2), *_convs(256, "10", "12", "14")),
        (_Pool(2), *_convs(512, "17", "19", "21")),
        (_Pool(2), *_convs(512, "24", "26", "28")),
    ),
    "alexnet": (
        (_Conv("0", 64, 11, 4, 2),),
        (_Pool(3), _Conv("3", 192, 5, 1, 2)),
        (_Pool(3), _Conv("6", 384)),
        (_Conv("8", 256),),
        (_Conv("10", 256),),
    ),
    "squeezenet1_1": (
        (_Conv("0", 64, 3, 2, 0),),
        (_Pool(3, ceil=True), _Fire("3", 16, 128), _Fire("4", 16, 128)),
        (_Pool(3, ceil=True), _Fire("6", 32, 256), _Fire("7", 32, 256)),
        (_Pool(3, ceil=True), _Fire("9", 48, 384)),
        (_Fire("10", 48, 384),),
        (_Fire("11", 64, 512),),
        (_Fire("12", 64, 512),),
    ),
}
"""The layers that LPIPS compares, each as what leads there from the one before."""

# From [-1, 1] to what the backbones were trained on: lpips.ScalingLayer.
_SHIFT = np.array([-0.030, -0.088, -0.188], np.float32)
_SCALE = np.array([0.458, 0.448, 0.450], np.float32)


@register
@dataclasses.dataclass(frozen=True)
class LPIPS(Distance):
    """LPIPS, version 0.1, with its linear weights. Solvers of least squares descend on pixels.

    A compiled program holds the weights as constants, 59 MB for all layers of vgg16, 1 MB up to its
    second. For the 59 MB a compilation on a CPU takes a third longer; steps are as quick.

    Attributes:
      backbone: The classifier: "vgg16", "alexnet" or "squeezenet1_1".
      layers: Which layers count, 1 being the first, as a sum; None for all. AEROBLADE (Ricker,
        Lukovnikov, Fischer; CVPR 2024) takes (2,) of vgg16.
      weights: The file that `convert_lpips` made. Where it lies does not tell two distances apart.
      sha256: SHA-256 of that file, in hexadecimal, checked when it is read; None to take it now.
    """

    kind: ClassVar[str] = "lpips"
    backbone: str = "vgg16"
    layers: tuple[int, ...] | None = None
    weights: str | None = dataclasses.field(default=None, compare=False)
    sha256: str | None = None

    def __post_init__(self) -> None:
        one_of("backbone", self.backbone, _BACKBONES)
        if self.layers is not None:
            known = range(1, len(_BACKBONES[self.backbone]) + 1)
            if not self.layers or not all(layer in known for layer in self.layers):
                raise ValueError(
                    f"layers must be of 1 to {len(known)}, which {self.backbone} has, or None; not "
                    f"{self.layers}"
                )
            object.__setattr__(self, "layers", tuple(sorted(set(self.layers))))
        if self.weights is not None:
            object.__setattr__(self, "weights", os.fspath(self.weights))
            if self.sha256 is None:
                object.__setattr__(self, "sha256", _sha256(open_file(self.weights).read()))

    def value(self, images: jax.Array, targets: Any) -> jax.Array:
        """LPIPS, [N], 0 or more; images have 1 or 3 channels.

        Raises:
          ValueError: If there are no weights, or the images do not suit the backbone.
          CheckpointError: If the weights are missing, changed, or another backbone's.
        """
        if self.weights is None or self.sha256 is None:
            raise ValueError(
                "LPIPS needs weights, the path of a file that jax_origin.distances.convert_lpips "
                "makes of published ones"
            )
        arrays = _arrays(self.backbone, self.weights, self.sha256)
        layers = self.layers or range(1, len(_BACKBONES[self.backbone]) + 1)
        both = (_layers(self.backbone, arrays, x, layers) for x in (images, targets))
        total = jnp.zeros(len(images))
        for layer, first, second in zip(layers, *both, strict=True):
            linear = arrays[_linear(layer)][None, None, None]
            total += jnp.mean(jnp.sum(linear * (first - second) ** 2, axis=3), axis=(1, 2))
        return total


def convert_lpips(
    backbone_file: str | os.PathLike,
    linear_file: str | os.PathLike,
    out: str | os.PathLike,
    *,
    backbone: str = "vgg16",
) -> LPIPS:
    """Writes the weights that LPIPS needs of two published files to one; see `read_checkpoint`.

    Args:
      backbone_file: torchvision's ImageNet weights of the backbone: vgg16-397923af.pth,
        alexnet-owt-7be5be79.pth or squeezenet1_1-b8a52dc0.pth. Its classifier is left out.
      linear_file: The `lpips` package's weights/v0.1/vgg.pth, alex.pth or squeeze.pth.
      out: The safetensors file to write; names and layouts are those of the two files.
      backbone: Whose weights they are.

    Returns:
      The distance that uses the file.

    Raises:
      CheckpointError: If a file cannot be read, or lacks an array of the backbone.
    """
    one_of("backbone", backbone, _BACKBONES)
    wanted = _shapes(backbone)
    linears = {name: shape for name, shape in wanted.items() if name.startswith("lin")}
    features = {name: shape for name, shape in wanted.items() if name not in linears}
    found = LazyArrays({})
    for file, shapes in ((backbone_file, features), (linear_file, linears)):
        ours = _chosen(read_checkpoint(file).arrays, shapes, backbone, source=file)
        found = LazyArrays({**found.entries, **ours.entries})
    write_safetensors(out, found)
    return LPIPS(backbone, weights=os.fspath(out))


def _layers(
    backbone: str, arrays: Mapping[str, jax.Array], images: jax.Array, wanted: Sequence[int]
) -> Iterator[jax.Array]:
    """The layers that are wanted, [N, h, w, channels], each pixel of length 1 or 0."""
    _, height, width, channels = images.shape
    if channels not in (1, 3):
        raise ValueError(f"LPIPS needs images of 1 or 3 channels, not {channels}")
    x = (2.0 * images - 1.0 - _SHIFT[None, None, None]) / _SCALE[None, None, None]
    for number, steps in enumerate(_BACKBONES[backbone][: wanted[-1]], 1):
        for step in steps:
            x = step(x) if isinstance(step, _Pool) else step(x, arrays)
        if 0 in x.shape:
            raise ValueError(
                f"images of {height} x {width} pixels are too small for layer {number} of LPIPS "
                f"with {backbone}"
            )
        if number in wanted:
            yield _of_unit_length(x)


def _of_unit_length(x: jax.Array) -> jax.Array:
    """As lpips.normalize_tensor. Where all channels are 0 the square root has no slope."""
    squares = jnp.sum(x**2, axis=3, keepdims=True)
    some = squares > 0
    length = jnp.where(some, jnp.sqrt(jnp.where(some, squares, 1.0)), 0.0)
    return x / (length + 1e-10)


def _linear(layer: int) -> str:
    return f"lin{layer - 1}.model.1.weight"


def _shapes(backbone: str) -> dict[str, tuple[int, ...]]:
    """The arrays of the backbone and of the linear layers, by their published names."""
    shapes: dict[str, tuple[int, ...]] = {}
    channels = 3
    for layer, steps in enumerate(_BACKBONES[backbone], 1):
        for step in steps:
            if not isinstance(step, _Pool):
                shapes |= step.shapes(channels)
                channels = step.channels
        shapes[_linear(layer)] = (1, channels, 1, 1)
    return shapes


def _chosen(
    arrays: LazyArrays,
    wanted: Mapping[str, tuple[int, ...]],
    backbone: str,
    *,
    source: str | os.PathLike,
) -> LazyArrays:
    """Those of a file's arrays that are wanted; a CheckpointError if one is not as it should be."""
    if missing := [name for name in wanted if name not in arrays]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise CheckpointError(f"{source}: no {backbone} of LPIPS, it lacks {missing[0]}{more}")
    for name, shape in wanted.items():
        if arrays.shapes[name] != shape:
            raise CheckpointError(
                f"{source}: no {backbone} of LPIPS, {name} is {arrays.shapes[name]}, not {shape}"
            )
    return LazyArrays({name: arrays.entries[name] for name in wanted})


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@functools.cache
def _arrays(backbone: str, weights: str, sha256: str) -> dict[str, jax.Array]:
    """The arrays of a file, kernels as [h, w, in, out] and linear weights as [channels]."""
    file = open_file(weights)
    if (found := _sha256(file.read())) != sha256:
        raise file.error(f"not the weights that LPIPS was made with: SHA-256 {found}, not {sha256}")
    held = _chosen(open_safetensors(file)[0], _shapes(backbone), backbone, source=weights)
    # Concrete, although the first to ask may be a trace.
    with jax.ensure_compile_time_eval():
        return {name: jnp.asarray(_ours(name, held[name]), jnp.float32) for name in held}


def _ours(name: str, array: np.ndarray) -> np.ndarray:
    if array.ndim == 4:
        array = conv(array)
    return array.reshape(math.prod(array.shape)) if name.startswith("lin") else array
