"""Edits of images on their way from a generator to a file: compressed, resized, cropped, noisy.

An edit has one name, such as ``jpeg-75``; names joined by ``+`` are applied from left to right.
The same pixels and the same name give the same pixels, from run to run; another Pillow may compress
and resize a little differently.
"""

import difflib
import functools
import io
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from jax_origin.images.arrays import from_pillow, pixels_sha256, to_pillow
from jax_origin.images.decode import decode_bytes
from jax_origin.images.file_set import Stored, stored_image, stored_pixels
from jax_origin.images.photographs import photograph_crops

LOSSY_FILES = ("jpeg", "webp")  # families of edits that leave a lossy file


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
      images: uint8 [N, H, W, C], C 3 (RGB) or 1 (grey).
      name: The edit; see `EDITS`.

    Returns:
      uint8 [N, H, W, C]; for "clean" the images themselves.

    Raises:
      ValueError: If there is no such edit, the images are of another type or shape, or they are too
        small for it.
    """
    steps = parse_edit(name)
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
        found = f"{images.dtype} {list(images.shape)}"
        raise ValueError(f"images must be uint8 [N, H, W, 3 or 1] to be edited, got {found}")
    for step in steps:
        apply = _FAMILIES[step.family].apply
        edited = [apply(pixels, step) for pixels in images]
        images = np.stack(edited) if edited else images
    return images


def stored_images(images: np.ndarray, name: str) -> list[Stored]:
    """Files of images after an edit: JPEG or WebP if it ends in one, else lossless.

    Arguments and errors are those of `edit_images`.
    """
    steps = parse_edit(name)
    if not steps or steps[-1].family not in LOSSY_FILES:
        return stored_pixels(edit_images(images, name))
    edited = edit_images(images, name.rpartition("+")[0] or "clean")
    files = [_file(pixels, steps[-1]) for pixels in edited]
    decoded = [decode_bytes(data, path=name, channels=edited.shape[3]) for data in files]
    return list(map(stored_image, files, decoded))


@functools.lru_cache(maxsize=256)
def parse_edit(name: str) -> tuple[EditStep, ...]:
    """Parses the name of an edit.

    Args:
      name: Such as "clean", "jpeg-75" or "resize-0.75+jpeg-75-444"; see `EDITS`. An edit has one
        spelling: "jpeg-075" is none.

    Returns:
      The steps, in order; none for "clean".

    Raises:
      ValueError: If there is no such edit; one line says how it is spelled, or lists them.
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
        known = ", ".join(["clean", *(family.form for family in _FAMILIES.values())])
        raise ValueError(f"unknown {where}; known: {known}")
    if near[0] == "clean":
        raise ValueError(f"unknown {where}; 'clean' is written so, and stands alone")
    kind = _FAMILIES[near[0]]
    amount = float(number) if re.fullmatch(r"[0-9]+\.?[0-9]*|\.[0-9]+", number) else -1.0
    if not kind.low <= amount <= kind.high or (kind.whole and amount != int(amount)):
        wanted = f"a {'whole ' if kind.whole else ''}number from {kind.low:g} to {kind.high:g}"
        raise ValueError(f"unknown {where}; {kind.form!r} takes {wanted}")
    option = option.lower()
    if option not in ("", kind.option):
        raise ValueError(f"unknown {where}; the form is {kind.form!r}")
    spelled = "-".join(filter(None, (near[0], f"{amount:.10g}", option)))
    if spelled != part:
        raise ValueError(f"unknown {where}; did you mean {spelled!r}?")
    return EditStep(near[0], amount, option or None)


def _file(pixels: np.ndarray, step: EditStep) -> bytes:
    """A JPEG or lossy WebP file."""
    options: dict[str, Any] = {"quality": int(step.amount)}
    if step.family == "jpeg":
        full = step.option == "444" or pixels.shape[2] == 1
        options["subsampling"] = "4:4:4" if full else "4:2:0"
    file = io.BytesIO()
    to_pillow(pixels).save(file, format=step.family, **options)
    return file.getvalue()


def _through_file(pixels: np.ndarray, step: EditStep) -> np.ndarray:
    return decode_bytes(_file(pixels, step), path=step.family, channels=pixels.shape[2]).pixels


def _resize(pixels: np.ndarray, step: EditStep) -> np.ndarray:
    height, width = pixels.shape[:2]
    small = max(1, round(width * step.amount)), max(1, round(height * step.amount))
    if small == (width, height):
        raise ValueError(f"resize-{step.amount:g} leaves images of {height}x{width} as they are")
    filtered = _FILTERS[step.option]
    return from_pillow(to_pillow(pixels).resize(small, filtered).resize((width, height), filtered))


def _scale(pixels: np.ndarray, step: EditStep) -> np.ndarray:
    height, width = pixels.shape[:2]
    size = max(1, round(width * step.amount)), max(1, round(height * step.amount))
    return from_pillow(to_pillow(pixels).resize(size, _FILTERS[step.option]))


def _crop(pixels: np.ndarray, step: EditStep) -> np.ndarray:
    height, width = pixels.shape[:2]
    margin = int(step.amount)
    if min(height, width) <= 2 * margin:
        raise ValueError(f"crop-{margin} leaves nothing of images of {height}x{width}")
    inner = pixels[margin:-margin, margin:-margin]
    return from_pillow(to_pillow(inner).resize((width, height), Image.Resampling.LANCZOS))


def _cut(pixels: np.ndarray, step: EditStep) -> np.ndarray:
    rng = np.random.default_rng(int.from_bytes(pixels_sha256(pixels), "big"))
    sides = [(side, max(1, round(side * step.amount))) for side in pixels.shape[:2]]
    (top, height), (left, width) = ((rng.integers(0, a - b, endpoint=True), b) for a, b in sides)
    return pixels[top : top + height, left : left + width]


def _trim(pixels: np.ndarray, step: EditStep) -> np.ndarray:
    height, width = pixels.shape[:2]
    cut = to_pillow(_cut(pixels, step))
    return from_pillow(cut.resize((width, height), Image.Resampling.BICUBIC))


def _tilt(pixels: np.ndarray, step: EditStep) -> np.ndarray:
    rng = np.random.default_rng(int.from_bytes(pixels_sha256(pixels), "big"))
    angle = rng.uniform(-step.amount, step.amount)
    return from_pillow(to_pillow(pixels).rotate(angle, Image.Resampling.BICUBIC))


def _turn(pixels: np.ndarray, step: EditStep) -> np.ndarray:
    if step.amount % 90:
        raise ValueError(f"turn-{step.amount:g}: images are turned by 0, 90, 180 or 270 degrees")
    image = pixels[:, ::-1] if step.option == "mirrored" else pixels
    return np.ascontiguousarray(np.rot90(image, -int(step.amount) // 90))


def _noise(pixels: np.ndarray, step: EditStep) -> np.ndarray:
    rng = np.random.default_rng(int.from_bytes(pixels_sha256(pixels), "big"))
    return _levels(pixels + rng.normal(0, step.amount, pixels.shape))


def _blur(pixels: np.ndarray, step: EditStep) -> np.ndarray:
    return from_pillow(to_pillow(pixels).filter(ImageFilter.GaussianBlur(step.amount)))


def _sharpen(pixels: np.ndarray, step: EditStep) -> np.ndarray:
    percent = round(100 * step.amount)
    return from_pillow(to_pillow(pixels).filter(ImageFilter.UnsharpMask(2, percent, 0)))


def _gain(pixels: np.ndarray, step: EditStep) -> np.ndarray:
    return _levels(step.amount * pixels.astype(np.float64))


def _offset(pixels: np.ndarray, step: EditStep) -> np.ndarray:
    return _levels(pixels + (-1 if step.option else 1) * step.amount)


def _gamma(pixels: np.ndarray, step: EditStep) -> np.ndarray:
    return _levels(255 * (pixels / 255) ** step.amount)


def _tint(pixels: np.ndarray, step: EditStep) -> np.ndarray:
    rng = np.random.default_rng(int.from_bytes(pixels_sha256(pixels), "big"))
    most = math.log1p(step.amount)
    return _levels(pixels * np.exp(rng.uniform(-most, most, pixels.shape[2])))


def _saturation(pixels: np.ndarray, step: EditStep) -> np.ndarray:
    return from_pillow(ImageEnhance.Color(to_pillow(pixels)).enhance(step.amount))


def _levels(pixels: np.ndarray) -> np.ndarray:
    return np.rint(pixels).clip(0, 255).astype(np.uint8)


def _caption(pixels: np.ndarray, step: EditStep) -> np.ndarray:
    height, width = pixels.shape[:2]
    rows = max(1, round(height * step.amount))
    captioned = pixels.copy()
    captioned[-rows:] = 0
    strokes = np.random.default_rng(0).random((rows, width, 1)) < 0.3
    inner = slice(rows // 4, rows - rows // 4)
    captioned[-rows:][inner] = np.where(strokes[inner], 255, 0)
    return captioned


def _mark(pixels: np.ndarray, step: EditStep) -> np.ndarray:
    marked, at = pixels.copy(), _rectangle(pixels, step.amount)
    marked[at] = np.rint(0.4 * pixels[at] + 0.6 * 255).astype(np.uint8)
    return marked


def _paste(pixels: np.ndarray, step: EditStep) -> np.ndarray:
    pasted, at = pixels.copy(), _rectangle(pixels, step.amount)
    seed = int.from_bytes(pixels_sha256(pixels)[:4], "big")
    (photograph,), _ = photograph_crops(1, pixels.shape[:2], seed=seed, part="demonstration")
    grey = np.rint(photograph.mean(axis=2, keepdims=True)).astype(np.uint8)
    pasted[at] = (photograph if pixels.shape[2] == 3 else grey)[at]
    return pasted


def _rectangle(pixels: np.ndarray, share: float) -> tuple[slice, slice]:
    """A part of an image of its proportions, at a place that its pixels give."""
    rng = np.random.default_rng(int.from_bytes(pixels_sha256(pixels), "big"))
    sides = [(side, max(1, round(side * math.sqrt(share)))) for side in pixels.shape[:2]]
    rows, columns = (
        slice(first, first + part)
        for side, part in sides
        for first in [int(rng.integers(0, side - part, endpoint=True))]
    )
    return rows, columns


class _Family(NamedTuple):
    apply: Callable[[np.ndarray, EditStep], np.ndarray]
    form: str
    low: float
    high: float
    summary: str
    whole: bool = False
    option: str = ""


_FILTERS = {None: Image.Resampling.LANCZOS, "bicubic": Image.Resampling.BICUBIC}
_JPEG = "stored as JPEG, chroma at half resolution (4:2:0), or with -444 at full"
_RESIZE = "both sides resized by the factor and back, Lanczos or bicubic"
_SCALE = "both sides resized by the factor, and left so, Lanczos or bicubic"
_CROP = "cut by so many pixels on each side, and resized back (Lanczos)"
_CUT = "cut out, so much of either side, at a place that the pixels give, and not resized"
_TRIM = "cut out so, and resized back (bicubic)"
_TILT = "turned by up to so many degrees, as the pixels give (bicubic), the corners left black"
_TURN = "turned clockwise by 0, 90, 180 or 270 degrees, or with -mirrored left to right before that"
_NOISE = "Gaussian noise of this deviation in grey levels, from a seed that the pixels give"
_BLUR = "Gaussian blur of this deviation in pixels, as Pillow approximates it"
_SHARPEN = "sharpened by an unsharp mask of 2 pixels, so much of it (Pillow's)"
_GAIN = "levels times the factor"
_OFFSET = "so many levels brighter, or with -darker darker"
_GAMMA = "levels, as shares of 255, to this power"
_TINT = "each channel times a factor of at most one and the share, or over it, that the pixels give"
_SATURATION = "saturation times the factor (Pillow's)"
_CAPTION = "a black bar with white strokes over the lowest rows, so much of the image"
_MARK = "a white rectangle that shines through, so much of the image, at a place that it gives"
_PASTE = "a part of a photograph (scikit-image's) pasted in, so much of the image, likewise"
_FAMILIES = {
    "jpeg": _Family(_through_file, "jpeg-QUALITY[-444]", 1, 100, _JPEG, whole=True, option="444"),
    "webp": _Family(_through_file, "webp-QUALITY", 1, 100, "stored as lossy WebP", whole=True),
    "resize": _Family(_resize, "resize-FACTOR[-bicubic]", 0.05, 8, _RESIZE, option="bicubic"),
    "scale": _Family(_scale, "scale-FACTOR[-bicubic]", 0.05, 8, _SCALE, option="bicubic"),
    "crop": _Family(_crop, "crop-PIXELS", 1, 4096, _CROP, whole=True),
    "cut": _Family(_cut, "cut-SHARE", 0.1, 0.99, _CUT),
    "trim": _Family(_trim, "trim-SHARE", 0.1, 0.99, _TRIM),
    "tilt": _Family(_tilt, "tilt-DEGREES", 0.1, 45, _TILT),
    "turn": _Family(_turn, "turn-DEGREES[-mirrored]", 0, 270, _TURN, whole=True, option="mirrored"),
    "noise": _Family(_noise, "noise-SIGMA", 0.01, 255, _NOISE),
    "caption": _Family(_caption, "caption-SHARE", 0.01, 0.9, _CAPTION),
    "mark": _Family(_mark, "mark-SHARE", 0.01, 0.9, _MARK),
    "paste": _Family(_paste, "paste-SHARE", 0.01, 0.9, _PASTE),
    "blur": _Family(_blur, "blur-SIGMA", 0.05, 100, _BLUR),
    "sharpen": _Family(_sharpen, "sharpen-AMOUNT", 0.05, 5, _SHARPEN),
    "gain": _Family(_gain, "gain-FACTOR", 0.1, 4, _GAIN),
    "offset": _Family(_offset, "offset-LEVELS[-darker]", 1, 128, _OFFSET, option="darker"),
    "gamma": _Family(_gamma, "gamma-POWER", 0.2, 5, _GAMMA),
    "tint": _Family(_tint, "tint-SHARE", 0.01, 1, _TINT),
    "saturation": _Family(_saturation, "saturation-FACTOR", 0, 4, _SATURATION),
}

EDITS: Mapping[str, str] = {
    "clean": "clean: nothing is done",
    **{name: f"{family.form}: {family.summary}" for name, family in _FAMILIES.items()},
}
"""What each family of edits does, in a line that begins with how its names are written."""
