"""Inversions that find which part of an image a generator made, and leave out the rest.

Nobody knows at first which part it is. The whole image is one hypothesis, and squares of a quarter
of it are nine others. A lane begins where the recipe begins for the image with all but its square
painted over, and goes down on the square's numbers alone. The squares that come nearest, for what a
generic code says of them, go on. In the end there are no borders: what fits besides, is in.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jax_origin.distances.part_of_file import (
    Cells,
    PartOfFile,
    PartTarget,
    cells_of,
    generic_part_error,
)
from jax_origin.generators import GeneratorLike, inspected
from jax_origin.images import Stored, StoredArrays, as_float, pixels_sha256, stack_stored
from jax_origin.inversion.program import (
    reconstruct_program,
    split_module,
    stage_programs,
    start_program,
)
from jax_origin.inversion.recipe import Recipe, Stage
from jax_origin.inversion.running import Run
from jax_origin.inversion.solvers import GaussNewton
from jax_origin.inversion.start_encoder import StartEncoder

FITS = 1.0
"""Root mean squared error beyond the set, in grey levels, up to which a cell fits."""

_STAGE = Stage(GaussNewton(), steps=1)
_PARTS = 4  # to a side of an image; a square has two of them
_SQUARES = 2  # of nine, that go on
# Scales in grey levels, a step at each: of all hypotheses, of those that go on, without borders.
_FIRST = (32.0, 20.0, 12.0, 8.0)
_THEN = tuple(np.geomspace(8.0, 1.0, 20).tolist())
_LAST = (2.0, 1.5, *[1.0] * 8)
_ROOM = 0.065  # (grey levels)^2 that are added to a code's error, as `CodeRatio.room` is.
_FLOOR = 0.0325  # As `CodeRatio.floor`.
_NEAR = 4.0  # Times FITS; a hypothesis of which too few cells come so near does not go on.

Square = tuple[int, int] | None
"""The first part along rows and columns; None for the whole image."""


class Partial(NamedTuple):
    """The part of an image that a generator was found to make, and what is left.

    Attributes:
      latent: float32 [*latent_shape].
      reconstruction: Its image, float32 [H, W, C].
      cells: How far its cells lie outside of the file's set.
      score: Of the cells that fit, their error over that of a generic code of as many numbers as
        the latent has, which says them and nothing else; infinite where none fits.
      evidence: The numbers that the cells which fit say beyond those of the latent, times the
        powers of ten by which the code is worse, for each number of the latent.
      steps: Gradient evaluations.
    """

    latent: NDArray[np.float32]
    reconstruction: NDArray[np.float32]
    cells: Cells
    score: float
    evidence: float
    steps: float

    @property
    def fits(self) -> NDArray[np.bool_]:
        """Which cells fit, [h, w]."""
        return (self.cells.errors <= FITS**2) & (self.cells.numbers > 0)

    @property
    def said(self) -> float:
        """How many numbers say something of the cells that fit; see `Cells.said`."""
        return float(self.cells.said[self.fits].sum())


class _Lane(NamedTuple):
    image: int
    square: Square
    target: StoredArrays
    latent: NDArray[np.float32]


class PartialInverter:
    """Inverts images of which the generator may have made a part.

    It takes the recipe's start, and the number of its lanes in a block. Its steps are those of
    `jax_origin.distances.part_of_file`, on the first of the run's devices. Other arguments are
    those of `Engine`.
    """

    def __init__(
        self,
        generator: GeneratorLike,
        recipe: Recipe,
        *,
        key: jax.Array,
        encoder: StartEncoder | None = None,
        run: Run | None = None,
    ) -> None:
        generator, run = inspected(generator), run or Run()
        self._numbers = math.prod(generator.latent_shape)
        self._model, self._weights = split_module(generator, recipe.compute)
        encoding = None
        self._encoding: list[jax.Array] = []
        if recipe.start.needs_encoder and encoder is not None:
            encoding, self._encoding = split_module(encoder)
        self._key, self._block = key, recipe.block
        self._begin = start_program(self._model, encoding, recipe.start, 1)
        device = tuple(run.devices or jax.local_devices())[:1]
        self._programs = stage_programs(self._model, _STAGE, PartOfFile(), 1, True, device)

    def __call__(self, images: Sequence[Stored]) -> list[Partial]:
        """Of each image the part that says most, for how near it comes."""
        sets = [image.to_arrays() for image in images]
        lanes = [lane for i, image in enumerate(images) for lane in self._begun(i, image, sets[i])]
        spent = np.bincount([lane.image for lane in lanes]) * float(len(_FIRST))
        lanes = self._nearest(self._descended(lanes, _FIRST), images)
        lanes = [lane._replace(target=sets[lane.image]) for lane in self._descended(lanes, _THEN)]
        hopeful = [
            cells.said[cells.errors <= (_NEAR * FITS) ** 2].sum() >= self._numbers
            for _, _, cells in self._looked_at(lanes, images)
        ]
        for lane, goes_on in zip(lanes, hopeful, strict=True):
            spent[lane.image] += len(_THEN) + len(_LAST) * goes_on
        going = [lane for lane, goes_on in zip(lanes, hopeful, strict=True) if goes_on]
        lanes = [lane for lane, goes_on in zip(lanes, hopeful, strict=True) if not goes_on]
        lanes += self._descended(going, _LAST)
        found: list[list[Partial]] = [[] for _ in images]
        for lane, made, cells in self._looked_at(lanes, images):
            steps = spent[lane.image] * _STAGE.solver.evaluations(self._numbers)
            one = Partial(lane.latent, made, cells, math.inf, 0.0, steps)
            if one.said:
                score = self._score(images[lane.image], one.fits, cells)
                powers = -math.log10(min(score, 1.0))
                one = one._replace(score=score, evidence=powers * (one.said / self._numbers - 1))
            found[lane.image].append(one)
        return [max(some, key=lambda one: one.evidence) for some in found]

    def _begun(self, index: int, image: Stored, stored: StoredArrays) -> Iterator[_Lane]:
        """A lane for each hypothesis."""
        squares: list[Square] = [None, *np.ndindex(_PARTS - 1, _PARTS - 1)]
        pixels, seen, targets = as_float(image.pixels[None])[0], [], []
        for square in squares:
            rows, columns = _sides(square, pixels.shape)
            inside = (rows[:, None] & columns)[..., None]
            mean = pixels[inside[..., 0]].mean(axis=0)
            seen.append(np.where(inside, pixels, mean).astype(np.float32))
            targets.append(_within(stored, rows, columns))
        words = np.frombuffer(pixels_sha256(image.pixels), ">u4").astype(np.uint32)
        each = np.stack([words] * len(seen)), np.stack(seen)
        points, _ = self._begin(self._weights, self._encoding, self._key, *each)
        for square, target, point in zip(squares, targets, np.asarray(points), strict=True):
            yield _Lane(index, square, target, point[0])

    def _nearest(self, lanes: Sequence[_Lane], images: Sequence[Stored]) -> list[_Lane]:
        """The whole image, and the squares of it that come nearest for what they say."""
        ranked: list[list[tuple[float, int]]] = [[] for _ in images]
        kept = []
        for place, (lane, _, cells) in enumerate(self._looked_at(lanes, images)):
            if lane.square is None:
                kept.append(lane)
            elif cells.numbers.any():
                score = self._score(images[lane.image], cells.numbers > 0, cells)
                ranked[lane.image].append((score, place))
        return kept + [lanes[place] for some in ranked for _, place in sorted(some)[:_SQUARES]]

    def _score(self, image: Stored, part: NDArray[np.bool_], cells: Cells) -> float:
        said = generic_part_error(image, part, self._numbers)
        return max(cells.mean_within(part), _FLOOR) / (said + _ROOM)

    def _descended(self, lanes: Sequence[_Lane], scales: Sequence[float]) -> list[_Lane]:
        """Lanes after a step at each scale."""
        done = []
        for some, padded in self._blocks(lanes):
            latents = np.stack([lane.latent for lane in padded])
            each = [jnp.full(len(padded), scale, jnp.float32) for scale in scales]
            target = PartTarget(stack_stored([lane.target for lane in padded]), np.asarray(each[0]))
            carry = self._programs.init(latents, target)
            for scale in each:
                carry = carry._replace(targets=carry.targets._replace(scale=scale))
                carry = self._programs.advance(self._weights, carry)
            found = np.asarray(carry.latents)
            done += [lane._replace(latent=z) for lane, z in zip(some, found, strict=False)]
        return done

    def _looked_at(
        self, lanes: Sequence[_Lane], images: Sequence[Stored]
    ) -> Iterator[tuple[_Lane, NDArray[np.float32], Cells]]:
        """Each lane's image, and its cells held against its target."""
        for some, padded in self._blocks(lanes):
            latents = np.stack([lane.latent for lane in padded])
            pixels = as_float(np.stack([images[lane.image].pixels for lane in padded]))
            made, _ = reconstruct_program(self._model)(self._weights, latents, pixels)
            cells = cells_of(made, [lane.target for lane in padded])
            yield from zip(some, np.asarray(made), cells, strict=False)

    def _blocks(self, lanes: Sequence[_Lane]) -> Iterator[tuple[list[_Lane], list[_Lane]]]:
        """Some lanes at a time, and these with what fills their block up."""
        for first in range(0, len(lanes), self._block):
            some = list(lanes[first : first + self._block])
            yield some, some + [some[-1]] * (self._block - len(some))


def _sides(square: Square, shape: Sequence[int]) -> list[NDArray[np.bool_]]:
    """Which rows and which columns of an image are in a square."""
    sides = []
    for axis, side in enumerate(shape[:2]):
        part = np.arange(side) * _PARTS // side
        first, last = (0, _PARTS) if square is None else (square[axis], square[axis] + 1)
        sides.append((part >= first) & (part <= last))
    return sides


def _within(stored: StoredArrays, *sides: NDArray[np.bool_]) -> StoredArrays:
    """A set of which those numbers alone are compared that are made of these rows and columns."""
    kept = []
    weights = (stored.row_weights, stored.column_weights)
    for each, inside, made in zip(weights, sides, (stored.rows, stored.columns), strict=True):
        there = np.pad(inside, (0, each.shape[1] - len(inside)), mode="edge")
        tiles = ~there.reshape(-1, made.shape[2]).T  # [16, tiles]: which pixels are outside
        outside = np.einsum("pus,st->ptu", made != 0, tiles.astype(int)).reshape(each.shape)
        kept.append(np.where(outside == 0, each, 0.0).astype(np.float32))
    return stored._replace(row_weights=kept[0], column_weights=kept[1])
