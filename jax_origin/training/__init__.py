"""Training loops for the generators that this project publishes."""

from jax_origin.training.autoencoder import AutoencoderTask, TinyTask, VqTask
from jax_origin.training.consistency import ConsistencyTask
from jax_origin.training.diffusion import DiffusionTask
from jax_origin.training.gan import GanTask
from jax_origin.training.loop import Task, TrainingError, train
from jax_origin.training.vae import VaeTask

TASKS = {
    "autoencoder": AutoencoderTask,
    "autoencoder_tiny": TinyTask,
    "autoencoder_vq": VqTask,
    "consistency": ConsistencyTask,
    "diffusion": DiffusionTask,
    "gan": GanTask,
    "vae": VaeTask,
}
"""How a generator is trained, by the name that a config gives."""

__all__ = [
    "TASKS",
    "AutoencoderTask",
    "ConsistencyTask",
    "DiffusionTask",
    "GanTask",
    "Task",
    "TinyTask",
    "TrainingError",
    "VaeTask",
    "VqTask",
    "train",
]
