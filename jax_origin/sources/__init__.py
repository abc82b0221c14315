"""Where images come from: folders, archives, tables, data sets; each entry a key and its bytes."""

from jax_origin.sources.entry import Entry as Entry
from jax_origin.sources.entry import Source as Source
from jax_origin.sources.entry import reader as reader
from jax_origin.sources.layouts import LAYOUTS as LAYOUTS
from jax_origin.sources.layouts import find_layout as find_layout
from jax_origin.sources.opening import open_source as open_source
from jax_origin.sources.opening import open_sources as open_sources
