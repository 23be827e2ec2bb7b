"""Learners written out as sources for machines without Python."""

from tp_lava.deploy.c import export_c as export_c
