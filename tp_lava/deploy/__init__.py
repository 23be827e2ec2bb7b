"""Learners written out as sources for machines without Python and for Loihi 2, and laid out on chips."""

from tp_lava.deploy.bundle import export_loihi2 as export_loihi2
from tp_lava.deploy.c import export_c as export_c
from tp_lava.deploy.loihi2.mapper import map_network as map_network
