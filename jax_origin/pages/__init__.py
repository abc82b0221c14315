"""Findings as pages for people: one file of HTML each, which loads nothing from anywhere."""

from jax_origin.pages.audit_page import audit_page as audit_page
from jax_origin.pages.image_page import answer_in_json as answer_in_json
from jax_origin.pages.image_page import image_page as image_page
from jax_origin.pages.image_page import three_lines as three_lines
from jax_origin.pages.render import render as render
from jax_origin.pages.render import write_page as write_page
