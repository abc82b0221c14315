"""A look at images that do not fit, for a part that the generator made; and a map of the rest."""

import dataclasses
import functools
import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from jax_origin.calibration import EDITED, IN_PART
from jax_origin.distances import stored_numbers
from jax_origin.distances.part_of_file import cell_side
from jax_origin.evidence import exclusions
from jax_origin.generators import GeneratorLike, sample_latents
from jax_origin.images import Stored, as_float, as_uint8
from jax_origin.inversion import Run, StartEncoder
from jax_origin.inversion.partial import FITS, Partial, PartialInverter
from jax_origin.workflow.methods import Method
from jax_origin.workflow.verdict import PartMap, Verdict

RATE = 0.05
"""Of the cells that a map says lie outside, at most this share does not, on average."""

_MAY_BE = f"{EDITED}: most of it is near to an image of the model"

_OWN = 16  # images whose cells a map is calibrated with
_LEAST = 6  # Times an image's cells that they must have: half of them, three quarters left.
_CALIBRATING = int.from_bytes(b"part", "big")


class InPart:
    """Finds the part that the generator made of images that do not fit.

    A part counts if its score is under the method's floor, as own images' scores are, and it has
    enough evidence (`Partial.counts`). Such an image is undecided, never attributed: its map says
    which cells lie outside. How often foreign images come to be so is not calibrated.

    What comes near without such a part is undecided, too: it may be an own image that was edited
    in some other way.

    A map's cells are ranked among those of the generator's own images, stored as the file is, of
    which a square was replaced. Benjamini and Hochberg's procedure then keeps the rate of false
    discoveries (J. R. Stat. Soc. B 57, 1995). A cell that fits is never outside.

    Args:
      generator: The inspected generator; it has a prior.
      method: Whose recipe says how to begin.
      key: A JAX key.
      squares: As `PartialInverter` has it.
      encoder: The trained start, if the recipe needs one.
      run: Where and how.
    """

    def __init__(
        self,
        generator: GeneratorLike,
        method: Method,
        *,
        key: jax.Array,
        squares: bool,
        encoder: StartEncoder | None,
        run: Run,
    ) -> None:
        self._generator, self._floor, self._run = generator, method.floor, run
        self._key = jax.random.fold_in(key, _CALIBRATING)
        options: dict[str, Any] = {"key": key, "squares": squares, "encoder": encoder, "run": run}
        self._inverter = functools.cache(
            lambda: PartialInverter(generator, method.recipe, **options)
        )
        self._known: dict[bytes, NDArray[np.float64]] = {}

    def is_for(self, verdict: Verdict) -> bool:
        """Whether an image fits no own images as a whole, and is a file of their size."""
        if verdict.decision is None or verdict.image is None:
            return False
        if verdict.image.stored.kind == "webp":  # Own images cannot be stored likewise.
            return False
        if verdict.image.stored.unscaled is not None or verdict.image.stored.seen is not None:
            return False
        return verdict.fits_nothing

    def __call__(self, verdicts: Sequence[Verdict]) -> Iterator[Verdict]:
        """The verdicts on images, where a part of one was found with its share and map."""
        asked = [verdict for verdict in verdicts if self.is_for(verdict)]
        files = [verdict.image.stored for verdict in asked if verdict.image]
        found = dict(zip(map(id, asked), self._inverter()(files) if files else (), strict=True))
        for verdict in verdicts:
            yield self._judged(verdict, found[id(verdict)]) if id(verdict) in found else verdict

    def _judged(self, verdict: Verdict, found: Partial) -> Verdict:
        first, tried = verdict.inversion, (*verdict.tried, IN_PART)
        assert first is not None and verdict.image is not None and verdict.decision is not None
        if self._run.statistics is not None:
            self._run.statistics.evaluations += found.steps
        first = first._replace(steps=np.asarray(int(first.steps + math.ceil(found.steps))))
        stored = verdict.image.stored
        # Where own images with such files are not found either, no map can be calibrated.
        counts, least = found.counts(self._floor), _LEAST * found.cells.errors.size
        if not counts or self._own_errors(stored).size < least:
            decision = verdict.decision
            if (counts or found.close) and decision.verdict == "not_recognised":
                decision = decision._replace(verdict="undecided", reason=_MAY_BE)
            return dataclasses.replace(verdict, inversion=first, decision=decision, tried=tried)
        part = self.part_map(stored, found)
        loss = np.mean((found.reconstruction - as_float(verdict.image.pixels[None])[0]) ** 2)
        most = f"{math.floor(100 * part.share)}%" if part.outside.any() else "all"
        reason = f"{IN_PART}: {most} of it"
        return dataclasses.replace(
            verdict,
            inversion=first._replace(
                latent=found.latent, reconstruction=found.reconstruction, loss=np.float32(loss)
            ),
            decision=verdict.decision._replace(verdict="undecided", reason=reason),
            tried=tried,
            part=part,
        )

    def part_map(self, stored: Stored, found: Partial) -> PartMap:
        """The map of what was found of a file."""
        own, there = self._own_errors(stored), found.cells.numbers > 0
        errors = np.where(there, np.sqrt(found.cells.errors), np.nan)
        above = own.size - np.searchsorted(own, errors)
        p = np.where(there, (1 + above) / (1 + own.size), np.nan)
        outside = np.zeros(p.shape, bool)
        outside[there] = exclusions(p[there], rate=RATE, method="bh")
        outside &= errors > FITS
        share = 1.0 - float(outside.sum() / max(1, there.sum()))
        return PartMap(share, errors, p, outside, cell_side(stored))

    def _own_errors(self, stored: Stored) -> NDArray[np.float64]:
        """Errors of cells of own images, of which a square was replaced, in rising order.

        They are stored as the file is. Images whose part would not count leave none.
        """
        arrays = stored.to_arrays()
        manner = (arrays.halves, arrays.rows, arrays.columns, arrays.rounded, arrays.resize_rows)
        digest = hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in manner))
        digest.update(f"{stored.kind} {stored.colour} {stored.averaged}".encode())
        if digest.digest() not in self._known:
            files, insides = self._composed(stored)
            errors = [np.zeros(0)]
            for found, inside in zip(self._inverter()(files), insides, strict=True):
                if found.counts(self._floor):
                    cells = found.cells
                    errors.append(np.sqrt(cells.errors[inside & (cells.numbers > 0)]))
            self._known[digest.digest()] = np.sort(np.concatenate(errors))
        return self._known[digest.digest()]

    def _composed(self, stored: Stored) -> tuple[list[Stored], list[NDArray[np.bool_]]]:
        """Own images with a square of another own one, as files like this; own cells of each."""
        latents = sample_latents(self._generator, self._key, 2 * _OWN)
        images = as_uint8(as_float(np.asarray(self._generator(latents))))
        rng = np.random.default_rng(0)
        height, width = images.shape[1:3]
        files: list[Stored] = []
        insides: list[NDArray[np.bool_]] = []
        for own, other in zip(images[:_OWN], images[_OWN:], strict=True):
            high, wide = 3 * height // 8, 3 * width // 8
            top, left = rng.integers(0, [height - high + 1, width - wide + 1])
            square = np.zeros((height, width), bool)
            square[top : top + high, left : left + wide] = True
            file = stored_likewise(np.where(square[..., None], other, own), stored)
            side = cell_side(stored)
            room = [(0, -length % 16) for length in square.shape]
            whole = np.pad(square, room, mode="edge")
            cells = whole.reshape(whole.shape[0] // side, side, whole.shape[1] // side, side)
            files.append(file)
            insides.append(np.logical_not(np.asarray(cells.any(axis=(1, 3)))))
        return files, insides


def stored_likewise(pixels: NDArray[np.uint8], like: Stored) -> Stored:
    """An image, uint8 [H, W, C], as a file that is stored as another one is."""
    if like.kind == "pixels":
        return dataclasses.replace(like, pixels=pixels, alternatives=())
    levels = stored_numbers(pixels, like)
    planes = tuple(
        np.rint(plane).astype(was.dtype)
        for plane, was in zip(levels, like.coefficients, strict=True)
    )
    return dataclasses.replace(like, pixels=pixels, coefficients=planes, alternatives=())
