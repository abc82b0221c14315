"""Candidates that are loaded once, and asked about one image after the other."""

import dataclasses
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from jax_origin.audit.candidates import Candidate, tell_apart
from jax_origin.audit.findings import Findings, combine
from jax_origin.audit.weighing import Record
from jax_origin.calibration import Rates
from jax_origin.images import ImageError, as_uint8, decode_bytes, open_image
from jax_origin.inversion import Run
from jax_origin.runs.record import RunError, plain_record
from jax_origin.workflow import Attributor, Verdict
from jax_origin.workflow.verdict import PartMap
from jax_origin.zoo import load_generator

_MOST_PIXELS = 1 << 26


class Answer(NamedTuple):
    """What was found of one image.

    Attributes:
      findings: Of this image alone, under the candidates that were asked about.
      candidates: These, with the calibrations that decided.
      left_out: Why others were not asked about, by name.
      pixels: The image as it was examined, uint8 [H, W, C].
      reconstructions: By candidate the nearest image that it was found to make, uint8 [H, W, C].
      maps: By candidate where the part of the image lies that it made, if it made one alone.
    """

    findings: Findings
    candidates: list[Candidate]
    left_out: dict[str, str]
    pixels: NDArray[np.uint8]
    reconstructions: dict[str, NDArray[np.uint8]]
    maps: dict[str, PartMap]

    @property
    def record(self) -> dict[str, Record]:
        """The image's record under each candidate, by its name."""
        return {name: records[0] for name, records in self.findings.records.items()}


class Panel:
    """Several candidates that single images are asked about, one at a time.

    A candidate's generator and programs are made when it is first asked about, and kept. Images are
    inverted in full, as in an audit, so an image has the numbers that an audit gives it.

    Args:
      candidates: As `open_candidates` gives them.
      key: A JAX key, for starting points.
      rates: The rates of error of each candidate; 0.01 where one is None.
      resize: Whether an image of another size is resized.
      readings: What else an image is read as; see `jax_origin.workflow.Attributor`.
      run: Where and how.
      max_pixels: The largest H * W of an image that is opened.

    Raises:
      RunError: There is no candidate, or one has no foreign images to compare with.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        *,
        key: jax.Array,
        rates: Rates | None = None,
        resize: bool = False,
        readings: str = "usual",
        run: Run | None = None,
        max_pixels: int = _MOST_PIXELS,
    ) -> None:
        tell_apart(candidates)
        self.candidates = {candidate.name: candidate for candidate in candidates}
        self.rates = (rates or Rates()).over(Rates(0.01, 0.01))
        self.max_pixels, self._key, self._readings = max_pixels, key, readings
        self._resize = resize
        self._run = dataclasses.replace(run or Run(), progress=self._told)
        self._attributors: dict[tuple[str, str, bool], Attributor] = {}
        self._watch: Callable[[float], None] = lambda share: None
        self._asked, self._done = 1, 0
        self._one_at_a_time = threading.Lock()

    def ask(
        self,
        data: bytes,
        name: str,
        *,
        only: Sequence[str] | None = None,
        resize: bool | None = None,
        watch: Callable[[float], None] | None = None,
    ) -> Answer:
        """Asks which candidate made an image, if any.

        Args:
          data: The bytes of its file.
          name: What to call it.
          only: The candidates to ask about; None for all. Those whose images are of another size
            are left out.
          resize: Whether it is resized; None for what the panel was made with.
          watch: Told the share of the work that is done, from 0 to 1.

        Raises:
          ImageError: It cannot be read, or no candidate makes images of its size.
          RunError: A name in `only` is no candidate, or there is none.
        """
        if unknown := [each for each in only or () if each not in self.candidates]:
            raise RunError(f"no candidate {unknown[0]!r}; there are {', '.join(self.candidates)}")
        wanted = [c for each, c in self.candidates.items() if only is None or each in only]
        if not wanted:
            raise RunError("name at least one candidate")
        with self._one_at_a_time:
            self._watch = watch or (lambda share: None)
            try:
                return self._answer(data, name, wanted, self._resize if resize is None else resize)
            finally:
                self._watch = lambda share: None

    def _answer(self, data: bytes, name: str, wanted: list[Candidate], resize: bool) -> Answer:
        pixels = decode_bytes(data, path=name, max_pixels=self.max_pixels).pixels
        fitting, left_out = [], dict[str, str]()
        for candidate in wanted:
            if reason := _unfit(data, candidate, resize):
                left_out[candidate.name] = reason
            else:
                fitting.append(candidate)
        if not fitting:
            raise ImageError(name, next(iter(left_out.values())))
        told, alike = tell_apart(fitting)
        self._asked = len(told)
        records, made = dict[str, list[Record]](), dict[str, NDArray[np.uint8]]()
        maps = dict[str, PartMap]()
        for self._done, candidate in enumerate(told):
            (verdict,) = self._attributor(candidate, resize)([data])
            if verdict.error is not None:
                left_out[candidate.name] = verdict.error
                continue
            records[candidate.name] = [plain_record({**verdict.record(), "path": name})]
            if verdict.image is not None:
                pixels = verdict.image.pixels
            if (found := _reconstruction(verdict)) is not None:
                made[candidate.name] = found
            if verdict.part is not None:
                maps[candidate.name] = verdict.part
        if not records:
            raise ImageError(name, next(iter(left_out.values())))
        told = [candidate for candidate in told if candidate.name in records]
        findings = combine(
            records,
            {candidate.name: candidate.calibration for candidate in told},
            rates=self.rates,
            indistinguishable=[group for group in alike if set(group) <= set(records)],
        )
        return Answer(findings, told, left_out, pixels, made, maps)

    def _attributor(self, candidate: Candidate, resize: bool) -> Attributor:
        key = candidate.name, candidate.calibration.digest, resize
        if key not in self._attributors:
            self._attributors[key] = Attributor(
                load_generator(candidate.source),
                candidate.calibration,
                key=self._key,
                rates=self.rates,
                full_scores=True,
                resize=resize,
                readings=self._readings,
                run=self._run,
            )
        return self._attributors[key]

    def _told(self, what: str, done: float, total: float | None) -> None:
        part = min(1.0, done / total) if total else 0.0
        self._watch((self._done + part) / self._asked)


def _unfit(data: bytes, candidate: Candidate, resize: bool) -> str | None:
    """Why a candidate cannot be asked about an image, in a few words; None if it can."""
    height, width, channels = candidate.calibration.generator["image_shape"]
    if candidate.calibration.method.get("windows"):
        return None  # Whether a window fits the attributor says.
    try:
        open_image(data, size=(height, width), channels=channels, resize=resize)
    except ImageError as error:
        return error.reason
    except ValueError as error:
        return str(error)
    return None


def _reconstruction(verdict: Verdict) -> NDArray[np.uint8] | None:
    made = verdict.reconstruction
    return None if made is None else as_uint8(made[None])[0]
