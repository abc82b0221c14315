"""Edits of images on their way from a generator to a file: compressed, resized, cropped, noisy.

An edit has one name, such as ``jpeg-75``; names joined by ``+`` are applied from left to right.
The same pixels and the same name give the same pixels, from run to run; another Pillow may compress
and resize a little differently.
"""

import dataclasses
import difflib
import functools
import io
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from jax_origin.images.arrays import pixels_sha256
from jax_origin.images.decode import decode_bytes
from jax_origin.images.stored import Stored, stored_image, stored_pixels


class EditStep(NamedTuple):
    """One step of an edit.

    Attributes:
      family: A name in `EDITS`.
      amount: The number in its name.
      option: The word after that, if there is one.
    """

    family: str
    amount: float
    option: str | None = None


def edit_images(images: np.ndarray, name: str) -> np.ndarray:
    """Edits images, each by itself.

    Args:
      images: uint8 [N, H, W, 3], RGB.
      name: The edit; see `EDITS`.

    Returns:
      uint8 [N, H, W, 3]; for "clean" the images themselves.

    Raises:
      ValueError: If there is no such edit, the images are of another type or shape, or they are too
        small for it.
    """
    steps = parse_edit(name)
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        found = f"{images.dtype} {list(images.shape)}"
        raise ValueError(f"images must be uint8 [N, H, W, 3] to be edited, got {found}")
    for step in steps:
        apply = _FAMILIES[step.family].apply
        edited = [apply(pixels, step) for pixels in images]
        images = np.stack(edited) if edited else images
    return images


def stored_images(images: np.ndarray, name: str) -> list[Stored]:
    """Images as files hold them after an edit.

    An edit whose last step is a file format gives the set of such a file; any other, that of a
    lossless file of the edited pixels.

    Args:
      images: uint8 [N, H, W, 3], RGB.
      name: The edit; see `EDITS`.

    Raises:
      ValueError: As `edit_images`.
    """
    steps = parse_edit(name)
    write = _FILES.get(steps[-1].family) if steps else None
    if write is None:
        return stored_pixels(edit_images(images, name))
    before = name.rpartition("+")[0] or "clean"
    files = [write(pixels, steps[-1]) for pixels in edit_images(images, before)]
    return [stored_image(data, decode_bytes(data, path=name)) for data in files]


@functools.lru_cache(maxsize=256)
def parse_edit(name: str) -> tuple[EditStep, ...]:
    """Takes the name of an edit apart.

    Args:
      name: Such as "clean", "jpeg-75" or "resize-0.75+jpeg-75-444"; see `EDITS`. An edit has one
        spelling: "jpeg-075" is none.

    Returns:
      The steps, in order; none for "clean".

    Raises:
      ValueError: If there is no such edit; one line says how it is spelled, or which there are.
    """
    if name == "clean":
        return ()
    return tuple(_parse_step(part, name) for part in name.split("+"))


def _parse_step(part: str, name: str) -> EditStep:
    where = f"edit {name!r}" if part == name else f"{part!r} in edit {name!r}"
    match = re.fullmatch(r"([A-Za-z]+)[-_ :=]*([0-9.]*)[-_ :=]*([0-9A-Za-z]*)", part.strip())
    family, number, option = match.groups() if match else (part, "", "")
    near = difflib.get_close_matches(family.lower(), EDITS, n=1)
    if not near:
        raise ValueError(f"unknown {where}; known: {', '.join(_forms())}")
    if near[0] == "clean":
        raise ValueError(f"unknown {where}; 'clean' is written so, and stands alone")
    kind = _FAMILIES[near[0]]
    amount = _number(number)
    if amount is None or not kind.allows(amount):
        raise ValueError(f"unknown {where}; {kind.form!r} takes {kind.range_in_words}")
    option = option.lower()
    if option and option not in kind.options:
        raise ValueError(f"unknown {where}; the form is {kind.form!r}")
    spelled = "-".join(filter(None, (near[0], f"{amount:.10g}", option)))
    if spelled != part:
        raise ValueError(f"unknown {where}; did you mean {spelled!r}?")
    return EditStep(near[0], amount, option or None)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _forms() -> list[str]:
    return ["clean", *(family.form for family in _FAMILIES.values())]


def _jpeg(pixels: np.ndarray, step: EditStep) -> np.ndarray:
    return decode_bytes(_jpeg_file(pixels, step), path="JPEG").pixels


def _jpeg_file(pixels: np.ndarray, step: EditStep) -> bytes:
    subsampling = "4:4:4" if step.option == "444" else "4:2:0"
    return _file(pixels, "JPEG", quality=int(step.amount), subsampling=subsampling)


def _webp(pixels: np.ndarray, step: EditStep) -> np.ndarray:
    return decode_bytes(_webp_file(pixels, step), path="WEBP").pixels


def _webp_file(pixels: np.ndarray, step: EditStep) -> bytes:
    return _file(pixels, "WEBP", quality=int(step.amount))


def _file(pixels: np.ndarray, file_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format=file_format, **options)
    return file.getvalue()


def _resize(pixels: np.ndarray, step: EditStep) -> np.ndarray:
    height, width = pixels.shape[:2]
    small = max(1, round(width * step.amount)), max(1, round(height * step.amount))
    if small == (width, height):
        raise ValueError(f"resize-{step.amount:g} leaves images of {height}x{width} as they are")
    filtered = _FILTERS[step.option]
    image = Image.fromarray(pixels).resize(small, filtered).resize((width, height), filtered)
    return np.asarray(image)


def _crop(pixels: np.ndarray, step: EditStep) -> np.ndarray:
    height, width = pixels.shape[:2]
    margin = int(step.amount)
    if min(height, width) <= 2 * margin:
        raise ValueError(f"crop-{margin} leaves nothing of images of {height}x{width}")
    inner = np.ascontiguousarray(pixels[margin:-margin, margin:-margin])
    return np.asarray(Image.fromarray(inner).resize((width, height), Image.Resampling.LANCZOS))


def _noise(pixels: np.ndarray, step: EditStep) -> np.ndarray:
    rng = np.random.default_rng(int.from_bytes(pixels_sha256(pixels), "big"))
    noisy = np.rint(pixels + rng.normal(0, step.amount, pixels.shape))
    return noisy.clip(0, 255).astype(np.uint8)


def _blur(pixels: np.ndarray, step: EditStep) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(step.amount)))


_FILES = {"jpeg": _jpeg_file, "webp": _webp_file}
_FILTERS = {None: Image.Resampling.LANCZOS, "bicubic": Image.Resampling.BICUBIC}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Family:
    apply: Callable[[np.ndarray, EditStep], np.ndarray]
    form: str
    summary: str
    low: float
    high: float
    whole: bool = False
    options: tuple[str, ...] = ()

    def allows(self, amount: float) -> bool:
        return self.low <= amount <= self.high and (not self.whole or amount == int(amount))

    @property
    def range_in_words(self) -> str:
        number = "whole number" if self.whole else "number"
        return f"a {number} from {self.low:g} to {self.high:g}"


_FAMILIES = {
    "jpeg": _Family(
        apply=_jpeg,
        form="jpeg-QUALITY[-444]",
        summary="stored as JPEG, chroma at half resolution (4:2:0), or with -444 at full",
        low=1,
        high=100,
        whole=True,
        options=("444",),
    ),
    "webp": _Family(
        apply=_webp,
        form="webp-QUALITY",
        summary="stored as lossy WebP",
        low=1,
        high=100,
        whole=True,
    ),
    "resize": _Family(
        apply=_resize,
        form="resize-FACTOR[-bicubic]",
        summary="both sides resized by the factor and back, Lanczos or bicubic",
        low=0.05,
        high=8,
        options=("bicubic",),
    ),
    "crop": _Family(
        apply=_crop,
        form="crop-PIXELS",
        summary="cut by so many pixels on each side, and resized back (Lanczos)",
        low=1,
        high=4096,
        whole=True,
    ),
    "noise": _Family(
        apply=_noise,
        form="noise-SIGMA",
        summary="Gaussian noise of this deviation in grey levels, from a seed that the pixels give",
        low=0.01,
        high=255,
    ),
    "blur": _Family(
        apply=_blur,
        form="blur-SIGMA",
        summary="Gaussian blur of this deviation in pixels, as Pillow approximates it",
        low=0.05,
        high=100,
    ),
}

EDITS: Mapping[str, str] = {
    "clean": "clean: nothing is done",
    **{name: f"{family.form}: {family.summary}" for name, family in _FAMILIES.items()},
}
"""What each family of edits does, in a line that begins with how its names are written."""
