"""Autoencoders of diffusers with random weights, and the folders and files that hold them."""

import json

import numpy as np

from jax_origin.checkpoints import write_safetensors

SD = {
    "_class_name": "AutoencoderKL",
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 512,
    "scaling_factor": 0.18215,
}
SDXL = {**SD, "sample_size": 1024, "scaling_factor": 0.13025}
FLUX1 = {
    **SD,
    "latent_channels": 16,
    "scaling_factor": 0.3611,
    "shift_factor": 0.1159,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}
SD3 = {**FLUX1, "scaling_factor": 1.5305, "shift_factor": 0.0609}
FLUX2 = {
    "_class_name": "AutoencoderKLFlux2",
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "latent_channels": 32,
}
VQ_DIFFUSION = {
    "_class_name": "VQModel",
    "block_out_channels": [128, 128, 256, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 3 + ["AttnDownEncoderBlock2D"],
    "up_block_types": ["AttnUpDecoderBlock2D"] + ["UpDecoderBlock2D"] * 3,
    "layers_per_block": 2,
    "latent_channels": 256,
    "num_vq_embeddings": 64,
}
MOVQ = {
    **VQ_DIFFUSION,
    "latent_channels": 4,
    "vq_embed_dim": 4,
    "norm_type": "spatial",
}
TAESD = {"_class_name": "AutoencoderTiny"}


def narrowed(config, width=32):
    """The same at a few channels, for tests that need no true widths."""
    return {**config, "block_out_channels": [width] * len(config["block_out_channels"])}


def reference(torch, config, seed=0):
    """The reference network, in evaluation mode; its norms and biases differ from 1 and 0."""
    import diffusers

    torch.manual_seed(seed)
    options = {name: value for name, value in config.items() if name != "_class_name"}
    model = getattr(diffusers, config["_class_name"])(**options).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.ndim == 1:
                value.add_(0.1 * torch.randn_like(value))
            if "quantize" in name:
                value.normal_()
        for value in model.buffers():
            if value.is_floating_point():
                value.copy_(torch.rand_like(value) + 0.5)
    return model


def arrays_of(model):
    """Its weights by name."""
    return {name: value.numpy() for name, value in model.state_dict().items()}


def write_folder(path, config, arrays):
    """A model's folder, as diffusers saves it."""
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(config))
    write_safetensors(path / "diffusion_pytorch_model.safetensors", arrays)
    return path


def images(count=2, height=64, width=64, seed=1):
    """Smooth pictures with some noise, float32 [N, H, W, 3] in [0, 1]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / 16
    waves = np.sin(x[None, ..., None] * rng.normal(size=(count, 1, 1, 3)) + y[None, ..., None])
    noise = rng.normal(size=(count, height, width, 3))
    return np.clip(0.5 + 0.3 * waves + 0.05 * noise, 0, 1).astype(np.float32)
