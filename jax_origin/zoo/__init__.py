"""The zoo: small generators trained by this project, each with a card and calibrations."""

from jax_origin.zoo.examples import PLAIN as PLAIN
from jax_origin.zoo.examples import MadeImages as MadeImages
from jax_origin.zoo.examples import demonstration_files as demonstration_files
from jax_origin.zoo.examples import demonstration_images as demonstration_images
from jax_origin.zoo.examples import has_prior as has_prior
from jax_origin.zoo.examples import standard_foreign as standard_foreign
from jax_origin.zoo.fetch import fetch_member as fetch_member
from jax_origin.zoo.load import load_generator as load_generator
from jax_origin.zoo.members import ZOO as ZOO
from jax_origin.zoo.members import absent_names as absent_names
from jax_origin.zoo.members import all_names as all_names
from jax_origin.zoo.members import calibration_path as calibration_path
from jax_origin.zoo.members import fetched_folder as fetched_folder
from jax_origin.zoo.members import manifest as manifest
from jax_origin.zoo.members import member_folder as member_folder
from jax_origin.zoo.members import standard_names as standard_names
from jax_origin.zoo.members import zoo_names as zoo_names
