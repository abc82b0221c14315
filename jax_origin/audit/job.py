"""A run over image files: each gets one record, whatever happens to it or to the run."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax

from jax_origin.attribution import Verdict, attribute_stream
from jax_origin.audit.record import RecordWriter, read_all_records, records_name
from jax_origin.calibration import Calibration
from jax_origin.files import atomic_write
from jax_origin.generators import GeneratorLike
from jax_origin.images import (
    DecodedImage,
    ImageError,
    Stored,
    decode_stored,
    find_images,
    map_ahead,
    save_png,
)
from jax_origin.inversion import Statistics
from jax_origin.runtime import own_share, wait_for_all
from jax_origin.zoo import demonstration_images


class RunError(ValueError):
    """A run that cannot go on in its folder."""


@dataclasses.dataclass(frozen=True)
class FileVerdict:
    """What became of one file.

    Attributes:
      path: The file.
      record: What was written of it.
      image: The decoded image; None if it could not be read.
      verdict: The verdict; None if there was no image to decide on.
    """

    path: str
    record: dict[str, Any]
    image: DecodedImage | None = None
    verdict: Verdict | None = None


def begin_run(workdir: str | os.PathLike, settings: Mapping[str, Any]) -> None:
    """Notes down in `<workdir>/run.json` what a run's verdicts depend on, or compares with it.

    Args:
      workdir: The run's folder; made if need be.
      settings: Plain JSON values.

    Raises:
      RunError: If the folder holds a run with other settings (the message says which differ), or
        cannot be used.
    """
    path = pathlib.Path(workdir) / "run.json"
    settings = json.loads(json.dumps(dict(settings)))
    try:
        before = json.loads(path.read_text())
    except FileNotFoundError:
        before = None
    except ValueError as error:
        raise RunError(f"{path}: not JSON ({error}); choose another workdir") from None
    except OSError as error:
        raise RunError(f"{path}: {error.strerror}; choose another workdir") from None
    else:
        if not isinstance(before, dict):
            raise RunError(f"{path}: not a run's settings; choose another workdir")
    if before is None:
        try:
            with atomic_write(path) as temporary:
                pathlib.Path(temporary).write_text(json.dumps(settings, indent=2) + "\n")
        except OSError as error:
            raise RunError(f"{path}: {error.strerror}; choose another workdir") from None
        return
    names = [n for n in {**before, **settings} if before.get(n) != settings.get(n)]
    if names:
        changes = ", ".join(f"{n} was {before.get(n)!r}, is {settings.get(n)!r}" for n in names)
        raise RunError(f"{workdir} holds another run ({changes}): choose another workdir")


def demonstration_files(
    folder: str | os.PathLike[str], name: str, *, key: jax.Array, others: int = 8
) -> list[str]:
    """Writes images to try a zoo generator on; of several processes, the first one does.

    Args:
      folder: Where they go, a folder for each group.
      name: The generator's name in the zoo.
      key: The run's key.
      others: How many images of each group but the generator's own.

    Returns:
      The files.
    """
    if jax.process_index() == 0:
        images_key = jax.random.fold_in(key, 3)
        for group, images in demonstration_images(name, others=others, key=images_key).items():
            for i, pixels in enumerate(images):
                save_png(f"{os.fspath(folder)}/{group}/{i:03d}.png", pixels)
    wait_for_all("images")
    return find_images(os.fspath(folder))


def own_files(
    paths: Iterable[str], workdir: str | os.PathLike[str]
) -> tuple[list[str], pathlib.Path]:
    """What is left of a run for this process, and where it writes records: call it once a run.

    Args:
      paths: The run's files.
      workdir: The run's folder.

    Returns:
      This process's share of the files that have no record yet, and its file of records.

    Raises:
      RecordError: If a file of records in the folder cannot be read.
    """
    # What any process wrote in an earlier run is done; all have read it before one writes.
    done = read_all_records(workdir)
    wait_for_all("resume")
    waiting = own_share([path for path in paths if path not in done])
    name = records_name(jax.process_index(), jax.process_count())
    return waiting, pathlib.Path(workdir) / name


def attribute_files(
    paths: Iterable[str],
    generator: GeneratorLike,
    calibration: Calibration,
    *,
    key: jax.Array,
    writer: RecordWriter,
    alpha: float | None = None,
    beta: float | None = None,
    max_false_attribution: float | None = None,
    resize: bool = False,
    reference: GeneratorLike | None = None,
    full_scores: bool = False,
    blocks: int | None = None,
    statistics: Statistics | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[FileVerdict]:
    """Attributes image files, any number of them; each record is written when it is decided.

    Files are decoded ahead of the inversion, in threads.

    A file that the writer has a record of already is left out. A file that cannot be read gets a
    record with the reason as its error, and the rest goes on.

    Args:
      paths: The files.
      generator: The generator to inspect.
      calibration: Made for this very generator.
      key: A JAX key, for starting points.
      writer: Where the records go.
      alpha: Rate of false exclusion; the calibration's own without it.
      beta: Rate of false attribution; the calibration's own without it.
      max_false_attribution: See `jax_origin.attribute_stream`.
      resize: Whether an image of another size is resized, which its record then says.
      reference: The reference generator, where the calibration was made with one.
      full_scores: Whether the inversion of an image goes on when it is sure to belong.
      blocks: Blocks of lanes on each device at a time; see `jax_origin.invert`.
      statistics: Is added to.
      progress: Called with the number of gradient evaluations done since its last call.

    Yields:
      What became of each file, in the order in which it is known.

    Raises:
      CalibrationError: If the calibration is for another generator, or another reference.
    """
    height, width, _ = generator.image_shape

    def decode(path: str) -> tuple[DecodedImage, Stored] | FileVerdict:
        try:
            return decode_stored(path, size=(height, width), resize=resize)
        except ImageError as error:
            return FileVerdict(path, _record(path, calibration, error=error.reason))

    waiting = (path for path in dict.fromkeys(paths) if path not in writer.done)
    unreadable: list[FileVerdict] = []
    under_way: dict[int, tuple[DecodedImage, Stored]] = {}

    def images() -> Iterator[Stored]:
        count = 0
        for found in map_ahead(decode, waiting):
            if isinstance(found, FileVerdict):
                unreadable.append(found)
                continue
            under_way[count] = found
            count += 1
            yield found[1]

    def known() -> Iterator[FileVerdict]:
        for verdict in attribute_stream(
            images(),
            generator,
            calibration,
            key=key,
            alpha=alpha,
            beta=beta,
            max_false_attribution=max_false_attribution,
            reference=reference,
            full_scores=full_scores,
            blocks=blocks,
            statistics=statistics,
            progress=progress,
        ):
            yield from _taken(unreadable)
            image, stored = under_way.pop(verdict.index)
            record = _record(image.path, calibration, image=image, stored=stored, verdict=verdict)
            yield FileVerdict(image.path, record, image, verdict)
        yield from _taken(unreadable)

    for outcome in known():
        writer.write(outcome.record)
        yield outcome


def _taken(items: list[FileVerdict]) -> Iterator[FileVerdict]:
    while items:
        yield items.pop(0)


def _record(
    path: str,
    calibration: Calibration,
    *,
    image: DecodedImage | None = None,
    stored: Stored | None = None,
    verdict: Verdict | None = None,
    error: str | None = None,
) -> dict[str, Any]:
    found = {
        name: getattr(verdict, name, None)
        for name in (
            *("score", "score_kind", "loss", "p", "condition", "q"),
            *("verdict", "reason", "steps"),
        )
    }
    compared = None
    if stored is not None:
        compared = stored.kind if stored.note is None else f"{stored.kind} ({stored.note})"
    return {
        "path": path,
        "sha256": image.sha256 if image else None,
        "generator": calibration.generator["name"],
        "method": calibration.method["name"],
        **found,
        "stored": compared,
        "note": image.note if image else None,
        "error": verdict.error if verdict else error,
    }
