"""Learners written out as sources for machines without Python, and laid out on chips."""

from tp_lava.deploy.c import export_c as export_c
from tp_lava.deploy.loihi2.mapping import map_network as map_network
