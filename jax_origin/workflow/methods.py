"""The methods: a recipe of inversion, a score, a rule and a decision, under one name."""

import dataclasses
import os
from typing import Any, ClassVar

from jax_origin.calibration import (
    Calibration,
    Conformal,
    DecisionRule,
    Grubbs,
    KernelDensity,
    Published,
    Rates,
    Rule,
    Threshold,
    TwoErrors,
)
from jax_origin.distances import LPIPS, FileSet
from jax_origin.generators import GeneratorLike
from jax_origin.inversion import Recipe, Stage
from jax_origin.inversion.solvers import EncoderSteps, GaussNewton, Measure, Optax
from jax_origin.inversion.starts import Encoded, Learned, Prior, Start
from jax_origin.parts import Part, at_least
from jax_origin.scores import (
    CodeRatio,
    DoubleReconstruction,
    Loss,
    NoiseSpectrum,
    Score,
)


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
      enough: Own images whose least score (`Score.least`) is over this say too little to be told
        from others, and would hide all that foreign images show: they are left out of a
        calibration, and images like them are undecided. None: all own images are calibrated.
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
    enough: float | None = None
    windows: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "conditions", tuple(self.conditions))
        for name, of in self.nested.items():
            if not isinstance(value := getattr(self, name), of):
                raise ValueError(f"{name} must be an object, a {of.__name__}; got {value!r:.100}")
        at_least("draws", self.draws, 1)
        at_least("windows", self.windows, 0)
        if self.enough is not None and not self.enough >= 0:
            raise ValueError(f"enough must be 0 or more, or None, not {self.enough!r}")
        if self.windows and self.score.of_latents:
            raise ValueError(f"windows={self.windows} is not for scores of the latent")
        if self.draws > 1 and self.score.twice:
            raise ValueError(f"draws={self.draws} is not for scores of two reconstructions")
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
_CONSISTENCY = Stage(GaussNewton(), steps=6)
_LATENT_TRACER = Stage(Optax("adam", 0.05, "halving"), steps=100, objective="l2")
_SEEN = Stage(Measure(), steps=1)


def _of_files(
    name: str,
    *stages: Stage,
    start: Start | None = None,
    score: CodeRatio | None = None,
    floor: float = 0.01,
    enough: float | None = None,
    windows: int = 0,
    **options: Any,
) -> Method:
    """A method on what files hold, from a start to the score's floor; a learned one else.

    Its scores are ratios. Under the method's floor they differ by how much an image says, not by
    how well it is reproduced.
    """
    score, start = score or CodeRatio(), start or Learned(corrections=4)
    recipe = Recipe(start=start, stages=stages, distance=FileSet(), floor=score.floor, **options)
    return Method(
        name,
        recipe,
        score=score,
        floor=floor,
        conditions=_EDITS,
        num_images=200,
        enough=enough,
        windows=windows,
    )


def _aeroblade(distance: LPIPS) -> Method:
    recipe = Recipe(start=Encoded(sampled=True), stages=(_SEEN,), distance=distance, lane_block=8)
    return Method("aeroblade", recipe, decision=Published(), rates=Rates(0.05), floor=0.0)


def aeroblade(weights: str | os.PathLike[str]) -> Method:
    """AEROBLADE's method: how far an autoencoder's reconstruction is from the image, by LPIPS.

    Nothing is searched for. The latent is a draw from the encoder's posterior, and its image is
    compared by the second layer of VGG-16. (Ricker, Lukovnikov and Fischer, AEROBLADE, CVPR 2024;
    src/aeroblade/image.py and distances.py of jonasricker/aeroblade.) The paper takes the nearest
    of several autoencoders: have an audit compare them as candidates. It publishes no threshold:
    the rule is `Conformal`, at 5% false exclusion. Here arithmetic is in float32, reconstructions
    are not rounded to 8 bits before they are compared, and an autoencoder with a codebook
    quantises. There arithmetic is in float16, reconstructions are written as PNG, and Kandinsky's
    does not quantise.

    Args:
      weights: The file that `jax_origin.distances.convert_lpips` made of the published weights of
        vgg16. A calibration remembers where it lies.

    Raises:
      CheckpointError: If there is no such file.
    """
    return _aeroblade(LPIPS("vgg16", layers=(2,), weights=os.fspath(weights)))


def _aedr(name: str, *, sampled: bool) -> Method:
    recipe = Recipe(start=Encoded(sampled=sampled), stages=(_SEEN,), lane_block=8)
    return Method(
        name,
        recipe,
        score=DoubleReconstruction(),
        rule=KernelDensity(),
        decision=Published(),
        rates=Rates(0.05),
        floor=0.0,
        num_images=500,
    )


METHODS = {
    method.name: method
    for method in (
        # A learned start that is corrected a few times finds the basin, and is looked at; a few
        # Gauss-Newton steps then bring a belonging image to the floor of 8-bit images, and show
        # that a foreign one comes no nearer. Of the recipes that scripts/benchmark.py
        # --suite=recovery compares, none that recovers as many of every generator's images is
        # cheaper by more than a few percent.
        _of_files(
            "origin",
            _SEEN,
            Stage(GaussNewton(iterations=5, memory=5), steps=16, tolerance=0.15),
        ),
        # For generators whose own images it leaves under way: it goes on as long as a step gains a
        # little. A learned start that was trained for longer goes with it.
        _of_files(
            "origin-patient",
            _SEEN,
            Stage(GaussNewton(iterations=5, memory=5), steps=24, tolerance=0.05),
        ),
        # For generators on which that is stuck with too many of their own images, such as
        # StyleGAN2. Gauss-Newton goes on while it gains; what it does not bring to the floor
        # descends again in longer strides, twice. What misses little but in few places, as
        # belonging images that are stuck do, goes on as long as it gains a little, and then hops,
        # and goes down again. Where the encoder sees so little, corrections do not help.
        _of_files(
            "origin-thorough",
            Stage(Optax("adam", 0.1), steps=10, objective="l1"),
            Stage(GaussNewton(memory=8), steps=30, tolerance=0.2),
            Stage(Optax("adam", 0.2), steps=40, objective="l1"),
            Stage(GaussNewton(memory=8), steps=60, tolerance=0.1),
            Stage(Optax("adam", 0.2), steps=60, objective="l1"),
            Stage(GaussNewton(memory=8), steps=60, tolerance=0.1),
            Stage(GaussNewton(memory=8), steps=60, tolerance=0.03, evenness=0.95),
            _HOPS,
            start=Learned(),
        ),
        # For autoencoders: from where the own encoder puts the image, a few steps by that encoder,
        # then Gauss-Newton. A lossy file leaves their many numbers so much room that own images
        # come a thousand times nearer than the floor of others.
        _of_files(
            "origin-latent",
            Stage(EncoderSteps(), steps=4),
            Stage(GaussNewton(), steps=10, tolerance=0.1),
            start=Encoded(),
            score=CodeRatio(floor=1e-9, room=1e-9),
            floor=1e-5,
            enough=1e-3,
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
        # Wang et al., ICML 2024 (ZhentingWang/LatentTracer: ddim_multi_sd_multilatent.py,
        # detection.py): Adam at 0.05 for 100 steps from the encoder's mean, or the quantised latent
        # of a codebook; the rate is halved after the first step and after every fiftieth; mean
        # squared error, lowest loss kept, a threshold set by hand. Where a pixel is clipped, their
        # gradient is 0, and here it passes.
        Method(
            "latent_tracer",
            Recipe(start=Encoded(), stages=(_LATENT_TRACER,), lane_block=8),
            rule=Threshold(1e-4),
            decision=Published(),
            rates=Rates(0.05),
            floor=0.0,
        ),
        # It lacks its weights: see `aeroblade`.
        _aeroblade(LPIPS("vgg16", layers=(2,))),
        # Wang et al., AAAI 2026: two reconstructions, each from a draw of the encoder's posterior;
        # a quantile of a kernel density over 500 own images at 0.05. They resize an image whose
        # sides are no multiples of 8; here its reflection completes it.
        _aedr("aedr", sampled=True),
        # The same from the posterior's mean, which chance plays no part in.
        _aedr("aedr-mean", sampled=False),
        # For samplers of many steps from noise of the image's size. They reproduce every image: how
        # nearly says little. So the noise that the network sees in it is judged. DDIM's inversion
        # (Song et al., ICLR 2021) gives the reconstruction that records and pages show.
        Method(
            "origin-diffusion",
            Recipe(start=Encoded(), stages=(_SEEN,), lane_block=16),
            score=NoiseSpectrum(),
            floor=0.0,
            num_images=200,
        ),
        # For models of one or a few steps. The reconstruction is by Gauss-Newton from a draw of the
        # prior: nearer its mean it finds no own image again.
        Method(
            "origin-consistency",
            Recipe(start=Prior(), stages=(_CONSISTENCY,), floor=2e-6, lane_block=16),
            score=NoiseSpectrum(),
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
      ValueError: If there is no such method, or it needs weights that are not known by a name.
    """
    if isinstance(method, Method):
        return method
    if method == "origin":
        method = getattr(generator, "default_method", method)
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; choose from {', '.join(METHODS)}")
    found = METHODS[method]
    distance = found.recipe.distance
    if isinstance(distance, LPIPS) and distance.weights is None:
        raise ValueError(
            f"method {method!r} needs the weights of LPIPS: give jax_origin.{method}(FILE) instead "
            "of its name, FILE made of the published weights by jax_origin.distances.convert_lpips"
        )
    return found
