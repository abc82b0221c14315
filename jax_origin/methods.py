"""The named methods: inversion settings, score and decision under one name."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from jax_origin.calibration import RULES
from jax_origin.calibration.calibration import DECISIONS
from jax_origin.generators import GeneratorLike
from jax_origin.inversion import Descent, InversionConfig
from jax_origin.score import OF_LATENTS, SCORES, Typical


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
    """How images are scored, and how a score becomes a verdict.

    Attributes:
      name: What records and calibrations call it.
      inversion: How the latent is found.
      score: One of `jax_origin.score.SCORES`.
      draws: Inversions of an image, each with random numbers of its own; its score is the mean of
        theirs. For scores of the latent, where many latents lead to an image.
      typical: What the score "typicality" compares with; `jax_origin.calibrate` measures it.
      rule: One of `jax_origin.calibration.RULES`: how a score becomes p.
      decision: "two_errors" (p and q, four cells) or "published" (p alone).
      alpha: Rate of false exclusion, by default.
      beta: Rate of false attribution, by default; None where the decision has none.
      floor: Scores are clamped from below here: differences near the loss floor of 8-bit images
        carry no evidence.
      conditions: Edits under which it is calibrated besides images as made.
      num_images: Images of each group that it is calibrated with, unless another number is asked
        for. At a rate of 0.01 a hundred is the least; then the single lowest foreign score, and the
        single highest belonging one, decide. Of two hundred the second does.
    """

    name: str
    inversion: InversionConfig
    score: str = "loss"
    draws: int = 1
    typical: Typical | None = None
    rule: str = "conformal"
    decision: str = "two_errors"
    alpha: float = 0.01
    beta: float | None = 0.01
    floor: float = 1e-5
    conditions: tuple[str, ...] = ()
    num_images: int = 100

    def __post_init__(self) -> None:
        object.__setattr__(self, "conditions", tuple(self.conditions))
        if self.typical is not None:
            object.__setattr__(self, "typical", Typical(*self.typical))
        for field, known in (("score", SCORES), ("rule", RULES), ("decision", DECISIONS)):
            if getattr(self, field) not in known:
                raise ValueError(
                    f"{field}={getattr(self, field)!r}: choose from {', '.join(known)}"
                )
        if not isinstance(self.draws, int) or self.draws < 1:
            raise ValueError(f"draws must be a whole number of at least 1, not {self.draws!r}")
        if self.draws > 1 and self.score not in OF_LATENTS:
            raise ValueError(
                f"draws={self.draws} is for scores of the latent, not {self.score!r}: of losses the"
                " lowest counts, and restarts find that"
            )

    def evaluations(self, latent_shape: tuple[int, ...]) -> int:
        """Gradient evaluations that an image takes at the most, all draws together."""
        return self.draws * self.inversion.evaluations(latent_shape)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; `from_dict` reads them."""
        return {**dataclasses.asdict(self), "inversion": self.inversion.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Method":
        """A method from plain JSON values, such as a calibration holds.

        Raises:
          ValueError: If a name is unknown or a value is wrong.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        fields = {name: value for name, value in values.items() if name in names}
        return cls(**{**fields, "inversion": InversionConfig.from_dict(values["inversion"])})


_EDITS = (
    *("resize-0.75", "resize-0.5", "webp-80"),
    *("jpeg-90", "jpeg-75", "jpeg-50", "jpeg-30"),
)

METHODS = {
    # A learned start and a short descent on the absolute error find the basin; a few Gauss-Newton
    # steps then bring a belonging image to the floor of 8-bit images, and show that a foreign one
    # comes no nearer. Of the recipes that scripts/benchmark.py --suite=recovery compares, none
    # that recovers as many of every generator's images is cheaper by more than a few percent.
    "origin": Method(
        name="origin",
        inversion=InversionConfig(
            start="learned",
            restarts=1,
            scales=(0.0,),
            stages=(
                Descent(steps=10, objective="stored_l1", learning_rate=0.1),
                Descent(steps=10, solver="gauss_newton", tolerance=0.2),
            ),
            distance="stored",
            floor=5e-7,
        ),
        floor=5e-7,
        conditions=_EDITS,
        num_images=200,
    ),
    # The same for generators whose latents are badly scaled, such as StyleGAN2's w: a longer
    # descent; and what misses little but in few places, as belonging images that are stuck do, has
    # Gauss-Newton go on as long as it gains a little, and then hops, and goes down again.
    "origin-thorough": Method(
        name="origin-thorough",
        inversion=InversionConfig(
            start="learned",
            restarts=1,
            scales=(0.0,),
            stages=(
                Descent(steps=50, objective="stored_l1", learning_rate=0.1),
                Descent(steps=60, solver="gauss_newton", tolerance=0.1, options={"memory": 8}),
                Descent(
                    steps=60,
                    solver="gauss_newton",
                    tolerance=0.03,
                    options={"memory": 8},
                    evenness=0.95,
                ),
                Descent(
                    steps=12,
                    solver="gauss_newton",
                    tolerance=0.2,
                    options={"memory": 8},
                    hop=0.2,
                    rounds=20,
                    evenness=0.88,
                ),
            ),
            distance="stored",
            floor=5e-7,
        ),
        floor=5e-7,
        conditions=_EDITS,
        num_images=200,
    ),
    # Wang et al., NeurIPS 2023: Adam at 0.1 for 1,500 steps from one sample of the prior, mean
    # squared error, lowest loss kept, Grubbs' one-sided test at 0.05.
    "ronan": Method(
        name="ronan",
        inversion=InversionConfig(
            start="prior",
            restarts=1,
            stages=(Descent(steps=1500, objective="l2", learning_rate=0.1, schedule="constant"),),
        ),
        rule="grubbs",
        decision="published",
        alpha=0.05,
        beta=None,
        floor=0.0,
    ),
    # For samplers of many steps, which reproduce every image: the steps are undone one by one, and
    # the noise that is found is judged, and whether it leads back as nearly as own images' does.
    # One evaluation of the gradient measures the loss. Many latents lead to an image, and the mean
    # of two draws tells foreign images better than one.
    "origin-diffusion": Method(
        name="origin-diffusion",
        inversion=InversionConfig(
            start="undone",
            restarts=1,
            stages=(Descent(steps=1, objective="l2"),),
            lane_block=16,
        ),
        score="typicality",
        draws=2,
        floor=0.0,
        num_images=200,
    ),
    # For models of one or a few steps from noise of the image's size, which reproduce every image,
    # too: Gauss-Newton from a draw of the prior moves it as little as the image asks for, and the
    # noise that it comes to is judged. From nearer the prior's mean it finds no own image again.
    "origin-consistency": Method(
        name="origin-consistency",
        inversion=InversionConfig(
            start="prior",
            restarts=1,
            stages=(Descent(steps=25, solver="gauss_newton"),),
            floor=2e-6,
            lane_block=16,
        ),
        score="latent_prior",
        floor=0.0,
        num_images=200,
    ),
}
"""Every method by name."""

ORIGIN_OF_KIND = {
    "stylegan2_ada": "origin-thorough",
    "ddim": "origin-diffusion",
    "consistency": "origin-consistency",
}
"""What "origin" stands for, by the kind of a generator's family; for all others it is itself."""


def get_method(method: str | Method, generator: GeneratorLike | None = None) -> Method:
    """The method of this name; a `Method` is returned as it is.

    Args:
      method: A name in `METHODS`, or a method.
      generator: What is inspected by it: "origin" is then the recipe of its family.

    Raises:
      ValueError: If there is no such method.
    """
    if isinstance(method, Method):
        return method
    if method == "origin":
        method = ORIGIN_OF_KIND.get(getattr(generator, "kind", ""), method)
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; choose from {', '.join(METHODS)}")
    return METHODS[method]
