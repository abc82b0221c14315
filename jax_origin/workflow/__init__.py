"""From a generator to verdicts: methods, calibrating, attributing."""

from jax_origin.workflow.attributor import Attributor as Attributor
from jax_origin.workflow.attributor import attribute as attribute
from jax_origin.workflow.attributor import attribute_stream as attribute_stream
from jax_origin.workflow.attributor import check_calibration as check_calibration
from jax_origin.workflow.belonging import BelongingImages as BelongingImages
from jax_origin.workflow.belonging import belonging_images as belonging_images
from jax_origin.workflow.belonging import reencoded_images as reencoded_images
from jax_origin.workflow.calibrate import calibrate as calibrate
from jax_origin.workflow.drift import ScoredAgain as ScoredAgain
from jax_origin.workflow.drift import circumstances as circumstances
from jax_origin.workflow.drift import score_again as score_again
from jax_origin.workflow.foreign_images import ForeignImages as ForeignImages
from jax_origin.workflow.likeness import Likeness as Likeness
from jax_origin.workflow.likeness import decider_alike as decider_alike
from jax_origin.workflow.likeness import likeness as likeness
from jax_origin.workflow.methods import METHODS as METHODS
from jax_origin.workflow.methods import Method as Method
from jax_origin.workflow.methods import aeroblade as aeroblade
from jax_origin.workflow.methods import get_method as get_method
from jax_origin.workflow.scorer import Scorer as Scorer
from jax_origin.workflow.scorer import encoders_of as encoders_of
from jax_origin.workflow.shipped import load_calibration as load_calibration
from jax_origin.workflow.verdict import Verdict as Verdict
