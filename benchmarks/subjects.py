"""What a benchmark is made of: images of known origin, and rows that hold both raw figures."""

import dataclasses
import os
import platform
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from benchmarks.circumstances import circumstances
from jax_origin.calibration import Calibration
from jax_origin.generators import GeneratorLike
from jax_origin.images import Stored, load_images, photograph_crops
from jax_origin.inversion import Run, Statistics
from jax_origin.workflow import Method, Verdict, attribute, belonging_images

Images = NDArray[np.uint8]
Row = dict[str, Any]

# Tags that a seed's key is folded with; calibrations and evaluations fold other numbers. Recipes
# are chosen on images that nothing is reported on.
PURPOSES = {name: int.from_bytes(name[:4].encode(), "big") for name in ("timing", "choosing")}
PHOTOGRAPHS = "photographs"
_STARTS = 1


class BenchmarkError(ValueError):
    """A benchmark that cannot be run as asked for; one line says why."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is timed.

    Attributes:
      pairs: Interleaved pairs of an engine's steps and bare gradients.
      repeats: Interleaved repeats where images are attributed.
      mixed: Images that are attributed in each repeat, half of them belonging.
      early: The same, where early acceptance is compared with full scores.
      work: Numbers of images for cost against work, rising.
      peer_images: Images that the published recipe inverts one at a time, in each repeat.
      peer_steps: Steps that are timed of it.
      batched_steps: Steps that are timed of the published recipe in batches.
      training_steps: Steps that are timed of a learned start's training.
      futility_images: Belonging images that futility is fitted as for; see `fit_futility`.
    """

    pairs: int = 20
    repeats: int = 3
    mixed: int = 512
    early: int = 256
    work: tuple[int, ...] = (16, 64, 256, 1024)
    peer_images: int = 8
    peer_steps: int = 100
    batched_steps: int = 12
    training_steps: int = 40
    futility_images: int = 32

    def limited(self, most: int | None) -> "Sizes":
        """The same, with no number over `most`; None for no limit."""
        if most is None:
            return self
        values = dataclasses.asdict(self)
        work = tuple(dict.fromkeys(min(n, most) for n in values.pop("work")))
        return Sizes(**{name: min(n, most) for name, n in values.items()}, work=work)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Subject:
    """A generator that is inspected, its calibration, and images of known origin.

    Attributes:
      name: What rows call it.
      generator: The generator.
      calibration: Made for it.
      own: Its own images, uint8 [N, H, W, C].
      foreign: Foreign images by group, uint8 [M, H, W, C].
    """

    name: str
    generator: GeneratorLike
    calibration: Calibration
    own: Images
    foreign: Mapping[str, Images]

    @property
    def method(self) -> Method:
        """How the calibration says that images are inverted."""
        return Method.of(self.calibration)

    def mixed(self, num: int) -> tuple[Images, NDArray[np.bool_]]:
        """A mixture of `num` images, half of them belonging, in random order.

        Returns:
          uint8 [num, H, W, C], and whether each belongs, bool [num].
        """
        own, foreign = self.own[: (num + 1) // 2], np.concatenate([*self.foreign.values()])
        rng = np.random.default_rng(0)
        foreign = foreign[rng.permutation(len(foreign))[: num // 2]]
        order = rng.permutation(len(own) + len(foreign))
        belongs = np.arange(len(order)) < len(own)
        return np.concatenate([own, foreign])[order], belongs[order]


def images_of_known_origin(
    name: str,
    generators: Mapping[str, GeneratorLike],
    *,
    num_own: int,
    num_foreign: int,
    purpose: str,
    photographs: str | None = None,
    seed: int = 0,
) -> tuple[Images, dict[str, Images]]:
    """Fresh images of a generator, and foreign ones: photographs, and all others' of its shape.

    Args:
      name: The inspected generator's.
      generators: Generators by name.
      num_own: Images of its own.
      num_foreign: Foreign images, divided evenly among the groups.
      purpose: One of `PURPOSES`. Images for one never serve another, whatever the seed, and those
        that generators make are none of a calibration's or an evaluation's.
      photographs: A folder or npz archive of photographs; crops of scikit-image's without it.
      seed: Any whole number of at least 0.

    Returns:
      uint8 [num_own, H, W, C], and uint8 [M, H, W, C] by group.

    Raises:
      BenchmarkError: If the folder holds too few photographs, or images are not RGB.
      ImageError: If a photograph cannot be used.
    """
    shape = tuple(generators[name].image_shape)
    height, width, channels = shape
    if channels != 3:
        raise BenchmarkError(f"{name!r} makes images of {channels} channels; photographs are RGB")
    others = [n for n in generators if n != name and tuple(generators[n].image_shape) == shape]
    groups = (PHOTOGRAPHS, *others)
    nums = {g: len(range(i, num_foreign, len(groups))) for i, g in enumerate(groups)}
    key = jax.random.fold_in(jax.random.key(seed), PURPOSES[purpose])

    def samples(which: str, num: int) -> Images:
        own_key = jax.random.fold_in(key, zlib.crc32(which.encode()))
        return belonging_images(generators[which], num, key=own_key)

    foreign = {group: samples(group, nums[group]) for group in others if nums[group]}
    if num := nums[PHOTOGRAPHS]:
        if photographs is None:
            part = "calibration" if purpose == "choosing" else "demonstration"
            crops, _ = photograph_crops(
                num, (height, width), seed=seed + PURPOSES[purpose], part=part
            )
            foreign[PHOTOGRAPHS] = crops
        else:
            found = load_images(photographs, size=(height, width))
            found = found[list(PURPOSES).index(purpose) :: len(PURPOSES)]
            if len(found) < num:
                raise BenchmarkError(
                    f"{photographs} holds {len(found)} photographs for {purpose} (each purpose has "
                    f"its own), {num} are wanted"
                )
            chosen = np.random.default_rng(seed).choice(len(found), num, replace=False)
            foreign[PHOTOGRAPHS] = found[chosen]
    return samples(name, num_own), foreign


class Attributed(NamedTuple):
    """What attributing some images gave: verdicts in order, statistics, and seconds in all."""

    verdicts: list[Verdict]
    statistics: Statistics
    seconds: float

    @property
    def per_image(self) -> float:
        """Seconds an image."""
        return self.seconds / len(self.verdicts)

    @property
    def evaluations(self) -> float:
        """Gradient evaluations an image."""
        return self.statistics.evaluations / len(self.verdicts)


def attributed(
    subject: Subject,
    images: Images | Sequence[Stored],
    *,
    calibration: Calibration | None = None,
    full_scores: bool = False,
) -> Attributed:
    """Attributes images as `jax_origin.attribute` does without readings, and takes the time.

    The published recipe takes images as they are, too.

    Args:
      subject: The generator.
      images: uint8 [N, H, W, C], or N files.
      calibration: Another one than the subject's.
      full_scores: As `jax_origin.attribute` takes it.
    """
    statistics = Statistics()
    began = time.perf_counter()
    verdicts = attribute(
        images,
        subject.generator,
        calibration or subject.calibration,
        key=starting_key(),
        full_scores=full_scores,
        readings="none",
        run=Run(statistics=statistics),
    )
    return Attributed(verdicts, statistics, time.perf_counter() - began)


def starting_key(seed: int = 0) -> jax.Array:
    """The key of a benchmark's starting points, which no images share."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), PURPOSES["timing"]), _STARTS)


def timed(run: Callable[[], Any]) -> float:
    """Seconds that a call takes; what it returns is waited for."""
    began = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - began


def timed_pairs(
    first: Callable[[], Any], second: Callable[[], Any], num: int
) -> tuple[list[float], list[float]]:
    """Seconds of two calls, in `num` pairs; every other pair begins with the second one."""
    firsts: list[float] = []
    seconds: list[float] = []
    for i in range(num):
        turns = [(first, firsts), (second, seconds)]
        for run, times in reversed(turns) if i % 2 else turns:
            times.append(timed(run))
    return firsts, seconds


def ratio_row(
    name: str,
    case: str,
    *,
    ours: Sequence[float],
    reference: Sequence[float],
    unit: str,
    speed_up: bool = True,
    **more: Any,
) -> Row:
    """A row of a benchmark: a ratio taken in one run, with both raw figures.

    Args:
      name: What is measured.
      case: On what.
      ours: This package's figures, one for each repeat; at least one.
      reference: The other side's, measured beside them.
      unit: Of both.
      speed_up: Whether the ratio is reference over ours; ours over reference otherwise.
      **more: Other fields, plain JSON.

    Returns:
      name, case, ratio (the median over repeats), ratio_is (in words), ours and reference (their
      medians), unit, repeats, spread (of the ratio: interquartile range over median; None for one
      repeat), and `more`.

    Raises:
      ValueError: If the two have different lengths, or none.
    """
    if len(ours) != len(reference) or not len(ours):
        raise ValueError(f"{name}: {len(ours)} figures against {len(reference)}; pairs are wanted")
    above, below = (reference, ours) if speed_up else (ours, reference)
    ratios = np.asarray(above, np.float64) / np.asarray(below, np.float64)
    ratio = float(np.median(ratios))
    low, high = np.percentile(ratios, [25, 75])
    return {
        "name": name,
        "case": case,
        "ratio": ratio,
        "ratio_is": "reference / ours" if speed_up else "ours / reference",
        "ours": float(np.median(ours)),
        "reference": float(np.median(reference)),
        "unit": unit,
        "repeats": len(ratios),
        "spread": float((high - low) / ratio) if len(ratios) > 1 else None,
        **more,
    }


def measured_on() -> dict[str, Any]:
    """The machine and the packages' versions, as plain JSON."""
    found = circumstances([])
    machine = {**found["machine"], "processor": _processor(), "usable_cpus": usable_cpus()}
    return {"machine": machine, "versions": found["versions"]}


def usable_cpus() -> int:
    """How many processors this process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def row_line(row: Row) -> str:
    """A row as a line to read."""
    spread = "one repeat" if row["spread"] is None else f"spread {row['spread']:.1%}"
    return (
        f"{row['name']:<26} {row['case']:<44} {row['ratio']:>9.4g}  "
        f"(ours {row['ours']:.4g}, reference {row['reference']:.4g} {row['unit']}; "
        f"{row['repeats']} x, {spread})"
    )


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            names = [line.partition(":")[2].strip() for line in file if line[:10] == "model name"]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()
