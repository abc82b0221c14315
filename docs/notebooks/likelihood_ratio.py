# %% [markdown]
# # From a calibration to a likelihood ratio
#
# You take the scores of a shipped calibration and one new score, and follow it to the end.
# There are two ranks, a verdict, limits on the error, a likelihood ratio, and the chance of being right.
# No image is inverted here. All of it is counting, and you can do it with scores from elsewhere, too.

# %%
import matplotlib.pyplot as plt
import numpy as np

import jax_origin as jo
from jax_origin.calibration import (
    attribution_threshold,
    decide,
    false_attribution,
    limits_of_q,
)
from jax_origin.evidence import LogisticRatio, PavRatio

calibration = jo.load_calibration(jo.load_generator("dcgan-cifar10"))
own, floor = calibration.belonging, calibration.floor
names = ["photographs", "dcgan-cifar10-b", "vae-cifar10", "plain", "faded"]
foreign = {name: calibration.foreign[name] for name in names}
print(f"{'group':<16} {'scores':>6} {'sources':>8} {'lowest':>8} {'median':>8}")
print(
    f"{'own':<16} {own.size:>6} {own.size:>8} {own.min():>8.4f} {np.median(own):>8.4f}"
)
for name, group in foreign.items():
    low, middle = group.scores.min(), np.median(group.scores)
    print(
        f"{name:<16} {group.scores.size:>6} {group.independent:>8} {low:>8.4f} {middle:>8.4f}"
    )

# %% [markdown]
# A low score speaks for the model. Crops of one photograph are one source, and have one vote.

# %%
figure, axis = plt.subplots(
    figsize=(6, 2.8),
    num="Scores of own images and of five foreign groups, on a logarithmic axis",
)
for place, scores in enumerate(
    [own, *(group.scores for group in foreign.values())]
):
    colour = "#D55E00" if place else "#0072B2"
    axis.plot(scores, np.full(scores.size, -place), "|", color=colour)
axis.axvline(floor, color="0.5", linestyle=":")
axis.set(
    xscale="log",
    yticks=-np.arange(6),
    yticklabels=["own", *foreign],
    xlabel="score",
)
plt.show()

# %% [markdown]
# ## p and q are ranks
#
# **p** is the share of own scores that are at least as high. **q** is the largest share, over the groups, of sources that are at most as low.
# The new image counts among them: that is the 1 that is added. Scores under the floor (dotted) count as equal.


# %%
def ranks(score):
    score = max(score, floor)
    p = (1 + np.sum(np.maximum(own, floor) >= score)) / (own.size + 1)
    q = [
        (1 + np.sum(group.counting_scores() <= score)) / (group.independent + 1)
        for group in foreign.values()
    ]
    return p, max(q)


asked = [0.002, 0.05, 0.8]
decisions = decide(asked, calibration, conditions=["as made"])
for score, decision in zip(asked, decisions, strict=True):
    p, q = ranks(score)
    print(
        f"score {score:<6} p {p:.4f}, q {q:.4f} by hand; {decision.p:.4f}, {decision.q:.4f} by decide"
    )
    print(
        f"             {decision.verdict}",
        f"({decision.reason})" if decision.reason else "",
    )

# %% [markdown]
# ## How often foreign images are attributed
#
# On average over calibrations it is at most beta = 1% of each group. For this one calibration the counts say less:
# with 95% confidence the rate is under the limits below. No false attribution in n sources supports 3/n, roughly.

# %%
limits = limits_of_q(foreign, rate=0.01)
for name, group in limits.groups.items():
    print(
        f"{name:<16} {group.independent:>4} sources: at most {group.limit:.2%}"
    )
for rate in (0.05, 0.01, 0.001):
    needed = false_attribution.negatives_needed(rate)
    print(
        f"to keep {rate:.1%} with 95% confidence: {needed:,} sources in each group"
    )
threshold = attribution_threshold(foreign, rate=0.02)
print(f"to keep 2%: attribute scores under {threshold.below:.3f}")

# %% [markdown]
# ## A likelihood ratio
#
# The ratio asks how many times more probable a score is for own images than for those of one foreign group.
# `PavRatio` assumes only that it falls as the score rises, `LogisticRatio` draws a straight line through log score.
# Both stop where the counts do: 200 sources support no ratio over 67 with 95% confidence.

# %%
grid = np.geomspace(floor / 2, 10, 400)
group = foreign["dcgan-cifar10-b"]
models = {
    "PAV": PavRatio(np.maximum(own, floor), group),
    "logistic": LogisticRatio(own, group, floor=floor),
}
figure, axis = plt.subplots(
    figsize=(6, 3),
    num="Likelihood ratio against score: two models, capped on either side",
)
for (name, model), line in zip(models.items(), ["-", "--"], strict=True):
    axis.plot(grid, model.log10_lr(grid), line, label=name)
    low, high = (10**limit for limit in model.limits)
    print(f"{name:<9} from 1/{1 / low:.0f} to {high:.0f}")
axis.axhline(0, color="0.5", linestyle=":")
axis.set(xscale="log", xlabel="score", ylabel="log10 likelihood ratio")
axis.legend()
plt.show()

# %% [markdown]
# Between the highest own and the lowest foreign score there is a gap in the lines. No image was seen there, so there is no ratio.
#
# ## The chance of being right
#
# A ratio is no probability. You multiply it with the odds from before: how common are images of the model among those that you ask about?
# That number does not come from the image. You must say it.

# %%
for share in (0.5, 0.1, 0.01, 0.001):
    odds = 67 * share / (1 - share)
    print(
        f"of one in {1 / share:>5.0f} images: {odds / (1 + odds):6.1%} after a ratio of 67"
    )

# %% [markdown]
# The same count speaks of verdicts. Take a false rate of 1%, and let 99% of own images belong.
# If one image in 1,000 is the model's, so many of the attributed ones are wrong:

# %%
right, wrong = 0.001 * 0.99, 0.999 * 0.01
print(f"{wrong / (right + wrong):.0%}")

# %% [markdown]
# A verdict on one image that was picked for good reasons is one thing. A search through a million images is another:
# for that you need more foreign sources, and a smaller beta.
#
# ## Where to go on
#
# - [p and q](../concepts/p_and_q.md) and [Statistics](../reference/statistics.md) have the rules and the functions.
# - [Read a report](../how_to/reading_a_report.md) says which words the numbers bear.
# - The last notebook puts inversion [inside your own program](own_distance.md).
