"""Questions that wait in line: one is answered at a time, and the newest answers are kept."""

import collections
import secrets
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from jax_origin.audit import Answer, Panel
from jax_origin.calibration import CalibrationError
from jax_origin.images import ImageError
from jax_origin.pages import answer_in_json, image_page
from jax_origin.runs import RunError


class Busy(Exception):
    """Too many questions are waiting."""


@dataclass
class Job:
    """A question about one image.

    Attributes:
      name: What the image is called.
      only: The candidates that are asked about; None for all.
      resize: Whether the image is resized; None for what the panel was made with.
      id: Not to be guessed.
      state: "waiting", "running", "done" or "failed".
      share: How much of the work is done, from 0 to 1.
      result: The answer as JSON, once it is done.
      page: The answer as a page, once it is done.
      error: Why there is none, in one line, once it has failed.
      finished: Resolved when it is done or has failed.
    """

    name: str
    only: Sequence[str] | None = None
    resize: bool | None = None
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    state: str = "waiting"
    share: float = 0.0
    result: dict[str, Any] | None = None
    page: str | None = None
    error: str | None = None
    finished: Future[None] = field(default_factory=Future, repr=False)


class Jobs:
    """Answers questions one after the other, in a thread of its own.

    Args:
      panel: Who answers.
      settings: What the pages say that it was asked with.
      most_waiting: How many questions wait at the most.
      most_kept: How many finished ones are kept at the most; the oldest are forgotten.
    """

    def __init__(
        self,
        panel: Panel,
        *,
        settings: dict[str, Any] | None = None,
        most_waiting: int = 32,
        most_kept: int = 64,
    ) -> None:
        self.panel, self._settings = panel, settings or {}
        self._most_waiting, self._most_kept = most_waiting, most_kept
        self._jobs: collections.OrderedDict[str, Job] = collections.OrderedDict()
        self._change = threading.Lock()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="jax_origin jobs")

    def __getitem__(self, name: str) -> Job:
        """The job of that id; a KeyError where there is none, or none any more."""
        return self._jobs[name]

    @property
    def full(self) -> bool:
        """Whether no more questions are taken for now."""
        return len(self._unfinished()) >= self._most_waiting

    def ahead_of(self, job: Job) -> int:
        """How many questions will be answered before this one."""
        unfinished = self._unfinished()
        return unfinished.index(job) if job in unfinished else 0

    def submit(self, job: Job, data: bytes) -> Job:
        """Takes a question about an image, the bytes of a file; raises Busy where it cannot."""
        with self._change:
            if self.full:
                raise Busy
            self._jobs[job.id] = job
            finished = [each for each in self._jobs.values() if each.finished.done()]
            for each in finished[: max(0, len(finished) - self._most_kept)]:
                del self._jobs[each.id]
        self._worker.submit(self._answer, job, data)
        return job

    def close(self) -> None:
        """Ends when the question that is being answered is; the others are given up."""
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _unfinished(self) -> list[Job]:
        return [job for job in self._jobs.values() if not job.finished.done()]

    def _answer(self, job: Job, data: bytes) -> None:
        job.state = "running"

        def watch(share: float) -> None:
            job.share = share

        ask: Callable[..., Answer] = self.panel.ask
        try:
            answer = ask(data, job.name, only=job.only, resize=job.resize, watch=watch)
            page = image_page(answer, data, settings=self._settings)
            job.result, job.page, job.state, job.share = answer_in_json(answer), page, "done", 1.0
        except (ImageError, RunError, CalibrationError) as error:
            # Here there is no flag, but a box to tick, and a parameter.
            job.error = str(error).replace("pass --resize to allow resizing", "have it resized")
            job.state = "failed"
        except Exception as error:
            job.error = f"{job.name}: a fault of the program ({type(error).__name__}: {error})"
            job.state = "failed"
        finally:
            job.finished.set_result(None)
