"""Why a diffusion model resists inversion, and what its latents tell: figures of docs/diffusion.md.

python -m benchmarks.diffusion --photographs=CIFAR10.npz --out=FILE.json --picture=FILE.png
python -m benchmarks.diffusion --out=FILE.json --picture=FILE.png    # draws FILE.json again

With --parts some of it is measured, and the rest of FILE.json stays as it is.
"""

import argparse
import json
import logging
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import matplotlib
import numpy as np
from numpy.typing import NDArray

matplotlib.use("agg")

from matplotlib import pyplot

from benchmarks.metrics import auc, tpr_at_fpr
from jax_origin import Recipe, Stage, invert, load_generator
from jax_origin.files import atomic_write
from jax_origin.generators import DDIM, GeneratorLike
from jax_origin.images import load_images
from jax_origin.inversion.solvers import GaussNewton, Measure, Optax
from jax_origin.inversion.starts import Encoded, Prior, Scaled, Undone
from jax_origin.scores import prior_deviance
from jax_origin.workflow import belonging_images

logging.getLogger("matplotlib").setLevel(logging.WARNING)
OTHERS = ("dcgan-cifar10", "vae-cifar10", "consistency-cifar10")
REFERENCE = "vae-cifar10"
DESCENTS = {
    "Adam at 0.1 from a sample of the prior": (Prior(), 0.1),
    "Adam at 0.05 from the DDIM inversion": (Encoded(), 0.05),
}
ONE_STEP, OTHERS_OF_ONE_STEP = (
    "consistency-cifar10",
    ("dcgan-cifar10", "vae-cifar10", "ddim-cifar10"),
)
RECIPES = {
    "Adam at 0.1, 100 steps, from a sample of the prior": Recipe(
        start=Prior(), stages=(Stage(Optax("adam", 0.1), steps=100, objective="l2"),)
    ),
    "50 steps of Adam, 8 of Gauss-Newton, from 0.2 of a sample": Recipe(
        start=Scaled((0.2,)),
        stages=(
            Stage(Optax("adam", 0.1), steps=50),
            Stage(GaussNewton(), steps=8, tolerance=0.1),
        ),
    ),
    "25 steps of Gauss-Newton, from a sample of the prior": Recipe(
        start=Prior(), stages=(Stage(GaussNewton(), steps=25),), floor=2e-6, lane_block=16
    ),
}
SCORES = {
    "loss": "loss",
    "loss over the loss under vae-cifar10": "ratio",
    "norm: how far the mean square is from 1": "norm",
    "whiteness: largest autocorrelation at lag 1": "lag",
    "deviance from N(0, I)": "deviance",
    "`latent_prior`: loss + deviance / size": "latent_prior",
}


def groups(
    inspected: GeneratorLike,
    photographs: str,
    *,
    num: int,
    seed: int,
    others: Sequence[str] = OTHERS,
) -> dict[str, NDArray[np.uint8]]:
    """Images by group, "own" first: uint8 [num, 32, 32, 3] each."""
    keys = jax.random.split(jax.random.key(seed), 1 + len(others))
    files = load_images(photographs)
    chosen = np.random.default_rng(seed).permutation(len(files))[:num]
    made = zip(others, keys[1:], strict=True)
    return {
        "own": belonging_images(inspected, num, key=keys[0]),
        "photographs": files[np.sort(chosen)],
        **{name: belonging_images(load_generator(name), num, key=key) for name, key in made},
    }


def curves(
    inspected: GeneratorLike, images: Mapping[str, NDArray[np.uint8]], *, steps: int
) -> dict[str, dict[str, list[float]]]:
    """Median lowest loss at each tenth step, by descent and group."""
    together = np.concatenate(list(images.values()))
    found = {}
    for name, (start, rate) in DESCENTS.items():
        recipe = Recipe(
            start=start,
            stages=(Stage(Optax("adam", rate), steps=steps, objective="l2"),),
            lane_block=len(together),
        )
        curve = invert(inspected, together, recipe, key=jax.random.key(100)).curve
        parts = np.split(curve, len(images))
        found[name] = {
            group: np.median(part, axis=0).tolist()
            for group, part in zip(images, parts, strict=True)
        }
    return found


def measure(inspected: GeneratorLike, images: NDArray[np.uint8]) -> dict[str, list[float]]:
    """Each score of each image, the steps of the sampler undone."""
    recipe = Recipe(start=Undone(), stages=(Stage(Measure(), steps=1),), lane_block=len(images))
    found = invert(inspected, images, recipe, key=jax.random.key(7))
    latent, loss = found.latent.astype(np.float64), found.loss.astype(np.float64)
    recipe = Recipe(start=Scaled((0.2,)))
    reference = invert(load_generator(REFERENCE), images, recipe, key=jax.random.key(8)).loss
    deviance = prior_deviance(latent)
    made = {
        "loss": loss,
        "ratio": loss / reference,
        "norm": np.abs(np.mean(latent**2, axis=(1, 2, 3)) - 1),
        "lag": _lag(latent),
        "deviance": deviance,
        "latent_prior": loss + deviance / latent[0].size,
        "mean square": np.mean(latent**2, axis=(1, 2, 3)),
    }
    return {name: values.tolist() for name, values in made.items()}


def _lag(latents: NDArray[np.float64]) -> NDArray[np.float64]:
    """The larger absolute autocorrelation of neighbours in a row and in a column."""
    centred = latents - latents.mean(axis=(1, 2), keepdims=True)
    size = np.mean(centred**2, axis=(1, 2, 3))
    below = np.mean(centred[:, 1:] * centred[:, :-1], axis=(1, 2, 3))
    beside = np.mean(centred[:, :, 1:] * centred[:, :, :-1], axis=(1, 2, 3))
    return np.maximum(np.abs(below), np.abs(beside)) / size


def one_step(
    photographs: str, *, num: int, seed: int, known: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Losses and deviances under a consistency model's one step, by recipe and group.

    Recipes that are known are not run again.
    """
    inspected = load_generator(ONE_STEP)
    images = groups(inspected, photographs, num=num, seed=seed, others=OTHERS_OF_ONE_STEP)
    together, found = np.concatenate(list(images.values())), dict(known)
    for name, recipe in RECIPES.items():
        if name in known:
            continue
        inverted = invert(inspected, together, recipe, key=jax.random.key(100))
        found[name] = {"evaluations": float(inverted.steps.mean())}
        measured = {"losses": inverted.loss, "deviances": prior_deviance(inverted.latent)}
        for what, values in measured.items():
            parts = zip(images, np.split(values.astype(np.float64), len(images)), strict=True)
            found[name][what] = {group: some.tolist() for group, some in parts}
    return found


def one_step_table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The median loss of each group, and the AUC against it by loss and by deviance, by recipe."""
    names = list(next(iter(found.values()))["losses"])
    lines = ["| recipe | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
    for recipe, one in found.items():
        own, *_ = one["losses"].values()
        cells = [f"{np.median(own):.1e}"]
        for group, foreign in list(one["losses"].items())[1:]:
            cell = f"{np.median(foreign):.1e}, {auc(own, foreign):.2f}"
            if deviances := one.get("deviances"):
                cell += f", {auc(deviances['own'], deviances[group]):.2f}"
            cells.append(cell)
        lines.append(f"| {recipe} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(content: Mapping[str, Any], path: str) -> None:
    """The curves of the losses, and the scores by group; of what has been measured."""
    figure, axes = pyplot.subplots(1, 4, figsize=(16, 3.6))
    for axis, (name, by_group) in zip(axes, content.get("curves", {}).items(), strict=False):
        for group, curve in by_group.items():
            axis.plot(10 * np.arange(1, len(curve) + 1), curve, label=group)
        axis.set(title=name, yscale="log", xlabel="gradient evaluations", ylabel="median loss")
        axis.axhline(1 / 12 / 255**2, color="0.6", linestyle=":", label="8-bit floor")
        axis.legend(fontsize=8)
    undone = {name: values["deviance"] for name, values in content.get("scores", {}).items()}
    one_step = list(content.get("one_step", {}).values())
    descended = one_step[-1].get("deviances", {}) if one_step else {}
    for axis, by_group, title in (
        (axes[2], undone, "ddim-cifar10, steps undone"),
        (axes[3], descended, f"{ONE_STEP}, Gauss-Newton"),
    ):
        for place, values in enumerate(by_group.values()):
            axis.plot(values, np.full(len(values), place), "|", ms=12)
        axis.set(title=title, xscale="log", xlabel="deviance", yticks=range(len(by_group)))
        axis.set_yticklabels(list(by_group))
        axis.minorticks_off()  # All of them would be written, on top of each other.
        axis.invert_yaxis()
    for axis in axes:
        axis.title.set_fontsize(9)
    figure.tight_layout()
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=80, metadata={"Software": None})
    pyplot.close(figure)


def table(scores: Mapping[str, Mapping[str, list[float]]]) -> str:
    """AUC, and the share of own images under every foreign one, by score and group."""
    own, *foreign = scores
    lines = ["| score | " + " | ".join(foreign) + " |", "| --- |" + " --- |" * len(foreign)]
    for name, score in SCORES.items():
        cells = (
            f"{auc(scores[own][score], scores[group][score]):.2f}, "
            f"{tpr_at_fpr(scores[own][score], scores[group][score], fpr=0.0):.0%}"
            for group in foreign
        )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measures, where photographs are given, and draws."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photographs", help="a folder or npz archive of images of 32x32")
    parser.add_argument("--out", required=True, help="the JSON file to write, or to draw")
    parser.add_argument("--picture", required=True, help="the PNG file to write")
    parser.add_argument("--num", type=int, default=20, help="images of each group")
    parser.add_argument("--num_steps", type=int, default=10, help="steps of the sampler")
    parser.add_argument("--num_curves", type=int, default=6, help="images behind each curve")
    parser.add_argument("--seed", type=int, default=1, help="of the scored images")
    parts = ("scores", "curves", "one_step")
    parser.add_argument("--parts", nargs="+", default=parts, choices=parts, help="what is measured")
    options = parser.parse_args()
    out = pathlib.Path(options.out)
    if options.photographs:
        inspected = load_generator("ddim-cifar10")
        assert isinstance(inspected, DDIM)
        inspected.num_steps = options.num_steps
        kept = ("num", "num_steps", "num_curves", "seed")
        content: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {}
        chosen = {name: getattr(options, name) for name in kept}
        known = content.get("one_step", {}) if content.get("options") == chosen else {}
        content["options"] = chosen
        if "scores" in options.parts:
            content["scores"] = {}
            images = groups(inspected, options.photographs, num=options.num, seed=options.seed)
            for group, some in images.items():
                content["scores"][group] = measure(inspected, some)
                print(group, flush=True)
        if "curves" in options.parts:
            few = groups(inspected, options.photographs, num=options.num_curves, seed=0)
            two = {group: few[group] for group in ("own", "photographs")}
            content["curves"] = curves(inspected, two, steps=100)
        if "one_step" in options.parts:
            content["one_step"] = one_step(
                options.photographs, num=options.num, seed=options.seed, known=known
            )
        with atomic_write(out) as temporary:
            pathlib.Path(temporary).write_text(json.dumps(content, indent=1) + "\n")
    content = json.loads(out.read_text())
    draw(content, options.picture)
    for part, show in (("scores", table), ("one_step", one_step_table)):
        if part in content:
            print(f"{show(content[part])}\n")


if __name__ == "__main__":
    main()
