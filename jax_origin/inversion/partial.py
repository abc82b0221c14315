"""Inversions that find which part of an image a generator made, and leave out the rest.

Nobody knows at first which part it is. The whole image is one hypothesis, and squares of a quarter
of it are nine others. A lane begins where the recipe begins for the image with all but its square
painted over, and goes down on the square's numbers alone. The squares that come nearest, for what a
generic code says of them, go on. In the end there are no borders: what fits besides, is in.

The whole image alone finds what leaves most of it as it was. It is soon given up where most cells
come no nearer than a code does.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

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
    StagePrograms,
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

EVIDENCE = 2.0
"""`Partial.evidence` that a part must have: a hundredth of the code's error over twice as many
numbers as the latent has, say."""

_PARTS = 4  # to a side of an image; a square has two of them
_SQUARES = 2  # of nine, that go on
# Steps, one at each scale in grey levels. Before some of them images are given up, of which half of
# the cells are over so much of a code's error; but not where squares are tried, too.
_SCALES = tuple(np.geomspace(8.0, 1.0, 20).tolist())
_FIRST = ((2.75, (32.0,)), (1.7, (20.0,)), (1.15, (12.0, 8.0)))
_THEN = ((0.75, _SCALES[:4]), (0.45, _SCALES[4:8]), (0.38, _SCALES[8:]))
# Without borders.
_LAST = ((math.inf, (2.0, 1.5, *[1.0] * 8)),)
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
      close: Whether half of the whole image's cells came much nearer than a code does: it may be
        one of which a part is its own, even where no part counts.
      steps: Gradient evaluations.
    """

    latent: NDArray[np.float32]
    reconstruction: NDArray[np.float32]
    cells: Cells
    score: float
    evidence: float
    close: bool
    steps: float

    @property
    def fits(self) -> NDArray[np.bool_]:
        """Which cells fit, [h, w]."""
        return (self.cells.errors <= FITS**2) & (self.cells.numbers > 0)

    def counts(self, floor: float) -> bool:
        """Whether the part scores under a method's floor, and has enough evidence."""
        return self.score <= floor and self.evidence >= EVIDENCE

    @property
    def said(self) -> float:
        """How many numbers say something of the cells that fit; see `Cells.said`."""
        return float(self.cells.said[self.fits].sum())


_NOWHERE = np.zeros(0, np.float32)


class _Lane(NamedTuple):
    image: int
    square: Square
    target: StoredArrays
    latent: NDArray[np.float32]
    carry: Any = None  # Where it stands in a plan; it goes on from there.


class _Steps(NamedTuple):
    programs: StagePrograms
    evaluations: float  # of one


class PartialInverter:
    """Inverts images of which the generator may have made a part.

    It takes the recipe's start, and the number of its lanes in a block. Its steps are those of
    `jax_origin.distances.part_of_file`, on the first of the run's devices.

    Args:
      squares: Whether squares are tried, too.

    Other arguments are those of `Engine`.
    """

    def __init__(
        self,
        generator: GeneratorLike,
        recipe: Recipe,
        *,
        key: jax.Array,
        squares: bool,
        encoder: StartEncoder | None = None,
        run: Run | None = None,
    ) -> None:
        generator, run = inspected(generator), run or Run()
        self._squares = squares
        self._numbers = math.prod(generator.latent_shape)
        self._model, self._weights = split_module(generator, recipe.compute)
        encoding = None
        self._encoding: list[jax.Array] = []
        if recipe.start.needs_encoder and encoder is not None:
            encoding, self._encoding = split_module(encoder)
        self._key, self._block = key, recipe.block
        self._started = float(recipe.start.evaluations)
        self._begin = start_program(self._model, encoding, recipe.start, 1)
        device = tuple(run.devices or jax.local_devices())[:1]
        self._rough, self._fine = (
            _Steps(
                stage_programs(self._model, Stage(solver, steps=1), PartOfFile(), 1, True, device),
                solver.evaluations(self._numbers),
            )
            for solver in (GaussNewton(iterations=5), GaussNewton())
        )

    def __call__(self, images: Sequence[Stored]) -> list[Partial]:
        """Of each image the part that says most, for how near it comes."""
        sets = [image.to_arrays() for image in images]
        lanes = self._begun(images, sets)
        spent = np.bincount([lane.image for lane in lanes]) * self._started
        first = self._fine if self._squares else self._rough  # Squares say little.
        lanes, over = self._searched(lanes, images, _FIRST, first, spent)
        if self._squares:
            lanes = self._nearest(lanes, images)
        lanes, far = self._searched(lanes, images, _THEN, self._fine, spent)
        lanes = [lane._replace(target=sets[lane.image]) for lane in lanes]
        near = self._parted(lanes, images, _THEN[-1][0])[0] if self._squares else lanes
        close = {lane.image for lane in near if lane.square is None}
        going, over = list[_Lane](), over + far
        for lane, _, cells in self._looked_at(lanes, images):
            says = cells.said[cells.errors <= (_NEAR * FITS) ** 2].sum() >= self._numbers
            (going if says else over).append(lane)
        going, _ = self._searched(going, images, _LAST, self._fine, spent)
        lanes = over + going
        found: list[list[Partial]] = [[] for _ in images]
        for lane, made, cells in self._looked_at(lanes, images):
            of = lane.image
            one = Partial(lane.latent, made, cells, math.inf, 0.0, of in close, spent[of])
            if one.said:
                score = self._score(images[of], one.fits, cells)
                powers = -math.log10(min(score, 1.0))
                one = one._replace(score=score, evidence=powers * (one.said / self._numbers - 1))
            found[of].append(one)
        return [max(some, key=lambda one: one.evidence) for some in found]

    def _begun(self, images: Sequence[Stored], sets: Sequence[StoredArrays]) -> list[_Lane]:
        """A lane for each hypothesis of each image, where the recipe begins."""
        squares: list[Square] = [None]
        if self._squares:
            squares += np.ndindex(_PARTS - 1, _PARTS - 1)
        lanes = []
        for index, (image, stored) in enumerate(zip(images, sets, strict=True)):
            for square in squares:
                target = _within(stored, *_sides(square, image.pixels.shape))
                lanes.append(_Lane(index, square, target, _NOWHERE))
        found = []
        for some, padded in self._blocks(lanes):
            files = [images[lane.image].pixels for lane in padded]
            words = [np.frombuffer(pixels_sha256(each), ">u4").astype(np.uint32) for each in files]
            pairs = zip(files, padded, strict=True)
            seen = np.stack([_painted(pixels, lane.square) for pixels, lane in pairs])
            points, _ = self._begin(self._weights, self._encoding, self._key, np.stack(words), seen)
            each = zip(some, np.asarray(points), strict=False)
            found += [lane._replace(latent=point[0]) for lane, point in each]
        return found

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

    def _parted(
        self, lanes: Sequence[_Lane], images: Sequence[Stored], level: float
    ) -> tuple[list[_Lane], list[_Lane]]:
        """Those that go on; and whole images of which half of the cells are over the level."""
        near, far = list[_Lane](), list[_Lane]()
        for lane, _, cells in self._looked_at(lanes, images):
            there, goes_on = cells.numbers > 0, lane.square is not None
            if not goes_on and there.any():
                code = generic_part_error(images[lane.image], there, self._numbers)
                goes_on = float(np.median(cells.errors[there])) <= level**2 * (code + _ROOM)
            (near if goes_on else far).append(lane)
        return near, far

    def _score(self, image: Stored, part: NDArray[np.bool_], cells: Cells) -> float:
        said = generic_part_error(image, part, self._numbers)
        return max(cells.mean_within(part), _FLOOR) / (said + _ROOM)

    def _searched(
        self,
        lanes: list[_Lane],
        images: Sequence[Stored],
        plan: Sequence[tuple[float, tuple[float, ...]]],
        steps: _Steps,
        spent: NDArray[np.floating],
    ) -> tuple[list[_Lane], list[_Lane]]:
        """Lanes after the steps of a plan, and those given up; `spent` by image is added to."""
        over: list[_Lane] = []
        for level, scales in plan:
            if level < math.inf and not self._squares:
                lanes, far = self._parted(lanes, images, level)
                over += far
            lanes = self._descended(lanes, scales, steps.programs)
            for lane in lanes:
                spent[lane.image] += len(scales) * steps.evaluations
        return [lane._replace(carry=None) for lane in lanes], over

    def _descended(
        self, lanes: Sequence[_Lane], scales: Sequence[float], programs: StagePrograms
    ) -> list[_Lane]:
        """Lanes after a step at each scale."""
        done = []
        for some, padded in self._blocks(lanes):
            latents = np.stack([lane.latent for lane in padded])
            each = [jnp.full(len(padded), scale, jnp.float32) for scale in scales]
            target = PartTarget(stack_stored([lane.target for lane in padded]), np.asarray(each[0]))
            if padded[0].carry is None:
                carry = programs.init(latents, target)
            else:
                carry = jax.tree.map(lambda *rows: np.stack(rows), *[x.carry for x in padded])
            for scale in each:
                carry = carry._replace(targets=carry.targets._replace(scale=scale))
                carry = programs.advance(self._weights, carry)
            found = jax.tree.map(np.asarray, carry)
            for lane, *rows in zip(some, *jax.tree.leaves(found), strict=False):
                here = jax.tree.unflatten(jax.tree.structure(found), rows)
                done.append(lane._replace(latent=here.latents, carry=here))
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


def _painted(pixels: NDArray[np.uint8], square: Square) -> NDArray[np.float32]:
    """An image [H, W, C] in [0, 1], with the square's mean around it."""
    rows, columns = _sides(square, pixels.shape)
    image, inside = as_float(pixels[None])[0], rows[:, None] & columns
    return np.where(inside[..., None], image, image[inside].mean(axis=0)).astype(np.float32)


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
