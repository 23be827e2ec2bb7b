"""Targets: one module each turns a Program, and the schedule of a whole circuit, into something that runs."""
