"""Distances between reconstructions and images, or what their files hold."""

from jax_origin.distances.base import OBJECTIVES as OBJECTIVES
from jax_origin.distances.base import Distance as Distance
from jax_origin.distances.file_set import FileSet as FileSet
from jax_origin.distances.file_set import as_stored as as_stored
from jax_origin.distances.file_set import stored_numbers as stored_numbers
from jax_origin.distances.lpips import LPIPS as LPIPS
from jax_origin.distances.lpips import convert_lpips as convert_lpips
from jax_origin.distances.pixels import L1 as L1
from jax_origin.distances.pixels import L2 as L2
from jax_origin.distances.pixels import PSNR as PSNR
from jax_origin.distances.structural import MSSSIM as MSSSIM
from jax_origin.distances.structural import SSIM as SSIM
