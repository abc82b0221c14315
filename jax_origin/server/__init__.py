"""A page of one's own machine on which images are dropped, and the same as a small REST door."""

from jax_origin.server.app import make_app as make_app
from jax_origin.server.jobs import Busy as Busy
from jax_origin.server.jobs import Job as Job
from jax_origin.server.jobs import Jobs as Jobs
