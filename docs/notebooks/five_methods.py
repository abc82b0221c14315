# %% [markdown]
# # Five methods on the same images
#
# You score the same small set of images with five methods, and compare how well each tells them apart and what it costs.
# The generator is a small autoencoder from the zoo, of the kind that latent diffusion models decode with.
# With eight images a group the table shows how to compare, not which method is best. [Results](../results.md) have larger counts.

# %%
import dataclasses
import time

import jax
import matplotlib.pyplot as plt
import numpy as np

import jax_origin as jo
from jax_origin.images import photograph_crops

generator = jo.load_generator("autoencoder-tiny-cifar10")
other = jo.load_generator("autoencoder-kl-cifar10")
NUM = 8

# %% [markdown]
# ## The images
#
# An autoencoder has no prior to draw from. Its own images are photographs that it encoded and decoded, a little perturbed.
# Two foreign groups stand against them: photographs as they are, and the same photographs through another autoencoder.
# The second group shows the same pictures as the own images do, and another decoder made it.

# %%
crops, _ = photograph_crops(2 * NUM, (32, 32), seed=0, part="demonstration")
shown, photographs = crops[:NUM], crops[NUM:]
own = jo.reencoded_images(
    generator, shown, key=jax.random.key(0), source="photographs"
)
remade = jo.reencoded_images(
    other, shown, key=jax.random.key(1), source="photographs"
)
foreign = {"photographs": photographs, "other autoencoder": remade.images}

figure, axes = plt.subplots(
    3, 6, figsize=(5.4, 3), num="Six images of each of the three groups"
)
groups = {"own": own.images, "photo": photographs, "other": remade.images}
for row, (name, images) in zip(axes, groups.items(), strict=True):
    for axis, image in zip(row, images, strict=False):
        axis.imshow(image)
        axis.set(xticks=[], yticks=[])
    row[0].set_ylabel(name)
plt.show()

# %% [markdown]
# ## The methods
#
# | name | what it does |
# | --- | --- |
# | `origin-latent` | what `origin` stands for here: the model's own encoder, then Gauss-Newton; the distance is to the file's set |
# | `latent_tracer` | 100 steps of Adam from the encoder's mean |
# | `ronan` | Adam from a random latent; you take 40 steps instead of the published 1,500 |
# | `aedr-mean` | no search: error of the first reconstruction over that of the second |
# | `reconstruction` | no search: SSIM between image and reconstruction |
#
# The last one is the idea of AEROBLADE with another distance. AEROBLADE compares by LPIPS, whose weights do not come with the package;
# with them it is `jo.aeroblade(FILE)`.
#
# `jo.calibrate` scores images of known origin, so it is all you need. An error rate of 12% lets it do with eight images.
# You calibrate no edits. All five methods see the same files.

# %%
methods = {
    name: jo.METHODS[name]
    for name in ("origin-latent", "latent_tracer", "aedr-mean")
}
fewer = (
    jo.Stage(
        jo.solvers.Optax("adam", 0.1, "constant"), steps=40, objective="l2"
    ),
)
ronan = jo.METHODS["ronan"]
methods["ronan"] = dataclasses.replace(
    ronan, recipe=dataclasses.replace(ronan.recipe, stages=fewer, lane_block=8)
)
encoded = jo.Recipe(
    start=jo.starts.Encoded(),
    stages=(jo.Stage(jo.solvers.Measure(), steps=1),),
    distance=jo.distances.SSIM(),
    lane_block=8,
)
methods["reconstruction"] = jo.Method("reconstruction", encoded, floor=0.0)

found = {}
for name, method in methods.items():
    method = dataclasses.replace(
        method, rates=dataclasses.replace(method.rates, alpha=0.12)
    )
    if method.rates.beta is not None:
        method = dataclasses.replace(method, rates=jo.Rates(0.12, 0.12))
    counted, began = jo.Statistics(), time.process_time()
    scores = jo.calibrate(
        generator,
        method=method,
        belonging=own,
        foreign=foreign,
        conditions=(),
        key=jax.random.key(2),
        run=jo.Run(statistics=counted),
    )
    found[name] = scores, counted, time.process_time() - began

# %% [markdown]
# ## The table
#
# The AUC is the chance that an own image has a lower score than a foreign one: 1 is perfect, 0.5 is guessing.
# Seconds are those that one core worked for all 24 images. The programs had been compiled before; the first run takes about twice as long.


# %%
def auc(own, foreign):
    lower = (own[:, None] < foreign).mean() + (
        own[:, None] == foreign
    ).mean() / 2
    return f"{lower:.3f}"


print(
    f"{'':<15}{'AUC, photographs':>17}{'AUC, other model':>17}{'evaluations':>12}{'seconds':>8}"
)
for name, (scores, counted, seconds) in found.items():
    against = [
        auc(scores.belonging, scores.foreign[group].scores) for group in foreign
    ]
    each = counted.evaluations / counted.images
    print(
        f"{name:<15}{against[0]:>17}{against[1]:>17}{each:>12.0f}{seconds:>8.1f}"
    )

# %% [markdown]
# ## The scores
#
# A picture says more than the AUC. It shows how wide the gap is, and which images are the hard ones.

# %%
figure, axes = plt.subplots(
    5,
    1,
    figsize=(6, 6.5),
    num="Scores of the three groups under each of the five methods",
)
for axis, (name, (scores, _, _)) in zip(axes, found.items(), strict=True):
    rows = {"own": scores.belonging}
    rows |= {group: scores.foreign[group].scores for group in foreign}
    for place, (values, colour) in enumerate(
        zip(rows.values(), ["#0072B2", "#D55E00", "#E69F00"], strict=True)
    ):
        axis.plot(
            np.maximum(values, 1e-9),
            np.full(len(values), -place),
            "|",
            color=colour,
            ms=12,
        )
    axis.set(
        xscale="log", yticks=[0, -1, -2], yticklabels=rows, ylim=(-2.6, 0.6)
    )
    axis.set_title(name, loc="left", fontsize=10)
    axis.minorticks_off()
figure.tight_layout()
plt.show()

# %% [markdown]
# ## What the numbers bear
#
# - **They are few.** With 8 images on either side an AUC of 1 means "no overlap in these". Another draw may overlap.
# - **They are not independent.** The photographs are crops of five pictures. Limits must count five sources, not eight crops.
# - **They are small.** The images have 32 by 32 pixels. Nothing here says how the methods do at 512.
# - **`ronan` is cut short.** With the published 1,500 steps it comes nearer to all images.
#
# [Choose a method](../how_to/choosing_a_method.md) says what each is for. The next notebook looks at [what was done to a file](files_and_edits.md).
