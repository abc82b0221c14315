"""What was found of a file of another size than the generator's images, in the file's own terms."""

from typing import NamedTuple

from jax_origin.calibration import DRIFT, Decision
from jax_origin.calibration.decision_rules import FITS_NEITHER
from jax_origin.images import Stored, rescaled_words, shows_detail
from jax_origin.inversion import Inversion


class ReadSo(NamedTuple):
    """A decision on an image, what it was read as, and what else it was read as in vain."""

    decision: Decision
    reading: str | None = None
    tried: tuple[str, ...] = ()


def read_so(decision: Decision, image: Stored, found: Inversion) -> ReadSo:
    """The decision on an image that was read as resized; as it is on any other.

    One that does not fit may still be an enlarged part of the generator's image, and is undecided,
    unless it holds finer detail than any enlarged image.
    """
    if not (words := rescaled_words(image)):
        return ReadSo(decision)
    if decision.verdict != "not_recognised" and decision.reason != FITS_NEITHER:
        return ReadSo(decision, reading=words[int(found.reading)])
    if not shows_detail(image):
        reason = f"{DRIFT}: it is not {words[0]} as a whole, but may have been cut before that"
        decision = decision._replace(verdict="undecided", reason=reason)
    return ReadSo(decision, tried=words)
