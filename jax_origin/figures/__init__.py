"""Figures for papers and talks: one look, and the numbers beside each. Needs Matplotlib."""

from jax_origin.figures.error_curves import Curve as Curve
from jax_origin.figures.error_curves import curve_of_quantiles as curve_of_quantiles
from jax_origin.figures.error_curves import curve_of_scores as curve_of_scores
from jax_origin.figures.error_curves import draw_det as draw_det
from jax_origin.figures.error_curves import draw_roc as draw_roc
from jax_origin.figures.evidence_plot import draw_evidence as draw_evidence
from jax_origin.figures.image_figures import draw_curves as draw_curves
from jax_origin.figures.image_figures import draw_pictures as draw_pictures
from jax_origin.figures.look import FORMATS as FORMATS
from jax_origin.figures.look import Drawn as Drawn
from jax_origin.figures.look import FigureError as FigureError
from jax_origin.figures.look import styled as styled
from jax_origin.figures.look import write_figure as write_figure
from jax_origin.figures.look import write_numbers as write_numbers
from jax_origin.figures.result_figures import draw_cost as draw_cost
from jax_origin.figures.result_figures import draw_robustness as draw_robustness
from jax_origin.figures.score_figures import ScoredCandidate as ScoredCandidate
from jax_origin.figures.score_figures import draw_scores as draw_scores
