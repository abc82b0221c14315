"""diffusers' U-Net with random weights, in the shapes of the published ones but tiny."""

import numpy as np

# google/ddpm-cifar10-32
CIFAR10 = {
    "sample_size": 16,
    "block_out_channels": [16, 32],
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    "layers_per_block": 2,
    "norm_num_groups": 8,
    "norm_eps": 1e-6,
    "attention_head_dim": None,
    "downsample_padding": 0,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
}
# google/ddpm-ema-celebahq-256: attention at neither end
CELEBAHQ = {
    **CIFAR10,
    "block_out_channels": [8, 16, 24],
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    "layers_per_block": 1,
}
# openai/diffusers-cd_imagenet64_l2
IMAGENET64 = {
    "sample_size": 16,
    "block_out_channels": [16, 32, 48],
    "down_block_types": ["ResnetDownsampleBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"],
    "layers_per_block": 1,
    "downsample_type": "resnet",
    "upsample_type": "resnet",
    "resnet_time_scale_shift": "scale_shift",
    "attn_norm_num_groups": 4,
    "norm_num_groups": 8,
    "attention_head_dim": 8,
    "num_class_embeds": 5,
}


def randomised(torch, module, seed=0):
    """Every weight drawn anew, norms far from 1 and 0, so that nothing is hidden by zeros."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if weight.ndim > 1:
                weight.copy_(noise / np.sqrt(max(weight[0].numel(), 1)))
            else:
                weight.copy_(0.3 * noise + ("norm" in name and name.endswith("weight")))
    return module.eval()


def reference_unet(torch, stored, seed=0):
    """The reference network in evaluation mode, and its arrays by name."""
    from diffusers import UNet2DModel

    torch.set_num_threads(1)  # they would spin, waiting for work as small as this
    network = randomised(torch, UNet2DModel(**stored), seed)
    return network, {name: v.numpy() for name, v in network.state_dict().items()}
