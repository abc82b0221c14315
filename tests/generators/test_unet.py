import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_origin.checkpoints import CheckpointError, rename
from jax_origin.generators.files import build
from jax_origin.generators.unet import UNet, UNetConfig
from jax_origin.generators.unet_blocks import GroupNorm
from jax_origin.generators.unet_reference import (
    infer_unet,
    unet_of_diffusers,
    unet_of_openai,
    unet_renames,
)

from .diffusers_unet import CELEBAHQ, CIFAR10, IMAGENET64, reference_unet

pytestmark = pytest.mark.outer

TOLERANCE = 1e-4


class Held(nnx.Module):
    """What holds a U-Net as a generator does."""

    kind = "held"

    def __init__(self, *, unet, rngs):
        self.unet = UNet(UNetConfig.of(unet), rngs=rngs)


def ours(arrays, options):
    config = UNetConfig.of(options)
    renamed = rename(arrays, unet_renames(config))
    return build(Held, {"unet": config}, renamed, source="test").unet


def sample(seed=1, size=16, count=3):
    return np.random.default_rng(seed).normal(size=(count, size, size, 3)).astype(np.float32)


def evaluate(network, images, times, labels=None):
    return np.asarray(jax.jit(lambda x, t, y: network(x, t, y))(images, times, labels))


def max_error(torch, stored, *, labels=None):
    reference, arrays = reference_unet(torch, stored)
    images, times = sample(), np.array([999.0, 500.25, 0.0], np.float32)
    with torch.no_grad():
        theirs = reference(
            torch.tensor(images.transpose(0, 3, 1, 2)),
            torch.tensor(times),
            None if labels is None else torch.tensor(labels),
        ).sample.numpy()
    found = evaluate(ours(arrays, unet_of_diffusers(stored)), images, times, labels)
    assert theirs.std() > 0.1
    return np.abs(found - theirs.transpose(0, 2, 3, 1)).max()


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param(CIFAR10, id="cifar10"),
        pytest.param(CELEBAHQ, id="celebahq"),
        pytest.param(
            {**CIFAR10, "mid_block_scale_factor": 1.4, "downsample_padding": 1, "freq_shift": 0},
            id="padding-1",
        ),
        pytest.param({**CELEBAHQ, "add_attention": False, "attention_head_dim": 8}, id="no-middle"),
    ],
)
def test_one_evaluation_is_diffusers(stored):
    torch = pytest.importorskip("torch")
    assert max_error(torch, stored) < TOLERANCE


@pytest.mark.parametrize("norm", [4, None])
def test_a_labelled_evaluation_is_diffusers(norm):
    torch = pytest.importorskip("torch")
    stored = {**IMAGENET64, "attn_norm_num_groups": norm}
    assert max_error(torch, stored, labels=np.array([0, 4, 2])) < TOLERANCE


BLOCK = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
ENDS = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "class_embedding": "label_emb",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def openai_places(stored):
    """OpenAI's names of diffusers' blocks and attentions, counted as their constructor does."""
    per_level, levels = stored["layers_per_block"], len(stored["block_out_channels"])
    blocks = {f"mid_block.resnets.{i}": f"middle_block.{2 * i}" for i in (0, 1)}
    attentions = {"mid_block.attentions.0": "middle_block.1"}
    at = 1
    for level in range(levels):
        for i in range(per_level):
            blocks[f"down_blocks.{level}.resnets.{i}"] = f"input_blocks.{at}.0"
            attentions[f"down_blocks.{level}.attentions.{i}"] = f"input_blocks.{at}.1"
            at += 1
        blocks[f"down_blocks.{level}.downsamplers.0"] = f"input_blocks.{at}.0"
        at += level < levels - 1
    at = 0
    for step, kind in enumerate(stored["up_block_types"]):
        for i in range(per_level + 1):
            blocks[f"up_blocks.{step}.resnets.{i}"] = f"output_blocks.{at}.0"
            attentions[f"up_blocks.{step}.attentions.{i}"] = f"output_blocks.{at}.1"
            at += 1
        last = 2 if "Attn" in kind else 1
        blocks[f"up_blocks.{step}.upsamplers.0"] = f"output_blocks.{at - 1}.{last}"
    return blocks, attentions


def openai_arrays(torch, stored, *, heads_outermost):
    """The reference network's arrays under OpenAI's names."""
    _, arrays = reference_unet(torch, stored)
    blocks, attentions = openai_places(stored)
    names = dict(ENDS)
    for place, theirs in blocks.items():
        names |= {f"{place}.{layer}": f"{theirs}.{name}" for layer, name in BLOCK.items()}
        names |= {f"{place}.conv": f"{theirs}.{'op' if 'down' in place else 'conv'}"}
    for place, theirs in attentions.items():
        names |= {
            f"{place}.group_norm": f"{theirs}.norm",
            f"{place}.to_out.0": f"{theirs}.proj_out",
        }
    named = {}
    for name in list(arrays):
        layer, _, part = name.rpartition(".")
        if layer in names:
            named[f"{names[layer]}.{part}"] = arrays.pop(name)
    for place, theirs in attentions.items():
        for part in ("weight", "bias"):
            if f"{place}.to_q.{part}" not in arrays:
                continue
            qkv = np.stack([arrays.pop(f"{place}.to_{name}.{part}") for name in "qkv"])
            shape = (3 * qkv.shape[1], *qkv.shape[2:])
            if heads_outermost:  # [3, heads * size, ...] -> [heads, 3, size, ...]
                size = stored["attention_head_dim"]
                qkv = qkv.reshape(3, -1, size, *qkv.shape[2:]).swapaxes(0, 1)
            named[f"{theirs}.qkv.{part}"] = qkv.reshape(shape)
    assert not arrays
    # Theirs are convolutions with kernels of one pixel, along one axis or two.
    for name in list(named):
        if name.endswith(("qkv.weight", "proj_out.weight")):
            named[name] = named[name][..., None]
    return named


@pytest.mark.parametrize(("heads_outermost", "resample"), [(True, "resnet"), (False, "conv")])
def test_openais_names_make_the_same_network(heads_outermost, resample):
    torch = pytest.importorskip("torch")
    stored = {**IMAGENET64, "layers_per_block": 2, "attn_norm_num_groups": 8}
    if resample == "conv":
        kinds = ["DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"]
        stored |= {"down_block_types": kinds, "downsample_type": "conv", "upsample_type": "conv"}
        stored |= {"up_block_types": [kind.replace("Down", "Up") for kind in kinds[::-1]]}
    config = unet_of_diffusers(stored)
    arrays = openai_arrays(torch, stored, heads_outermost=heads_outermost)
    inferred = infer_unet(arrays)
    assert inferred.pop("head_channels") == 64  # shapes cannot say
    assert inferred == {name: config.as_dict()[name] for name in inferred}
    found = ours(arrays, {**config.as_dict(), "heads_outermost": heads_outermost})
    assert found.config == config  # How the file had it makes no other fingerprint.
    assert_same_weights(found, ours(reference_unet(torch, stored)[1], config))


def assert_same_weights(first, second):
    first, second = nnx.state(first), nnx.state(second)
    assert jax.tree.structure(first) == jax.tree.structure(second)
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), first, second))


def test_old_names_of_attention_are_read():
    torch = pytest.importorskip("torch")
    _, arrays = reference_unet(torch, CIFAR10)
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    renamed = {}
    for name, array in arrays.items():
        for new, before in old.items():
            name = name.replace(f".{new}.", f".{before}.")
        renamed[name] = array
    assert set(renamed) != set(arrays)
    config = unet_of_diffusers(CIFAR10)
    assert_same_weights(ours(arrays, config), ours(renamed, config))


@pytest.mark.parametrize("stored", [CIFAR10, CELEBAHQ, IMAGENET64])
def test_a_configuration_is_inferred_from_names_and_shapes(stored):
    torch = pytest.importorskip("torch")
    _, arrays = reference_unet(torch, stored)
    inferred, config = infer_unet(arrays), unet_of_diffusers(stored).as_dict()
    # What shapes cannot say is as published, and these are tiny.
    unsaid = {"head_channels", "norm_groups", "middle_norm_groups"}
    assert {k: v for k, v in inferred.items() if k not in unsaid} == {
        k: config[k] for k in inferred if k not in unsaid
    }


def test_openais_arguments_are_those_of_its_published_model():
    config = unet_of_openai(
        {
            "image_size": 64,
            "num_channels": 192,
            "num_res_blocks": 3,
            "num_head_channels": 64,
            "attention_resolutions": "32,16,8",
            "class_cond": True,
            "use_scale_shift_norm": True,
            "resblock_updown": True,
            "channel_mult": "",
        },
        heads_outermost=False,
    )
    assert config.widths == (192, 384, 576, 768)
    assert config.attention == (1, 2, 3)
    assert (config.blocks, config.classes, config.resample) == (3, 1000, "resnet")
    abstract = nnx.eval_shape(lambda: UNet(config, rngs=nnx.Rngs(0)))
    count = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(abstract)))
    assert count == 295_899_267  # those of diffusers' cd_imagenet64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"down_block_types": ["DownBlock2D", "SkipDownBlock2D"]}, "with a SkipDownBlock2D"),
        ({"up_block_types": ["UpBlock2D", "UpBlock2D"]}, "do not mirror"),
        ({"time_embedding_type": "fourier"}, "time_embedding_type='fourier'"),
        ({"center_input_sample": True}, "center_input_sample=True"),
        ({"class_embed_type": "timestep"}, "class_embed_type='timestep'"),
        ({"act_fn": "gelu"}, "act_fn='gelu'"),
    ],
)
def test_a_network_that_is_not_built_here_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        unet_of_diffusers({**CIFAR10, **change})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": ()}, "1 to 64 widths"),
        ({"widths": (8,), "blocks": 65}, "1 to 64 blocks a level"),
        ({"widths": (8,), "norm_epsilon": 0.0}, "norm_epsilon must be positive"),
        ({"widths": (8,), "resample": "pool"}, "resample must be one of"),
        ({"widths": (8,), "attention": (1,)}, "attention at"),
        ({"widths": (8,), "downsample_padding": 2}, "downsample_padding must be 0 or 1"),
        ({"widths": (8,), "depth": 3}, r"unet: unknown \['depth'\]"),
        ({"blocks": 1}, "unet: it has no widths"),
    ],
)
def test_a_wrong_option_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        UNetConfig.of(options)


def test_a_file_of_something_else_is_refused():
    with pytest.raises(CheckpointError, match="neither conv_in"):
        infer_unet({"main.0.weight": np.zeros(3)})
    with pytest.raises(CheckpointError, match="no whole U-Net"):
        infer_unet({"conv_in.weight": np.zeros((8, 3, 3, 3))})


def tiny():
    """A U-Net of ours with all weights away from zero."""
    config = UNetConfig(widths=(8,), blocks=1, norm_groups=4, middle_norm_groups=4)
    network, rng = UNet(config, rngs=nnx.Rngs(0)), np.random.default_rng(0)
    draw = lambda w: w + 0.1 * jnp.asarray(rng.normal(size=w.shape), w.dtype)  # noqa: E731
    nnx.update(network, jax.tree.map(draw, nnx.state(network)))
    return network


def test_rematerialised_blocks_give_the_same_gradient_and_keep_less():
    network, images, times = tiny(), jnp.asarray(sample(size=8)), jnp.full(3, 10.0)
    gradients, kept = [], []
    for remat in (False, True):
        network.remat = remat

        def loss(x):
            return (network(x, times) ** 2).sum()

        gradients.append(jax.jit(jax.grad(loss))(images))
        pull_back = jax.eval_shape(lambda x, loss=loss: jax.vjp(loss, x)[1], images)
        kept.append(sum(leaf.size for leaf in jax.tree.leaves(pull_back)))
    np.testing.assert_allclose(*gradients, rtol=1e-4, atol=1e-4)
    assert kept[1] < kept[0] / 2


def test_lanes_under_vmap_are_a_batch():
    network, images = tiny(), jnp.asarray(sample(size=8))
    batch = evaluate(network, images, jnp.full(3, 10.0))
    lane = lambda x: network(x[None], jnp.full(1, 10.0))[0]  # noqa: E731
    np.testing.assert_allclose(jax.jit(jax.vmap(lane))(images), batch, atol=1e-4)


def test_half_precision_weights_make_half_precision_work():
    network, images, times = tiny(), jnp.asarray(sample(size=8)), jnp.full(3, 10.0)
    exact = evaluate(network, images, times)
    nnx.update(network, jax.tree.map(lambda w: w.astype(jnp.bfloat16), nnx.state(network)))
    found = evaluate(network, images, times)
    assert found.dtype == np.float32
    assert 0 < np.abs(found - exact).max() < 0.2 * np.abs(exact).max()
    text = jax.jit(lambda x: network(x, times)).lower(images).as_text()
    convolutions = [line for line in text.splitlines() if "stablehlo.convolution" in line]
    assert convolutions
    assert all("bf16" in line.partition("->")[2] for line in convolutions)


def test_group_norm_is_flaxs():
    x = np.random.default_rng(0).normal(3, 2, size=(2, 5, 4, 12)).astype(np.float32)
    ours_, theirs = GroupNorm(12, 3, 1e-5), nnx.GroupNorm(12, 3, epsilon=1e-5, rngs=nnx.Rngs(0))
    scale, bias = np.random.default_rng(1).normal(size=(2, 12)).astype(np.float32)
    for norm in (ours_, theirs):
        norm.scale[...], norm.bias[...] = jnp.asarray(scale), jnp.asarray(bias)
    np.testing.assert_allclose(ours_(x), theirs(x), atol=1e-5)
    with pytest.raises(ValueError, match="12 channels do not divide into 5 groups"):
        GroupNorm(12, 5, 1e-5)
