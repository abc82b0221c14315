# %% [markdown]
# # Files, edits and where an image was changed
#
# You take one image of the generator and do to it what people do: store it as JPEG, mirror it, cut it, paste something in.
# Then you read the verdicts. Some edits are found and undone, some leave no answer.
# The last part shows which pixels of a composed image the generator did not make.

# %%
import io

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageOps

import jax_origin as jo
from jax_origin.images import as_uint8, open_image, photograph_crops

generator = jo.load_generator("dcgan-cifar10")
calibration = jo.load_calibration(generator)
latents = jax.random.normal(jax.random.key(7), (1, *generator.latent_shape))
pixels = as_uint8(generator(latents))[0]
own = Image.fromarray(pixels)

# %% [markdown]
# ## What a file is
#
# A file stands for all images that would have been stored as these very bytes. Of a PNG these are boxes of half a grey level around the pixels.
# Of a JPEG they are boxes around its coefficients, as wide as its quantisation steps. `open_image` shows what was found.


# %%
def stored(image, form="PNG", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


jpeg = stored(own, "JPEG", quality=75)
decoded = Image.open(io.BytesIO(jpeg)).convert("RGB")
for name, data in {
    "PNG": stored(own),
    "JPEG 75": jpeg,
    "JPEG 75, saved as PNG": stored(decoded),
}.items():
    read = open_image(data, size=(32, 32)).stored
    steps = (
        f"{read.tables[0].min()} to {read.tables[0].max()}"
        if read.tables
        else "none"
    )
    print(
        f"{name:<22} {len(data):>5} bytes, kind {read.kind}, steps of brightness: {steps}"
    )

# %% [markdown]
# The third file is a PNG, and its pixels say that they were a JPEG before. It is judged as that JPEG.
#
# ## One image, seven files
#
# You hand over bytes, as you would hand over paths. Each file is compared with own images of its kind alone.

# %%
middle = own.crop((4, 4, 28, 28)).resize((32, 32), Image.Resampling.LANCZOS)
corner = own.crop((0, 0, 25, 25)).resize((32, 32), Image.Resampling.LANCZOS)
crops, sources = photograph_crops(5, (32, 32), seed=0, part="demonstration")
cat = Image.fromarray(crops[sources.index("chelsea")])
pasted = own.copy()
pasted.paste(cat.crop((10, 8, 22, 20)), (18, 18))
files = {
    "as made": stored(own),
    "JPEG 75": jpeg,
    "JPEG 75, then PNG": stored(decoded),
    "mirrored": stored(ImageOps.mirror(own)),
    "middle, enlarged": stored(middle),
    "corner, then JPEG": stored(corner, "JPEG", quality=75),
    "a part pasted in": stored(pasted),
}
attributor = jo.Attributor(generator, calibration, key=jax.random.key(1))
verdicts = attributor(list(files.values()))
for name, verdict in zip(files, verdicts, strict=True):
    said = verdict.reading or verdict.condition or "accepted early"
    why = f" ({verdict.reason})" if verdict.verdict == "undecided" else ""
    print(
        f"{name:<18} p {verdict.p:.3f}  q {verdict.q:.3f}  {verdict.verdict}{why}; {said}"
    )

# %%
figure, axes = plt.subplots(
    1, 7, figsize=(7, 1.6), num="The seven files and their verdicts"
)
for axis, name, data, verdict in zip(
    axes, files, files.values(), verdicts, strict=True
):
    axis.imshow(Image.open(io.BytesIO(data)))
    axis.set(xticks=[], yticks=[])
    axis.set_title(name.replace(", ", ",\n"), fontsize=7)
    axis.set_xlabel(verdict.verdict.replace("_", "\n"), fontsize=7)
plt.show()

# %% [markdown]
# - The mirrored image does not fit as it is, so it was read again as turned or mirrored. `reading` says how it fits.
#   Each further try is one more chance for a foreign image, so q is larger.
# - The middle shows in its pixels that it was enlarged, and from which size.
# - A corner that was stored as JPEG is lost: nothing in the file says where the cut lies.
# - Nor does the generator make the image with the cat's eye. "Not recognised" is right, and does not say that most of it is the generator's.
#
# ## Where was it changed?
#
# You look for the image of the generator that fits *most* pixels, and see where it does not fit.
# So the search should not care how far off a few pixels are: a robust distance does that. It is a part of your own, in four lines.

# %%
import dataclasses


@dataclasses.dataclass(frozen=True)
class Robust(jo.distances.Distance):
    kind = "robust"
    scale: float = 0.05  # An error of this size counts half.

    def residual(self, images, targets):
        off = images - targets
        return off / jnp.sqrt(off**2 + self.scale**2)


recipe = jo.Recipe(
    start=jo.starts.Prior(),
    stages=(
        jo.Stage(jo.solvers.Optax("adam", 0.1), steps=200, objective="l2"),
    ),
    distance=Robust(),
    restarts=8,
)
asked = np.stack([pixels, np.asarray(pasted), np.asarray(cat)])
found = jo.invert(generator, asked, recipe, key=jax.random.key(3))
away = abs(asked / 255 - found.reconstruction).max(axis=-1)

# %%
figure, axes = plt.subplots(
    3,
    3,
    figsize=(5, 5),
    num="Image, nearest image and map of what the generator did not make",
)
names = ["as made", "a part pasted in", "a photograph"]
for row, name, image, made, off in zip(
    axes, names, asked, found.reconstruction, away, strict=True
):
    row[0].imshow(image)
    row[1].imshow(made)
    row[2].imshow(off, cmap="magma", vmin=0, vmax=0.3)
    row[0].set_ylabel(name)
    for axis in row:
        axis.set(xticks=[], yticks=[])
for axis, title in zip(axes[0], ["image", "nearest image", "map"], strict=True):
    axis.set_title(title)
plt.show()

inside = np.zeros((32, 32), bool)
inside[18:30, 18:30] = True
print(f"error where the cat was pasted in: {away[1][inside].mean():.3f}")
print(f"error elsewhere:                   {away[1][~inside].mean():.3f}")

# %% [markdown]
# The map is dark where the generator made the pixels, and bright where the cat came in. Of a photograph the generator makes the colours, and neither eyes nor nose.
#
# A map is a picture to look at, not a verdict. No calibration stands behind it, so it has no p and no limits.
#
# ## Where to go on
#
# - [What a file is](../concepts/files.md), [conditions and readings](../concepts/conditions.md), and [what comes out after which edit](../readings.md).
# - [Judge a JPEG from the net](../how_to/jpeg_from_the_net.md) has the commands.
# - The next notebook goes from scores to [a likelihood ratio](likelihood_ratio.md).
