"""DDPM's noise schedules and DDIM's steps through them, in NumPy: constants of a generator."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

BETAS = ("linear", "scaled_linear", "squaredcos_cap_v2")
PREDICTIONS = ("epsilon", "sample", "v_prediction")
SPACINGS = ("leading", "trailing", "linspace")


class Steps(NamedTuple):
    """The steps of a sampler, from noise to image, float32 [S] each.

    The network is told `times`. The others are square roots of the shares of signal and noise in a
    step's input and, as `next_`, in its output.
    """

    times: Any
    signal: Any
    noise: Any
    next_signal: Any
    next_noise: Any


_MOST = 100_000  # training steps: what a file says is held, step by step


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schedule:
    """A DDPM schedule, with the names and the defaults of diffusers' ``DDIMScheduler``.

    Attributes:
      num_train_timesteps: Steps of the forward process.
      beta_schedule: One of `BETAS`; the last is that of Nichol and Dhariwal (ICML 2021).
      beta_start: First beta; not of ``squaredcos_cap_v2``.
      beta_end: Last beta; not of ``squaredcos_cap_v2``.
      prediction_type: What the network predicts, one of `PREDICTIONS`.
      clip_sample: Clip each step's estimate of the image.
      clip_sample_range: To this absolute value.
      use_clipped_model_output: Take a step's noise anew from the clipped estimate, as
        guided-diffusion does.
      set_alpha_to_one: The last step's output has no noise; else as much as the first time.
      steps_offset: Added to the times of ``leading``.
      timestep_spacing: Which times are taken, one of `SPACINGS`.
      rescale_betas_zero_snr: The last time has no signal (Lin et al., WACV 2024, algorithm 1).
    """

    num_train_timesteps: int = 1000
    beta_schedule: str = "linear"
    beta_start: float = 1e-4
    beta_end: float = 0.02
    prediction_type: str = "epsilon"
    clip_sample: bool = True
    clip_sample_range: float = 1.0
    use_clipped_model_output: bool = False
    set_alpha_to_one: bool = True
    steps_offset: int = 0
    timestep_spacing: str = "leading"
    rescale_betas_zero_snr: bool = False

    def __post_init__(self) -> None:
        choices = {
            "beta_schedule": BETAS,
            "prediction_type": PREDICTIONS,
            "timestep_spacing": SPACINGS,
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, not {getattr(self, name)!r}")
        total = self.num_train_timesteps
        if not isinstance(total, int) or not 1 <= total <= _MOST:
            raise ValueError(f"num_train_timesteps must be 1 to {_MOST:,}, not {total!r}")

    @classmethod
    def of(cls, options: "Schedule | Mapping[str, Any]") -> "Schedule":
        """These options; raises a ValueError if one is unknown or wrong."""
        if isinstance(options, Schedule):
            return options
        unknown = sorted(set(options) - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise ValueError(f"schedule: unknown {unknown}")
        return cls(**options)

    @classmethod
    def of_diffusers(cls, stored: Mapping[str, Any]) -> "Schedule":
        """The schedule in a diffusers scheduler's config; a ValueError if it is not built here."""
        for name in ("trained_betas", "thresholding"):
            if stored.get(name):
                raise ValueError(f"schedule with {name} is not read here")
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in stored.items() if name in names})

    def as_dict(self) -> dict[str, Any]:
        """The options as JSON."""
        return dataclasses.asdict(self)

    def alphas_cumprod(self) -> np.ndarray:
        """The share of signal at each time, float32 [num_train_timesteps]."""
        total = self.num_train_timesteps
        if self.beta_schedule == "linear":
            betas = np.linspace(self.beta_start, self.beta_end, total)
        elif self.beta_schedule == "scaled_linear":
            betas = np.linspace(self.beta_start**0.5, self.beta_end**0.5, total) ** 2
        else:
            bar = np.cos((np.arange(total + 1) / total + 0.008) / 1.008 * np.pi / 2) ** 2
            betas = np.minimum(1 - bar[1:] / bar[:-1], 0.999)
        # Betas are float32 in the references, products of them float64 until they are stored.
        shares = np.cumprod(1 - betas.astype(np.float32), dtype=np.float64)
        if self.rescale_betas_zero_snr:
            roots = np.sqrt(shares)
            shares = ((roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])) ** 2
        return shares.astype(np.float32)

    def steps(self, count: int) -> Steps:
        """The times that DDIM takes, and the coefficients of its steps.

        Raises:
          ValueError: If there cannot be so many, a time would be past the last, or the network
            predicts noise from an input that is noise alone.
        """
        total = self.num_train_timesteps
        if not isinstance(count, int) or not 1 <= count <= total:
            raise ValueError(f"steps must be 1 to {total}, not {count!r}")
        stride = total // count
        if self.timestep_spacing == "leading":
            times = np.arange(count)[::-1] * stride + self.steps_offset
        elif self.timestep_spacing == "trailing":
            times = np.round(np.arange(total, 0, -total / count)).astype(np.int64) - 1
        else:
            times = np.round(np.linspace(0, total - 1, count))[::-1].astype(np.int64)
        if times[0] >= total:
            raise ValueError(f"steps_offset={self.steps_offset} leads past the last time, {total}")
        shares = self.alphas_cumprod().astype(np.float64)
        # As diffusers has it: a stride before this time, which need not be the next time taken.
        following = times - stride
        last = 1.0 if self.set_alpha_to_one else shares[0]
        now, after = shares[times], np.where(following >= 0, shares[following], last)
        if self.prediction_type == "epsilon" and now.min() == 0:
            raise ValueError("rescale_betas_zero_snr cannot go with predictions of epsilon")
        coefficients = (np.sqrt(now), np.sqrt(1 - now), np.sqrt(after), np.sqrt(1 - after))
        return Steps(times.astype(np.float32), *(c.astype(np.float32) for c in coefficients))
