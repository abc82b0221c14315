"""The figures of README and of the pages on concepts: measured, not drawn by hand.

python -m benchmarks.concept_figures --out=docs/figures    some minutes on two cores

All are of the zoo's generators, their shipped calibrations, and crops of photographs that
scikit-image carries. `--only=NAME` draws one of them again.
"""

import argparse
import dataclasses
import io
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import matplotlib
import numpy as np
import scipy.fft
from numpy.typing import NDArray
from PIL import Image

matplotlib.use("agg")

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from jax_origin.calibration import AS_MADE, Calibration
from jax_origin.figures import draw_pictures, styled
from jax_origin.figures.look import FOREIGN, OTHER, OWN, UNSURE
from jax_origin.files import atomic_write
from jax_origin.images import YCBCR, edit_images, open_image, photograph_crops, textured_windows
from jax_origin.inversion import Recipe, Stage, invert
from jax_origin.inversion.solvers import Optax
from jax_origin.inversion.starts import Prior
from jax_origin.workflow import Attributor, Verdict, belonging_images
from jax_origin.zoo import calibration_path, load_generator

Pixels = NDArray[np.uint8]

_MODEL = "dcgan-cifar10"
_CANDIDATES = (_MODEL, "dcgan-cifar10-b", "vae-cifar10")
_FLOOR = 1 / 12 / 255**2


def verdicts() -> Figure:
    """README's picture: an own image, the same kind as JPEG, a photograph, and what is found."""
    own, photographs = _own(_MODEL, 2), _photographs(3)
    rows = {
        "made by the model, PNG": _file(own[0]),
        "made by the model, JPEG 50": _file(own[1], "JPEG", quality=50),
        "a photograph, PNG": _file(photographs[2]),
    }
    found = _attributor(_MODEL)(list(rows.values()))
    named = zip(found, rows, strict=True)
    return draw_pictures([dataclasses.replace(each, path=words) for each, words in named]).figure


def inversion() -> Figure:
    """How near a descent comes, step by step, to own images and to photographs."""
    generator, num = load_generator(_MODEL), 12
    images = np.concatenate([_own(_MODEL, num), _photographs(num)])
    stage = Stage(Optax("adam", 0.1, "constant"), steps=400, objective="l2")
    recipe = Recipe(start=Prior(), stages=(stage,))
    curves = invert(generator, images, recipe, key=jax.random.key(0)).curve
    figure, axis = pyplot.subplots(figsize=(6.4, 3.2))
    checks = np.linspace(0, 400, curves.shape[1] + 1)[1:]
    for i, curve in enumerate(curves):
        own = i < num
        label = ("the model's own images" if own else "photographs") if i % num == 0 else None
        colour, line = (OWN, "-") if own else (FOREIGN, "--")
        axis.loglog(checks, curve, line, color=colour, linewidth=1, label=label)
    axis.axhline(_FLOOR, color="0.5", linestyle=":", label="what rounding to 8 bits leaves")
    axis.set(xlabel="steps of the search", ylabel="mean squared error", xlim=(10, 400))
    axis.legend()
    return figure


def file_sets() -> Figure:
    """Where the numbers of a JPEG file would lie in the images that the generator makes."""
    data = [_file(images[0], "JPEG", quality=75) for images in (_own(_MODEL, 1), _photographs(1))]
    found = _attributor(_MODEL)(data)
    figure, axes = pyplot.subplots(1, 2, figsize=(6.4, 2.9), sharey=True)
    whose = ("the model's own image", "a photograph")
    for axis, file, verdict, title, colour in zip(
        axes, data, found, whose, (OWN, FOREIGN), strict=True
    ):
        assert verdict.reconstruction is not None
        off, room = _off_in_steps(file, verdict.reconstruction)
        edges = np.linspace(-3, 3, 61)
        axis.axvspan(-0.5, 0.5, color="0.9")
        axis.hist(np.clip(off, -3, 3), bins=edges.tolist(), color=colour)
        outside = np.mean(np.abs(off) > 0.5 + room)
        axis.set(title=f"{title}: {outside:.1%} outside", yscale="log")
        axis.set(xlabel="distance from the stored number, in steps")
    axes[0].set_ylabel("numbers of the file")
    return figure


def conditions() -> Figure:
    """One image as people pass it on, and what its like score in the calibration."""
    shown = {
        **{AS_MADE: "clean", "resize-0.5": "resize-0.5", "webp-80": "webp-80"},
        **{"jpeg-75": "jpeg-75", "jpeg-30": "jpeg-30"},
    }
    own, calibration = _own(_MODEL, 3)[2:], _calibration(_MODEL)
    figure = pyplot.figure(figsize=(6.4, 4.1))
    grid = figure.add_gridspec(2, len(shown), height_ratios=(1, 2.2))
    axis = figure.add_subplot(grid[1, :])
    rng = np.random.default_rng(0)
    for i, (condition, edit) in enumerate(shown.items()):
        picture = figure.add_subplot(grid[0, i])
        picture.imshow(edit_images(own, edit)[0], interpolation="nearest")
        picture.set(xticks=[], yticks=[], title=condition)
        after = "" if condition == AS_MADE else f" after {condition}"
        groups = {
            "the model's own": (calibration.belonging_by_condition[condition], OWN, "."),
            "photographs": (calibration.foreign[f"photographs{after}"].scores, FOREIGN, "x"),
        }
        for k, (name, (scores, colour, mark)) in enumerate(groups.items()):
            places = i + (k - 0.5) * 0.4 + rng.uniform(-0.13, 0.13, len(scores))
            kept = np.maximum(scores, 1e-4)
            label = name if i == 0 else None
            axis.plot(places, kept, mark, color=colour, markersize=3, alpha=0.6, label=label)
    axis.set(yscale="log", ylabel="score", xticks=range(len(shown)), xticklabels=[*shown])
    axis.set_ylim(5e-5, 5e4)
    axis.legend(loc="upper left", markerscale=2, ncols=2)
    return figure


def two_errors() -> Figure:
    """Verdicts on images of known origin, in the plane of p and q."""
    own, photographs = _own(_MODEL, 20), _photographs(10)
    noisy = edit_images(own[14:], "noise-4")
    kinds: dict[str, tuple[Pixels, str, str]] = {
        "own images": (own[:10], OWN, "o"),
        "own, with noise": (noisy, UNSURE, "D"),
        "photographs": (photographs, FOREIGN, "x"),
        "another model's": (_own("vae-cifar10", 10), OTHER, "^"),
    }
    attributor = _attributor(_MODEL)
    figure, axis = pyplot.subplots(figsize=(6.4, 3.6))
    rng = np.random.default_rng(0)
    axis.axvline(0.01, color="0.5", linestyle=":")
    axis.axhline(0.01, color="0.5", linestyle=":")
    for name, (images, colour, mark) in kinds.items():
        found = attributor([_file(image) for image in images])
        p, q = (
            np.array([getattr(verdict, value) for verdict in found])
            * np.exp(rng.normal(0, 0.1, len(found)))
            for value in "pq"
        )
        axis.loglog(p, q, mark, color=colour, label=name, markersize=6, alpha=0.8)
    for x, y, words in (
        *((0.03, 0.0013, "belongs"), (0.03, 2.4, "undecided: fits both")),
        *((0.0022, 0.0013, "undecided:\nfits neither"), (0.0022, 2.4, "not recognised")),
    ):
        axis.text(x, y, words, va="bottom", weight="bold", color="0.35")
    axis.set(xlim=(0.002, 1.5), ylim=(0.001, 6), xlabel="p: small speaks against belonging")
    axis.set_ylabel("q: small speaks against the foreign")
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def calibration() -> Figure:
    """The scores that a calibration holds, and where its rates put the two thresholds."""
    held = _calibration(_MODEL)
    groups = {"the model's own": held.belonging} | {
        name: held.foreign[name].scores
        for name in ("photographs", "dcgan-cifar10-b", "vae-cifar10", "plain", "faded")
    }
    figure, axis = pyplot.subplots(figsize=(6.4, 3.0))
    rng = np.random.default_rng(0)
    for i, scores in enumerate(groups.values()):
        colour, mark = (OWN, ".") if i == 0 else (FOREIGN, "x")
        kept = np.maximum(scores, 1e-4)
        places = -i + rng.uniform(-0.25, 0.25, len(scores))
        axis.plot(kept, places, mark, color=colour, markersize=3, alpha=0.6)
    axis.axvline(held.floor, color="0.5", linestyle=":")
    axis.text(held.floor * 1.1, 0.55, "under this, scores count as equal", color="0.35")
    axis.set(xscale="log", yticks=[-i for i in range(len(groups))], yticklabels=[*groups])
    axis.set(xlabel="score: distance to the file over a generic code's", ylim=(-5.5, 0.95))
    return figure


def windows() -> Figure:
    """The windows by which a method for latent models judges a larger image."""
    (image,), _ = photograph_crops(1, (256, 384), seed=3, part="demonstration")
    figure, axis = pyplot.subplots(figsize=(5.2, 3.5))
    axis.imshow(image)
    for i, (top, left) in enumerate(textured_windows(image, (64, 64), num=4)):
        for margin, line in ((0, "-"), (16, ":")):
            corner = (left - margin - 0.5, top - margin - 0.5)
            side = 64 + 2 * margin
            for colour, width in (("black", 3.5), ("white", 1.8)):
                axis.add_patch(
                    Rectangle(
                        corner, side, side, fill=False, edgecolor=colour, lw=width, linestyle=line
                    )
                )
        axis.text(left + 4, top + 13, str(i + 1), color="white", weight="bold")
    axis.set(xticks=range(0, 385, 64), yticks=range(0, 257, 64), xlabel="pixels")
    axis.set(xlim=(-0.5, 383.5), ylim=(255.5, -0.5))
    return figure


def candidates() -> Figure:
    """How images of known origin fit each of several candidates: p."""
    num = 4
    groups: dict[str, Pixels] = {name: _own(name, num) for name in _CANDIDATES}
    groups["photographs"] = _photographs(num)
    files = [_file(image) for images in groups.values() for image in images]
    found = {name: _attributor(name)(files) for name in _CANDIDATES}
    values = np.array([[verdict.p for verdict in found[name]] for name in _CANDIDATES], float)
    figure, axis = pyplot.subplots(figsize=(6.4, 2.9))
    shown = axis.imshow(np.log10(values), cmap="cividis", aspect="auto", vmin=-2.4, vmax=0)
    for row, name in enumerate(_CANDIDATES):
        for column, verdict in enumerate(found[name]):
            if verdict.verdict == "belongs":
                _tick(axis, column, row)
    axis.set(yticks=range(len(_CANDIDATES)), yticklabels=_CANDIDATES)
    middles = np.arange(len(groups)) * num + (num - 1) / 2
    axis.set(xticks=middles, xticklabels=[*groups], xlabel="who made the images")
    for border in range(num, len(files), num):
        axis.axvline(border - 0.5, color="white", linewidth=3)
    axis.set_ylabel("candidate")
    bar = figure.colorbar(shown, ax=axis, ticks=[-2, -1, 0], label="p")
    bar.ax.set_yticklabels(["0.01", "0.1", "1"])
    return figure


def readings() -> Figure:
    """One own image after eight edits: the file, what the model was found to make, the verdict."""
    generator = load_generator(_MODEL)
    pixels = _own(_MODEL, 4)[3]
    twice = _decoded(_file(pixels, "JPEG", quality=60))
    large = np.asarray(Image.fromarray(pixels).resize((96, 96), Image.Resampling.BICUBIC))
    framed = np.full((48, 48, 3), 255, np.uint8)
    framed[8:40, 8:40] = pixels
    drawn = pixels.copy()
    drawn[24:30, 3:29] = (255, 255, 0)
    grey = np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"))
    files = {
        "as made": _file(pixels),
        "mirrored": _file(np.ascontiguousarray(pixels[:, ::-1])),
        "JPEG 60, then PNG": _file(twice),
        "JPEG 60, then 90": _file(twice, "JPEG", quality=90),
        "enlarged, JPEG 85": _file(large, "JPEG", quality=85),
        "framed": _file(framed),
        "made grey": _file(grey),
        "drawn on": _file(drawn),
    }
    attributor = Attributor(
        generator, _calibration(_MODEL), key=jax.random.key(1), full_scores=True, resize=True
    )
    figure, grid = pyplot.subplots(6, 4, figsize=(6.4, 10.2))
    for i, (words, found) in enumerate(zip(files, attributor(list(files.values())), strict=True)):
        assert found.inversion is not None and found.image is not None
        made = np.asarray(generator(found.inversion.latent[None]))[0].clip(0, 1)
        away = np.abs(found.inversion.reconstruction - found.image.pixels / 255)
        shown = _decoded(files[words]), made, np.clip(8 * away, 0, 1)
        column = grid[3 * (i // 4) : 3 * (i // 4) + 3, i % 4]
        for axis, picture in zip(column, shown, strict=True):
            axis.imshow(picture, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
        verdict = (found.verdict or "").replace("_", " ")
        why = found.reason if found.part is not None else None
        how = (found.reading or why or "").replace(" (", "\n(")
        column[0].set_title(words)
        column[2].set_xlabel(f"{verdict}\n{how}")
    for row, head in enumerate(("the file", "what the model made", "difference, ×8") * 2):
        grid[row, 0].set_ylabel(head)
    return figure


FIGURES: dict[str, Callable[[], Figure]] = {
    "verdicts": verdicts,
    "inversion": inversion,
    "file_sets": file_sets,
    "conditions": conditions,
    "two_errors": two_errors,
    "calibration": calibration,
    "windows": windows,
    "candidates": candidates,
    "readings": readings,
}
"""What draws each figure, by its file's name."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Draws the figures into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True)
    parser.add_argument("--only", choices=FIGURES, action="append")
    given = parser.parse_args(arguments)
    folder = pathlib.Path(given.out)
    for name in given.only or FIGURES:
        with styled():
            figure = FIGURES[name]()
            with atomic_write(folder / f"{name}.png") as temporary:
                figure.savefig(temporary, dpi=130, format="png", metadata={"Software": None})
            pyplot.close(figure)
        fewer_colours(folder / f"{name}.png")


def fewer_colours(path: pathlib.Path) -> None:
    """Stores a picture with a palette of 256 colours, which is a third of its size."""
    with Image.open(path) as image:
        smaller = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    smaller.save(path, optimize=True)


def _tick(axis: Axes, column: int, row: int) -> None:
    axis.text(column, row, "✓", ha="center", va="center", color="black", weight="bold")


def _calibration(name: str) -> Calibration:
    return Calibration.load(calibration_path(name))


def _attributor(name: str) -> Callable[[Any], list[Verdict]]:
    """Judges in full: no score is a bound."""
    generator = load_generator(name)
    return Attributor(generator, _calibration(name), key=jax.random.key(1), full_scores=True)


def _own(name: str, num: int) -> Pixels:
    return belonging_images(load_generator(name), num, key=jax.random.key(7))


def _photographs(num: int) -> Pixels:
    return photograph_crops(num, (32, 32), seed=5, part="demonstration")[0]


def _file(pixels: Pixels, form: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


def _decoded(file: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(file)))


def _off_in_steps(
    file: bytes, image: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far an image's brightness coefficients are from a JPEG file's, in the file's steps.

    Beside it one grey level in these steps: the room that `jax_origin.distances.FileSet` gives to
    an encoder's own rounding.
    """
    stored = open_image(file, size=image.shape[:2]).stored
    levels, steps = stored.coefficients[0], stored.tables[0]
    height, width = levels.shape
    luma = 255 * image.astype(np.float64) @ np.asarray(YCBCR, np.float64)[0] - 128
    blocks = luma.reshape(height // 8, 8, width // 8, 8).swapaxes(1, 2)
    found = scipy.fft.dctn(blocks, axes=(2, 3), norm="ortho") / steps
    off = found - levels.reshape(height // 8, 8, width // 8, 8).swapaxes(1, 2)
    return off.ravel(), np.broadcast_to(1.0 / steps, off.shape).ravel()


if __name__ == "__main__":
    main()
