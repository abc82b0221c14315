"""A generator whose images may have been cut or turned a little: the frame beside the latent."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray

from jax_origin.distances import stored_numbers
from jax_origin.generators import GeneratorLike
from jax_origin.generators.blocks import clip_straight_through
from jax_origin.images import Inside, Stored
from jax_origin.inversion.beside import Beside
from jax_origin.inversion.start_encoder import StartEncoder
from jax_origin.inversion.starts import Encode, Learned, corrected
from jax_origin.parts import at_least

_MIDDLE, _HALF = -0.25, 0.4  # Of the logarithm of the scale: from 0.52 to 1.16.
_SHIFT = 0.3  # The most, of a side.
_ANGLE = 0.26  # The most, in radians: 15 degrees.
_GENTLE = 1 / 8  # A parameter of 1 is about an eighth of the most.
_TURN = math.radians(3.3)  # Of frames that are compared: from 0 to 5 degrees one is near.
_FIRST, _NEXT, _APART = 0.865, 0.84, 0.045  # Scales of cuts, and how far apart they lie, of a side.
_PLACES = 11  # Of a part, down and along.
_WHOLE = 0  # The place of the whole among the frames.
_BORDER = 0.06  # Of a side: what a turn by 5 degrees leaves empty is less.
_SEEN = 1 / 64  # Of a side: what a frame moves less is no cut, and no turn.
NUM_PARAMETERS = 7
"""How many numbers say what part of an image a file shows."""


class Frame(NamedTuple):
    """Which part of an image a file shows, and how it was brought to the file's size.

    Attributes:
      scale: The part's height and width, of the image's, [..., 2].
      shift: How far its centre lies below and to the right of the image's, of a side, [..., 2].
      angle: By which the image was turned clockwise, in radians, [...].
      kernel: How much linear interpolation stands for cubic's, and how much sharper that is, [...,
        2].
    """

    scale: Any
    shift: Any
    angle: Any
    kernel: Any

    @classmethod
    def of(cls, parameters: Any) -> "Frame":
        """From numbers [..., `NUM_PARAMETERS`]."""
        bent = jnp.tanh(_GENTLE * parameters[..., :5])
        return cls(
            scale=jnp.exp(_MIDDLE + _HALF * bent[..., :2]),
            shift=_SHIFT * bent[..., 2:4],
            angle=_ANGLE * bent[..., 4],
            kernel=0.25 * parameters[..., 5:7],
        )

    @property
    def matters(self) -> bool:
        """Whether a corner lies half a pixel in 32 away from the image's; of a single frame."""
        cut = np.abs(self.scale - 1) / 2 + np.abs(self.shift)
        return bool(cut.max() + abs(self.angle) / 2 > _SEEN)

    @property
    def words(self) -> str:
        """What a file shows, roughly, for a record; of a single frame."""
        high, wide = self.scale
        degrees = math.degrees(self.angle)
        turned = f"turned {degrees:+.1f}\N{DEGREE SIGN} clockwise"
        return f"{high:.0%} of its height and {wide:.0%} of its width, {turned}"

    def places(self, sides: tuple[int, int]) -> tuple[jax.Array, jax.Array]:
        """Where a file's pixels, of such sides, lie in the image: rows and columns, [N, H, W]."""
        high, wide = _grid(sides)
        y, x = _over(self.scale[:, 0]) * high, _over(self.scale[:, 1]) * wide
        cos, sin = _over(jnp.cos(self.angle)), _over(jnp.sin(self.angle))
        middle = [(0.5 + _over(self.shift[:, i])) * side - 0.5 for i, side in enumerate(sides)]
        return cos * y - sin * x + middle[0], sin * y + cos * x + middle[1]

    def __call__(self, images: jax.Array) -> jax.Array:
        """What files show of images [N, H, W, C], before it is clipped."""
        _, height, width, _ = images.shape
        return _sampled(images, *self.places((height, width)), self.kernel)

    def undone(self, files: jax.Array) -> jax.Array:
        """Images of which files [N, H, W, C] may show a part; what is not seen repeats its edge."""
        sides = files.shape[1], files.shape[2]
        y, x = (each - _over(self.shift[:, i]) * sides[i] for i, each in enumerate(_grid(sides)))
        cos, sin = _over(jnp.cos(self.angle)), _over(jnp.sin(self.angle))
        down = (cos * y + sin * x) / _over(self.scale[:, 0]) + (sides[0] - 1) / 2
        along = (cos * x - sin * y) / _over(self.scale[:, 1]) + (sides[1] - 1) / 2
        linear = jnp.tile(jnp.array([[1.0, 0.0]]), (len(files), 1))
        return _sampled(files, down, along, linear)


def _over(numbers: jax.Array) -> jax.Array:
    """Numbers [N] as [N, 1, 1]."""
    return numbers[:, None, None]


def _grid(sides: tuple[int, int]) -> tuple[jax.Array, jax.Array]:
    """How far pixels lie from the middle: down and along, [1, H, 1] and [1, 1, W]."""
    high, wide = ((jnp.arange(side) - (side - 1) / 2) for side in sides)
    return high[None, :, None], wide[None, None, :]


def _sampled(images: jax.Array, down: jax.Array, along: jax.Array, kernel: jax.Array) -> jax.Array:
    """Images [N, H, W, C] at places [N, h, w]; beyond an edge it is repeated."""
    num, height, width, channels = images.shape
    above, by_row = _taps(down.reshape(num, -1), height, kernel[:, None])
    before, by_column = _taps(along.reshape(num, -1), width, kernel[:, None])
    padded = jnp.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")

    def around(image: jax.Array, row: jax.Array, column: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(image, (row, column, 0), (4, 4, channels))

    near = jax.vmap(jax.vmap(around, (None, 0, 0)))(padded, above, before)
    return jnp.einsum("npabc,npa,npb->npc", near, by_row, by_column).reshape(images.shape)


def _taps(where: jax.Array, side: int, kernel: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Of places [N, P] in a side: the first of four pixels around, of two more on either end.

    Returns:
      Which it is, int32 [N, P], and the weights of the four, [N, P, 4]: Keys' cubic convolution
      (IEEE Trans. ASSP 29, 1981) with a = -1/2, a tent in its stead, and more or less of a.
    """
    where = jnp.clip(where, -0.5, side - 0.5)
    below = jnp.floor(jax.lax.stop_gradient(where))
    x = jnp.abs((where - below)[..., None] - jnp.array([[[-1.0, 0.0, 1.0, 2.0]]]))
    near = jnp.array([[[False, True, True, False]]])
    sharper = jnp.where(near, (x - 1) * x**2, ((x - 5) * x + 8) * x - 4)
    tent = jnp.maximum(0.0, 1 - x)
    cubic = jnp.where(near, (2 * x - 3) * x**2 + 1, 0.0) - 0.5 * sharper
    linear, less = kernel[..., :1], kernel[..., 1:]
    weights = cubic + linear * (tent - cubic) - less * sharper
    return below.astype(jnp.int32) + 1, weights


def frame_of(latent: NDArray[np.floating]) -> Frame:
    """What a latent of `Reframed` says that a file shows, as numbers of NumPy."""
    return Frame(*map(np.asarray, Frame.of(np.asarray(latent).reshape(-1)[-NUM_PARAMETERS:])))


class Reframed(Beside):
    """A generator's images seen through a frame, whose parameters follow the latent's numbers."""

    def __init__(self, generator: GeneratorLike) -> None:
        super().__init__(generator, NUM_PARAMETERS)

    def __call__(self, latents: jax.Array, /) -> jax.Array:
        """Latents [N, numbers] to images [N, H, W, C] in [0, 1]."""
        images, parameters = self.parts(latents)
        return clip_straight_through(Frame.of(parameters)(images))


class ReframedEncoder(nnx.Module):
    """A learned start's encoder for `Framed`, which undoes frames before it."""

    def __init__(self, encoder: StartEncoder) -> None:
        self.encoder = encoder

    def __call__(self, images: jax.Array) -> jax.Array:
        """Images [N, H, W, C] in [0, 1] to the generator's own latents."""
        return self.encoder(images)

    def require(self, generator: Beside) -> None:
        """Raises ValueError unless the encoder was made for the generator."""
        self.encoder.require(generator.innermost)


@dataclasses.dataclass(frozen=True)
class Framed(Learned):
    """From the whole image, and the frames that fit best, of many.

    Each frame is undone, and the encoder sees what is left. For `Reframed` generators, and those
    with further numbers after the frame's, which begin at 0.

    Attributes:
      lanes: How many frames begin, of each image; the whole is one.
      corrections: After how many of them the nearest frames are compared once more. They begin
        without: a latent that was fitted to the wrong frame keeps it.
      least: The smallest part of a side that a file may show. Smaller ones have more places.
      nearest: How many frames are compared once more; all that begin at the least.
    """

    kind: ClassVar[str] = "framed"
    corrections: int = 1
    lanes: int = 3
    least: float = 0.85
    nearest: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("lanes", self.lanes, 1)
        if not 0.55 <= self.least < 1:
            raise ValueError(f"least must be 0.55 or more and under 1, not {self.least}")

    @property
    def restarts(self) -> int:
        """A lane for each frame that begins."""
        return min(self.lanes, len(self.frames()))

    @property
    def evaluations(self) -> int:
        """About how many it takes to compare frames: two passes of each, and of a correction."""
        compared = len(self.frames()) + self._again * (1 + self.corrections)
        return math.ceil(compared * 2 / 3)

    @property
    def _again(self) -> int:
        return min(max(self.nearest, self.lanes), len(self.frames()))

    def frames(self) -> NDArray[np.floating]:
        """The parameters of all frames that are compared, [K, `NUM_PARAMETERS`]."""
        shown = [(1.0, 0.0, 0.0, angle) for angle in (0.0, -_TURN, _TURN)]
        shown += [(0.94, 0.0, 0.0, 0.0), (0.9, 0.0, 0.0, -_TURN), (0.9, 0.0, 0.0, _TURN)]
        scale = _FIRST
        while scale > self.least:
            most = (1 - scale) / 2
            places = np.linspace(-most, most, round(2 * most / _APART) + 1)
            shown += [(scale, down, along, 0.0) for down in places for along in places]
            scale *= _NEXT
        with jax.ensure_compile_time_eval():
            return np.asarray(_bent(np.array(shown, np.float32)))

    def frames_of(self, files: jax.Array) -> jax.Array:
        """Those that are compared of each file [N, H, W, C], [N, K, `NUM_PARAMETERS`]."""
        frames = jnp.asarray(self.frames())
        return jnp.broadcast_to(frames, (len(files), *frames.shape))

    def centres(
        self, generator: GeneratorLike, images: jax.Array, keys: jax.Array, encode: Encode
    ) -> jax.Array:
        """The whole and the best frames, each with the encoder's latent of what it leaves."""
        if encode is None:
            raise ValueError("starts.Framed needs a ReframedEncoder: pass encoder=")
        frames = self.frames_of(images)
        points, missed = self._points(generator, images, frames, encode, 0)
        _, near = jax.lax.top_k(-missed.at[:, _WHOLE].set(-1.0), self._again)
        again = jnp.take_along_axis(frames, near[..., None], axis=1)
        _, missed = self._points(generator, images, again, encode, self.corrections)
        _, best = jax.lax.top_k(-jnp.where(near == _WHOLE, -1.0, missed), keys.shape[1])
        best = jnp.take_along_axis(near, best, axis=1)
        return jnp.take_along_axis(points, best[..., None], axis=1)

    def _points(
        self,
        generator: GeneratorLike,
        images: jax.Array,
        parameters: jax.Array,
        encode: Callable[[jax.Array], jax.Array],
        corrections: int,
    ) -> tuple[jax.Array, jax.Array]:
        """Where frames [N, K, numbers] begin, [N, K, all numbers]; their squared errors, [N, K]."""
        num, each, _ = parameters.shape
        files, parameters = jnp.repeat(images, each, axis=0), parameters.reshape(num * each, -1)

        def beside(inner: jax.Array) -> jax.Array:
            inner = inner.reshape(num * each, -1)
            more = math.prod(generator.latent_shape) - inner.shape[1] - NUM_PARAMETERS
            return jnp.concatenate([inner, parameters, jnp.zeros((num * each, more))], axis=1)

        inner, missed = corrected(
            lambda inner: self.as_file(generator(beside(inner)), files),
            lambda shown: encode(Frame.of(parameters).undone(shown)),
            files,
            corrections,
        )
        return beside(inner).reshape(num, each, -1), missed.reshape(num, each)

    def as_file(self, images: jax.Array, files: jax.Array) -> jax.Array:
        """What files, of the same shape, would show of images [N, H, W, C] that they are of."""
        return images


@dataclasses.dataclass(frozen=True)
class Placed(Framed):
    """From the places where a part of an image may lie that fit best; see `as_part`.

    Attributes:
      lanes: How many places begin, of each image.
      corrections: As `Framed` has them.
      least: The smallest part of a side that is looked for. Where the edges of a part are flat it
        looks smaller than it is.
      nearest: How many places are compared once more.
    """

    kind: ClassVar[str] = "placed"
    corrections: int = 2
    lanes: int = 8
    least: float = 0.55
    nearest: int = 24

    def frames(self) -> NDArray[np.floating]:
        """Places as shares of what a part can be moved, the middle first, [K, 2]."""
        places = np.linspace(-1, 1, _PLACES)
        every = sorted(itertools.product(places, places), key=lambda at: max(map(abs, at)))
        return np.array(every)

    def frames_of(self, files: jax.Array) -> jax.Array:
        """Those of each file's part, from one corner of the image to the other."""
        shares, moved, most = jnp.asarray(self.frames(), jnp.float32), [], (1 - self.least) / 2
        for axis in (1, 2):
            first, last = _repeated(files, axis)
            side = files.shape[axis]
            before, after = first[:, None], (side - 1 - last)[:, None]
            share = shares[None, :, axis - 1]
            reach = jnp.minimum(jnp.where(share < 0, before, after) / side, most)
            moved.append(reach * share)
        down, along = moved
        shown = jnp.stack([jnp.ones_like(down), down, along, jnp.zeros_like(down)], axis=-1)
        return _bent(shown)

    def as_file(self, images: jax.Array, files: jax.Array) -> jax.Array:
        """With edges repeated where the files' are."""
        for axis in (1, 2):
            first, last = _repeated(files, axis)
            side = files.shape[axis]
            places = jnp.clip(jnp.arange(side)[None], first[:, None], last[:, None])
            images = jax.vmap(functools.partial(jnp.take, axis=axis - 1))(images, places)
        return images


def _repeated(files: jax.Array, axis: int) -> tuple[jax.Array, jax.Array]:
    """The first and the last line that is not repeated up to an edge, of files [N, H, W, C]."""
    lines = jnp.moveaxis(files, axis, 1)
    same = jnp.all(lines[:, 1:] == lines[:, :-1], axis=(2, 3)).astype(jnp.int32)
    first = jnp.sum(jnp.cumprod(same, axis=1), axis=1)
    last = same.shape[1] - jnp.sum(jnp.cumprod(same[:, ::-1], axis=1), axis=1)
    return first, jnp.maximum(first, last)


def _bent(shown: NDArray[np.floating] | jax.Array) -> jax.Array:
    """The parameters of frames: scale, two shifts and angle of each, [..., 4]."""
    scale, down, along, angle = (shown[..., i] for i in range(4))
    scale = (jnp.log(scale) - _MIDDLE) / _HALF
    bent = jnp.stack([scale, scale, down / _SHIFT, along / _SHIFT, angle / _ANGLE], axis=-1)
    kernel = jnp.zeros((*angle.shape, 2))
    return jnp.concatenate([jnp.arctanh(bent) / _GENTLE, kernel], axis=-1)


def unframed(stored: Stored) -> Stored:
    """A file without what a turn leaves at its borders: they are not compared.

    Of a JPEG, whose numbers are of blocks, they are black in the file's image and in any that it is
    compared with: so a block is compared by what the rest of it says.
    """
    sides = stored.pixels.shape[:2]
    inside = Inside(*((edge := math.ceil(_BORDER * side), side - edge) for side in sides))
    if stored.kind == "pixels":
        return dataclasses.replace(stored, resizings=(), seen=inside)
    if stored.kind != "jpeg":
        return dataclasses.replace(stored, resizings=())
    file = dataclasses.replace(stored, resizings=(), resizing=inside)
    return dataclasses.replace(file, coefficients=tuple(stored_numbers(stored.pixels, file)))
