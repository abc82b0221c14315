"""The methods: a recipe of inversion, a score, a rule and a decision, under one name."""

import dataclasses
from typing import Any, ClassVar

from jax_origin.calibration import (
    Calibration,
    Conformal,
    DecisionRule,
    Grubbs,
    Published,
    Rates,
    Rule,
    TwoErrors,
)
from jax_origin.distances import FileSet
from jax_origin.generators import GeneratorLike
from jax_origin.inversion import Recipe, Stage
from jax_origin.inversion.solvers import GaussNewton, Optax
from jax_origin.inversion.starts import Encoded, Learned, Prior, Start, Undone
from jax_origin.parts import Part, at_least
from jax_origin.scores import CodeRatio, LatentPrior, Loss, Score, Typicality


@dataclasses.dataclass(frozen=True)
class Method(Part):
    """How images are scored, and how a score becomes a verdict.

    Attributes:
      name: What records and calibrations call it.
      recipe: How the latent is found.
      score: What is ranked, one of `jax_origin.scores`.
      rule: How a score becomes p, one of `jax_origin.rules`.
      decision: How p and q become a verdict: `TwoErrors` (both, four cells) or `Published` (p
        alone).
      rates: The rates of error that it is held to, by default.
      draws: Inversions of an image, each with random numbers of its own; its score is the mean of
        theirs. For scores of the latent, where many latents lead to an image.
      floor: Scores are clamped from below here: differences near the loss floor of 8-bit images
        carry no evidence.
      conditions: Edits under which it is calibrated besides images as made.
      num_images: Images of each group that it is calibrated with, unless another number is asked
        for. At a rate of 0.01 a hundred is the least; then the single lowest foreign score, and the
        single highest belonging one, decide. Of two hundred the second does.
      windows: Images may be larger than the generator's: so many windows of its size, those that
        say most, are judged together. 0: images have its size.
    """

    nested: ClassVar = {
        "recipe": Recipe,
        "score": Score,
        "rule": Rule,
        "decision": DecisionRule,
        "rates": Rates,
    }
    name: str
    recipe: Recipe
    _: dataclasses.KW_ONLY
    score: Score = dataclasses.field(default_factory=Loss)
    rule: Rule = dataclasses.field(default_factory=Conformal)
    decision: DecisionRule = dataclasses.field(default_factory=TwoErrors)
    rates: Rates = dataclasses.field(default_factory=lambda: Rates(0.01, 0.01))
    draws: int = 1
    floor: float = 1e-5
    conditions: tuple[str, ...] = ()
    num_images: int = 100
    windows: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "conditions", tuple(self.conditions))
        for name, of in self.nested.items():
            if not isinstance(value := getattr(self, name), of):
                raise ValueError(f"{name} must be an object, a {of.__name__}; got {value!r:.100}")
        at_least("draws", self.draws, 1)
        at_least("windows", self.windows, 0)
        if self.windows and self.score.of_latents:
            raise ValueError(f"windows={self.windows} is not for scores of the latent")
        if self.draws > 1 and not self.score.of_latents:
            raise ValueError(
                f"draws={self.draws} is for scores of the latent, not {self.score.kind!r}: of "
                "distances the lowest counts, and restarts find that"
            )

    @classmethod
    def of(cls, calibration: Calibration) -> "Method":
        """The method that a calibration was made with, its score with what it measured.

        Raises:
          ValueError: If one of its parts is unknown here, or a value is wrong.
        """
        method = cls.from_json(calibration.method)
        fitted = calibration.measured.score
        if fitted is None:
            return method
        return dataclasses.replace(method, score=Score.from_json(fitted))


_EDITS = (
    *("resize-0.75", "resize-0.5", "webp-80", "webp-50"),
    *("jpeg-90", "jpeg-75", "jpeg-50", "jpeg-30"),
)
_HOPS = Stage(GaussNewton(memory=8), steps=12, tolerance=0.2, hop=0.2, rounds=20, evenness=0.88)
_RONAN = Stage(Optax("adam", 0.1, "constant"), steps=1500, objective="l2")
_MEASURED = Stage(Optax("adam", 0.2), steps=1, objective="l2")
_CONSISTENCY = Stage(GaussNewton(), steps=25)


def _of_files(
    name: str, *stages: Stage, start: Start | None = None, windows: int = 0, **options: Any
) -> Method:
    """A method on what files hold, from a start to the floor of 8-bit images; a learned one else.

    Its scores are ratios. Under a hundredth they differ by how much an image says, not by how well
    it is reproduced.
    """
    score, start = CodeRatio(), start or Learned()
    recipe = Recipe(start=start, stages=stages, distance=FileSet(), floor=score.floor, **options)
    return Method(
        name,
        recipe,
        score=score,
        floor=0.01,
        conditions=_EDITS,
        num_images=200,
        windows=windows,
    )


METHODS = {
    method.name: method
    for method in (
        # A learned start and a short descent on the absolute error find the basin; a few
        # Gauss-Newton steps then bring a belonging image to the floor of 8-bit images, and show
        # that a foreign one comes no nearer. Of the recipes that scripts/benchmark.py
        # --suite=recovery compares, none that recovers as many of every generator's images is
        # cheaper by more than a few percent.
        _of_files(
            "origin",
            Stage(Optax("adam", 0.1), steps=10, objective="l1"),
            Stage(GaussNewton(), steps=10, tolerance=0.2),
        ),
        # The same for generators whose latents are badly scaled, such as StyleGAN2's w: a longer
        # descent. What misses little but in few places, as belonging images that are stuck do, has
        # Gauss-Newton go on as long as it gains a little, and then hops, and goes down again.
        _of_files(
            "origin-thorough",
            Stage(Optax("adam", 0.1), steps=50, objective="l1"),
            Stage(GaussNewton(memory=8), steps=60, tolerance=0.1),
            Stage(GaussNewton(memory=8), steps=60, tolerance=0.03, evenness=0.95),
            _HOPS,
        ),
        # For autoencoders: Gauss-Newton from where their own encoder puts the image.
        _of_files(
            "origin-latent",
            Stage(GaussNewton(), steps=10, tolerance=0.1),
            start=Encoded(),
            windows=4,
            lane_block=8,
        ),
        # Wang et al., NeurIPS 2023: Adam at 0.1 for 1,500 steps from one sample of the prior, mean
        # squared error, lowest loss kept, Grubbs' one-sided test at 0.05.
        Method(
            "ronan",
            Recipe(start=Prior(), stages=(_RONAN,)),
            rule=Grubbs(),
            decision=Published(),
            rates=Rates(0.05),
            floor=0.0,
        ),
        # For samplers of many steps, which reproduce every image: the steps are undone one by one.
        # The noise that is found is judged, and whether it leads back as nearly as own images'
        # does. One evaluation of the gradient measures the loss. Many latents lead to an image, and
        # the mean of two draws tells foreign images better than one.
        Method(
            "origin-diffusion",
            Recipe(start=Undone(), stages=(_MEASURED,), lane_block=16),
            score=Typicality(),
            draws=2,
            floor=0.0,
            num_images=200,
        ),
        # For models of one or a few steps from noise of the image's size, which reproduce every
        # image, too. Gauss-Newton from a draw of the prior moves it as little as the image asks
        # for, and the noise that it comes to is judged. From nearer the prior's mean it finds no
        # own image again.
        Method(
            "origin-consistency",
            Recipe(start=Prior(), stages=(_CONSISTENCY,), floor=2e-6, lane_block=16),
            score=LatentPrior(),
            floor=0.0,
            num_images=200,
        ),
    )
}
"""Every method by name."""


def get_method(method: str | Method, generator: GeneratorLike | None = None) -> Method:
    """The method of this name in `METHODS`; a `Method` is returned as it is.

    With a generator, "origin" is the method that suits it (`default_method`).

    Raises:
      ValueError: If there is no such method.
    """
    if isinstance(method, Method):
        return method
    if method == "origin":
        method = getattr(generator, "default_method", method)
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; choose from {', '.join(METHODS)}")
    return METHODS[method]
