"""Images for the engine, and those that are under way."""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from jax_origin.inversion.result import Inversion

NEAR = ("floor", "accepted")
"""Endings after which no other reading is tried."""

RACE = 8
"""Of so many readings that race one enters the next stage; at least one."""


class Heat(NamedTuple):
    """Which readings that race go on after a stage.

    Attributes:
      going: So many of the nearest.
      ahead: None, where the nearest's distance is over so many times the median of all.
    """

    going: int
    ahead: float = math.inf


class Item(NamedTuple):
    """An image for the engine.

    Attributes:
      tag: Whatever the caller knows the image by; the result comes with it.
      image: uint8 or float in [0, 1], [H, W, C] of the generator's image shape; or as a file stores
        it, `jax_origin.images.Stored`.
      accept: The image is done as soon as its tracked distance is at this or under it.
      share: Which part of an image it is, for the progress that is told.
      floor: As `Recipe.floor`, for this image: nothing under it makes a difference.
      unit: The levels of futility are times this.
      promising: At this distance or under it the image is not given up.
      ahead: Levels of futility are held against where the image would be so many checks later, were
        it to fall as it did last.
      heats: What becomes of readings that race after each of the first stages; after later ones
        the nearest eighth goes on.
    """

    tag: Any
    image: Any
    accept: float | None = None
    share: float = 1.0
    floor: float = 0.0
    unit: float = 1.0
    promising: float = 0.0
    ahead: float = 0.0
    heats: tuple[Heat, ...] = ()


@dataclasses.dataclass(eq=False)
class Case:
    """An item under way: its readings, and what was found of each.

    They are tried in turn; or race, all at once, and the best alone go on to the next stage.
    """

    item: Item
    readings: list[Any]
    raced: bool = False
    started: int = 0
    held: list[Any] = dataclasses.field(default_factory=list)  # at the entrance of a stage
    found: dict[int, Inversion] = dataclasses.field(default_factory=dict)
    spent: float = 0.0
    told: float = 0.0
    yielded: bool = False

    @property
    def waiting(self) -> int:
        """How many readings have not been started."""
        return len(self.readings) - self.started

    def begin_again(self) -> None:
        """Forgets what was done, but not what was told of it."""
        self.started, self.spent = 0, 0.0
        self.held.clear()
        self.found.clear()

    def counting(self) -> list[Inversion] | None:
        """What was found up to the first reading that is near enough; None as long as one lacks.

        Later ones, which may have been started ahead of their turn, do not count. Of those that
        race all do.
        """
        counting = []
        for index in range(len(self.readings)):
            if index not in self.found:
                return None
            counting.append(self.found[index])
            if counting[-1].ended in NEAR and not self.raced:
                break
        return counting

    def result(self, counting: list[Inversion]) -> Inversion:
        """The nearest reading's inversion, with the evaluations of all that count."""
        nearest = min(counting, key=lambda each: float(each.distance))
        if any(each.ended == "accepted" for each in counting):  # It might have come nearer still.
            nearest = nearest._replace(ended=np.asarray("accepted"))
        return nearest._replace(steps=np.sum([each.steps for each in counting]))


def ahead_of_turn(under_way: Iterable[Case], entering: list[Case], block: int) -> list[Case]:
    """The cases whose further readings begin at once, each as often as it has any.

    When no more images come, a few would run alone in the end. Many are worth waiting for: most are
    not needed, since one before them is near enough.
    """
    waiting = [case for case in under_way if not case.raced]
    ahead = [case for case in waiting for _ in range(case.waiting - (case in entering))]
    return ahead if len(ahead) <= block // 2 else []
