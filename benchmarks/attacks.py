"""What an adversary can do to the verdicts, and at what visible cost.

Each attack has a budget: the PSNR between the attacked image and its original. On photographs it
succeeds where one belongs, on own images where one is not recognised; docs/threats.md.
"""

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.near_models import attributor_of, in_cells, verdict_counts
from benchmarks.result_table import markdown_table
from benchmarks.sampling import ProtocolError, chosen_images
from benchmarks.subjects import measured_on
from jax_origin.distances.generic_code import generic_codes
from jax_origin.generators import GeneratorLike, sample_latents
from jax_origin.images import edit_images, photograph_crops, stored_images
from jax_origin.inversion import Run
from jax_origin.workflow import Attributor, belonging_images

Pixels = NDArray[np.uint8]
Floats = NDArray[np.floating]

WITHIN = 0.1  # decibels by which an attacked image may miss its budget
SUCCESS = {"own": "not_recognised", "photographs": "belongs"}
"""The verdict that an attack is after, by the images that it is made on."""

_HALVINGS = 30
_DESCENT = 16  # steps of the descent of the ratio
_NOTE = """\
An attack on own images succeeds where one is not recognised, one on photographs where one belongs.
Intervals take images for independent ones, which crops of the same few photographs are not."""
_IMAGES = int.from_bytes(b"atta", "big")  # folded into the seed's key: images of no other use


def generic_code(pixels: Pixels, numbers: int) -> NDArray[np.float32]:
    """What the nearest of the generic codes says of an image, float32 [H, W, C]."""
    said = generic_codes(pixels, numbers)
    return said[np.argmin(((said - pixels / 255) ** 2).mean(axis=(1, 2, 3)))]


class Victim(NamedTuple):
    """An image that is attacked, and what the adversary has to do it with.

    Attributes:
      image: uint8 [H, W, C].
      rebuilt: The nearest image that a model was found to make, float [H, W, C]: the inspected one
        of photographs, another one of own images.
      numbers: How many numbers the generic code gets.
      tangent: Of an own image an orthonormal basis of the directions in which its latent moves it,
        [H * W * C, K].
      seed: Of its random numbers.
    """

    image: Pixels
    rebuilt: Any
    numbers: int
    tangent: Any = None
    seed: int = 0

    def normal(self, *shape: int) -> Floats:
        """Standard normal numbers, the same each time."""
        return np.random.default_rng(self.seed).standard_normal(shape)

    def toward(self, other: Floats, strength: float) -> Floats:
        """The straight way to another image."""
        return self.image / 255 + strength * (other - self.image / 255)


class Attack(NamedTuple):
    """What the adversary needs to have, and what makes the attacked image within a PSNR in dB.

    It is uint8, or as its file stores it; None where no setting is mild enough.
    """

    knows: str
    make: Callable[[Victim, float], Any]


def psnr(image: Pixels, other: Pixels) -> float:
    """The PSNR of two 8-bit images in dB; infinite where they are equal."""
    error = np.mean((image.astype(np.float64) - other) ** 2)
    return 10 * math.log10(255**2 / error) if error else math.inf


def at_budget(image: Pixels, way: Callable[[float], Floats], budget: float) -> Pixels:
    """The image uint8 [H, W, C] as far along a way as the budget in dB allows, after rounding.

    The way gives an image for a strength in [0, 1]; 0 is the original, and the PSNR falls. What
    comes back is within `WITHIN` of the budget, or the way's end if that costs less. Where grey
    levels are too coarse, it is the strongest image found that costs no more.
    """
    low, high, strength, best = 0.0, 1.0, 1.0, image
    for _ in range(_HALVINGS):
        made = _rounded(way(strength))
        found = psnr(image, made)
        if found >= budget - WITHIN and abs(found - budget) < abs(psnr(image, best) - budget):
            best = made
        if abs(found - budget) <= WITHIN / 4 or (strength == 1 and found > budget):
            break
        low, high = (strength, high) if found > budget else (low, strength)
        strength = (low + high) / 2
    return best


def tangents(generator: GeneratorLike, latents: jax.Array) -> Iterator[Floats]:
    """An orthonormal basis of the Jacobian's range at each latent, [H * W * C, K]."""
    jacobian = jax.jit(jax.jacfwd(lambda latent: generator(latent[None]).ravel()))
    for latent in latents:
        columns = np.asarray(jacobian(latent))
        yield np.linalg.qr(columns.reshape(len(columns), -1))[0]


def _rounded(image: Floats) -> Pixels:
    return np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)


def _along(way: Callable[[Victim, float], Floats]) -> Callable[[Victim, float], Pixels]:
    """The attack that goes a way as far as the budget allows."""
    return lambda victim, budget: at_budget(victim.image, lambda t: way(victim, t), budget)


def _strongest(edits: Sequence[str], saved: Callable[..., Any]) -> Callable[..., Any]:
    """The attack by the last of some edits, mild ones first, before one is over the budget."""

    def make(victim: Victim, budget: float) -> Any:
        image, kept = victim.image[None], None
        for name in edits:
            if psnr(image, edit_images(image, name)) < budget:
                break
            kept = name
        return None if kept is None else saved(image, kept)[0]

    return make


def _off_tangent(victim: Victim, strength: float) -> Floats:
    """Noise that, to first order, no step of the latent undoes."""
    noise = victim.normal(victim.image.size)
    noise = noise - victim.tangent @ (victim.tangent.T @ noise)
    return victim.image / 255 + 0.5 * strength * noise.reshape(victim.image.shape)


def _moved(image: Pixels, field: Floats) -> Floats:
    """The image at places `field` [2, H, W] pixels away, by cubic splines."""
    places = np.indices(image.shape[:2]) + field
    planes = np.moveaxis(image / 255, 2, 0)
    made = [ndimage.map_coordinates(plane, places, order=3, mode="mirror") for plane in planes]
    return np.stack(made, axis=2)


def _warped(victim: Victim, strength: float) -> Floats:
    field = ndimage.gaussian_filter(victim.normal(2, *victim.image.shape[:2]), (0, 4, 4))
    return _moved(victim.image, 2 * strength * field / np.sqrt(np.mean(field**2)))


def _shifted(victim: Victim, strength: float) -> Floats:
    step = victim.normal(2, 1, 1)
    return _moved(victim.image, 2 * strength * step / np.linalg.norm(step))


def _descended(victim: Victim, strength: float) -> Floats:
    """Steepest descent of |x - g|^2 / |x - c(x)|^2, g the reconstruction and c the generic code.

    Up to a positive factor the slope is (x - g) - ratio * (x - c): exactly so for a code that keeps
    coefficients of an orthonormal transform, nearly so for one in YCbCr.
    """
    image = victim.image / 255
    length = 1.5 * strength * np.linalg.norm(victim.rebuilt - image) / _DESCENT
    for _ in range(_DESCENT):
        to_model = victim.rebuilt - image
        from_code = image - generic_code(_rounded(image), victim.numbers)
        ratio = np.sum(to_model**2) / (np.sum(from_code**2) + 1e-6 * image.size)
        step = to_model + ratio * from_code
        image = np.clip(image + step * length / max(float(np.linalg.norm(step)), 1e-12), 0, 1)
    return image


_SIZES = [f"resize-{left / 32:.10g}" for left in range(31, 8, -1)]
_QUALITIES = [f"jpeg-{quality}-444" for quality in range(100, 0, -1)]
_TO_THE_MODEL = _along(lambda v, t: v.toward(v.rebuilt, t))
_NOISE = _along(lambda v, t: v.image / 255 + 0.5 * t * v.normal(*v.image.shape))
_TO_THE_CODE = _along(lambda v, t: v.toward(generic_code(v.image, v.numbers), t))
ATTACKS: dict[str, dict[str, Attack]] = {
    "own": {
        "white noise": Attack("nothing", _NOISE),
        "noise off the tangent space": Attack("generator, latent", _along(_off_tangent)),
        "smooth warp": Attack("nothing", _along(_warped)),
        "sub-pixel shift": Attack("nothing", _along(_shifted)),
        "resized and back": Attack("nothing", _strongest(_SIZES, edit_images)),
        "JPEG file": Attack("nothing", _strongest(_QUALITIES, stored_images)),
        "JPEG, saved as PNG": Attack("nothing", _strongest(_QUALITIES, edit_images)),
        "another model's pass": Attack("another model", _TO_THE_MODEL),
        "towards the generic code": Attack("score", _TO_THE_CODE),
    },
    "photographs": {
        "towards its reconstruction": Attack("generator", _TO_THE_MODEL),
        "descent of the ratio": Attack("generator, score", _along(_descended)),
        "towards the generic code": Attack("score", _TO_THE_CODE),
    },
}
"""The attacks by the images that they are made on."""


def attack_rows(
    attributor: Attributor, victims: Mapping[str, Sequence[Victim]], budgets: Sequence[float]
) -> list[dict[str, Any]]:
    """One row for each kind of victims, by a name in `SUCCESS`, for each attack and budget in dB.

    The attack "none" leaves images as they are; laundering has no budget (None).

    Returns:
      images, attack, knows, budget; beyond, images of which no setting keeps to the budget; psnr,
      its least, median and largest (None where no image changed); and `verdict_counts`.
    """
    tried: list[tuple[str, str, str, float | None, list[Any]]] = []
    for kind, some in victims.items():
        tried.append((kind, "none", "nothing", None, [each.image for each in some]))
        if kind == "photographs":
            rebuilt = [_rounded(each.rebuilt) for each in some]
            tried.append((kind, "laundering", "generator", None, rebuilt))
        for name, (knows, make) in ATTACKS[kind].items():
            for budget in budgets:
                tried.append((kind, name, knows, budget, [make(each, budget) for each in some]))
    # All in one stream, so that the engine's lanes stay full.
    stream = (one for *_, made in tried for one in made if one is not None)
    verdicts = iter(attributor([*stream]))
    rows = []
    for kind, name, knows, limit, made in tried:
        pairs = zip(victims[kind], made, strict=True)
        there = [(v.image, getattr(one, "pixels", one)) for v, one in pairs if one is not None]
        costs = [cost for cost in (psnr(*pair) for pair in there) if math.isfinite(cost)]
        rows.append(
            {
                **{"images": kind, "attack": name, "knows": knows, "budget": limit},
                "beyond": len(made) - len(there),
                "psnr": np.quantile(costs, [0, 0.5, 1]).tolist() if costs else None,
                **verdict_counts([next(verdicts) for _ in there]),
            }
        )
    return rows


def study(config: ConfigDict, *, data: str, limit: int | None, run: Run) -> dict[str, Any]:
    """Rows by configs/evaluate/attacks.py, and what they were measured on.

    `data` is the folder of `config.photographs`, `limit` the most images of a kind.
    """
    rows, digests = [], {}
    for name in config.inspected:
        if not (others := [each for each in config.others if each != name]):
            raise ProtocolError(f"config.others names no model besides {name}")
        attributor, other = (attributor_of(each, config, run) for each in (name, others[0]))
        digests[name] = attributor.calibration.digest
        victims = _victims(attributor, other, config, data=data, limit=limit)
        made = attack_rows(attributor, victims, config.budgets)
        rows += [{"generator": name, **row} for row in made]
    return {"calibrations": digests, **measured_on(), "rows": rows}


def _victims(
    attributor: Attributor, other: Attributor, config: ConfigDict, *, data: str, limit: int | None
) -> dict[str, list[Victim]]:
    """The images that are attacked, by a name in `SUCCESS`."""
    generator, seed = attributor.generator, config.seed
    num_own, num = (min(n, limit or n) for n in (config.num_own, config.num_photographs))
    numbers = min(math.prod(generator.latent_shape), math.prod(generator.image_shape) // 4)
    key = jax.random.fold_in(jax.random.key(seed), _IMAGES)
    own = belonging_images(generator, num_own, key=key)
    bases = tangents(generator, sample_latents(generator, key, num_own))  # The latents of these.
    if config.photographs:
        path = os.path.join(data, config.photographs)
        photographs = chosen_images(path, num, name="photographs", seed=seed)
    else:
        size = generator.image_shape[:2]
        photographs, _ = photograph_crops(num, size, seed=seed, part="demonstration")
    return {
        "own": [
            Victim(image, found.reconstruction, numbers, basis, seed)
            for seed, (image, found, basis) in enumerate(zip(own, other(own), bases, strict=True))
        ],
        "photographs": [
            Victim(image, found.reconstruction, numbers)
            for image, found in zip(photographs, attributor(photographs), strict=True)
        ],
    }


def table(result: Mapping[str, Any]) -> str:
    """A result of `study` in Markdown."""
    heading = "generator|images|attack|needs|asked|PSNR|beyond|n|succeed|95%|undecided|95%|score"
    cells = [heading.split("|")]
    for row in result["rows"]:
        names = [row[each] for each in ("generator", "images", "attack", "knows")]
        asked = "-" if row["budget"] is None else f"{row['budget']:g}"
        cost = "-" if row["psnr"] is None else f"{row['psnr'][1]:.1f}"
        verdicts = in_cells(row, SUCCESS[row["images"]])
        cells.append([*names, asked, cost, str(row["beyond"]), *verdicts])
    rows = markdown_table(cells, right=[i > 3 for i in range(len(cells[0]))])
    return f"{rows}\n\n{_NOTE}"
