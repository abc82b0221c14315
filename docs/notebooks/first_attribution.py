# %% [markdown]
# # A first attribution
#
# You ask a small generator about two images: one that it made, and a photograph.
# It finds the first one again to about one grey level, and comes nowhere near the second. That gap is the evidence.
# You need ten lines for it. The generator `dcgan-cifar10` and its calibration come with the package.

# %%
import textwrap

import jax
import matplotlib.pyplot as plt
import numpy as np

import jax_origin as jo
from jax_origin.evidence import explain
from jax_origin.images import as_uint8, photograph_crops

generator = jo.load_generator("dcgan-cifar10")
calibration = jo.load_calibration(generator)
print(
    f"{generator.latent_shape} numbers in, an image of {generator.image_shape} out"
)
print(
    f"calibrated on {calibration.belonging.size} own images, and on foreign ones:"
)
print(", ".join(name for name in calibration.foreign if " after " not in name))

# %% [markdown]
# ## Two images
#
# The first one is the generator's own: you draw a latent, and the generator makes an image of it.
# Then you forget the latent. A file has 8 bits a channel, so the image is rounded.
# The second one is a crop of a photograph of a cat. The calibration has never seen that photograph.

# %%
latents = jax.random.normal(jax.random.key(7), (1, *generator.latent_shape))
own = as_uint8(generator(latents))
crops, sources = photograph_crops(5, (32, 32), seed=0, part="demonstration")
foreign = crops[[sources.index("chelsea")]]
images = np.concatenate([own, foreign])

# %% [markdown]
# ## The verdicts
#
# `jo.attribute` inverts the generator for each image: it searches for the latent whose image is nearest.
# It ranks how near it came among the scores of the calibration. That gives two numbers:
# **p** is small if the image does not fit own images, **q** is small if it does not fit foreign ones.

# %%
verdicts = jo.attribute(images, generator, calibration, key=jax.random.key(1))
for name, verdict in zip(["own", "photograph"], verdicts, strict=True):
    print(
        f"{name:<10} {verdict.verdict:<14} p {verdict.p:.3f}  q {verdict.q:.3f}"
    )
    print(
        f"{'':<10} loss {verdict.loss:.6f} after {verdict.steps} gradient evaluations"
    )

# %% [markdown]
# ## The same in plain words
#
# `explain` turns a verdict into a paragraph for readers without statistics.
# It says what the numbers rest on. `jax-origin attribute --explain` prints the same.

# %%
for name, verdict in zip(
    ["The image", "The photograph"], verdicts, strict=True
):
    early = verdict.score_kind == "upper_bound"
    words = explain(
        verdict.decision,
        calibration,
        score=verdict.score,
        early=early,
        tried=verdict.tried,
        image=name.lower(),
    )
    print(f"{name}\n{textwrap.fill(words, 78)}\n")

# %% [markdown]
# ## What the generator came to
#
# A verdict holds the nearest image that was found. The difference shows where it misses.
# Of the own image about one grey level is left. Of the photograph the generator gets the colours, and no cat.

# %%
figure, axes = plt.subplots(
    2,
    3,
    figsize=(5.4, 3.8),
    num="Image, nearest image, difference: black for the own image",
)
titles = ["image", "nearest image", "difference, ×8"]
for row, name, image, verdict in zip(
    axes, ["own", "photograph"], images, verdicts, strict=True
):
    shown = image / 255
    away = np.clip(8 * abs(shown - verdict.reconstruction), 0, 1)
    for axis, picture, title in zip(
        row, [shown, verdict.reconstruction, away], titles, strict=True
    ):
        axis.imshow(picture)
        axis.set(xticks=[], yticks=[], title=title if name == "own" else "")
    row[0].set_ylabel(name)
plt.show()

# %% [markdown]
# ## What you may conclude
#
# "Belongs" says that this model makes this picture. It does not say who ran it.
# "Not recognised" says that nothing speaks for this model. It does not say who made the image instead.
#
# - [Inversion](../concepts/inversion.md) explains the search, [p and q](../concepts/p_and_q.md) the two numbers.
# - The next notebook asks about [a generator of your own](own_generator.md).
