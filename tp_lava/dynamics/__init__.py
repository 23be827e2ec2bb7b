"""The dynamics, written once: plain functions over symbolic numbers, traced into small programs.

Read in this order: program (the instruction set), symbols (the tracer), neuron, contrast, third_factor, tess,
plasticity, optimiser, readout, match. Nothing here knows Lava, Numba or torch.
"""
