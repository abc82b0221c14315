"""The published recipe in PyTorch, on the zoo's own weights: what jax_origin is timed against.

Wang et al., "Where Did I Come From? Origin Attribution of AI-Generated Images", NeurIPS 2023. For
each image a latent from N(0, I), Adam at 0.1, 1,500 steps, mean squared error, the lowest loss
kept. Written from the paper's description, eager, and as fast as that recipe allows. Weights are
frozen, so that no gradient of them is taken, and the network is in evaluation mode. Nothing is
copied to the host before the end. As many threads compute as are quickest on the machine.
"""

import time
from collections.abc import Iterator

import jax
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.peers import PeerRun
from benchmarks.subjects import Images, usable_cpus
from jax_origin.generators import DCGAN, VAE, GeneratorLike
from jax_origin.generators.base import flat_weights

_RATE = 0.1


class TorchRecipe:
    """A recipe of Adam, one image at a time or in batches; a `jax_origin` benchmark's peer.

    Args:
      device: PyTorch's name of the device.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._threads: dict[int, int] = {}

    def start(self, images: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
        """Where images [N, C, H, W] in [0, 1] begin, on their device."""
        raise NotImplementedError

    def render(self, latents: torch.Tensor) -> torch.Tensor:
        """The images of latents, [N, C, H, W] in [0, 1]."""
        raise NotImplementedError

    def descend(self, images: torch.Tensor, latents: torch.Tensor, steps: int) -> torch.Tensor:
        """The lowest mean squared errors of images that so many steps of Adam come to, [N]."""
        latents = latents.clone().requires_grad_()
        optimizer = torch.optim.Adam([latents], lr=self.rate(0))
        lowest = torch.full((len(images),), float("inf"), device=images.device)
        for step in range(steps):
            made = self.render(latents)
            losses = functional.mse_loss(made, images, reduction="none").mean(dim=(1, 2, 3))
            lowest = torch.minimum(lowest, losses.detach())
            optimizer.zero_grad()
            # Images of a batch do not touch each other: each gets its own gradient.
            losses.sum().backward()
            optimizer.param_groups[0]["lr"] = self.rate(step)
            optimizer.step()
        return lowest

    def rate(self, step: int) -> float:
        """Adam's rate at a step, from 0."""
        raise NotImplementedError

    @property
    def description(self) -> str:
        """What it ran with, in words."""
        threads = ", ".join(f"{n} for a batch of {b}" for b, n in self._threads.items())
        where = f"threads: {threads}" if self._device == "cpu" else self._device
        return f"PyTorch {torch.__version__} eager, {where}"

    def invert(self, images: Images, *, steps: int, batch: int, seed: int) -> PeerRun:
        """Inverts images, `batch` at a time.

        Args:
          images: uint8 [N, H, W, C].
          steps: Steps of each.
          batch: How many are inverted together; they do not touch each other.
          seed: For the starting points.

        Returns:
          Lowest losses, and the seconds that each batch took.
        """
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().float() / 255
        batches = pixels.to(self._device).split(batch)
        draws = torch.Generator().manual_seed(seed)
        losses, seconds = [], []
        before = torch.get_num_threads()
        try:
            for targets in batches:
                torch.set_num_threads(self._best_threads(targets))
                self._wait()
                began = time.perf_counter()
                lowest = self.descend(targets, self.start(targets, draws), steps)
                self._wait()
                seconds.append(time.perf_counter() - began)
                losses.append(lowest.double().cpu().numpy())
        finally:
            torch.set_num_threads(before)
        return PeerRun(np.concatenate(losses), seconds, [len(targets) for targets in batches])

    def _best_threads(self, targets: torch.Tensor) -> int:
        if len(targets) not in self._threads:
            latents = self.start(targets, torch.Generator().manual_seed(0))
            steps = 20 if len(targets) == 1 else 3
            tried = {}
            for threads in _thread_counts() if self._device == "cpu" else [1]:
                torch.set_num_threads(threads)
                self.descend(targets, latents, 3)
                began = time.perf_counter()
                self.descend(targets, latents, steps)
                tried[threads] = time.perf_counter() - began
            self._threads[len(targets)] = min(tried, key=lambda threads: tried[threads])
        return self._threads[len(targets)]

    def _wait(self) -> None:
        if self._device != "cpu":
            torch.cuda.synchronize()


class TorchRecipes(TorchRecipe):
    """The recipe of RONAN.

    Args:
      generator: One of `jax_origin.generators.DCGAN` and `VAE`.
      device: PyTorch's name of the device.

    Raises:
      TypeError: If the generator is another one.
    """

    def __init__(self, generator: GeneratorLike, *, device: str = "cpu"):
        super().__init__(device)
        self._model = torch_generator(generator).to(device)
        self._latent_shape = tuple(generator.latent_shape)

    def start(self, images: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
        """Draws of N(0, I)."""
        return torch.randn(len(images), *self._latent_shape, generator=draws).to(self._device)

    def render(self, latents: torch.Tensor) -> torch.Tensor:
        """The generator's images."""
        made: torch.Tensor = self._model(latents)
        return made

    def rate(self, step: int) -> float:
        """A tenth throughout."""
        return _RATE


def make_peer(generator: GeneratorLike) -> TorchRecipes:
    """The recipe for a generator, on the kind of device that JAX uses.

    Raises:
      TypeError: If there is no PyTorch counterpart of the generator.
    """
    return TorchRecipes(generator, device=torch_device())


def torch_device() -> str:
    """PyTorch's name of the kind of device that JAX uses."""
    on_gpu = jax.default_backend() == "gpu" and torch.cuda.is_available()
    return "cuda" if on_gpu else "cpu"


def torch_generator(generator: GeneratorLike) -> nn.Module:
    """The same network in PyTorch, with the same weights: frozen, in evaluation mode.

    Args:
      generator: One of `jax_origin.generators.DCGAN` and `VAE` (of which the decoder is taken).

    Returns:
      A module from latents [N, D] to images [N, C, H, W] in [0, 1].

    Raises:
      TypeError: If the generator is another one.
    """
    arrays = {name: np.array(array) for name, array in flat_weights(generator).items()}
    if isinstance(generator, DCGAN):
        made: nn.Module = _Dcgan(generator, arrays)
    elif isinstance(generator, VAE):
        made = _Decoder(generator, arrays)
    else:
        raise TypeError(f"there is no PyTorch counterpart of {type(generator).__name__}")
    return made.eval().requires_grad_(False)


class _Dcgan(nn.Module):
    def __init__(self, generator: DCGAN, arrays: dict[str, np.ndarray]):
        super().__init__()
        layers: list[nn.Module] = []
        for i in range(len(generator.stages)):
            place = (1, 0) if i == 0 else (2, 1)
            layers.append(_transposed(arrays[f"stages.{i}.conv.kernel"], *place))
            layers += [_norm(arrays, f"stages.{i}.norm"), nn.ReLU(inplace=True)]
        layers.append(_transposed(arrays["output.kernel"], 2, 1))
        self.layers = nn.Sequential(*layers, nn.Tanh())
        self.output_size = generator.output_size

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        images = self.layers(latents[:, :, None, None]) / 2 + 0.5
        if self.output_size:
            size = (self.output_size, self.output_size)
            images = functional.interpolate(images, size, mode="bilinear", antialias=False)
        return images


class _Decoder(nn.Module):
    def __init__(self, generator: VAE, arrays: dict[str, np.ndarray]):
        super().__init__()
        kernel, bias = arrays["project.kernel"], arrays["project.bias"]
        self.project = nn.Linear(*kernel.shape)
        # Ours gives the grid as [4, 4, C], PyTorch's as [C, 4, 4].
        self.project.weight.data = _tensor(_channels_first(kernel.T))
        self.project.bias.data = _tensor(_channels_first(bias))
        layers: list[nn.Module] = []
        for i in range(len(generator.decoder)):
            layers += [_norm(arrays, f"decoder.{i}.norm"), nn.ReLU(inplace=True)]
            layers.append(_transposed(arrays[f"decoder.{i}.conv.kernel"], 2, 1))
        self.layers = nn.Sequential(*layers, nn.Sigmoid())

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        return self.layers(self.project(latents).reshape(len(latents), -1, 4, 4))


def _channels_first(array: np.ndarray) -> np.ndarray:
    grid = array.reshape(4, 4, -1, *array.shape[1:])
    return np.moveaxis(grid, 2, 0).reshape(array.shape)


def _transposed(kernel: np.ndarray, stride: int, padding: int) -> nn.ConvTranspose2d:
    weight = _tensor(kernel.transpose(2, 3, 0, 1))
    ins, outs = weight.shape[:2]
    layer = nn.ConvTranspose2d(ins, outs, 4, stride, padding, bias=False)
    layer.weight.data = weight
    return layer


def _norm(arrays: dict[str, np.ndarray], name: str) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(len(arrays[f"{name}.scale"]))
    layer.load_state_dict(
        {
            "weight": _tensor(arrays[f"{name}.scale"]),
            "bias": _tensor(arrays[f"{name}.bias"]),
            "running_mean": _tensor(arrays[f"{name}.mean"]),
            "running_var": _tensor(arrays[f"{name}.var"]),
            "num_batches_tracked": torch.tensor(0),
        }
    )
    return layer


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(array, np.float32, order="C"))


def _thread_counts() -> Iterator[int]:
    threads = 1
    while threads < usable_cpus():
        yield threads
        threads *= 2
    yield usable_cpus()
